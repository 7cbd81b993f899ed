"""What every source keeps to: memory, files, the embedded broker, and Apache Kafka where there is one."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collectors.file_source import FileSource
from collectors.memory import MemorySource, MemoryTopic
from collectors.source import Block, Source
from collectors.streams import Stream
from monitor.clock import Deadline, SystemClock
from monitor.config.settings import KafkaSettings, ModelSettings, StreamSettings
from monitor.cuts import Claim, Lost, Partition
from monitor.records import SpanKind

if TYPE_CHECKING:
    from collectors.kafka import KafkaSource
    from collectors.librdkafka import LibrdkafkaSource

SECONDS = 60.0


@dataclass(frozen=True)
class Harness:
    """An input with two partitions of three messages each, and how to add to it and open sources on it."""

    open: Callable[[], AbstractContextManager[Source]]
    append: Callable[[int, Sequence[bytes]], None]


def message(partition: int, index: int) -> bytes:
    return b'{"partition":%d,"index":%d}' % (partition, index)


@pytest.fixture
def memory() -> Harness:
    topic = MemoryTopic("t", "id", [[], []])

    @contextmanager
    def source() -> Iterator[Source]:
        yield MemorySource([topic])

    return Harness(source, lambda number, values: topic.append(number, *values))


@pytest.fixture
def files(tmp_path: Path) -> Harness:
    paths = [tmp_path / "0.jsonl", tmp_path / "1.jsonl"]
    stream_settings = StreamSettings(files=str(tmp_path))
    stream = Stream(str(tmp_path), SpanKind.TRAFFIC, stream_settings, {"m": ModelSettings(traffic=stream_settings)})

    def append(number: int, values: Sequence[bytes]) -> None:
        with paths[number].open("ab") as file:
            file.writelines(value + b"\n" for value in values)

    @contextmanager
    def source() -> Iterator[Source]:
        yield FileSource([stream], SystemClock(), lambda _: {})

    return Harness(source, append)


def _source(driver: str) -> type[KafkaSource | LibrdkafkaSource]:
    if driver == "kafka-python":
        from collectors.kafka import KafkaSource

        return KafkaSource
    pytest.importorskip("confluent_kafka", reason="driftline[librdkafka] is not installed")
    from collectors.librdkafka import LibrdkafkaSource

    return LibrdkafkaSource


def _broker(address: str, driver: str = "kafka-python") -> Iterator[Harness]:
    from kafka import KafkaAdminClient, KafkaProducer
    from kafka.admin import NewTopic

    opens = _source(driver)
    topic = f"t-{uuid.uuid4().hex}"
    settings = KafkaSettings(bootstrap_servers=[address], group_id=topic)
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(topic, 2, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=address)

    def append(number: int, values: Sequence[bytes]) -> None:
        for value in values:
            producer.send(topic, value, partition=number)
        producer.flush()

    @contextmanager
    def source() -> Iterator[Source]:
        opened = opens(settings, [topic], SystemClock(), session_timeout_seconds=6.0)
        try:
            yield opened
        finally:
            opened.close()

    yield Harness(source, append)
    producer.close()


@pytest.fixture
def tansu(embedded_broker: str) -> Iterator[Harness]:
    yield from _broker(embedded_broker)


@pytest.fixture
def kafka(kafka_bootstrap: str) -> Iterator[Harness]:
    yield from _broker(kafka_bootstrap)


@pytest.fixture
def tansu_librdkafka(embedded_broker: str) -> Iterator[Harness]:
    yield from _broker(embedded_broker, "librdkafka")


@pytest.fixture
def kafka_librdkafka(kafka_bootstrap: str) -> Iterator[Harness]:
    yield from _broker(kafka_bootstrap, "librdkafka")


BROKERS = [
    "tansu",
    "tansu_librdkafka",
    pytest.param("kafka", marks=pytest.mark.kafka),
    pytest.param("kafka_librdkafka", marks=pytest.mark.kafka),
]


@pytest.fixture(params=["memory", "files", *BROKERS])
def harness(request: pytest.FixtureRequest) -> Harness:
    found: Harness = request.getfixturevalue(request.param)
    for number in (0, 1):
        found.append(number, [message(number, index) for index in range(3)])
    return found


class Reader:
    """A collector's way with a source: claim whatever is assigned, and note what comes."""

    def __init__(self, source: Source, stored: dict[int, int] | None = None) -> None:
        self.source = source
        self.stored = stored or {}
        self.numbers: dict[Partition, int] = {}
        self.blocks: list[Block] = []
        self.positions: dict[Partition, int] = {}

    def turn(self) -> None:
        for number, partition in enumerate(self.source.discover()):
            self.numbers[partition] = number
        for partition in self.source.unclaimed():
            started = self.source.start(Claim(partition, self.stored.get(self.numbers[partition]), 1))
            self.positions[partition] = started.position
        for block in self.source.poll(0.2):
            assert block.start == self.positions[block.partition]
            assert all(block.start <= offset < block.end for offset in block.offsets)
            assert len(block.values) == len(block.offsets)
            self.positions[block.partition] = block.end
            self.blocks.append(block)

    def until(self, done: Callable[[], bool]) -> None:
        deadline = Deadline.after(SystemClock(), SECONDS)
        while not done():
            assert not deadline.expired(), f"only {self.values()}"
            self.turn()

    def values(self) -> dict[int, list[bytes | None]]:
        found: dict[int, list[bytes | None]] = {0: [], 1: []}
        for block in self.blocks:
            found[self.numbers[block.partition]].extend(block.values)
        return found

    def read_to_end(self) -> None:
        self.until(lambda: len(self.source.ends()) == 2 and dict(self.source.ends()) == self.positions)


