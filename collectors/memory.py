"""Twins in memory of a source, the ledger and the span storage; they change with the contracts that they keep.

They keep the same contracts as Kafka, the SQL ledger and the folder, and serve tests and trials.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np

from collectors.source import Block, Headers, Started
from monitor.cuts import Claim, Count, Cut, DeadLetter, Partition, SealedSpan
from monitor.errors import InvariantBroken, StaleClaim
from monitor.records import ColumnTypes, SpanKind, WindowKey


class MemoryStorage:
    """`monitor.cuts.SpanStorage` in a dictionary."""

    def __init__(self) -> None:
        """Begin empty."""
        self._files: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, name: str, content: bytes) -> None:
        """Write a new file."""
        with self._lock:
            if name in self._files:
                raise FileExistsError(name)
            self._files[name] = content

    def get(self, name: str) -> bytes:
        """Return a file's content; raises FileNotFoundError."""
        with self._lock:
            if name not in self._files:
                raise FileNotFoundError(name)
            return self._files[name]

    def delete(self, name: str) -> None:
        """Delete a file; a missing one is no error."""
        with self._lock:
            self._files.pop(name, None)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the names that start with `prefix`."""
        with self._lock:
            names = [name for name in self._files if name.startswith(prefix)]
        yield from names


@dataclass(slots=True)
class _Position:
    next_offset: int | None = None
    epoch: int = 0


@dataclass(slots=True)
class MemoryLedger:
    """`monitor.cuts.CutLedger` in memory; no window is ever closed in it."""

    types: dict[str, ColumnTypes] = field(default_factory=dict)
    expected: set[Partition] = field(default_factory=set)
    cuts: list[Cut] = field(default_factory=list)
    _positions: dict[Partition, _Position] = field(default_factory=dict)
    _intents: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, partitions: Sequence[Partition], now: datetime) -> None:
        """Make the partitions known."""
        del now
        with self._lock:
            self.expected.update(partitions)

    def claim(self, partition: Partition, collector: str, now: datetime) -> Claim:
        """Take the partition over from whoever had it."""
        del collector, now
        with self._lock:
            position = self._positions.setdefault(partition, _Position())
            position.epoch += 1
            return Claim(partition, position.next_offset, position.epoch)

    def intend(self, spans: Sequence[tuple[str, str]], lease_until: datetime) -> None:
        """Record (span id, file name)."""
        del lease_until
        with self._lock:
            self._intents.update(spans)

    def commit(self, cut: Cut, now: datetime) -> None:
        """Commit all of the cut or nothing; see `monitor.cuts.CutLedger.commit`."""
        del now
        with self._lock:
            self._check(cut)
            for step in cut.ranges:
                self._positions[step.partition].next_offset = step.end
            for span in cut.spans:
                del self._intents[span.span_id]
            self.cuts.append(cut)

    def column_types(self, model: str) -> ColumnTypes:
        """Return the types of the model."""
        return self.types.get(model, {})

    def smallest_theta(self, key: WindowKey) -> int | None:
        """Return the smallest theta among the window's committed traffic spans, None where there are none."""
        thetas = [span.theta for span in self.spans if span.kind is not SpanKind.LABELS and _key(span) == key]
        return min(thetas, default=None)

    @property
    def spans(self) -> list[SealedSpan]:
        """All committed spans."""
        with self._lock:
            return [span for cut in self.cuts for span in cut.spans]

    @property
    def counts(self) -> list[Count]:
        """The committed counts, one a kind, window and stratum, sorted."""
        totals: dict[tuple[SpanKind, WindowKey, str], Count] = {}
        for cut in list(self.cuts):
            for count in cut.counts:
                what = count.kind, count.key, count.stratum
                old = totals.get(what, replace(count, records=0, sampled_out=0))
                totals[what] = replace(
                    old, records=old.records + count.records, sampled_out=old.sampled_out + count.sampled_out
                )
        return [count for _, count in sorted(totals.items())]

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """All committed dead letters."""
        return [letter for cut in list(self.cuts) for letter in cut.dead_letters]

    def next_offset(self, partition: Partition) -> int | None:
        """Return how far a partition is committed."""
        with self._lock:
            return self._positions.get(partition, _Position()).next_offset

    def abandon_intents(self) -> None:
        """Do what the cleaner does with expired intents."""
        with self._lock:
            self._intents.clear()

    def _check(self, cut: Cut) -> None:
        kept = sum(span.rows for span in cut.spans)
        records, dropped = sum(count.records for count in cut.counts), sum(count.sampled_out for count in cut.counts)
        if cut.messages + len(cut.replayed) != cut.decoded + len(cut.dead_letters) or records != dropped + kept:
            raise InvariantBroken(f"the counts of cut {cut.cut_id} contradict each other")
        for step in cut.ranges:
            position = self._positions.get(step.partition, _Position())
            if position.epoch != step.epoch or position.next_offset not in (None, step.start):
                raise StaleClaim(f"{step.partition.name}/{step.partition.number} belongs to somebody else")
        if any(span.span_id not in self._intents for span in cut.spans):
            raise StaleClaim("an intent has been abandoned")


