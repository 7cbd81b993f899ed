"""Collectors and monitors killed with SIGKILL at random instants while traffic flows: every record is counted exactly once."""

from __future__ import annotations

import json
import os
import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from sqlalchemy import select

from monitor.clock import Deadline, SystemClock, rfc3339
from monitor.store import tables as t
from monitor.store.ledger import Ledger
from tests.faults.processes import contiguous, identities_hold, judged, role, running, settings, state

RECORDS = 100_000
KILLS = 20
PARTITIONS = 4
START = datetime(2026, 3, 1, tzinfo=UTC)
MODELS = ("fares", "tips")
VERSIONS = ("1", "2")
HOURS = 8
SEED = 20_261_122

Identity = tuple[str, str, str]
"""Model, version, request id."""


def record(place: int, random_: random.Random) -> tuple[Identity, str, bytes]:
    """Return one record and its hour; event time moves on with `place`, by up to five minutes out of order."""
    model, version = random_.choice(MODELS), random_.choice(VERSIONS)
    offset = timedelta(hours=HOURS) * (place / RECORDS) - timedelta(seconds=random_.uniform(0, 300))
    moment = START + max(offset, timedelta())
    identity = f"r{place}/\u00e4 \u2603"
    body = {
        "model": model,
        "version": version,
        "request_id": identity,
        "event_time": rfc3339(moment),
        "features": {"miles": random_.random(), "company": random_.choice("abc"), "hour": place % 24},
        "prediction": random_.random(),
    }
    hour = rfc3339(moment.replace(minute=0, second=0, microsecond=0))
    return (model, version, identity), hour, json.dumps(body).encode()


@dataclass
class Traffic:
    """Sends records from a thread of its own, and remembers what it sent."""

    bootstrap: str
    topic: str
    sent: Counter[Identity] = field(default_factory=Counter)
    hours: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Records by model, version and hour."""
    unreadable: int = 0
    done: threading.Event = field(default_factory=threading.Event)

    def send(self, seconds: float) -> None:
        random_ = random.Random(SEED)
        producer = KafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=20, acks="all")
        pace, clock = threading.Event(), SystemClock()
        began = clock.monotonic()
        for place in range(RECORDS):
            identity, hour, value = record(place, random_)
            producer.send(self.topic, value=value, partition=random_.randrange(PARTITIONS))
            self.sent[identity] += 1
            self.hours[identity[0], identity[1], hour] += 1
            if place % 1000 == 0:
                producer.send(self.topic, value=b'{"model": "fares", broken', partition=place // 1000 % PARTITIONS)
                self.unreadable += 1
                pace.wait(max(0.0, seconds * place / RECORDS - (clock.monotonic() - began)))
        producer.flush()
        producer.close()
        self.done.set()


def caught_up(ledger: Ledger, traffic: Traffic) -> bool:
    return ledger.identities()["messages"] >= sum(traffic.sent.values()) + traffic.unreadable


def stored(ledger: Ledger, spans: Path) -> Counter[Identity]:
    """Return every row of every sealed span."""
    found: Counter[Identity] = Counter()
    with ledger.database.read() as connection:
        rows = connection.execute(select(t.spans).where(t.spans.c.state == "sealed")).all()
    for row in rows:
        ids = pq.read_table(spans / row.name, columns=["request_id"]).column("request_id").to_pylist()
        assert len(ids) == row.rows
        found.update((row.model, row.version, identity) for identity in ids)
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "servers",
    [
        "embedded broker and SQLite",
        pytest.param("Kafka and PostgreSQL", marks=[pytest.mark.kafka, pytest.mark.postgres]),
    ],
)
def test_every_record_is_counted_once_through_twenty_kills(
    servers: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    real = servers.startswith("Kafka")
    bootstrap = request.getfixturevalue("kafka_bootstrap" if real else "embedded_broker")
    store = request.getfixturevalue("postgres_url") if real else f"sqlite:///{tmp_path}/ledger.db"
    topic = f"kill-{os.getpid()}-{tmp_path.name}"
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    admin.close()
    config = settings(tmp_path, bootstrap=[bootstrap], topic=topic, store=store, models=MODELS)
    roles = [
        role("collect", tmp_path / "collector-1.log", config),
        role("collect", tmp_path / "collector-2.log", config),
        role("monitor", tmp_path / "monitor.log", config),
    ]
    ledger = Ledger.open(store, "default")
    traffic = Traffic(bootstrap, topic)
    sender = threading.Thread(target=traffic.send, args=[60.0])
    random_ = random.Random(SEED + 1)
    pause = threading.Event()
    with running(roles):
        sender.start()
        for kill in range(KILLS):
            pause.wait(random_.uniform(0.5, 4.5))
            victim = roles[2] if kill % 4 == 3 else random_.choice(roles[:2])
            victim.kill()
            victim.start()
        sender.join()
        deadline = Deadline.after(SystemClock(), 180)
        while not (caught_up(ledger, traffic) and judged(ledger, MODELS) == closed_hours(traffic)):
            assert not deadline.expired(), state(ledger, roles)
            pause.wait(0.5)
        assert [each.stop() for each in roles] == [0, 0, 0], state(ledger, roles)
    totals = ledger.identities()
    assert stored(ledger, tmp_path / "spans") == traffic.sent
    assert set(traffic.sent.values()) == {1}
    assert identities_hold(ledger)
    assert (totals["records"], totals["dead_lettered"], totals["lost"]) == (RECORDS, traffic.unreadable, 0)
    assert contiguous(ledger)
    assert ledger.audit_break() is None
    ledger.close()


def closed_hours(traffic: Traffic) -> dict[tuple[str, str, str], int]:
    """Return how many records were sent in each hour but the last, which nothing later closes."""
    last = max(hour for _, _, hour in traffic.hours)
    return {key: count for key, count in traffic.hours.items() if key[2] != last}
