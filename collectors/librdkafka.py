"""Kafka topics through librdkafka, for high volume; changes with confluent-kafka.

What the group assigns is not handed to librdkafka until it is claimed; each start hands over all started partitions anew, with
their positions, because seeking in a partition that does not fetch yet is an error there. The two drivers may share a group.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka import admin as admin_library

from collectors.brokers import await_any, no_broker, refused
from collectors.client_options import MAX_POLL_RECORDS, librdkafka_client, librdkafka_group
from collectors.group import Cursor, Topic, TopicGroup, Where, log
from collectors.source import Block
from monitor.clock import Clock, Deadline
from monitor.config.settings import KafkaSettings
from monitor.cuts import Partition
from monitor.errors import ConfigError, TransientError

_ASK_SECONDS = 10.0
_PROBES = 20
_PROBE_SECONDS = 0.5
_SIGN_IN = {"_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM", "_SSL"}
_NO_LONGER_THERE = {"_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE", "_LOG_TRUNCATION"}
_NO_TOPIC = {"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"}

# What librdkafka says of lost connections, our own events say once, with what to do.
_silent = logging.getLogger("driftline.librdkafka")
_silent.setLevel(logging.CRITICAL)

_admin: Any = admin_library
_OffsetSpec = _admin.OffsetSpec


class LibrdkafkaSource(TopicGroup):
    """`collectors.source.Source` of topics, by librdkafka."""

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

        Raises:
            TransientError: no broker answers within `connect_seconds`.
            ConfigError: librdkafka refuses the settings, or the brokers refuse the user or us their certificate.
        """
        super().__init__(topics, clock, with_headers)
        self._refusal: KafkaError | None = None
        deadline = Deadline.after(clock, connect_seconds)
        await_any(settings, deadline)
        connection = librdkafka_client(settings) | {"error_cb": self._heard}
        try:
            self._admin = _admin.AdminClient(dict(connection), logger=_silent)
            self._await_metadata(settings, deadline)
            options = connection | librdkafka_group(settings, session_timeout_seconds)
            self._consumer = Consumer(options, logger=_silent)
            self._probing = options | {"group.id": f"{settings.group_id}-probe"}
        except (KafkaException, ValueError) as error:
            raise ConfigError(f"kafka: librdkafka does not take the settings: {_reason(error)}") from error

    # The source

    def poll(self, timeout_seconds: float) -> Sequence[Block]:
        """Return what has arrived of the started partitions."""
        if not self._subscribed:
            threading.Event().wait(timeout_seconds)
            return []
        with _translated("Kafka cannot be read"):
            polled: list[Any] = self._consumer.consume(MAX_POLL_RECORDS, timeout_seconds)
        by_partition: dict[Where, list[Any]] = defaultdict(list)
        for message in polled:
            if message.error() is None:
                by_partition[message.topic(), message.partition()].append(message)
            elif not self._take_event(message, message.error()):
                return []
        return [
            self._block(self._cursors[where], messages)
            for where, messages in by_partition.items()
            if where in self._cursors and not self._paused
        ]

    # Rebalances: called within consume() and close(), so by the polling thread

    def _on_assign(self, consumer: Any, assigned: Sequence[TopicPartition]) -> None:
        """Hold the new partitions until they are claimed."""
        del consumer
        self._forget()
        self._assigned = {(where.topic, where.partition) for where in assigned}
        self._hold()

    def _on_revoke(self, consumer: Any, revoked: Sequence[TopicPartition]) -> None:
        """Have what was read committed before another member reads on; librdkafka then takes the partitions back."""
        del consumer
        if revoked:
            self._revoke()
        self._give_up()

    # What librdkafka tells

    def _heard(self, error: KafkaError) -> None:
        """Note that the brokers refuse us; called by librdkafka's polls."""
        if error.name() in _SIGN_IN:
            self._refusal = error

    def _take_event(self, message: Any, error: KafkaError) -> bool:
        """Deal with what is no message; false where all was begun anew and nothing of this poll counts."""
        cursor = self._cursors.get((message.topic() or "", message.partition() or 0))
        if error.name() == "_PARTITION_EOF":
            if cursor is not None:
                cursor.end_seen = message.offset()
            return True
        if error.name() in _NO_LONGER_THERE:
            self._restart()
            return False
        if error.name() in _NO_TOPIC:  # deleted: the next `discover` says so
            return True
        raise TransientError(f"Kafka cannot be read ({error.name()})")

    def _described(self, answer: Any) -> Topic | None:
        try:
            described = answer.result(_ASK_SECONDS)
        except KafkaException as error:
            if error.args[0].name() not in _NO_TOPIC:
                raise TransientError(f"Kafka does not describe the topics ({error.args[0].name()})") from error
            return None
        except TimeoutError as error:
            raise TransientError("Kafka does not describe the topics in time") from error
        return Topic(_identity(described), sorted(each.id for each in described.partitions))

    def _block(self, cursor: Cursor, messages: Sequence[Any]) -> Block:
        start, end = cursor.position, messages[-1].offset() + 1
        offsets = np.fromiter((message.offset() for message in messages), dtype=np.int64, count=len(messages))
        values = [message.value() for message in messages]
        block = Block(cursor.partition, cursor.epoch, start, end, offsets, values)
        if cursor.partition.name in self._with_headers:
            stamps = np.fromiter((message.timestamp()[1] for message in messages), dtype=np.int64, count=len(messages))
            block = replace(block, headers=[_headers(message) for message in messages], timestamps=stamps)
        cursor.position = end
        if cursor.end_seen is not None and cursor.end_seen < end:
            cursor.end_seen = None
        return block

    # Of the driver

    def _describe(self) -> Mapping[str, Topic | None]:
        with _translated("Kafka does not describe the topics"):
            asked = self._admin.describe_topics(TopicCollection(self._topics), request_timeout=_ASK_SECONDS)
        return {name: self._described(answer) for name, answer in asked.items()}

    def _subscribe(self, topics: list[str]) -> None:
        with _translated("Kafka does not take the subscription"):
            self._consumer.subscribe(
                topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            )

    def _bounds(self, where: Where) -> tuple[int, int]:
        first = self._offsets([where], _OffsetSpec.earliest())[where]
        return first, self._offsets([where], _OffsetSpec.latest())[where]

    def _begin(self, where: Where, cursor: Cursor) -> None:
        self._fetch({**self._cursors, where: cursor})

    def _hold(self) -> None:
        self._fetch({})

    def _go_on(self) -> None:
        self._fetch(self._cursors)

    def _behind(self, where: Where, cursor: Cursor) -> int:
        known: Any = self._consumer.get_watermark_offsets(TopicPartition(*where), cached=True)
        position = cursor.position if cursor.end_seen is None else max(cursor.position, cursor.end_seen)
        return max(0, known[1] - position) if known else 0

    def _hint(self, offsets: Mapping[Where, int]) -> None:
        try:
            told = [TopicPartition(*where, offset) for where, offset in offsets.items()]
            self._consumer.commit(offsets=told, asynchronous=True)
        except KafkaException as error:
            log.debug("Kafka took no note of offsets", error=_reason(error))

    def _leave(self) -> None:
        try:
            self._consumer.close()
        except KafkaException as error:
            log.warning("Kafka was left without a word", error=_reason(error))

    def _fetch(self, started: Mapping[Where, Cursor]) -> None:
        """Have librdkafka fetch these partitions from where they stand, or none while paused; what it holds is fetched again."""
        for cursor in started.values():
            cursor.end_seen = None
        positions = [TopicPartition(*where, cursor.position) for where, cursor in started.items()]
        with _translated("Kafka's assignment changed"):
            self._consumer.assign([] if self._paused else positions)

    def _ask_ends(self) -> dict[Partition, int]:
        # An open transaction counts as something to read, and so the end is asked for without regard to transactions.
        at_end = {where: cursor for where, cursor in self._cursors.items() if cursor.end_seen is not None}
        ends = self._offsets(list(at_end), _OffsetSpec.latest()) if at_end else {}
        return {
            cursor.partition: cursor.position
            for where, cursor in at_end.items()
            if cursor.end_seen is not None and cursor.end_seen >= ends[where]
        }

    def _offsets(self, of: Sequence[Where], which: Any) -> dict[Where, int]:
        with _translated("Kafka does not tell the offsets of its partitions"):
            asked = self._admin.list_offsets(
                {TopicPartition(*where): which for where in of},
                isolation_level=IsolationLevel.READ_UNCOMMITTED,
                request_timeout=_ASK_SECONDS,
            )
            return {
                (where.topic, where.partition): int(each.result(_ASK_SECONDS).offset) for where, each in asked.items()
            }

    def _readable_end(self, where: Where, offset: int) -> int:
        probe = Consumer(self._probing, logger=_silent)
        target = TopicPartition(*where, offset)
        try:
            probe.assign([target])
            for _ in range(_PROBES):
                events = [message.error() for message in probe.consume(1, _PROBE_SECONDS)]
                if any(error is not None and error.name() in _NO_LONGER_THERE for error in events):
                    return 0
                known: Any = probe.get_watermark_offsets(target, cached=True)
                if known is not None and known[1] >= 0:
                    return int(known[1])
        except KafkaException as error:
            raise TransientError(f"Kafka does not let {where[0]}/{where[1]} be read ({_reason(error)})") from error
        finally:
            probe.close()
        raise TransientError(f"Kafka does not let {where[0]}/{where[1]} be read")

    def _await_metadata(self, settings: KafkaSettings, deadline: Deadline) -> None:
        """Return when a broker has answered as Kafka does; it may refuse the user, or we its certificate."""
        while True:
            try:
                self._admin.list_topics(timeout=min(max(deadline.remaining(), 0.1), 2.0))
            except KafkaException as error:
                self._admin.poll(0)  # have `_heard` called
                if self._refusal is not None or error.args[0].name() in _SIGN_IN:
                    raise refused(settings) from error
                if deadline.expired():
                    raise TransientError(f"{no_broker(settings)} ({error.args[0].name()})") from error
            else:
                return


def _headers(message: Any) -> list[tuple[str, bytes]]:
    return [(name, value or b"") for name, value in message.headers() or ()]


def _identity(described: Any) -> str:
    """Return the topic's id as kafka-python writes it, so that both drivers mean the same partitions."""
    found = described.topic_id
    if found is None:
        return f"name:{described.name}"
    mask = 2**64 - 1
    number = (found.get_most_significant_bits() & mask) << 64 | (found.get_least_significant_bits() & mask)
    return str(uuid.UUID(int=number)) if number else f"name:{described.name}"


def _reason(error: Exception) -> str:
    """Return librdkafka's words for a failure, which name settings and hold no secrets of theirs."""
    first = error.args[0] if error.args else error
    return first.str() if isinstance(first, KafkaError) else str(first)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise TransientError(f"{what} ({error.args[0].name()})") from error
    except TimeoutError as error:
        raise TransientError(f"{what} (no answer in time)") from error
