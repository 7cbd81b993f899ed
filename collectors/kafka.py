"""Kafka topics as a source: a consumer group whose positions are the ledger's; changes with kafka-python or its protocol.

The group only says who reads which partition. Where to read on is said by the ledger, and the offsets that are committed to
Kafka are a hint for lag tools. Partitions are known by the id of their topic, so that a topic that was deleted and made again is
another input. A fresh member of a group is paused on all its partitions until they are claimed.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import structlog
from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.structs import OffsetAndMetadata

from collectors.brokers import await_any, no_broker, refused
from collectors.client_options import kafka_python_client, kafka_python_group
from collectors.source import Block, Started
from monitor.clock import Clock, Deadline
from monitor.config.settings import KafkaSettings
from monitor.cuts import Claim, Lost, Partition
from monitor.errors import ConfigError, TransientError

_END_CHECK_SECONDS = 1.0
_ASK_MS = 2_000
"""How long to wait for an answer about offsets. kafka-python's own half minute would pass without a poll, so that a rebalance of
the whole group would wait for it, and it was seen to pass although the broker was back by then."""
_PROBES = 20
_CONNECT_PAUSE_SECONDS = 0.25
_CLOSE_SECONDS = 3.0
_NO_TOPIC_ID = "00000000-0000-0000-0000-000000000000"

_log = structlog.get_logger("driftline.kafka")


@dataclass(slots=True)
class _Cursor:
    partition: Partition
    epoch: int
    position: int


class KafkaSource(ConsumerRebalanceListener):  # type: ignore[misc]
    """`collectors.source.Source` of topics."""

    def __init__(
        self,
        settings: KafkaSettings,
        topics: Sequence[str],
        clock: Clock,
        *,
        with_headers: Collection[str] = (),
        session_timeout_seconds: float = 10.0,
        connect_seconds: float = 30.0,
    ) -> None:
        """Join the group; blocks of the topics `with_headers` have headers and timestamps too.

        A short session costs nothing, since the ledger, not the group, keeps two collectors from committing the same rows.

        Raises:
            TransientError: no broker answers within `connect_seconds`.
            ConfigError: kafka-python refuses the settings.
        """
        self._clock = clock
        self._topics = list(topics)
        self._with_headers = frozenset(with_headers)
        self._ids: dict[str, str] = {}
        self._missing: set[str] = set()
        self._subscribed: set[str] = set()
        self._assigned: set[TopicPartition] = set()
        self._cursors: dict[TopicPartition, _Cursor] = {}
        self._ends: dict[Partition, int] = {}
        self._check_ends_at = 0.0
        self._paused = False
        self._closed = False
        self._revoke: Callable[[], None] = lambda: None
        self._connection = kafka_python_client(settings) | {"bootstrap_timeout_ms": int(connect_seconds * 1000)}
        deadline = Deadline.after(clock, connect_seconds)
        await_any(settings, deadline)
        with _translated(no_broker(settings)):
            try:
                self._admin = KafkaAdminClient(**self._connection)
                self._consumer = KafkaConsumer(
                    **self._connection,
                    **kafka_python_group(settings, session_timeout_seconds),
                )
            except (SaslAuthenticationFailedError, IllegalSaslStateError, UnsupportedSaslMechanismError) as error:
                raise refused(settings) from error
            except (ValueError, AssertionError, OSError) as error:
                raise ConfigError(f"kafka: {error}") from error

    # Rebalances: called by kafka-python's own thread, while the polling thread is inside poll() or close()

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Hold the new partitions until they are claimed; any position keeps the consumer from asking Kafka for one."""
        if self._cursors:  # a generation can end without a word: see the group's coordinator in kafka-python
            self._revoke()
        self._forget()
        for where in assigned:
            self._consumer.pause(where)
            self._consumer.seek(where, 0)
        self._assigned = set(assigned)

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Have what was read committed before another member reads on."""
        if revoked:
            self._revoke()
        self._assigned = set()
        self._forget()

    def on_partitions_lost(self, lost: Sequence[TopicPartition]) -> None:
        """Give up partitions that are somebody else's already; what was read of them may still be committed, or not."""
        self.on_partitions_revoked(lost)

    # The source

    def discover(self) -> Sequence[Partition]:
        """Return the partitions of all topics that exist; says once of a topic that it does not."""
        with _translated("Kafka does not describe the topics"):
            described = self._admin.describe_topics(self._topics)
        found: list[Partition] = []
        for topic in sorted(described, key=lambda topic: str(topic["name"])):
            name = str(topic["name"])
            if topic["error_code"]:
                if name not in self._missing:
                    _log.warning("waiting for a topic that does not exist yet", topic=name)
                self._missing.add(name)
                continue
            self._missing.discard(name)
            identity = _identity(topic)
            if self._ids.get(name, identity) != identity:
                _log.warning("a topic was made anew and is read from its beginning", topic=name)
                self._restart()
            self._ids[name] = identity
            numbers = sorted(int(partition["partition_index"]) for partition in topic["partitions"])
            found.extend(Partition(identity, number, name) for number in numbers)
        self._subscribe({partition.name for partition in found})
        return found

    def poll(self, timeout_seconds: float) -> Sequence[Block]:
        """Return what has arrived of the started partitions."""
        if not self._subscribed:
            threading.Event().wait(timeout_seconds)
            return []
        try:
            with _translated("Kafka cannot be read"):
                polled = self._consumer.poll(timeout_ms=int(timeout_seconds * 1000))
        except _Reset:
            self._restart()
            return []
        blocks = []
        for where, records in polled.items():
            cursor = self._cursors.get(where)
            if cursor is None or not records:
                continue
            start, end = cursor.position, records[-1].offset + 1
            offsets = np.fromiter((record.offset for record in records), dtype=np.int64, count=len(records))
            block = Block(cursor.partition, cursor.epoch, start, end, offsets, [record.value for record in records])
            if where.topic in self._with_headers:
                stamps = np.fromiter((record.timestamp for record in records), dtype=np.int64, count=len(records))
                block = replace(block, headers=[record.headers or () for record in records], timestamps=stamps)
            blocks.append(block)
            cursor.position = end
        return blocks

    def unclaimed(self) -> Sequence[Partition]:
        """Return the assigned partitions that are not started; those of a topic without a known id must wait."""
        waiting = sorted(self._assigned - set(self._cursors))
        if any(where.topic not in self._ids for where in waiting):
            self.discover()
        return [
            Partition(self._ids[where.topic], where.partition, where.topic)
            for where in waiting
            if where.topic in self._ids
        ]

    def start(self, claim: Claim) -> Started:
        """Read on from the claim's offset, or from the oldest one that exists."""
        partition = claim.partition
        where = TopicPartition(partition.name, partition.number)
        with _translated(f"Kafka does not tell the offsets of {partition.name}/{partition.number}"):
            first = int(self._consumer.beginning_offsets([where], timeout_ms=_ASK_MS)[where])
            end = int(self._consumer.end_offsets([where], timeout_ms=_ASK_MS)[where])
            stored = first if claim.next_offset is None else claim.next_offset
            position, lost = stored, None
            if stored < first:
                position, lost = first, Lost(partition, stored, first)
            elif stored > end and (end := max(end, self._readable_end(where, stored))) < stored:
                position, lost = end, Lost(partition, end, stored)
            self._consumer.seek(where, position)
            if not self._paused:
                self._consumer.resume(where)
        self._cursors[where] = _Cursor(partition, claim.epoch, position)
        return Started(stored, position, lost)

    def release(self) -> None:
        """Stop reading all partitions."""
        self._forget()
        with _translated("Kafka's assignment changed"):
            self._consumer.pause(*self._consumer.assignment())

    def ends(self) -> Mapping[Partition, int]:
        """Return the started partitions that are read to their end, as the broker says now and not only when last fetched."""
        now = self._clock.monotonic()
        if now >= self._check_ends_at:
            try:
                self._ends = self._ask_ends()
            except _Reset:
                self._restart()
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
            end = self._newest(where)
            waiting[cursor.partition.name] += 0 if end is None else max(0, end - cursor.position)
        return waiting

    def pause(self) -> None:
        """Fetch nothing until `resume`."""
        if not self._paused:
            self._paused = True
            with _translated("Kafka's assignment changed"):
                self._consumer.pause(*self._cursors)

    def resume(self) -> None:
        """Fetch again what is started."""
        if self._paused:
            self._paused = False
            with _translated("Kafka's assignment changed"):
                self._consumer.resume(*self._cursors)

    def acknowledge(self, committed: Mapping[Partition, int]) -> None:
        """Commit offsets to Kafka, for lag tools."""
        offsets = {
            where: OffsetAndMetadata(committed[cursor.partition], "", -1)
            for where, cursor in self._cursors.items()
            if cursor.partition in committed
        }
        if not offsets:
            return
        try:
            self._consumer.commit_async(offsets, callback=_hinted)
        except KafkaError as error:
            _log.debug("Kafka took no note of offsets", error=type(error).__name__)

    def on_revoke(self, callback: Callable[[], None]) -> None:
        """Set what is called before partitions go to another member."""
        self._revoke = callback

    def close(self) -> None:
        """Leave the group."""
        if self._closed:
            return
        self._closed = True
        try:
            self._consumer.close(autocommit=False, timeout_ms=int(_CLOSE_SECONDS * 1000))
            self._admin.close()
        except KafkaError as error:
            _log.warning("Kafka was left without a word", error=type(error).__name__)

    def _subscribe(self, existing: set[str]) -> None:
        # Only to topics that exist: a consumer that asks for others makes some brokers create them.
        if existing and existing != self._subscribed:
            self._subscribed = existing
            with _translated("Kafka does not take the subscription"):
                self._consumer.subscribe(sorted(existing), listener=self)

    def _readable_end(self, where: TopicPartition, offset: int) -> int:
        """Return the end of a partition as a fetch at `offset` tells it, 0 if there is nothing at `offset`.

        Some brokers name too early an offset when asked for the last one, and nothing must be taken for deleted by mistake.
        """
        probe = KafkaConsumer(**self._connection, auto_offset_reset="none", enable_auto_commit=False)
        try:
            probe.assign([where])
            probe.seek(where, offset)
            for _ in range(_PROBES):
                probe.poll(timeout_ms=500, max_records=1)
                if (end := probe.highwater(where)) is not None:
                    return int(end)
        except (OffsetOutOfRangeError, LogTruncationError):
            return 0
        finally:
            probe.close(autocommit=False)
        raise TransientError(f"Kafka does not let {where.topic}/{where.partition} be read")

    def _restart(self) -> None:
        """Commit what was read, and claim all partitions anew: some position is not valid any more."""
        self._revoke()
        self.release()

    def _forget(self) -> None:
        self._cursors = {}
        self._ends = {}
        self._check_ends_at = 0.0

    def _newest(self, where: TopicPartition) -> int | None:
        if where not in self._consumer.assignment():
            return None
        newest: int | None = self._consumer.highwater(where)
        return newest

    def _ask_ends(self) -> dict[Partition, int]:
        """Return the positions of the partitions of which nothing is left, as the broker says.

        An open transaction counts as something to read: it lies below the high watermark that fetches tell.
        """
        seen: dict[TopicPartition, tuple[_Cursor, int, int]] = {}
        with _translated("Kafka does not tell the ends of its partitions"):
            for where, cursor in list(self._cursors.items()):
                newest, position = self._newest(where), cursor.position
                if newest is not None and position < newest:
                    # Behind the last record, markers of transactions may lie, which are passed over.
                    passed = self._consumer.position(where, timeout_ms=_ASK_MS)
                else:
                    passed = position
                if newest is not None and passed is not None and passed >= newest:
                    seen[where] = cursor, position, passed
            ends = self._consumer.end_offsets(list(seen), timeout_ms=_ASK_MS) if seen else {}
        return {
            cursor.partition: position for where, (cursor, position, passed) in seen.items() if passed >= ends[where]
        }


class _Reset(TransientError):
    """A position does not exist on the broker."""


def _identity(topic: Mapping[str, Any]) -> str:
    identity = str(topic.get("topic_id") or _NO_TOPIC_ID)
    return f"name:{topic['name']}" if identity == _NO_TOPIC_ID else identity


def _hinted(offsets: object, response: object) -> None:
    del offsets
    if isinstance(response, Exception):
        _log.debug("Kafka took no note of offsets", error=type(response).__name__)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except (OffsetOutOfRangeError, NoOffsetForPartitionError, LogTruncationError) as error:
        raise _Reset(f"{what} ({type(error).__name__})") from error
    except KafkaError as error:
        raise TransientError(f"{what} ({type(error).__name__})") from error
