"""Collectors and monitors killed with SIGKILL at random instants while traffic flows: every record is counted exactly once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from sqlalchemy import select

from monitor.clock import Deadline, SystemClock, rfc3339
from monitor.store import tables as t
from monitor.store.ledger import Ledger

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
class Role:
    """One process of `driftline`, started again whenever it was killed."""

    command: list[str]
    log: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=self.environment)

    def kill(self) -> None:
        assert self.process is not None
        assert self.process.poll() is None, f"it had stopped by itself:\n{self.log.read_text()[-3000:]}"
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


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


@contextmanager
def running(roles: list[Role]) -> Iterator[None]:
    for role in roles:
        role.start()
    try:
        yield
    finally:
        for role in roles:
            if role.process is not None and role.process.poll() is None:
                role.process.kill()
                role.process.wait()


def settings(folder: Path, bootstrap: str, topic: str, store: str) -> Path:
    path = folder / "driftline.yaml"
    model = {
        "traffic": {"topic": topic},
        "windows": {"length": "1h", "allowed_lateness": "6m", "idle_timeout": "3s", "time": "replay"},
    }
    path.write_text(
        yaml.safe_dump(
            {
                "store": store,
                "spans": {"uri": "file:spans"},
                "kafka": {"bootstrap_servers": [bootstrap], "group_id": topic},
                "collector": {"cut_interval": "500ms", "max_buffered_rows": 5000},
                "monitor": {"tick": "200ms", "lease": "3s"},
                "models": dict.fromkeys(MODELS, model),
            }
        )
    )
    return path


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


def contiguous(ledger: Ledger) -> bool:
    """Say whether the committed ranges of every partition follow each other without gap or overlap."""
    with ledger.database.read() as connection:
        rows = connection.execute(
            select(t.cut_ranges).order_by(t.cut_ranges.c.source, t.cut_ranges.c.number, t.cut_ranges.c.start_offset)
        ).all()
    expected: dict[tuple[str, int], int] = {}
    for row in rows:
        if row.start_offset != expected.get((row.source, row.number), 0):
            return False
        expected[row.source, row.number] = row.end_offset
    return True


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
    config = settings(tmp_path, bootstrap, topic, store)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-m", "monitor.cli"]
    roles = [
        Role([*command, "collect", "-c", str(config)], tmp_path / "collector-1.log", environment),
        Role([*command, "collect", "-c", str(config)], tmp_path / "collector-2.log", environment),
        Role([*command, "monitor", "-c", str(config)], tmp_path / "monitor.log", environment),
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
        while not (caught_up(ledger, traffic) and judged(ledger) == closed_hours(traffic)):
            assert not deadline.expired(), state(ledger, roles)
            pause.wait(0.5)
        codes = [role.stop() for role in roles]
    assert codes == [0, 0, 0], state(ledger, roles)
    totals = ledger.identities()
    assert stored(ledger, tmp_path / "spans") == traffic.sent
    assert set(traffic.sent.values()) == {1}
    assert totals["messages"] == totals["decoded"] + totals["dead_lettered"]
    assert totals["records"] == totals["sampled_out"] + totals["kept"] + totals["late"]
    assert (totals["records"], totals["dead_lettered"], totals["lost"]) == (RECORDS, traffic.unreadable, 0)
    assert contiguous(ledger)
    assert ledger.audit_break() is None
    ledger.close()


def judged(ledger: Ledger) -> dict[tuple[str, str, str], int]:
    """Return the rows of the newest revision of every judged window."""
    documents = [document for model in MODELS for document in ledger.findings(model)]
    assert all(document["rows"] == document["rows_seen"] for document in documents)
    return {(each["model"], each["version"], each["window_start"]): each["rows"] for each in documents}


def closed_hours(traffic: Traffic) -> dict[tuple[str, str, str], int]:
    """Return how many records were sent in each hour but the last, which nothing later closes."""
    last = max(hour for _, _, hour in traffic.hours)
    return {key: count for key, count in traffic.hours.items() if key[2] != last}


def state(ledger: Ledger, roles: list[Role]) -> str:
    logs = "\n".join(f"== {role.log.name}\n{role.log.read_text()[-1500:]}" for role in roles)
    return f"{ledger.identities()} {len(judged(ledger))} windows judged\n{logs}"
