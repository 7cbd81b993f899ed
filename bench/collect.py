"""How fast Kafka becomes committed spans: the ratio to a bare kafka-python poll loop over the same topic, in the same run.

Usage: python bench/collect.py [--records 200000] [--rounds 3] [--profile]
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
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from prometheus_client import CollectorRegistry

from collectors.kafka import KafkaSource
from collectors.memory import MemoryLedger
from collectors.runner import Collector
from collectors.source import Block, Started
from collectors.streams import streams_of
from monitor.clock import SystemClock
from monitor.config.settings import KafkaSettings, Settings
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
TOPIC = "bench.requests"
PARTITIONS = 2


def record(index: int, count: int, rng: random.Random) -> bytes:
    """Return a record of about 300 bytes; the records of a run span one day."""
    seconds = index * 86_400 // count
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
    return json.dumps(
        {
            "model": "flights",
            "version": "1",
            "request_id": f"{index:08d}-{rng.getrandbits(48):012x}",
            "event_time": f"2026-02-01T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{index % 1000:03d}Z",
            "features": features,
            "prediction": round(rng.random(), 6),
        }
    ).encode()


def fill(broker: str, count: int) -> None:
    """Write the records into a new topic."""
    admin = KafkaAdminClient(bootstrap_servers=broker)
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=broker, linger_ms=20, batch_size=256 * 1024)
    rng = random.Random(7)
    for index in range(count):
        producer.send(TOPIC, record(index, count, rng), partition=index % PARTITIONS)
    producer.flush()
    producer.close()


def bare(broker: str, count: int) -> float:
    """Return the seconds that a bare poll loop takes, from its first record to its last."""
    consumer = KafkaConsumer(
        bootstrap_servers=broker,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_poll_records=20_000,
        max_partition_fetch_bytes=8 * 2**20,
    )
    consumer.assign([TopicPartition(TOPIC, number) for number in range(PARTITIONS)])
    consumer.seek_to_beginning()
    begin, seen = time.perf_counter(), 0
    while seen < count:
        seen += sum(len(records) for records in consumer.poll(500).values())
    seconds = time.perf_counter() - begin
    consumer.close()
    return seconds


class TimedSource(KafkaSource):
    """A source that notes when its first partition was started, and asks to stop when it has read all there is."""

    began: float | None = None
    wanted = 0
    stop = threading.Event()

    def start(self, claim: Claim) -> Started:
        """Start the watch with the first claim, so that joining the group is not measured."""
        if self.began is None:
            self.began = time.perf_counter()
        return super().start(claim)

    def poll(self, timeout_seconds: float) -> Sequence[Block]:
        """Count what comes."""
        blocks = super().poll(timeout_seconds)
        self.wanted -= sum(len(block) for block in blocks)
        if self.wanted == 0:
            self.stop.set()
        return blocks


class TimedLedger(MemoryLedger):
    """A ledger that notes when the last cut was committed."""

    ended = 0.0

    def commit(self, cut: Cut, now: datetime) -> None:
        """Note the time."""
        super().commit(cut, now)
        self.ended = time.perf_counter()


def collected(broker: str, count: int, folder: Path, *, profile: bool) -> float:
    """Return the seconds from the first claim until everything is committed."""
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": [broker], "group_id": f"bench-{random.random()}"},
            "models": {"flights": {"traffic": {"topic": TOPIC}, "sampling": {"max_rows_per_window": 10**9}}},
            "collector": {"cut_interval": "5s", "max_buffered_rows": 100_000},
        }
    )
    ledger, clock = TimedLedger({"flights": TYPES}), SystemClock()
    source = TimedSource(
        settings.kafka or KafkaSettings(bootstrap_servers=[broker]), [TOPIC], clock, session_timeout_seconds=6.0
    )
    source.wanted, source.stop = count, threading.Event()
    collector = Collector(
        "bench",
        streams_of(settings),
        settings.collector,
        ledger=ledger,
        storage=open_storage(str(folder)),
        source=source,
        clock=clock,
        registry=CollectorRegistry(),
    )
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    collector.run(source.stop)
    if profile:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    kept = sum(span.rows for span in ledger.spans)
    if kept != count or source.began is None:
        raise SystemExit(f"{kept} of {count} records were committed")
    return ledger.ended - source.began


def main() -> int:
    """Run the benchmark and print one line a round, and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    count = arguments.records
    with tempfile.TemporaryDirectory() as name, embedded(Path(name) / "broker.log", SystemClock()) as (broker, _):
        fill(broker, count)
        bare(broker, count)
        collected(broker, count, Path(name) / "warm-up", profile=False)
        ratios = []
        for number in range(arguments.rounds):
            plain = bare(broker, count)
            spans = collected(broker, count, Path(name) / f"spans-{number}", profile=arguments.profile)
            ratios.append(plain / spans)
            print(
                f"bare poll loop {count / plain:,.0f}/s   Kafka to spans {count / spans:,.0f}/s   ratio {plain / spans:.2f}"
            )
        print(f"median ratio {statistics.median(ratios):.2f} (at least 0.60 wanted)")
    return 0 if statistics.median(ratios) >= 0.6 else 1


if __name__ == "__main__":
    sys.exit(main())
