"""One collector for several models: two on one topic, one on its own, and labels; each record ends with its model, once."""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from collectors.runner import Collector
from collectors.sources import open_sources
from monitor.clock import SystemClock, rfc3339
from monitor.config.loading import load_settings
from monitor.store import tables as t
from monitor.store.ledger import Ledger
from monitor.store.span_storage import open_storage

START = datetime(2026, 3, 1, tzinfo=UTC)


def _request(model: str, index: int) -> bytes:
    body = {"model": model, "version": "1", "request_id": f"{model}-{index}"}
    body |= {"event_time": rfc3339(START + timedelta(minutes=index))}
    return json.dumps(body | {"features": {f"of_{model}": index}, "prediction": 0.5}).encode()


def label(model: str, index: int) -> bytes:
    moment = rfc3339(START + timedelta(minutes=index, hours=1))
    return json.dumps({"model": model, "request_id": f"{model}-{index}", "label": 1, "event_time": moment}).encode()


@pytest.mark.parametrize("name", ["embedded_broker", pytest.param("kafka_bootstrap", marks=pytest.mark.kafka)])
@pytest.mark.parametrize("driver", ["kafka-python", "librdkafka"])
def test_every_record_ends_with_its_model(
    name: str, driver: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if driver == "librdkafka":
        pytest.importorskip("confluent_kafka", reason="driftline[librdkafka] is not installed")
    address, unique = str(request.getfixturevalue(name)), uuid.uuid4().hex[:8]
    shared, own, labels = (f"{kind}-{unique}" for kind in ("shared", "own", "labels"))
    (tmp_path / "driftline.yaml").write_text(
        yaml.safe_dump(
            {
                "kafka": {"bootstrap_servers": [address], "group_id": unique, "driver": driver},
                "models": {
                    "fares": {"traffic": {"topic": shared}, "labels": {"topic": labels}, "windows": {"length": "1h"}},
                    "delays": {"traffic": {"topic": shared}, "labels": {"topic": labels}, "windows": {"length": "30m"}},
                    "fraud": {"traffic": {"topic": own}, "sampling": {"rate": 0.5}},
                },
                "collector": {"cut_interval": "100ms"},
            }
        )
    )
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(topic, 2, 1) for topic in (shared, own, labels)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=address)
    for index in range(120):
        producer.send(shared, _request("fares" if index % 3 else "delays", index), partition=index % 2)
        producer.send(own, _request("fraud", index), partition=index % 2)
        producer.send(labels, label("fares" if index % 3 else "delays", index), partition=index % 2)
    producer.send(shared, _request("fraud", 999), partition=0)  # a model of another topic
    producer.flush()
    producer.close()

    settings = load_settings(tmp_path / "driftline.yaml")
    ledger, storage = Ledger.open(settings.store, settings.team), open_storage(settings.spans.uri)
    ((kind, (streams, source)),) = open_sources(settings, SystemClock(), ledger.cuts.column_types).items()
    registry = CollectorRegistry()
    Collector(
        kind,
        streams,
        settings.collector,
        ledger=ledger.cuts,
        storage=storage,
        source=source,
        clock=SystemClock(),
        registry=registry,
    ).run(threading.Event(), until_caught_up=True)

    with ledger.database.read() as connection:
        spans = connection.execute(select(t.spans).where(t.spans.c.state == "sealed")).all()
        dead = connection.execute(select(t.dead_letters)).all()
    totals = ledger.identities()
    ledger.close()
    ids: dict[tuple[str, str], Counter[str]] = {}
    for span in spans:
        table = pq.read_table(tmp_path / "state" / "spans" / span.name)
        ids.setdefault((span.kind, span.model), Counter()).update(table.column("request_id").to_pylist())
        assert (span.window_end - span.window_start) / 60e6 == (30 if span.model == "delays" else 60)
    for model, is_third in (("fares", False), ("delays", True)):
        expected = Counter(f"{model}-{index}" for index in range(120) if (index % 3 == 0) is is_third)
        assert ids["traffic", model] == expected
        assert ids["labels", model] == expected
    kept = ids["traffic", "fraud"]
    assert set(kept.values()) == {1}
    assert 30 < len(kept) < 90
    assert [(row.name, row.reason) for row in dead] == [(shared, "model is not monitored on this topic")]
    assert totals["messages"] == totals["decoded"] + totals["dead_lettered"] == 361
    assert totals["records"] == totals["sampled_out"] + totals["kept"] + totals["late"]
    assert totals["sampled_out"] == 120 - len(kept)
    for topic, count in ((shared, 121), (own, 120), (labels, 120)):
        assert registry.get_sample_value("driftline_collector_messages_total", {"stream": topic}) == count
        assert registry.get_sample_value("driftline_collector_lag", {"stream": topic}) == 0
