"""From messages to findings: batching, number of collectors, order of arrival and restarts change nothing."""

from __future__ import annotations

import itertools
import json
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from collectors.memory import MemorySource, MemoryStorage, MemoryTopic
from collectors.runner import Collector
from collectors.streams import streams_of
from monitor.clock import ManualClock, SystemClock, rfc3339
from monitor.config.settings import CollectorSettings, FloorSettings, SamplingSettings, Settings
from monitor.jobs.monitoring import Monitor
from monitor.jobs.window_rows import ColumnPlan, read_rows
from monitor.metrics import MonitorMetrics
from monitor.profile.baseline import Baseline, create_baseline
from monitor.records import Rows, WindowKey
from monitor.store.ledger import Ledger

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PARTITIONS = 3
RECORDS = 900


def numbers(seed: int, shift: float) -> dict[str, list[Any]]:
    drawn = np.random.default_rng(seed)
    return {
        "miles": (drawn.normal(3 + shift, 1, RECORDS)).tolist(),
        "company": drawn.choice(["a", "b", "c"], RECORDS, p=[0.5, 0.3, 0.2]).tolist(),
        "seats": drawn.integers(1, 5, RECORDS).tolist(),
    }


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return create_baseline(Rows(features=pa.table(numbers(1, 0.0)), seen=RECORDS))


def messages() -> list[bytes]:
    """Return records of three hours, with repeated ids of several instances, misfits, and lines that cannot be read."""
    values = numbers(2, 0.6)
    found = [b"{broken", b'{"model": "m"}']
    for place in range(RECORDS):
        features = {name: column[place] for name, column in values.items()}
        if place % 100 == 0:
            features["seats"] = "many"
        body = {
            "model": "m",
            "version": "1",
            "request_id": f"id-{place // 2}",
            "instance": place % 2,
            "event_time": rfc3339(START + 3 * HOUR * (place / RECORDS)),
            "features": features,
            "prediction": place % 7 / 7,
        }
        found.append(json.dumps(body).encode())
    return found


def settings_of(*floors: dict[str, Any]) -> Settings:
    return Settings.model_validate(
        {
            "models": {
                "m": {
                    "traffic": {"topic": "requests"},
                    "sampling": {"rate": 0.9, "max_rows_per_window": 250, "floors": floors},
                    "windows": {"length": "1h", "allowed_lateness": "4h", "idle_timeout": "1s", "time": "replay"},
                }
            },
            "kafka": {"bootstrap_servers": ["unused:1"]},
        }
    )


SETTINGS = {False: settings_of(), True: settings_of({"by": ["seats", "company"], "rows": 12})}
"""Without and with a floor."""


def outcome(
    baseline: Baseline, order: Sequence[bytes], *, floored: bool, collectors: int, restarts: int, block: int, seed: int
) -> tuple[list[dict[str, Any]], list[Rows], dict[str, int]]:
    """Run collectors over the messages in this order, with restarts, then the monitor; return what it found."""
    shuffle = random.Random(seed)
    topic = MemoryTopic("requests", "topic-id", [[] for _ in range(PARTITIONS)])
    storage = MemoryStorage()
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", "default")
        ledger.baselines.add(
            "m", baseline.to_document(), baseline.column_types, {}, rows=1, actor="t", activate=True, now=START
        )
        bounds = sorted(shuffle.sample(range(1, len(order)), restarts)) if restarts else []
        for first, last in itertools.pairwise([0, *bounds, len(order)]):
            for message in order[first:last]:
                topic.append(shuffle.randrange(PARTITIONS), message)
            for number in range(collectors):
                source = MemorySource([topic], max_block_messages=block)
                collect(SETTINGS[floored], ledger, storage, source, f"c{number}")
        # What no cut committed yet is one more hour of nothing, so that the three hours close.
        close = json.dumps({"model": "m", "version": "1", "request_id": "end", "event_time": rfc3339(START + 8 * HOUR)})
        for number in range(PARTITIONS):
            topic.append(number, close.encode().replace(b"}", b', "features": {}}'))
        collect(SETTINGS[floored], ledger, storage, MemorySource([topic]), "last")
        clock = ManualClock(START + timedelta(days=1))
        monitor = Monitor(SETTINGS[floored], ledger, storage, clock, "monitor", MonitorMetrics.on(CollectorRegistry()))
        assert monitor.tick("m") == 3
        assert monitor.tick("m") == 0, "what is judged is not judged again"
        documents = ledger.findings("m")
        floors = SETTINGS[floored].models["m"].sampling.floors
        rows = [window_rows(ledger, storage, baseline, document, floors) for document in documents]
        totals = ledger.identities()
        ledger.close()
    return documents, rows, totals


