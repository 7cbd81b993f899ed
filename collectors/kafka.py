"""Kafka topics through kafka-python, the driver that is always there; changes with kafka-python."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
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
from collectors.client_options import kafka_python_group
from collectors.group import Cursor, Reset, Topic, TopicGroup, Where, log
from collectors.source import Block
from monitor.clock import Clock, Deadline
from monitor.config.kafka_clients import kafka_python_client
from monitor.config.settings import KafkaSettings
from monitor.cuts import Partition
from monitor.errors import ConfigError, TransientError

_ASK_MS = 2_000
"""How long to wait for an answer about offsets. kafka-python's own half minute would pass without a poll, so that a rebalance of
the whole group would wait for it, and it was seen to pass although the broker was back by then."""
_PROBES = 20
_CLOSE_SECONDS = 3.0
_NO_TOPIC_ID = "00000000-0000-0000-0000-000000000000"


class KafkaSource(TopicGroup, ConsumerRebalanceListener):  # type: ignore[misc]
    """`collectors.source.Source` of topics, by kafka-python."""

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
        super().__init__(topics, clock, with_headers)
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
        self._give_up()

    def on_partitions_lost(self, lost: Sequence[TopicPartition]) -> None:
        """Give up partitions that are somebody else's already; what was read of them may still be committed, or not."""
        self.on_partitions_revoked(lost)

    # The source

    def poll(self, timeout_seconds: float) -> Sequence[Block]:
        """Return what has arrived of the started partitions."""
        if not self._subscribed:
            threading.Event().wait(timeout_seconds)
            return []
        try:
            with _translated("Kafka cannot be read"):
                polled = self._consumer.poll(timeout_ms=int(timeout_seconds * 1000))
        except Reset:
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

    # Of the driver

    def _describe(self) -> Mapping[str, Topic | None]:
        with _translated("Kafka does not describe the topics"):
            described = self._admin.describe_topics(self._topics)
        return {
            str(topic["name"]): None
            if topic["error_code"]
            else Topic(_identity(topic), sorted(int(partition["partition_index"]) for partition in topic["partitions"]))
            for topic in described
        }

    def _subscribe(self, topics: list[str]) -> None:
        with _translated("Kafka does not take the subscription"):
            self._consumer.subscribe(topics, listener=self)

    def _bounds(self, where: Where) -> tuple[int, int]:
        partition = TopicPartition(*where)
        with _translated(f"Kafka does not tell the offsets of {where[0]}/{where[1]}"):
            first = int(self._consumer.beginning_offsets([partition], timeout_ms=_ASK_MS)[partition])
            return first, int(self._consumer.end_offsets([partition], timeout_ms=_ASK_MS)[partition])

    def _begin(self, where: Where, cursor: Cursor) -> None:
        partition = TopicPartition(*where)
        with _translated(f"Kafka does not let {where[0]}/{where[1]} be read"):
            self._consumer.seek(partition, cursor.position)
            if not self._paused:
                self._consumer.resume(partition)

    def _hold(self) -> None:
        with _translated("Kafka's assignment changed"):
            self._consumer.pause(*self._consumer.assignment())

    def _go_on(self) -> None:
        with _translated("Kafka's assignment changed"):
            self._consumer.resume(*(TopicPartition(*where) for where in self._cursors))

    def _behind(self, where: Where, cursor: Cursor) -> int:
        newest = self._newest(where)
        return 0 if newest is None else max(0, newest - cursor.position)

    def _hint(self, offsets: Mapping[Where, int]) -> None:
        told = {TopicPartition(*where): OffsetAndMetadata(offset, "", -1) for where, offset in offsets.items()}
        try:
            self._consumer.commit_async(told, callback=_hinted)
        except KafkaError as error:
            log.debug("Kafka took no note of offsets", error=type(error).__name__)

    def _leave(self) -> None:
        try:
            self._consumer.close(autocommit=False, timeout_ms=int(_CLOSE_SECONDS * 1000))
            self._admin.close()
        except KafkaError as error:
            log.warning("Kafka was left without a word", error=type(error).__name__)

    def _readable_end(self, where: Where, offset: int) -> int:
        partition = TopicPartition(*where)
        probe = KafkaConsumer(**self._connection, auto_offset_reset="none", enable_auto_commit=False)
        try:
            probe.assign([partition])
            probe.seek(partition, offset)
            for _ in range(_PROBES):
                probe.poll(timeout_ms=500, max_records=1)
                if (end := probe.highwater(partition)) is not None:
                    return int(end)
        except (OffsetOutOfRangeError, LogTruncationError):
            return 0
        finally:
            probe.close(autocommit=False)
        raise TransientError(f"Kafka does not let {where[0]}/{where[1]} be read")

    def _newest(self, where: Where) -> int | None:
        if where not in self._consumer.assignment():
            return None
        newest: int | None = self._consumer.highwater(TopicPartition(*where))
        return newest

    def _ask_ends(self) -> dict[Partition, int]:
        # An open transaction counts as something to read: it lies below the high watermark that fetches tell.
        seen: dict[Where, tuple[Cursor, int, int]] = {}
        with _translated("Kafka does not tell the ends of its partitions"):
            for where, cursor in list(self._cursors.items()):
                newest, position = self._newest(where), cursor.position
                if newest is not None and position < newest:
                    # Behind the last record, markers of transactions may lie, which are passed over.
                    passed = self._consumer.position(TopicPartition(*where), timeout_ms=_ASK_MS)
                else:
                    passed = position
                if newest is not None and passed is not None and passed >= newest:
                    seen[where] = cursor, position, passed
            asked = [TopicPartition(*where) for where in seen]
            ends = self._consumer.end_offsets(asked, timeout_ms=_ASK_MS) if seen else {}
        return {
            cursor.partition: position for where, (cursor, position, passed) in seen.items() if passed >= ends[where]
        }


def _identity(topic: Mapping[str, Any]) -> str:
    identity = str(topic.get("topic_id") or _NO_TOPIC_ID)
    return f"name:{topic['name']}" if identity == _NO_TOPIC_ID else identity


def _hinted(offsets: object, response: object) -> None:
    del offsets
    if isinstance(response, Exception):
        log.debug("Kafka took no note of offsets", error=type(response).__name__)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except (OffsetOutOfRangeError, NoOffsetForPartitionError, LogTruncationError) as error:
        raise Reset(f"{what} ({type(error).__name__})") from error
    except KafkaError as error:
        raise TransientError(f"{what} ({type(error).__name__})") from error
