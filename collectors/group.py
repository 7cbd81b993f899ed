"""What a member of a consumer group keeps of its topics and partitions, whichever driver it reads with.

The group only says who reads which partition. Where to read on is said by the ledger, and the offsets that are committed to
Kafka are a hint for lag tools. Partitions are known by the id of their topic, so that a topic that was deleted and made again is
another input. A new partition is held until it is claimed. Changes when the contract of `collectors.source` does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from collectors.source import Started
from monitor.clock import Clock
from monitor.cuts import Claim, Partition
from monitor.errors import TransientError

_END_CHECK_SECONDS = 1.0

log = structlog.get_logger("driftline.kafka")

Where = tuple[str, int]
"""Topic and number of a partition, as the group names it; kafka-python's TopicPartition is one."""


class Reset(TransientError):
    """A position does not exist on the broker."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that exists: its id (or what stands for it), and the numbers of its partitions, ascending."""

    identity: str
    numbers: Sequence[int]


@dataclass(slots=True)
class Cursor:
    """How far a started partition is read."""

    partition: Partition
    epoch: int
    position: int
    end_seen: int | None = None
    """Where the driver last found nothing more, if it says so by an event; None after a message since."""


class TopicGroup(ABC):
    """The driver's half of `collectors.source.Source` is in the methods below `# Of the driver`; `poll` is all its own."""

    def __init__(self, topics: Sequence[str], clock: Clock, with_headers: Collection[str]) -> None:
        """Read `topics`; blocks of those in `with_headers` have headers and timestamps too."""
        self._clock = clock
        self._topics = list(topics)
        self._with_headers = frozenset(with_headers)
        self._ids: dict[str, str] = {}
        self._missing: set[str] = set()
        self._subscribed: set[str] = set()
        self._assigned: set[Where] = set()
        self._cursors: dict[Where, Cursor] = {}
        self._ends: dict[Partition, int] = {}
        self._check_ends_at = 0.0
        self._paused = False
        self._closed = False
        self._revoke: Callable[[], None] = lambda: None

    # The source

    def discover(self) -> Sequence[Partition]:
        """Return the partitions of all topics that exist; says once of a topic that it does not."""
        found: list[Partition] = []
        for name, topic in sorted(self._describe().items()):
            if topic is None:
                if name not in self._missing:
                    log.warning("waiting for a topic that does not exist yet", topic=name)
                self._missing.add(name)
                continue
            self._missing.discard(name)
            if self._ids.get(name, topic.identity) != topic.identity:
                log.warning("a topic was made anew and is read from its beginning", topic=name)
                self._restart()
            self._ids[name] = topic.identity
            found.extend(Partition(topic.identity, number, name) for number in topic.numbers)
        # Only to topics that exist: a consumer that asks for others makes some brokers create them.
        existing = {partition.name for partition in found}
        if existing and existing != self._subscribed:
            self._subscribed = existing
            self._subscribe(sorted(existing))
        return found

    def unclaimed(self) -> Sequence[Partition]:
        """Return the assigned partitions that are not started; those of a topic without a known id must wait."""
        waiting = sorted(self._assigned - set(self._cursors))
        if any(name not in self._ids for name, _ in waiting):
            self.discover()
        return [Partition(self._ids[name], number, name) for name, number in waiting if name in self._ids]

    def start(self, claim: Claim) -> Started:
        """Read on from the claim's offset, or from the oldest one that exists."""
        partition = claim.partition
        where = partition.name, partition.number
        first, end = self._bounds(where)
        if claim.next_offset is not None and claim.next_offset > end:
            end = max(end, self._readable_end(where, claim.next_offset))
        started = Started.under(claim, first, end)
        cursor = Cursor(partition, claim.epoch, started.position)
        self._begin(where, cursor)
        self._cursors[where] = cursor
        return started

    def release(self) -> None:
        """Stop reading all partitions."""
        self._forget()
        self._hold()

    def ends(self) -> Mapping[Partition, int]:
        """Return the started partitions that are read to their end, as the broker says now and not only when last fetched."""
        now = self._clock.monotonic()
        if now >= self._check_ends_at:
            try:
                self._ends = self._ask_ends()
            except Reset:
                self._restart()
            if not self._cursors:
                # A member that holds nothing, perhaps while the group forms, asks for no offsets: is Kafka there at all?
                self._describe()
            self._check_ends_at = now + _END_CHECK_SECONDS
        cursors = list(self._cursors.values())
        return {
            cursor.partition: cursor.position
            for cursor in cursors
            if self._ends.get(cursor.partition) == cursor.position
        }

    def lag(self) -> Mapping[str, int]:
        """Return how many offsets lie between what was read and what the broker last told, by topic."""
        waiting: Counter[str] = Counter()
        for where, cursor in list(self._cursors.items()):
            waiting[cursor.partition.name] += self._behind(where, cursor)
        return waiting

    def pause(self) -> None:
        """Fetch nothing until `resume`."""
        if not self._paused:
            self._paused = True
            self._hold()

    def resume(self) -> None:
        """Fetch again what is started."""
        if self._paused:
            self._paused = False
            self._go_on()

    def acknowledge(self, committed: Mapping[Partition, int]) -> None:
        """Commit offsets to Kafka, for lag tools."""
        offsets = {
            where: committed[cursor.partition]
            for where, cursor in self._cursors.items()
            if cursor.partition in committed
        }
        if offsets:
            self._hint(offsets)

    def on_revoke(self, callback: Callable[[], None]) -> None:
        """Set what is called before partitions go to another member."""
        self._revoke = callback

    def close(self) -> None:
        """Leave the group."""
        if not self._closed:
            self._closed = True
            self._leave()

    # For the driver

    def _give_up(self) -> None:
        """Note that no partition is ours any more."""
        self._assigned = set()
        self._forget()

    def _restart(self) -> None:
        """Commit what was read, and claim all partitions anew: some position is not valid any more."""
        self._revoke()
        self.release()

    def _forget(self) -> None:
        self._cursors = {}
        self._ends = {}
        self._check_ends_at = 0.0

    # Of the driver

    @abstractmethod
    def _describe(self) -> Mapping[str, Topic | None]:
        """Return each topic, None where it does not exist."""

    @abstractmethod
    def _subscribe(self, topics: list[str]) -> None:
        """Take part in the group for these topics, instead of those before."""

    @abstractmethod
    def _bounds(self, where: Where) -> tuple[int, int]:
        """Return the oldest offset and the end of a partition; the end may be named too early."""

    @abstractmethod
    def _readable_end(self, where: Where, offset: int) -> int:
        """Return the end of a partition as a fetch at `offset` tells it, 0 if there is nothing at `offset`.

        Some brokers name too early an offset when asked for the last one, and nothing must be taken for deleted by mistake.
        """

    @abstractmethod
    def _begin(self, where: Where, cursor: Cursor) -> None:
        """Read a partition from its cursor on, unless paused."""

    @abstractmethod
    def _hold(self) -> None:
        """Fetch nothing, of any partition."""

    @abstractmethod
    def _go_on(self) -> None:
        """Fetch the started partitions again."""

    @abstractmethod
    def _ask_ends(self) -> dict[Partition, int]:
        """Return the positions of the partitions of which nothing is left, as the broker says; may raise Reset.

        An open transaction counts as something to read.
        """

    @abstractmethod
    def _behind(self, where: Where, cursor: Cursor) -> int:
        """Return how many offsets wait, as far as is known without asking."""

    @abstractmethod
    def _hint(self, offsets: Mapping[Where, int]) -> None:
        """Tell Kafka of committed offsets; never fails."""

    @abstractmethod
    def _leave(self) -> None:
        """Leave the group and close all clients; never fails."""
