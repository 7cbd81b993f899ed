"""Late rows through the monitor itself: a revision with all rows, told once."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from collectors.memory import MemoryStorage
from monitor.alert.alert import AlertState
from monitor.clock import ManualClock, to_micros
from monitor.config.settings import Settings
from monitor.cuts import Cut
from monitor.hashing import hash_ids
from monitor.jobs.alert.alerting import Alerter
from monitor.jobs.monitoring import Monitor
from monitor.metrics import MonitorMetrics
from monitor.profile.baseline import create_baseline
from monitor.records import FeatureType, Rows, ValueType, traffic_schema
from monitor.store.ledger import Ledger
from tests.ledgers import HOUR, NOON, Hand, held, key

TYPES = {"x": FeatureType(ValueType.FLOAT)}
SETTINGS = Settings.model_validate({"models": {"model": {"traffic": {"files": "requests"}}}})


def span(ids: list[str], values: list[float]) -> bytes:
    schema = traffic_schema(TYPES)
    keys = pa.array(ids, pa.string())
    columns = {
        "request_id": keys,
        "instance": pa.array([0] * len(ids), pa.int64()),
        "hash": pa.array(hash_ids(keys), pa.uint64()),
        "stratum": pa.array([""] * len(ids)),
        "event_time": pa.array([to_micros(key(5).window.start)] * len(ids), pa.timestamp("us", tz="UTC")),
        "weight": pa.array([1.0] * len(ids)),
        "feature.x": pa.array(values),
    }
    arrays = [columns.get(field.name, pa.nulls(len(ids), field.type)) for field in schema]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), sink)
    return sink.getvalue()


def put(storage: MemoryStorage, cut: Cut, ids: list[str], values: list[float]) -> None:
    storage.put(cut.spans[0].name, span(ids, values))


@pytest.mark.timeout(120)
def test_late_rows_restate_a_flagged_window_and_tell_nobody_twice(tmp_path: Path) -> None:
    ledger, storage, clock = Ledger.open(f"sqlite:///{tmp_path}/l.db", "default"), MemoryStorage(), ManualClock(NOON)
    drawn = np.random.default_rng(1)
    baseline = create_baseline(Rows(features=pa.table({"x": drawn.normal(0, 1, 2000)}), seen=2000))
    ledger.baselines.add("model", baseline.to_document(), TYPES, {}, rows=2000, actor="test", activate=True, now=NOON)
    monitor = Monitor(SETTINGS, ledger, storage, clock, "monitor", MonitorMetrics.on(CollectorRegistry()))
    alerter = Alerter(ledger, SETTINGS)
    hand = Hand.on(ledger.cuts)
    first = hand.cut([(key(5), 500)], newest=NOON)
    put(storage, first, [f"a{place}" for place in range(500)], drawn.normal(3, 1, 500).tolist())
    hand.commit(first)
    with ledger.database.write() as connection:  # the hand's topic is what the settings call "requests"
        connection.exec_driver_sql("UPDATE partitions SET name = 'requests'")
    with capture_logs() as logs:
        assert monitor.tick("model") == 1
        alerter.tick("model", held(ledger), clock.now())
        late = hand.cut([(key(5), 40)])
        put(storage, late, [f"b{place}" for place in range(40)], drawn.normal(3, 1, 40).tolist())
        hand.commit(late)
        clock.advance(HOUR.total_seconds())
        assert monitor.tick("model") == 1
        alerter.tick("model", held(ledger), clock.now())
        clock.advance(timedelta(hours=2).total_seconds())
        assert monitor.tick("model") == 0, "nothing more is due"
    (found,) = ledger.findings("model")
    assert (found["verdict"], found["revision"], found["rows"], found["rows_seen"]) == ("flagged", 2, 540, 540)
    assert [event["event"] for event in logs].count("window_judged") == 2
    (alert,) = ledger.alerts.list("model")
    assert (alert.name, alert.state, alert.episode) == ("TrafficChanged", AlertState.FIRING, 1)
    assert [event["event"] for event in logs].count("alert_firing") == 1
    assert ledger.identities()["late"] == 40
    assert ledger.audit_break() is None
    ledger.close()
