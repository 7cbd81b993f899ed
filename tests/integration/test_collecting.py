"""Collectors on a broker and the SQL ledger: members come and go, and every record is counted once."""

from __future__ import annotations

import io
import json
import threading
import uuid
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic
from prometheus_client import CollectorRegistry
from sqlalchemy import func, select

from collectors.kafka import KafkaSource
from collectors.runner import Collector
from collectors.streams import streams_of
from monitor.clock import Deadline, SystemClock, rfc3339
from monitor.config.settings import Settings
from monitor.store import tables as t
from monitor.store.ledger import Ledger
from monitor.store.span_storage import open_storage

RECORDS = 6_000
START = datetime(2026, 3, 1, tzinfo=UTC)


def record(index: int) -> bytes:
    return json.dumps(
        {
            "model": "fares",
            "version": str(index % 2),
            "request_id": f"r-{index}",
            "event_time": rfc3339(START + timedelta(seconds=index)),
            "features": {"miles": index / 7},
        }
    ).encode()


@pytest.mark.parametrize("name", ["embedded_broker", pytest.param("kafka_bootstrap", marks=pytest.mark.kafka)])
def test_members_that_come_and_go_count_every_record_once(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    address = str(request.getfixturevalue(name))
    topic = f"fares-{uuid.uuid4().hex}"
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": [address], "group_id": topic},
            "models": {"fares": {"traffic": {"topic": topic}}},
            "collector": {"cut_interval": "100ms"},
        }
    )
    assert settings.kafka is not None
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(topic, 3, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=address, linger_ms=5)
    clock, storage = SystemClock(), open_storage(str(tmp_path / "spans"))
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", "default")

    def committed() -> int:
        with ledger.database.read() as connection:
            return int(connection.execute(select(func.sum(t.cuts.c.messages))).scalar_one() or 0)

    def owners() -> set[str]:
        with ledger.database.read() as connection:
            return set(connection.execute(select(t.partitions.c.owner)).scalars())

    def collect(member: str, stop: threading.Event) -> None:
        kafka = settings.kafka
        assert kafka is not None
        source = KafkaSource(kafka, [topic], clock, session_timeout_seconds=6.0)
        Collector(
            member,
            streams_of(settings),
            settings.collector,
            ledger=ledger.cuts,
            storage=storage,
            source=source,
            clock=clock,
            registry=CollectorRegistry(),
        ).run(stop)

    stops = [threading.Event() for _ in range(3)]
    pause = threading.Event()
    deadline = Deadline.after(clock, 90.0)
    with ThreadPoolExecutor(3) as pool:
        members: list[Future[None]] = []
        for index in range(RECORDS):
            producer.send(topic, record(index), partition=index % 3)
            if index in (1, RECORDS // 3, RECORDS // 2):
                members.append(pool.submit(collect, f"c-{len(members)}", stops[len(members)]))
            if index == RECORDS * 3 // 4:
                producer.flush()
                # The embedded broker's groups never settle once their leader leaves while they still form.
                while owners() != {"c-0", "c-1", "c-2"} and not deadline.expired():
                    pause.wait(0.05)
                stops[0].set()
                members[0].result(timeout=60)
        producer.flush()
        while committed() < RECORDS and not deadline.expired():
            pause.wait(0.05)
        for stop in stops:
            stop.set()
        for member in members:
            member.result(timeout=60)
    producer.close()
    with ledger.database.read() as connection:
        names = connection.execute(select(t.spans.c.name).where(t.spans.c.state == "sealed")).scalars().all()
    ledger.close()
    tables = [pq.read_table(io.BytesIO(storage.get(span))) for span in names]
    ids = Counter(value for table in tables for value in table.column("request_id").to_pylist())
    assert ids == Counter({f"r-{index}": 1 for index in range(RECORDS)})
