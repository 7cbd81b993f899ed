"""Collectors that start and die while another one seals: whoever commits in the end, every record counts once."""

from __future__ import annotations

import io
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry

from collectors.memory import MemorySource, MemoryStorage, MemoryTopic
from collectors.runner import Collector
from collectors.streams import streams_of
from monitor.clock import SystemClock, rfc3339
from monitor.config.settings import CollectorSettings, Settings
from monitor.cuts import SpanStorage
from monitor.store.ledger import Ledger

RECORDS = 500
SETTINGS = Settings.model_validate(
    {"models": {"m": {"traffic": {"topic": "requests"}}}, "kafka": {"bootstrap_servers": ["unused:1"]}}
)


class Died(Exception):
    """Stands for the end of a process: nothing that it would have done afterwards happens."""


class DyingStorage(MemoryStorage):
    """The process dies when it writes its first span."""

    def put(self, name: str, content: bytes) -> None:
        super().put(name, content)
        raise Died


@dataclass
class SlowStorage:
    """Sealing takes as long as the test wants."""

    inner: MemoryStorage
    sealing: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def put(self, name: str, content: bytes) -> None:
        self.sealing.set()
        assert self.go_on.wait(30)
        self.inner.put(name, content)


def topic() -> MemoryTopic:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    found = MemoryTopic("requests", "topic-id", [[], [], []])
    for place in range(RECORDS):
        record = {
            "model": "m",
            "version": "1",
            "request_id": f"r{place}",
            "event_time": rfc3339(moment),
            "features": {},
        }
        found.append(place % 3, json.dumps(record).encode())
    return found


def collector(name: str, ledger: Ledger, storage: SpanStorage, source: MemorySource) -> Collector:
    return Collector(
        name,
        streams_of(SETTINGS),
        CollectorSettings(cut_interval=timedelta(milliseconds=10)),
        ledger=ledger.cuts,
        storage=storage,
        source=source,
        clock=SystemClock(),
        registry=CollectorRegistry(),
    )


def test_two_collectors_start_and_die_while_a_third_seals(tmp_path: Path) -> None:
    ledger, messages, files = Ledger.open(f"sqlite:///{tmp_path}/l.db", "default"), topic(), MemoryStorage()
    slow = SlowStorage(files)
    third = collector("third", ledger, slow, MemorySource([messages]))  # type: ignore[arg-type]  # it only ever writes
    stop = threading.Event()
    thread = threading.Thread(target=third.run, args=[stop], kwargs={"until_caught_up": True})
    thread.start()
    assert slow.sealing.wait(30)
    for name in ("first", "second"):
        with pytest.raises(Died):
            collector(name, ledger, DyingStorage(), MemorySource([messages])).run(stop)
    assert ledger.identities()["messages"] == 0
    slow.go_on.set()
    thread.join(60)
    assert not thread.is_alive()
    totals = ledger.identities()
    assert (totals["messages"], totals["records"], totals["kept"]) == (RECORDS, RECORDS, RECORDS)
    assert committed_ids(ledger, files) == {f"r{place}": 1 for place in range(RECORDS)}
    ledger.close()


def committed_ids(ledger: Ledger, files: MemoryStorage) -> Counter[str]:
    """Return how often each request id stands in the spans that are committed."""
    from sqlalchemy import select

    from monitor.store import tables as t

    with ledger.database.read() as connection:
        names = connection.execute(select(t.spans.c.name).where(t.spans.c.state == "sealed")).scalars().all()
    found: Counter[str] = Counter()
    for name in names:
        found.update(pq.read_table(io.BytesIO(files.get(name))).column("request_id").to_pylist())
    return found
