"""What the polling thread has handed over and the working thread has not done; changes with how memory is bounded."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from datetime import datetime

from collectors.source import Block, Started
from monitor.clock import Deadline
from monitor.cuts import Claim, Partition

_FULL_BYTES = 64 * 2**20
_FULL_MESSAGES = 60_000


@dataclass(frozen=True, slots=True)
class Claimed:
    """Blocks of this claim follow."""

    claim: Claim
    started: Started


@dataclass(frozen=True, slots=True)
class AtEnd:
    """Up to `position`, all that the partition holds was handed over."""

    partition: Partition
    epoch: int
    position: int
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Released:
    """All claims up to here are given up; those that follow are new."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """Partitions go elsewhere: commit, forget, and set `done`."""

    done: threading.Event


@dataclass(frozen=True, slots=True)
class Stop:
    """Commit until `deadline`, and end."""

    deadline: Deadline


Item = Block | Claimed | AtEnd | Released | Revoked | Stop


class Backlog:
    """A queue that knows how much waits in it. It takes everything; `full` asks the polling thread to hold back."""

    def __init__(self) -> None:
        """Begin empty."""
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._room = threading.Condition()
        self._messages = 0
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether nothing more should be read for now."""
        return self._messages >= _FULL_MESSAGES or self._bytes >= _FULL_BYTES

    def wait_for_room(self, timeout_seconds: float) -> bool:
        """Wait until there is room, but not longer than that; say whether there is."""
        with self._room:
            return self._room.wait_for(lambda: not self.full, timeout_seconds)

    @property
    def messages(self) -> int:
        """Messages that are handed over and not in the buffer yet."""
        return self._messages

    def put(self, item: Item) -> None:
        """Hand an item over; never waits."""
        if isinstance(item, Block):
            self._count(item, 1)
        self._queue.put(item)

    def get(self, timeout_seconds: float) -> Item | None:
        """Return the oldest item, None when there is none for so long; a block counts until `done`."""
        try:
            return self._queue.get(timeout=timeout_seconds)
        except queue.Empty:
            return None

    def done(self, block: Block) -> None:
        """Note that a block has been taken care of."""
        self._count(block, -1)

    def release_waiting(self) -> None:
        """Drop everything, and let go whoever waits for a `Revoked`; for the end of the working thread."""
        while (item := self.get(0.0)) is not None:
            if isinstance(item, Revoked):
                item.done.set()

    def _count(self, block: Block, sign: int) -> None:
        size = block.table.nbytes if block.table is not None else sum(len(value) for value in block.values if value)
        with self._room:
            self._messages += sign * len(block)
            self._bytes += sign * size
            self._room.notify_all()
