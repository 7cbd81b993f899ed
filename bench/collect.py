"""How fast Kafka becomes committed spans: the ratio to a bare kafka-python poll loop over the same topic, in the same run.

Cases: JSON records of 300 bytes, and PredictionLog messages of the same features with 1 and with 32 instances.

Usage: python bench/collect.py [--case json] [--records 200000] [--rounds 3] [--driver librdkafka] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from prometheus_client import CollectorRegistry

from collectors.memory import MemoryLedger
from collectors.runner import Collector
from collectors.source import Block, Source, Started
from collectors.sources import open_sources
from collectors.streams import streams_of
from collectors.wire import headers, messages
from monitor.clock import SystemClock
from monitor.config.settings import Settings
from monitor.cuts import Claim, Cut
from monitor.demo.broker import embedded
from monitor.records import FeatureType, ValueType
from monitor.store.span_storage import open_storage

TYPES = {
    **{f"f{index}": FeatureType(ValueType.FLOAT) for index in range(4)},
    "month": FeatureType(ValueType.INT),
    "distance": FeatureType(ValueType.INT),
    "carrier": FeatureType(ValueType.BYTES),
    "origin": FeatureType(ValueType.BYTES),
}
PARTITIONS = 2

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True)
class Case:
    """What lies on one topic.

    Attributes:
        wanted: the ratio of messages a second to reach; None where rows a second count.
        wanted_rows: rows a second to reach.
    """

    name: str
    format: str
    instances: int
    message: Callable[[int, int, random.Random], tuple[bytes, Headers]]
    wanted: float | None = None
    wanted_rows: float | None = None

    @property
    def topic(self) -> str:
        """Return the topic's name."""
        return f"bench.{self.name}"


def event_time(index: int, count: int) -> str:
    """Return a time, so that the messages of a run span one day."""
    seconds = index * 86_400 // count
    return f"2026-02-01T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{index % 1000:03d}Z"


def request_id(index: int, rng: random.Random) -> str:
    """Return an id as long as those that people use."""
    return f"{index:08d}-{rng.getrandbits(48):012x}"


def log(instances: int) -> Callable[[int, int, random.Random], tuple[bytes, Headers]]:
    """Return what makes PredictionLog messages of so many instances, as the capture kit sends them."""

    def message(index: int, count: int, rng: random.Random) -> tuple[bytes, Headers]:
        found = messages.PredictionLog()
        request, response = found.predict_log.request, found.predict_log.response
        request.model_spec.name = "flights"
        request.model_spec.version.value = 1
        rows = range(instances)
        fields = {
            **{f"f{number}": (1, "float_val", [rng.random() for _ in rows]) for number in range(4)},
            **{name: (9, "int64_val", [rng.randrange(3000) for _ in rows]) for name in ("month", "distance")},
            **{
                name: (7, "string_val", [rng.choice([b"UA", b"AA", b"DL"]) for _ in rows])
                for name in ("carrier", "origin")
            },
        }
        for name, (dtype, field, values) in fields.items():
            tensor = request.inputs[name]
            tensor.dtype = dtype
            tensor.tensor_shape.dim.add(size=instances)
            getattr(tensor, field).extend(values)
        output = response.outputs["late"]
        output.dtype = 1
        output.tensor_shape.dim.add(size=instances)
        output.tensor_shape.dim.add(size=1)
        output.float_val.extend([rng.random() for _ in rows])
        said = {
            headers.REQUEST_ID: request_id(index, rng),
            headers.MODEL: "flights",
            headers.VERSION: "1",
            headers.EVENT_TIME: event_time(index, count),
            headers.LATENCY_SECONDS: "0.0125",
            headers.STATUS: "200",
            headers.SAMPLING_RATE: "1.0",
            headers.SAMPLER: "xxh3_64",
        }
        return found.SerializeToString(), [(name, value.encode()) for name, value in said.items()]

    return message


def record(index: int, count: int, rng: random.Random) -> tuple[bytes, Headers]:
    """Return a record of about 300 bytes."""
    features = {
        "f0": rng.random(),
        "f1": rng.gauss(0, 1),
        "f2": round(rng.random(), 3),
        "f3": index * 0.5,
        "month": index % 12,
        "distance": rng.randrange(3000),
        "carrier": rng.choice(["UA", "AA", "DL", "B6"]),
        "origin": rng.choice(["EWR", "JFK", "LGA"]),
    }
    content = json.dumps(
        {
            "model": "flights",
            "version": "1",
            "request_id": request_id(index, rng),
            "event_time": event_time(index, count),
            "features": features,
            "prediction": round(rng.random(), 6),
        }
    )
    return content.encode(), []


CASES = (
    Case("json", "json", 1, record, wanted=0.6),
    Case("prediction_log-1", "prediction_log", 1, log(1)),
    Case("prediction_log-32", "prediction_log", 32, log(32), wanted_rows=150_000),
)