def collect(settings: Settings, ledger: Ledger, storage: MemoryStorage, source: MemorySource, name: str) -> None:
    Collector(
        name,
        streams_of(settings),
        CollectorSettings(cut_interval=timedelta(milliseconds=20), max_buffered_rows=1000),
        ledger=ledger.cuts,
        storage=storage,
        source=source,
        clock=SystemClock(),
        registry=CollectorRegistry(),
    ).run(threading.Event(), until_caught_up=True)


def window_rows(
    ledger: Ledger,
    storage: MemoryStorage,
    baseline: Baseline,
    document: dict[str, Any],
    floors: Sequence[FloorSettings],
) -> Rows:
    window = next(
        each.window
        for each in (WindowKey("m", "1", w) for w in hours())
        if rfc3339(each.window.start) == document["window_start"]
    )
    judged = ledger.windows.spans_of(WindowKey("m", "1", window))
    sampling = SamplingSettings(max_rows_per_window=250, floors=list(floors))
    return read_rows(judged, storage, sampling, ColumnPlan.of(baseline))


def hours() -> list[Any]:
    from monitor.records import Window

    return [Window.holding(START + number * HOUR, HOUR) for number in range(3)]


@pytest.mark.timeout(300)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    seed=st.integers(0, 10**6),
    floored=st.booleans(),
    collectors=st.integers(1, 3),
    restarts=st.integers(0, 4),
    block=st.sampled_from([20, 100, 5000]),
)
def test_a_closed_window_does_not_depend_on_how_its_records_came(
    baseline: Baseline, seed: int, floored: bool, collectors: int, restarts: int, block: int
) -> None:
    expected = expectation(baseline, floored=floored)
    shuffled = random.Random(seed).sample(messages(), RECORDS + 2)
    found = outcome(
        baseline, shuffled, floored=floored, collectors=collectors, restarts=restarts, block=block, seed=seed
    )
    assert found[0] == expected[0]
    for one, other in zip(found[1], expected[1], strict=True):
        assert one.features.equals(other.features)
        assert np.array_equal(one.clusters, other.clusters)  # type: ignore[arg-type]
        assert one.misfits == other.misfits
        assert (one.weights is not None) == (other.weights is not None) == floored
        assert np.array_equal(one.weights, other.weights)  # type: ignore[arg-type]
    for name in ("messages", "decoded", "dead_lettered", "records", "late", "lost"):
        assert found[2][name] == expected[2][name], (
            name
        )  # how many are sampled out early may differ, what is judged may not


_EXPECTED: dict[bool, tuple[list[dict[str, Any]], list[Rows], dict[str, int]]] = {}


def expectation(baseline: Baseline, *, floored: bool) -> tuple[list[dict[str, Any]], list[Rows], dict[str, int]]:
    """Return what one collector makes of the messages in the order in which they were made."""
    if floored not in _EXPECTED:
        found = outcome(baseline, messages(), floored=floored, collectors=1, restarts=0, block=500, seed=0)
        _EXPECTED[floored] = found
    return _EXPECTED[floored]


def test_the_windows_of_this_law_are_sampled_flagged_and_accounted_for(baseline: Baseline) -> None:
    documents, rows, totals = expectation(baseline, floored=False)
    assert [document["verdict"] for document in documents] == ["flagged"] * 3
    assert {len(each) for each in rows} <= {249, 250}
    assert totals["dead_lettered"] == 2
    assert totals["messages"] == RECORDS + 2 + PARTITIONS
    assert totals["records"] == totals["sampled_out"] + totals["kept"] + totals["late"]


def test_a_floor_keeps_rare_rows_and_weights_make_them_count_for_what_they_are(baseline: Baseline) -> None:
    documents, rows, totals = expectation(baseline, floored=True)
    assert totals["records"] == totals["sampled_out"] + totals["kept"] + totals["late"]
    values = numbers(2, 0.6)
    for hour, (document, each) in enumerate(zip(documents, rows, strict=True)):
        places = [place for place in range(RECORDS) if place * 3 // RECORDS == hour and place % 100]
        served = Counter((values["seats"][place], values["company"][place]) for place in places)
        strata = Counter(zip(*(each.features.column(name).to_pylist() for name in ("seats", "company")), strict=True))
        assert each.weights is not None
        assert each.uniform is not None
        assert each.uniform.sum() in {249, 250}
        assert len(each) > 250
        assert each.weights.sum() == pytest.approx(each.seen)
        assert all(strata[stratum] >= min(12, count) for stratum, count in served.items())
        assert document["rows"] == len(each)
