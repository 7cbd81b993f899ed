"""What the ledger knows of dead letters, and how to ask for it; changes when what becomes of them does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from monitor.cuts import DeadLetter


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A dead letter, and what has become of it.

    Attributes:
        letter: with its bytes and headers, where those were kept.
        forwarded: the dead letters' topic has it.
        replayed_at: when it was read again, None while it was not.
        replayed_to: the topic that a copy was sent to; None where it became records.
    """

    letter: DeadLetter
    recorded_at: datetime
    forwarded: bool = False
    replayed_at: datetime | None = None
    replayed_to: str | None = None

    @property
    def place(self) -> str:
        """Where the message was, as `topic/partition/offset`."""
        partition = self.letter.partition
        return f"{partition.name}/{partition.number}/{self.letter.offset}"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters are meant; None means any.

    Attributes:
        topic: topic, or files as configured.
        reason: part of the reason's text, in any case of letters.
        since: recorded at that time or later.
        waiting: only those that were not replayed.
    """

    topic: str | None = None
    reason: str | None = None
    since: datetime | None = None
    waiting: bool = False


class Outbox(Protocol):
    """The dead letters that are still to be forwarded; safe to use from several threads."""

    def unforwarded(self, limit: int) -> Sequence[StoredLetter]:
        """Return at most `limit` letters that the dead letters' topic does not have yet, oldest first."""
        ...

    def mark_forwarded(self, letters: Sequence[StoredLetter]) -> None:
        """Note that the topic has them; idempotent."""
        ...
