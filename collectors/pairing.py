"""Requests and responses that come as messages of their own: held back until both are there; changes with how halves are joined.

A record is made of the half that came first, and belongs to its offset; the other half makes no row. Messages are released in
order: of each partition those before the first half that still waits, and a second half never before its first. So

- a cut never advances past a half that waits, and whoever reads on after a crash finds both halves again;
- a cut that holds the second half holds the first one too, or an earlier cut did: no row is lost, and none comes twice.

The one thing that a restart can do: where a cut ended between two halves, the second one is read again alone, and becomes a dead
letter ("no counterpart") although its row is committed. A half waits until its time is over, or until too much waits; then it is
released without a counterpart. The halves of a pair may lie in different partitions, as long as one collector reads both.

No threads, no clock: the runner brings blocks and `now`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import repeat
from typing import Final

import numpy as np

from collectors.source import ABSORBED, Block, Half, Headers
from collectors.streams import Stream
from collectors.wire.cloudevents import joined_by
from monitor.cuts import Partition
from monitor.errors import InvalidRecord

_MOST_HELD: Final = 200_000
_MOST_HELD_BYTES: Final = 64 * 2**20


@dataclass(slots=True, eq=False)
class _Entry:
    """A message that is held back. It is settled when nothing has to be waited for any more but its turn."""

    offset: int
    half: Half
    stamp: int
    arrived: datetime
    settled: bool = False
    counterpart: Half | None = None
    first: _Entry | None = None
    """Of a second half, the entry that it was joined to."""
    second: _Entry | None = None
    """Of a first half, the entry that was joined to it."""
    what: tuple[str, bool] = ("", False)
    """What pairs are joined by, and whether this is the request."""
    released: bool = False


@dataclass(slots=True)
class _Queue:
    """The messages of one claim that are held back; everything before `start` is released."""

    epoch: int
    start: int
    end: int
    entries: deque[_Entry] = field(default_factory=deque)


@dataclass(slots=True)
class _Waiting:
    """The halves of one stream that wait for the other, oldest first."""

    timeout: timedelta
    most: int
    entries: OrderedDict[tuple[str, bool], _Entry] = field(default_factory=OrderedDict)


class Pairing:
    """Holds messages of streams that join until they are settled; messages of other streams pass. Not thread-safe."""

    def __init__(
        self, streams: Sequence[Stream], most_held: int = _MOST_HELD, most_held_bytes: int = _MOST_HELD_BYTES
    ) -> None:
        """Join what `streams` say; hold at most so many messages and bytes, whatever their settings."""
        self._waiting = {
            stream.name: _Waiting(stream.source.join_timeout, stream.source.max_unjoined)
            for stream in streams
            if stream.joins
        }
        self._queues: dict[Partition, _Queue] = {}
        self._most_held, self._most_held_bytes = most_held, most_held_bytes
        self._held = self._held_bytes = 0

    @property
    def held(self) -> int:
        """How many messages are held back."""
        return self._held

    def start(self, partition: Partition, epoch: int, position: int) -> None:
        """Begin a claim of a partition at `position`."""
        if partition.name in self._waiting:
            self._drop(partition)
            self._queues[partition] = _Queue(epoch, position, position)

    def discard(self) -> None:
        """Forget all that is held, and all claims."""
        for partition in list(self._queues):
            self._drop(partition)

    def accept(self, block: Block, now: datetime) -> Sequence[Block]:
        """Take a block; return the blocks that are settled by now, each partition's in order and without a gap."""
        waiting = self._waiting.get(block.partition.name)
        if waiting is None:
            return [block]
        queue = self._queues.get(block.partition)
        if queue is None or queue.epoch != block.epoch:
            return []
        headers: Sequence[Headers] = block.headers or [()] * len(block)
        stamps = repeat(-1) if block.timestamps is None else block.timestamps.tolist()
        for offset, value, pairs, stamp in zip(block.offsets.tolist(), block.values, headers, stamps, strict=False):
            entry = _Entry(offset, Half(value, pairs), stamp, now)
            queue.entries.append(entry)
            self._held += 1
            self._held_bytes += len(value or b"")
            _settle(waiting, entry)
        queue.end = block.end
        return self.expired(now)

    def expired(self, now: datetime) -> Sequence[Block]:
        """Give up the halves that have waited too long, and the oldest where too many wait; return what is settled by now."""
        for waiting in self._waiting.values():
            while waiting.entries:
                oldest = next(iter(waiting.entries.values()))
                if len(waiting.entries) <= waiting.most and now < oldest.arrived + waiting.timeout:
                    break
                _give_up(waiting)
        released = self._release()
        while self._held > self._most_held or self._held_bytes > self._most_held_bytes:
            self._give_up_oldest()
            released += self._release()
        return released

    def _give_up_oldest(self) -> None:
        """Give up the half that has waited longest; there is one, since nothing else holds messages back."""
        waiting = [waiting for waiting in self._waiting.values() if waiting.entries]
        _give_up(min(waiting, key=lambda one: next(iter(one.entries.values())).arrived))

    def _release(self) -> list[Block]:
        taken: dict[Partition, list[_Entry]] = {}
        progress = True
        while progress:
            progress = False
            for partition, queue in self._queues.items():
                entries = queue.entries
                while entries and entries[0].settled and (entries[0].first is None or entries[0].first.released):
                    entry = entries.popleft()
                    entry.released = progress = True
                    taken.setdefault(partition, []).append(entry)
        blocks = []
        for partition, queue in self._queues.items():
            end = queue.entries[0].offset if queue.entries else queue.end
            if end > queue.start:
                blocks.append(self._block(partition, queue, end, taken.get(partition, [])))
                queue.start = end
        return blocks

    def _block(self, partition: Partition, queue: _Queue, end: int, entries: Sequence[_Entry]) -> Block:
        self._held -= len(entries)
        self._held_bytes -= sum(len(entry.half.value or b"") for entry in entries)
        return Block(
            partition,
            queue.epoch,
            queue.start,
            end,
            np.array([entry.offset for entry in entries], dtype=np.int64),
            [entry.half.value for entry in entries],
            headers=[entry.half.headers for entry in entries],
            counterparts=[entry.counterpart for entry in entries],
            timestamps=np.array([entry.stamp for entry in entries], dtype=np.int64),
        )

    def _drop(self, partition: Partition) -> None:
        queue = self._queues.pop(partition, None)
        if queue is None:
            return
        self._held -= len(queue.entries)
        self._held_bytes -= sum(len(entry.half.value or b"") for entry in queue.entries)
        waiting = self._waiting[partition.name].entries
        for entry in queue.entries:
            if waiting.get(entry.what) is entry:
                del waiting[entry.what]
        for entry in queue.entries:
            for other in (entry.first, entry.second):  # it waits again, since this one will be read again
                if other is not None and not other.released and other not in queue.entries:
                    other.settled, other.counterpart, other.first, other.second = False, None, None, None
                    waiting.setdefault(other.what, other)


def _give_up(waiting: _Waiting) -> None:
    """Settle the half that has waited longest, without its counterpart."""
    _, entry = waiting.entries.popitem(last=False)
    entry.settled = True


def _settle(waiting: _Waiting, entry: _Entry) -> None:
    """Join a new half to the one that waits for it, or let it wait."""
    try:
        what, is_request = joined_by(entry.half)
    except InvalidRecord:
        entry.settled = True
        return
    entry.what = what, is_request
    twin = waiting.entries.get(entry.what)
    if twin is not None:
        entry.settled, entry.counterpart = True, twin.half
        return
    first = waiting.entries.pop((what, not is_request), None)
    if first is None:
        waiting.entries[entry.what] = entry
        return
    first.settled = entry.settled = True
    first.counterpart, entry.counterpart = entry.half, ABSORBED
    first.second, entry.first = entry, first
