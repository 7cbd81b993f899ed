"""Odd input through a broker, a collector and the SQL ledger: each kind of it ends where the documentation says."""

from __future__ import annotations

import io
import json
import threading
import uuid
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from collectors.dead_letter import Reason
from collectors.kafka import KafkaSource
from collectors.runner import Collector
from collectors.streams import streams_of
from monitor.clock import EPOCH, SystemClock, rfc3339
from monitor.config.settings import Settings
from monitor.records import EVENT_TIME, REQUEST_ID
from monitor.store import tables as t
from monitor.store.ledger import Ledger
from monitor.store.span_storage import open_storage

LARGE_BYTES = 10 * 2**20
PLAIN = 200


def record(request_id: str, moment: datetime, *, model: str = "fares", note: str = "") -> bytes:
    body = {
        "model": model,
        "version": "1",
        "request_id": request_id,
        "event_time": rfc3339(moment),
        "features": {"miles": 1.5, "note": note},
    }
    return json.dumps(body).encode()


def make_topic(broker: str, topic: str) -> None:
    """Make a topic of one partition that takes large messages."""
    admin = KafkaAdminClient(bootstrap_servers=broker)
    admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"max.message.bytes": str(2 * LARGE_BYTES)})])
    admin.close()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ["embedded_broker", pytest.param("kafka_bootstrap", marks=pytest.mark.kafka)])
def test_odd_records_end_where_they_belong_and_plain_ones_are_not_touched(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    broker, topic = str(request.getfixturevalue(name)), f"odd-{uuid.uuid4().hex}"
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": [broker], "group_id": topic},
            "models": {"fares": {"traffic": {"topic": topic}}},
            "collector": {"cut_interval": "100ms"},
        }
    )
    assert settings.kafka is not None
    make_topic(broker, topic)
    clock, storage = SystemClock(), open_storage(str(tmp_path / "spans"))
    now = clock.now()
    years = timedelta(days=1461)
    sent = {
        **{f"plain-{index}": record(f"plain-{index}", now - timedelta(seconds=index)) for index in range(PLAIN)},
        "ten megabytes": record("ten megabytes", now, note="x" * LARGE_BYTES),
        "years ago": record("years ago", now - years),
        "years ahead": record("years ahead", now + years),
        "before 1970": record("before 1970", EPOCH).replace(b"1970", b"1960"),
        "of another model": record("of another model", now, model="nobody's"),
        "large and broken": b"{" * LARGE_BYTES,
    }
    producer = KafkaProducer(bootstrap_servers=broker, max_request_size=2 * LARGE_BYTES)
    offsets = {key: producer.send(topic, value, partition=0) for key, value in sent.items()}
    again = producer.send(topic, sent["plain-7"], partition=0)
    places = {key: future.get(timeout=60).offset for key, future in offsets.items()}
    assert again.get(timeout=60).offset == len(sent)
    producer.close()

    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", "default")
    Collector(
        "c",
        streams_of(settings),
        settings.collector,
        ledger=ledger.cuts,
        storage=storage,
        source=KafkaSource(settings.kafka, [topic], clock),
        clock=clock,
        registry=CollectorRegistry(),
    ).run(threading.Event(), until_caught_up=True)

    with ledger.database.read() as connection:
        spans = connection.execute(select(t.spans).where(t.spans.c.state == "sealed")).all()
        letters = connection.execute(select(t.dead_letters)).all()
    totals = ledger.identities()
    ledger.close()
    rows = pa.concat_tables([pq.read_table(io.BytesIO(storage.get(span.name))) for span in spans])
    # A record that came twice is two records: a retried request was served twice, and its instances are one cluster anyway.
    expected = Counter([*(f"plain-{index}" for index in range(PLAIN)), "plain-7", "ten megabytes", "years ago"])
    assert Counter(rows.column(REQUEST_ID).to_pylist()) == expected
    assert {letter.offset: letter.reason for letter in letters} == {
        places["years ahead"]: Reason.EVENT_TIME_FUTURE,
        places["before 1970"]: Reason.EVENT_TIME_PAST,
        places["of another model"]: Reason.UNKNOWN_MODEL,
        places["large and broken"]: Reason.NOT_JSON,
    }
    assert {letter.size_bytes for letter in letters if letter.reason == Reason.NOT_JSON} == {LARGE_BYTES}
    # The one from years ago lies in a window of its own, where nothing else is touched by it.
    (old,) = [span for span in spans if span.window_end < (now - years / 2 - EPOCH) / timedelta(microseconds=1)]
    assert old.rows == 1
    assert min(rows.column(EVENT_TIME).to_pylist()) > now - years - timedelta(seconds=1)
    assert (totals["messages"], totals["decoded"], totals["dead_lettered"]) == (len(sent) + 1, len(sent) - 3, 4)