def test_every_message_comes_once_in_order_without_gaps(harness: Harness) -> None:
    with harness.open() as source:
        reader = Reader(source)
        reader.read_to_end()
    assert reader.values() == {number: [message(number, index) for index in range(3)] for number in (0, 1)}


def test_reading_goes_on_at_the_stored_offset(harness: Harness) -> None:
    with harness.open() as source:
        first = Reader(source)
        first.read_to_end()
        stored = {first.numbers[partition]: position for partition, position in first.positions.items()}
    harness.append(1, [message(1, 3)])
    with harness.open() as source:
        second = Reader(source, stored)
        second.until(lambda: second.values()[1] != [])
        second.read_to_end()
    assert second.values() == {0: [], 1: [message(1, 3)]}


def test_what_is_added_later_is_read_too_and_ends_the_end(harness: Harness) -> None:
    with harness.open() as source:
        reader = Reader(source)
        reader.read_to_end()
        harness.append(0, [message(0, 3)])
        reader.until(lambda: len(reader.values()[0]) == 4)
        reader.read_to_end()
    assert reader.values()[0][-1] == message(0, 3)


def test_nothing_is_read_before_a_partition_is_started_or_after_a_release(harness: Harness) -> None:
    with harness.open() as source:
        source.discover()
        deadline = Deadline.after(SystemClock(), SECONDS)
        while len(source.unclaimed()) < 2 and not deadline.expired():
            assert list(source.poll(0.2)) == []
        assert len(source.unclaimed()) == 2
        reader = Reader(source)
        reader.read_to_end()
        source.release()
        assert list(source.poll(0.2)) == []
        assert len(source.unclaimed()) == 2
        assert dict(source.ends()) == {}


def test_nothing_comes_while_paused(harness: Harness) -> None:
    with harness.open() as source:
        reader = Reader(source)
        reader.read_to_end()
        source.pause()
        source.pause()
        harness.append(0, [message(0, 3)])
        before = len(reader.blocks)
        for _ in range(5):
            reader.turn()
        assert len(reader.blocks) == before
        source.resume()
        source.resume()
        reader.until(lambda: len(reader.values()[0]) == 4)


def test_a_stored_offset_behind_the_end_is_a_loss_and_reading_goes_on_at_the_end(harness: Harness) -> None:
    with harness.open() as source:
        reader = Reader(source)
        reader.read_to_end()
        partition = next(partition for partition, number in reader.numbers.items() if number == 0)
        end = reader.positions[partition]
        source.release()
        started = source.start(Claim(partition, end + 100, 2))
    assert (started.stored, started.position) == (end + 100, end)
    assert started.lost is not None
    assert (started.lost.start, started.lost.end) == (end, end + 100)


def test_a_hint_of_what_is_committed_never_fails(harness: Harness) -> None:
    with harness.open() as source:
        reader = Reader(source)
        reader.read_to_end()
        source.acknowledge(reader.positions)
        source.acknowledge({Partition("another"): 5})
        reader.turn()


@pytest.mark.parametrize("name", BROKERS)
def test_members_of_a_group_share_the_partitions_and_hear_before_they_go(
    name: str, request: pytest.FixtureRequest
) -> None:
    harness: Harness = request.getfixturevalue(name)
    revoked = threading.Event()
    with harness.open() as one:
        one.on_revoke(revoked.set)
        first = Reader(one)
        first.until(lambda: len(first.positions) == 2)
        with harness.open() as two:
            second = Reader(two)
            deadline = Deadline.after(SystemClock(), SECONDS)
            while not (len(second.positions) == 1 and revoked.is_set()) and not deadline.expired():
                first.turn()
                second.turn()
            assert revoked.is_set()
            assert len(second.positions) == 1
            harness.append(0, [message(0, 9)])
            harness.append(1, [message(1, 9)])
            while len(first.blocks) + len(second.blocks) < 2 and not deadline.expired():
                first.turn()
                second.turn()
            assert {block.partition.number for block in first.blocks} | {
                block.partition.number for block in second.blocks
            } == {0, 1}


