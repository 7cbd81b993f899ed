"""A cut: what one transaction of a collector commits; and the ports through which it is committed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from monitor.records import ColumnTypes, SpanKind, Window, WindowKey


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One ordered input: a partition of a topic (by topic id, since a name can be reused), or one file."""

    source: str
    number: int = 0
    name: str = field(default="", compare=False)
    """Topic name or file path, for people."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A collector's right to advance one partition, until somebody else claims it.

    Attributes:
        next_offset: where to read on; None when nothing was ever committed.
        epoch: fencing token; every claim raises it, and a commit under an older one is refused.
    """

    partition: Partition
    next_offset: int | None
    epoch: int


@dataclass(frozen=True, slots=True)
class Range:
    """The offsets [start, end) of one partition that a cut covers; equal where it only reports that the input is quiet.

    Attributes:
        max_event_time: newest event time in the range, None where it held no record.
        at_end: nothing was left to read at `checked_at`.
        progressed_at: wall clock when a record was last seen in this partition (or when it was claimed).
    """

    partition: Partition
    epoch: int
    start: int
    end: int
    max_event_time: datetime | None
    at_end: bool
    checked_at: datetime
    progressed_at: datetime


@dataclass(frozen=True, slots=True)
class SealedSpan:
    """A span file that is written and waits to be committed; an intent with the same id must exist."""

    span_id: str
    name: str
    kind: SpanKind
    model: str
    version: str
    window: Window
    rows: int
    size_bytes: int
    theta: int
    """Rows whose hash is below this were kept; 2**64 keeps all."""
    misfits: int
    min_hash: int
    max_hash: int


@dataclass(frozen=True, slots=True)
class Count:
    """Records of one stratum of a window that a cut read: how many, and how many of them the sampler dropped."""

    kind: SpanKind
    key: WindowKey
    records: int
    sampled_out: int
    stratum: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that can never be read; the digest is xxh3_128 of its bytes, in hexadecimal.

    Attributes:
        content: the bytes themselves, only where settings ask for them.
        headers: (name, value) pairs of the message, as far as they were read, only with `content`.
    """

    partition: Partition
    offset: int
    reason: str
    digest: str
    size_bytes: int
    content: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """Offsets [start, end) that the broker deleted before they were read."""

    partition: Partition
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Ranges of offsets, and all that came of them; or dead letters that are read again, and what came of those.

    `messages` + number of `replayed` = `decoded` + number of `dead_letters`, or nothing commits.

    Attributes:
        replayed: partition and offset of dead letters that can be read by now, each of which must still be one.
    """

    cut_id: str
    collector: str
    ranges: Sequence[Range]
    spans: Sequence[SealedSpan] = ()
    counts: Sequence[Count] = ()
    dead_letters: Sequence[DeadLetter] = ()
    lost: Sequence[Lost] = ()
    messages: int = 0
    decoded: int = 0
    replayed: Sequence[tuple[Partition, int]] = ()


class CutLedger(Protocol):
    """What a collector asks of the store. Implementations are safe to call from several threads and processes."""

    def expect(self, partitions: Sequence[Partition], now: datetime) -> None:
        """Make the partitions known, so that no watermark passes them before somebody reads them; idempotent."""
        ...

    def claim(self, partition: Partition, collector: str, now: datetime) -> Claim:
        """Take the partition over from whoever had it."""
        ...

    def intend(self, spans: Sequence[tuple[str, str]], lease_until: datetime) -> None:
        """Record (span id, file name) before the files are written, so that nothing is ever orphaned."""
        ...

    def commit(self, cut: Cut, now: datetime) -> None:
        """Commit all of the cut or nothing.

        Traffic of windows that are closed by now is committed as late.

        Raises:
            StaleClaim: a partition was claimed or advanced by somebody else, an intent has been abandoned, or a dead letter
                was replayed already.
            InvariantBroken: the cut's own counts contradict each other.
            TransientError: the database cannot be reached or is out of room.
        """
        ...

    def column_types(self, model: str) -> ColumnTypes:
        """Return the types of the model's active baseline; empty where it has none."""
        ...

    def smallest_theta(self, key: WindowKey) -> int | None:
        """Return the smallest theta among the window's committed traffic spans, None where there are none."""
        ...


class SpanStorage(Protocol):
    """Where span files lie: names are relative, with forward slashes, unique, and written once."""

    def put(self, name: str, content: bytes) -> None:
        """Write a new file durably.

        Raises:
            FileExistsError: the name is taken.
            TransientError: no room, or the storage cannot be reached; nothing readable is left behind.
        """
        ...

    def get(self, name: str) -> bytes:
        """Return a file's content; raises FileNotFoundError."""
        ...

    def delete(self, name: str) -> None:
        """Delete a file; a missing one is no error."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the names that start with `prefix`, in any order."""
        ...
