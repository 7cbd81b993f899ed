"""Small worlds for collector tests: records of a model `flights`, and a collector over twins in memory."""

from __future__ import annotations

import io
import json
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
from prometheus_client import CollectorRegistry

from collectors.memory import MemoryLedger, MemorySource, MemoryStorage, MemoryTopic
from collectors.runner import Collector
from collectors.source import Source
from collectors.streams import streams_of
from monitor.clock import EPOCH, Clock, SystemClock, rfc3339
from monitor.config.settings import Settings
from monitor.cuts import CutLedger, SpanStorage
from monitor.records import FeatureType, ValueType

TYPES = {"distance": FeatureType(ValueType.INT), "carrier": FeatureType(ValueType.BYTES)}
START = EPOCH + timedelta(days=19_000)


def settings(**flights: object) -> Settings:
    collector = flights.pop("collector", {})
    assert isinstance(collector, dict)
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": ["nowhere:9092"]},
            "models": {"flights": {"traffic": {"topic": "requests"}, "labels": {"topic": "labels"}} | flights},
            "collector": {"cut_interval": "10ms"} | collector,
        }
    )


def record(index: int, *, minutes: float | None = None, **changes: object) -> bytes:
    moment = START + timedelta(minutes=index / 10 if minutes is None else minutes)
    base: dict[str, object] = {
        "model": "flights",
        "version": "1",
        "request_id": f"r-{index}",
        "event_time": rfc3339(moment),
        "features": {"distance": index, "carrier": "UA"},
        "prediction": 0.5,
    }
    return json.dumps(base | changes).encode()


def label(index: int) -> bytes:
    moment = START + timedelta(minutes=index / 10 + 30)
    return json.dumps(
        {"model": "flights", "request_id": f"r-{index}", "label": index % 2, "event_time": rfc3339(moment)}
    ).encode()


def requests(*partitions: Sequence[bytes | None]) -> MemoryTopic:
    return MemoryTopic("requests", "id-requests", [list(partition) for partition in partitions])


@dataclass
class World:
    """A ledger, a storage and topics that outlive collectors."""

    topics: list[MemoryTopic]
    options: Settings = field(default_factory=settings)
    ledger: MemoryLedger = field(default_factory=lambda: MemoryLedger({"flights": TYPES}))
    storage: MemoryStorage = field(default_factory=MemoryStorage)
    clock: Clock = field(default_factory=SystemClock)

    def collector(
        self,
        source: Source | None = None,
        *,
        name: str = "c-1",
        ledger: CutLedger | None = None,
        storage: SpanStorage | None = None,
        registry: CollectorRegistry | None = None,
    ) -> Collector:
        return Collector(
            name,
            streams_of(self.options),
            self.options.collector,
            ledger=ledger or self.ledger,
            storage=storage or self.storage,
            source=source or MemorySource(self.topics),
            clock=self.clock,
            registry=registry or CollectorRegistry(),
        )

    def collect(self, **wiring: object) -> None:
        self.collector(**wiring).run(threading.Event(), until_caught_up=True)  # type: ignore[arg-type]

    def tables(self) -> list[pa.Table]:
        return [pq.read_table(io.BytesIO(self.storage.get(span.name))) for span in self.ledger.spans]

    def ids(self) -> Counter[str]:
        return Counter(value for table in self.tables() for value in table.column("request_id").to_pylist())
