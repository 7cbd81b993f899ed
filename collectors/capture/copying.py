"""A body kept for the capture while it passes through; changes with how much is kept."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Copy:
    """The pieces of a body; a body that grows beyond `limit` bytes is let go, and `whole` is false."""

    limit: int
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    whole: bool = True

    def add(self, chunk: bytes) -> None:
        """Keep a piece."""
        self.size += len(chunk)
        if self.whole and self.size <= self.limit:
            self.parts.append(chunk)
        elif self.whole:
            self.whole = False
            self.parts = []

    def content(self) -> bytes:
        """Return what was kept."""
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