@pytest.mark.parametrize("driver", ["kafka-python", "librdkafka"])
@pytest.mark.parametrize("name", ["tansu", pytest.param("kafka", marks=pytest.mark.kafka)])
def test_a_topic_that_does_not_exist_yet_is_waited_for(name: str, driver: str, request: pytest.FixtureRequest) -> None:
    from kafka import KafkaAdminClient
    from kafka.admin import NewTopic

    address = str(request.getfixturevalue({"tansu": "embedded_broker", "kafka": "kafka_bootstrap"}[name]))
    topic = f"late-{uuid.uuid4().hex}"
    settings = KafkaSettings(bootstrap_servers=[address], group_id=topic)
    source = _source(driver)(settings, [topic], SystemClock(), session_timeout_seconds=6.0)
    try:
        reader = Reader(source)
        assert list(source.discover()) == []
        reader.turn()
        admin = KafkaAdminClient(bootstrap_servers=address)
        admin.create_topics([NewTopic(topic, 2, 1)])
        admin.close()
        reader.read_to_end()
    finally:
        source.close()


@pytest.mark.kafka
@pytest.mark.parametrize("name", ["kafka", "kafka_librdkafka"])
def test_deleted_records_of_kafka_are_lost_and_reading_goes_on_at_the_oldest(
    name: str, kafka_bootstrap: str, request: pytest.FixtureRequest
) -> None:
    from kafka import KafkaAdminClient, TopicPartition

    kafka: Harness = request.getfixturevalue(name)
    for number in (0, 1):
        kafka.append(number, [message(number, index) for index in range(5)])
    with kafka.open() as source:
        reader = Reader(source)
        reader.read_to_end()
        topic = next(iter(reader.numbers)).name
        source.release()
        admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
        admin.delete_records({TopicPartition(topic, 1): 4})
        admin.close()
        partition = next(partition for partition in reader.numbers if partition.number == 1)
        started = source.start(Claim(partition, 2, 2))
    assert (started.stored, started.position) == (2, 4)
    assert started.lost == Lost(partition, 2, 4)


@pytest.mark.kafka
@pytest.mark.parametrize("name", ["kafka", "kafka_librdkafka"])
def test_kafka_s_aborted_and_open_transactions_are_not_read_and_their_markers_are_passed(
    name: str, kafka_bootstrap: str, request: pytest.FixtureRequest
) -> None:
    from kafka import KafkaProducer

    kafka: Harness = request.getfixturevalue(name)
    with kafka.open() as source:
        reader = Reader(source)
        reader.until(lambda: len(reader.positions) == 2)
        topic = next(iter(reader.positions)).name
        producer = KafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=topic)
        producer.init_transactions()
        for value, commit in ((b"aborted", False), (b"committed", True), (b"aborted too", False)):
            producer.begin_transaction()
            producer.send(topic, value, partition=0)
            producer.flush()
            if commit:
                producer.commit_transaction()
            else:
                producer.abort_transaction()
        reader.until(lambda: reader.values()[0] != [])
        reader.read_to_end()
        assert reader.values()[0] == [b"committed"]
        producer.begin_transaction()
        producer.send(topic, b"open", partition=0)
        producer.flush()
        zero = next(partition for partition in reader.positions if partition.number == 0)
        reader.until(lambda: zero not in source.ends())
        producer.commit_transaction()
        reader.until(lambda: len(reader.values()[0]) == 2)
        reader.read_to_end()
        producer.close()
    assert reader.values()[0] == [b"committed", b"open"]


@pytest.mark.parametrize("name", ["embedded_broker", pytest.param("kafka_bootstrap", marks=pytest.mark.kafka)])
def test_both_drivers_mean_the_same_partitions_and_headers(name: str, request: pytest.FixtureRequest) -> None:
    from kafka import KafkaAdminClient, KafkaProducer
    from kafka.admin import NewTopic

    address, topic = str(request.getfixturevalue(name)), f"t-{uuid.uuid4().hex}"
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(topic, 2, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=address)
    stamp = int(SystemClock().now().timestamp() * 1000)
    producer.send(topic, b"with", headers=[("id", b"1"), ("id", b"2")], partition=0, timestamp_ms=stamp)
    producer.send(topic, b"without", partition=1, timestamp_ms=stamp + 1)
    producer.flush()
    producer.close()
    seen = []
    for driver in ("kafka-python", "librdkafka"):
        settings = KafkaSettings(bootstrap_servers=[address], group_id=f"{topic}-{driver}")
        source = _source(driver)(settings, [topic], SystemClock(), with_headers=[topic], session_timeout_seconds=6.0)
        try:
            reader = Reader(source)
            reader.read_to_end()
        finally:
            source.close()
        seen.append(
            {
                (each.partition, tuple(each.values), tuple(map(tuple, each.headers)), tuple(each.timestamps.tolist()))
                for each in reader.blocks
                if each.timestamps is not None
            }
        )
    assert seen[0] == seen[1]
    assert len(seen[0]) == 2
