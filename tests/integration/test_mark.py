"""`driftline mark`: what a person says of a judged window, and what the monitor makes of the next one like it."""

from __future__ import annotations

import getpass
import io
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from collectors.memory import MemoryStorage
from monitor.clock import ManualClock, rfc3339, to_micros
from monitor.config.loading import load_settings
from monitor.hashing import hash_ids
from monitor.jobs.monitoring import Monitor
from monitor.metrics import MonitorMetrics
from monitor.profile.baseline import create_baseline
from monitor.records import FeatureType, Rows, ValueType, traffic_schema
from monitor.store import audit
from monitor.store.ledger import Ledger
from tests.ledgers import NOON, Hand, key

Driftline = Callable[..., Any]
TYPES = {"x": FeatureType(ValueType.FLOAT), "y": FeatureType(ValueType.FLOAT)}
HOLIDAY = ("--by", "ada", "--note", "a holiday")


class Served:
    """A model of which each hour is served, closed and judged; its settings and its ledger lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "driftline.yaml"
        self.config.write_text("store: sqlite:///l.db\nmodels:\n  model:\n    traffic: {files: requests}\n")
        settings = load_settings(self.config)
        self.ledger, self.storage = Ledger.open(settings.store, settings.team), MemoryStorage()
        self.stream, clock = settings.models["model"].traffic.files, ManualClock(NOON)
        metrics = MonitorMetrics.on(CollectorRegistry())
        self.monitor = Monitor(settings, self.ledger, self.storage, clock, "monitor", metrics)
        self.hand = Hand.on(self.ledger.cuts)
        self.activate(1)

    def activate(self, seed: int) -> None:
        drawn = np.random.default_rng(seed)
        rows = Rows(pa.table({name: drawn.normal(size=3_000) for name in TYPES}))
        self.ledger.baselines.add(
            "model",
            create_baseline(rows).to_document(),
            TYPES,
            {},
            rows=len(rows),
            actor="test",
            activate=True,
            now=NOON,
        )

    def hour(self, before_noon: int, x: float, y: float = 0.0, version: str = "1") -> dict[str, Any]:
        """Serve an hour in which the means are these, and return what was found of it."""
        of, drawn = key(before_noon, version), np.random.default_rng(before_noon)
        values = {"x": drawn.normal(x, 1.0, 600), "y": drawn.normal(y, 1.0, 600)}
        cut = self.hand.cut([(of, 600)], newest=of.window.end + timedelta(minutes=11))
        self.storage.put(cut.spans[0].name, span(of.window.start, f"{before_noon}-{version}", values))
        self.hand.commit(cut)
        with self.ledger.database.write() as connection:  # the hand's topic is what the settings call it
            connection.execute(text("UPDATE partitions SET name = :stream"), {"stream": self.stream})
        assert self.monitor.tick("model") == 1
        start = rfc3339(of.window.start)
        (found,) = [
            each
            for each in self.ledger.findings("model")
            if (each["window_start"], each["version"]) == (start, version)
        ]
        return found


def span(start: datetime, name: str, values: dict[str, Any]) -> bytes:
    names = pa.array([f"{name}-{place}" for place in range(600)])
    columns = {
        "request_id": names,
        "instance": pa.array([0] * 600, pa.int64()),
        "hash": pa.array(hash_ids(names), pa.uint64()),
        "stratum": pa.array([""] * 600),
        "event_time": pa.array([to_micros(start)] * 600, pa.timestamp("us", tz="UTC")),
        "weight": pa.array([1.0] * 600),
        **{f"feature.{feature}": pa.array(each) for feature, each in values.items()},
    }
    schema = traffic_schema(TYPES)
    arrays = [columns.get(field.name, pa.nulls(600, field.type)) for field in schema]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), sink)
    return sink.getvalue()


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    served.ledger.close()


def start(before_noon: int) -> str:
    return rfc3339(key(before_noon).window.start)


def flagged(found: dict[str, Any], reference: str = "training") -> set[str]:
    return {each["feature"] for each in found["findings"] if each["flagged"] and each["reference"] == reference}


def test_a_false_alarm_is_not_flagged_in_the_next_window_like_it(driftline: Driftline, model: Served) -> None:
    marked = model.hour(5, x=1.0, y=1.0)
    assert flagged(marked) == {"x", "y"}
    ran = driftline(
        "mark", "model", "-c", model.config, "--window", start(5), "--as", "false-alarm", "--feature", "x", *HOLIDAY
    )
    assert (ran.code, ran.stderr) == (0, "")
    said = "called a false alarm at 2026-03-01T07:00:00Z by ada: a holiday"
    assert f"x: cohens_w against training {said}" in ran.stdout.splitlines()
    assert not any(line.startswith("y: ") for line in ran.stdout.splitlines())

    found = model.hour(4, x=0.8, y=1.0)
    assert flagged(found) == {"y"}, "nobody said anything about y"
    (finding,) = [
        each
        for each in found["findings"]
        if (each["feature"], each["measure"], each["reference"]) == ("x", "cohens_w", "training")
    ]
    limit = next(
        each["value"] + each["threshold"]
        for each in marked["findings"]
        if (each["feature"], each["measure"]) == ("x", "cohens_w")
    )
    assert (finding["flagged"], finding["threshold"], finding["reason"]) == (
        False,
        pytest.approx(limit, rel=0.05),
        said,
    )
    assert flagged(model.hour(3, x=2.5)) == {"x"}, "that is more than the false alarm"


def test_a_window_taken_for_normal_is_normal_until_another_baseline_is_active(
    driftline: Driftline, model: Served
) -> None:
    assert flagged(model.hour(6, x=1.0)) == {"x"}
    ran = driftline("mark", "model", "-c", model.config, "--window", start(6), "--as", "normal")
    assert ran.code == 0
    assert f"taken for normal at {start(6)} by {getpass.getuser()}" in ran.stdout
    found = model.hour(5, x=1.0)
    assert found["verdict"] == "ok"
    assert {each["reason"] for each in found["findings"] if each["reason"] and "normal" in each["reason"]} == {
        f"taken for normal at {start(6)} by {getpass.getuser()}"
    }
    assert flagged(model.hour(4, x=-1.0)) == {"x"}, "the other way is not like it"
    model.activate(2)
    assert flagged(model.hour(3, x=1.0)) == {"x"}


def test_what_was_said_is_in_the_audit_log(driftline: Driftline, model: Served) -> None:
    model.hour(5, x=1.0)
    driftline("mark", "model", "-c", model.config, "--window", start(5), "--as", "false-alarm", *HOLIDAY)
    with model.ledger.database.read() as connection:
        entries = [each for each in audit.entries(connection, "default") if each.action == "finding_marked"]
    bodies = [json.loads(entry.body) for entry in entries]
    assert {(entry.actor, body["note"], body["feature"]) for entry, body in zip(entries, bodies, strict=True)} == {
        ("ada", "a holiday", "x")
    }
    assert len(bodies) == len([each for each in model.ledger.findings("model")[0]["findings"] if each["flagged"]])
    assert model.ledger.audit_break() is None


def test_one_of_several_versions_is_named(driftline: Driftline, model: Served) -> None:
    model.hour(5, x=1.0)
    model.hour(5, x=1.0, version="2")
    arguments = ("mark", "model", "-c", model.config, "--window", start(5), "--as", "normal")
    ran = driftline(*arguments)
    assert (ran.code, ran.stdout) == (2, "")
    assert ran.stderr == "driftline: versions 1, 2 were judged in this window; name one with --version\n"
    assert driftline(*arguments, "--version", "2").code == 0
    assert {mark.version for mark in model.ledger.marks.of("model", 1)} == {"2"}


@pytest.mark.parametrize(
    ("zone", "code"), [("2026-03-01T07:00:00+00:00", 0), ("2026-03-01T09:00+02:00", 0), ("2026-03-01 08:00", 2)]
)
def test_a_window_may_be_named_in_any_time_zone(driftline: Driftline, model: Served, zone: str, code: int) -> None:
    model.hour(5, x=1.0)
    ran = driftline("mark", "model", "-c", model.config, "--window", zone, "--as", "normal")
    assert ran.code == code, "without a zone it is UTC"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ["--window", start(9), "--as", "normal"],
            f"driftline: no window that starts at {start(9)} has been judged",
            id="no such window",
        ),
        pytest.param(
            ["--window", start(5), "--as", "normal"],
            f"driftline: no calibrated finding is flagged in the window of {start(5)}",
            id="nothing flagged",
        ),
        pytest.param(
            ["--window", start(5), "--as", "normal", "--feature", "z"],
            "driftline: no calibrated finding about z is flagged",
            id="no such feature",
        ),
        pytest.param(["--window", "noon", "--as", "normal"], "'noon' is no RFC 3339 time", id="no time"),
        pytest.param(
            ["--window", start(5), "--as", "fine"], "'fine' is not one of 'false-alarm', 'normal'", id="no word"
        ),
        pytest.param(["--as", "normal"], "Missing option '--window'", id="no window"),
    ],
)
def test_what_cannot_be_marked_is_exit_2_with_one_line(
    driftline: Driftline, model: Served, arguments: list[str], message: str
) -> None:
    model.hour(5, x=0.0)
    ran = driftline("mark", "model", "-c", model.config, *arguments)
    assert (ran.code, ran.stdout) == (2, "")
    assert message in ran.stderr
    assert len(ran.stderr.splitlines()) == 1 or ran.stderr.startswith("Usage:")
    assert model.ledger.marks.of("model", 1) == []


def test_a_model_or_a_file_that_is_not_there_is_exit_2_with_one_line(driftline: Driftline, model: Served) -> None:
    arguments = ("--window", start(5), "--as", "normal")
    ran = driftline("mark", "modell", "-c", model.config, *arguments)
    assert (ran.code, ran.stderr) == (2, f"driftline: {model.config} has no model 'modell'; it has: model\n")
    ran = driftline("mark", "model", "-c", "none.yaml", *arguments)
    assert ran.code == 2
    assert ran.stderr.startswith("driftline: cannot read none.yaml")
    assert len(ran.stderr.splitlines()) == 1