def fill(broker: str, case: Case, count: int) -> None:
    """Write the messages into a new topic."""
    admin = KafkaAdminClient(bootstrap_servers=broker)
    admin.create_topics([NewTopic(case.topic, PARTITIONS, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=broker, linger_ms=20, batch_size=256 * 1024)
    rng = random.Random(7)
    for index in range(count):
        value, said = case.message(index, count, rng)
        producer.send(case.topic, value, headers=said, partition=index % PARTITIONS)
    producer.flush()
    producer.close()


def bare(broker: str, topic: str, count: int) -> float:
    """Return the seconds that a bare poll loop takes, from its first record to its last."""
    consumer = KafkaConsumer(
        bootstrap_servers=broker,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_poll_records=20_000,
        max_partition_fetch_bytes=8 * 2**20,
    )
    consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
    consumer.seek_to_beginning()
    begin, seen = time.perf_counter(), 0
    while seen < count:
        seen += sum(len(records) for records in consumer.poll(500).values())
    seconds = time.perf_counter() - begin
    consumer.close()
    return seconds


class Watch:
    """Notes when a source's first partition was started, and asks to stop when it has read all there is."""

    def __init__(self, wanted: int) -> None:
        """Wait for `wanted` messages."""
        self.began: float | None = None
        self.wanted = wanted
        self.stop = threading.Event()

    def on(self, source: Any) -> Source:
        """Return the source, watched."""
        start, poll = source.start, source.poll

        def watched_start(claim: Claim) -> Started:
            # The watch starts with the first claim, so that joining the group is not measured.
            if self.began is None:
                self.began = time.perf_counter()
            started: Started = start(claim)
            return started

        def watched_poll(timeout_seconds: float) -> Sequence[Block]:
            blocks: Sequence[Block] = poll(timeout_seconds)
            self.wanted -= sum(len(block) for block in blocks)
            if self.wanted == 0:
                self.stop.set()
            return blocks

        source.start, source.poll = watched_start, watched_poll
        watched: Source = source
        return watched


class TimedLedger(MemoryLedger):
    """A ledger that notes when the last cut was committed."""

    ended = 0.0

    def commit(self, cut: Cut, now: datetime) -> None:
        """Note the time."""
        super().commit(cut, now)
        self.ended = time.perf_counter()


def collected(broker: str, case: Case, count: int, folder: Path, *, driver: str, profile: bool) -> float:
    """Return the seconds from the first claim until everything is committed."""
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": [broker], "group_id": f"bench-{random.random()}", "driver": driver},
            "models": {
                "flights": {
                    "traffic": {"topic": case.topic, "format": case.format},
                    "sampling": {"max_rows_per_window": 10**9},
                }
            },
            "collector": {"cut_interval": "5s", "max_buffered_rows": 100_000},
        }
    )
    ledger, clock = TimedLedger({"flights": TYPES}), SystemClock()
    watch = Watch(count)
    ((_, source),) = open_sources(settings, clock).values()
    collector = Collector(
        "bench",
        streams_of(settings),
        settings.collector,
        ledger=ledger,
        storage=open_storage(str(folder)),
        source=watch.on(source),
        clock=clock,
        registry=CollectorRegistry(),
    )
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    collector.run(watch.stop)
    if profile:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    kept = sum(span.rows for span in ledger.spans)
    if kept != count * case.instances or watch.began is None:
        raise SystemExit(f"{kept} of {count * case.instances} rows were committed")
    return ledger.ended - watch.began


def measure(broker: str, case: Case, count: int, rounds: int, folder: Path, *, driver: str, profile: bool) -> bool:
    """Print one line a round and the medians; say whether they are what is wanted."""
    fill(broker, case, count)
    bare(broker, case.topic, count)
    collected(broker, case, count, folder / f"{case.name}-warm-up", driver=driver, profile=False)
    ratios, speeds = [], []
    for number in range(rounds):
        plain = bare(broker, case.topic, count)
        spans = collected(broker, case, count, folder / f"{case.name}-{number}", driver=driver, profile=profile)
        ratios.append(plain / spans)
        speeds.append(count * case.instances / spans)
        print(
            f"{case.name}: bare poll loop {count / plain:,.0f} messages/s   Kafka to spans {count / spans:,.0f} messages/s, "
            f"{speeds[-1]:,.0f} rows/s   ratio {ratios[-1]:.2f}"
        )
    ratio, speed = statistics.median(ratios), statistics.median(speeds)
    goals = [f"ratio at least {case.wanted}"] if case.wanted else []
    goals += [f"at least {case.wanted_rows:,.0f} rows/s"] if case.wanted_rows else []
    print(
        f"{case.name}: median ratio {ratio:.2f}, {speed:,.0f} rows/s"
        + (f" (wanted: {', '.join(goals)})" if goals else "")
    )
    return ratio >= (case.wanted or 0.0) and speed >= (case.wanted_rows or 0.0)


def main() -> int:
    """Run the cases; 1 where one is too slow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=[case.name for case in CASES], action="append")
    parser.add_argument("--records", type=int, default=200_000, help="rows of each case, but at least 20000 messages")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--driver", choices=["kafka-python", "librdkafka"], default="kafka-python")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    good = True
    for case in CASES:
        if arguments.case and case.name not in arguments.case:
            continue
        # A broker a case: it keeps everything in memory.
        with tempfile.TemporaryDirectory() as name, embedded(Path(name) / "broker.log", SystemClock()) as (broker, _):
            count = max(20_000, arguments.records // case.instances)
            good &= measure(
                broker, case, count, arguments.rounds, Path(name), driver=arguments.driver, profile=arguments.profile
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