def _key(span: SealedSpan) -> WindowKey:
    return WindowKey(span.model, span.version, span.window)


@dataclass(slots=True)
class MemoryTopic:
    """Partitions of messages that several sources may read, as a broker holds them."""

    name: str
    source: str
    partitions: list[list[bytes | None]]
    first_offsets: dict[int, int] = field(default_factory=dict)
    """Messages before these offsets are deleted."""
    headers: dict[tuple[int, int], Headers] = field(default_factory=dict)
    """Headers of messages by partition and offset, for those that have any."""
    timestamps: dict[tuple[int, int], int] = field(default_factory=dict)
    """Milliseconds since the epoch by partition and offset."""

    def append(self, number: int, *values: bytes | None) -> None:
        """Add messages to a partition."""
        self.partitions[number].extend(values)

    def list(self) -> list[Partition]:
        """Return the partitions."""
        return [Partition(self.source, number, self.name) for number in range(len(self.partitions))]


@dataclass(slots=True)
class _Cursor:
    epoch: int
    position: int


class MemorySource:
    """`collectors.source.Source` of topics in memory; `assign` is what a group coordinator does."""

    def __init__(self, topics: Sequence[MemoryTopic], max_block_messages: int = 1_000) -> None:
        """Read all partitions of `topics`, until `assign` says otherwise."""
        self._topics = {topic.source: topic for topic in topics}
        self._max_block_messages = max_block_messages
        self._assigned = [partition for topic in topics for partition in topic.list()]
        self._cursors: dict[Partition, _Cursor] = {}
        self._paused = False
        self._revoke: Callable[[], None] = lambda: None
        self.acknowledged: dict[Partition, int] = {}
        self.closed = False

    def assign(self, partitions: Sequence[Partition]) -> None:
        """Take all partitions away, as an eager rebalance does, and give these."""
        self._revoke()
        self._cursors.clear()
        self._assigned = list(partitions)

    def discover(self) -> Sequence[Partition]:
        """Return every partition of the topics."""
        return [partition for topic in self._topics.values() for partition in topic.list()]

    def poll(self, timeout_seconds: float) -> Sequence[Block]:
        """Return what is there; waits but a moment, since nobody wakes it."""
        blocks: list[Block] = []
        if self._paused or not any(self.lag().values()):
            threading.Event().wait(min(timeout_seconds, 0.002))
        if self._paused:
            return blocks
        for partition, cursor in self._cursors.items():
            values = self._values(partition)[cursor.position : cursor.position + self._max_block_messages]
            if values:
                start, end = cursor.position, cursor.position + len(values)
                offsets = np.arange(start, end, dtype=np.int64)
                topic = self._topics[partition.source]
                places = [(partition.number, offset) for offset in range(start, end)]
                headers = [topic.headers.get(place, ()) for place in places] if topic.headers else ()
                stamps = np.array([topic.timestamps.get(place, -1) for place in places], dtype=np.int64)
                blocks.append(
                    Block(partition, cursor.epoch, start, end, offsets, values, headers=headers, timestamps=stamps)
                )
                cursor.position = end
        return blocks

    def unclaimed(self) -> Sequence[Partition]:
        """Return the assigned partitions that are not started."""
        return [partition for partition in self._assigned if partition not in self._cursors]

    def start(self, claim: Claim) -> Started:
        """Read on from the claim's offset."""
        partition = claim.partition
        first = self._topics[partition.source].first_offsets.get(partition.number, 0)
        started = Started.under(claim, first, len(self._values(partition)))
        self._cursors[partition] = _Cursor(claim.epoch, started.position)
        return started

    def release(self) -> None:
        """Stop reading all partitions."""
        self._cursors.clear()

    def ends(self) -> Mapping[Partition, int]:
        """Return the started partitions that are read to their end."""
        return {
            partition: cursor.position
            for partition, cursor in self._cursors.items()
            if cursor.position >= len(self._values(partition))
        }

    def lag(self) -> Mapping[str, int]:
        """Return how many messages wait, by topic."""
        waiting: Counter[str] = Counter()
        for partition, cursor in self._cursors.items():
            waiting[partition.name] += len(self._values(partition)) - cursor.position
        return waiting

    def pause(self) -> None:
        """Return no blocks until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Go on after `pause`."""
        self._paused = False

    def acknowledge(self, committed: Mapping[Partition, int]) -> None:
        """Keep what was committed in `acknowledged`."""
        self.acknowledged.update(committed)

    def on_revoke(self, callback: Callable[[], None]) -> None:
        """Set what `assign` calls first."""
        self._revoke = callback

    def close(self) -> None:
        """Leave."""
        self.closed = True

    def _values(self, partition: Partition) -> list[bytes | None]:
        return self._topics[partition.source].partitions[partition.number]
