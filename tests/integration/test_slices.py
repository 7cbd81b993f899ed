"""Slices and references from end to end: `check`, `backtest`, and the monitor with its ledger."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from collectors.memory import MemoryStorage
from monitor.clock import ManualClock, to_micros
from monitor.config.settings import Settings
from monitor.hashing import hash_ids
from monitor.jobs.baselines import baseline_from_files, baseline_from_windows
from monitor.jobs.checking import ReferenceFiles
from monitor.jobs.monitoring import Monitor
from monitor.metrics import MonitorMetrics
from monitor.profile.baseline import Baseline
from monitor.records import traffic_schema
from monitor.store.ledger import Ledger
from monitor.window.frames import ColumnRoles
from tests.ledgers import HOUR, NOON, Hand, key

Driftline = Callable[..., Any]
START = 1_400_000_400  # a full hour


def served(count: int, seed: int, moved: str = "") -> pa.Table:
    """Return rows of two sides and three months, in which `x` is shifted on the side `moved`."""
    random = np.random.default_rng(seed)
    side = random.choice(["east", "west"], count, p=[0.8, 0.2])
    x = random.normal(size=count) + (side == moved) * 1.0
    return pa.table({"side": side, "month": random.integers(1, 4, count), "x": x, "y": random.normal(size=count)})


def timed(tables: list[pa.Table]) -> pa.Table:
    """Return the tables as one, each in an hour of its own from START on."""
    parts = [
        part.append_column("ts", pa.array(START + hour * 3600 + np.linspace(0, 3599, part.num_rows).astype(int)))
        for hour, part in enumerate(tables)
    ]
    return pa.concat_tables(parts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pq.write_table(served(4000, 1), tmp_path / "reference.parquet")
    pq.write_table(served(4000, 2, moved="west"), tmp_path / "current.parquet")
    return tmp_path


def test_check_prints_an_object_for_all_rows_and_for_each_slice(driftline: Driftline, folder: Path) -> None:
    sides = ("--reference", folder / "reference.parquet", "--current", folder / "current.parquet")
    ran = driftline("check", *sides, "--slice", "side", "--slice", "side, month", "--format", "json")
    found = json.loads(ran.stdout, parse_constant=pytest.fail)
    verdicts = {tuple(each["slice"].items()): each["verdict"] for each in found}
    east = ("side", "east")
    eastern = [(east,), *((("month", str(month)), east) for month in (1, 2, 3))]
    # A third of the few rows of the west is too few for a baseline's slice.
    assert {key for key in verdicts if key} == {(("side", "west"),), *eastern}
    assert verdicts[("side", "west"),] == "flagged"
    assert {verdicts[key] for key in eastern} == {"ok"}
    (note,) = [each for each in found[0]["findings"] if each["measure"] == "slices_left_out"]
    assert note["explanation"] == "slices that are not compared: 3 with too few rows in the baseline"
    assert ran.code == 3


def test_a_slice_alone_can_flag(driftline: Driftline, folder: Path) -> None:
    sides = ("--reference", folder / "reference.parquet", "--current", folder / "reference.parquet")
    assert driftline("check", *sides, "--slice", "side").code == 0
    small = served(4000, 3)
    rare = pa.array(np.where(np.arange(4000) % 10 == 0, "rare", "usual"))
    pq.write_table(small.append_column("kind", rare), folder / "r.parquet")
    x = np.array(served(4000, 4)["x"]) + np.where(np.arange(4000) % 10 == 0, 0.7, 0.0)
    pq.write_table(served(4000, 4).append_column("kind", rare).set_column(2, "x", pa.array(x)), folder / "c.parquet")
    ran = driftline(
        *("check", "--reference", folder / "r.parquet", "--current", folder / "c.parquet"),
        *("--slice", "kind", "--format", "json"),
    )
    overall, rare_slice, usual = json.loads(ran.stdout)
    assert (overall["verdict"], rare_slice["verdict"], usual["verdict"]) == ("ok", "flagged", "ok")
    assert ran.code == 3


@pytest.mark.parametrize(
    ("option", "message"),
    [
        pytest.param("origin", "there is no column 'origin' to slice by; the columns are: side, month", id="unknown"),
        pytest.param("side,,month", "'side,,month' names no column, or one twice", id="no name"),
        pytest.param("side,side", "names no column, or one twice", id="twice"),
    ],
)
def test_slices_that_make_no_sense_are_bad_input(driftline: Driftline, folder: Path, option: str, message: str) -> None:
    sides = ("--reference", folder / "reference.parquet", "--current", folder / "current.parquet")
    ran = driftline("check", *sides, "--slice", option)
    assert ran.code == 2
    assert message in ran.stderr


def test_backtest_writes_a_line_for_each_window_and_slice(driftline: Driftline, folder: Path) -> None:
    pq.write_table(timed([served(900, 5), served(900, 6), served(900, 7, moved="east")]), folder / "t.parquet")
    ran = driftline(
        *("backtest", "--reference", folder / "reference.parquet", "--traffic", folder / "t.parquet"),
        *("--timestamp-column", "ts", "--window", "1h", "--slice", "side", "--output", folder / "found.jsonl"),
    )
    assert ran.code == 0, ran.stderr
    found = [json.loads(line) for line in (folder / "found.jsonl").read_text().splitlines()]
    keys = [(each["window_start"][11:13], each["slice"].get("side")) for each in found]
    assert keys == [(hour, side) for hour in ("17", "18", "19") for side in (None, "east", "west")]
    assert [each["verdict"] for each in found] == ["ok"] * 6 + ["flagged", "flagged", "ok"]
    drift = [each for each in found[-2]["findings"] if each["reference"] == "previous" and each["flagged"]]
    assert {each["feature"] for each in drift} == {"x"}
    assert "2 ok  1 flagged" in ran.stderr, "windows are counted, not slices"


def settings(**detection: Any) -> Settings:
    model = {"traffic": {"files": "requests"}, "slices": [["side"]], "detection": detection}
    return Settings.model_validate({"models": {"model": model}})


class Served:
    """A model of which each hour is served, closed and judged."""

    def __init__(self, folder: Path, configured: Settings) -> None:
        self.ledger, self.storage = Ledger.open(f"sqlite:///{folder}/l.db", "default"), MemoryStorage()
        self.settings = configured
        self.clock = ManualClock(NOON)
        self.monitor = Monitor(
            configured, self.ledger, self.storage, self.clock, "monitor", MonitorMetrics.on(CollectorRegistry())
        )
        pq.write_table(served(4000, 1), folder / "train.parquet")
        made = baseline_from_files(
            ReferenceFiles(str(folder / "train.parquet"), ColumnRoles()), configured.models["model"]
        )
        self.types = made.baseline.column_types
        self.activate(made.baseline)
        self.hand = Hand.on(self.ledger.cuts)

    def activate(self, baseline: Baseline) -> None:
        self.ledger.baselines.add(
            "model", baseline.to_document(), self.types, {}, rows=baseline.rows, actor="t", activate=True, now=NOON
        )

    def hour(self, before_noon: int, table: pa.Table) -> int:
        """Serve these rows in that hour, and return how many windows were judged."""
        of = key(before_noon)
        cut = self.hand.cut([(of, table.num_rows)], newest=of.window.end + timedelta(minutes=11))
        names = pa.array([f"{before_noon}-{place}-{self.clock.now()}" for place in range(table.num_rows)])
        columns = {
            "request_id": names,
            "instance": pa.array([0] * len(names), pa.int64()),
            "hash": pa.array(hash_ids(names), pa.uint64()),
            "stratum": pa.array([""] * len(names)),
            "event_time": pa.array([to_micros(of.window.start)] * len(names), pa.timestamp("us", tz="UTC")),
            "weight": pa.array([1.0] * len(names)),
            **{f"feature.{name}": table[name].combine_chunks() for name in table.column_names},
        }
        schema = traffic_schema(self.types)
        arrays = [columns.get(field.name, pa.nulls(len(names), field.type)) for field in schema]
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), sink)
        self.storage.put(cut.spans[0].name, sink.getvalue())
        self.hand.commit(cut)
        with self.ledger.database.write() as connection:  # the hand's topic is what the settings call "requests"
            connection.exec_driver_sql("UPDATE partitions SET name = 'requests'")
        return self.monitor.tick("model")

    def found(self) -> list[tuple[str, int, str, str]]:
        return [
            (each["window_start"][11:13], each["revision"], each["slice"].get("side", ""), each["verdict"])
            for each in self.ledger.findings("model")
        ]

    def references(self) -> set[str]:
        """Return what the newest window and its slices were compared with, by calibrated tests."""
        newest = self.ledger.findings("model")[-3:]
        compared = [{each["reference"] for each in one["findings"] if each["p_value"] is not None} for one in newest]
        assert compared[0] == compared[1] == compared[2]
        return compared[0]


@pytest.mark.timeout(240)
def test_the_monitor_judges_slices_and_restates_them(tmp_path: Path) -> None:
    model = Served(tmp_path, settings())
    with capture_logs() as logs:
        assert model.hour(5, served(1500, 2)) == 1
        assert model.hour(4, served(1500, 3, moved="west")) == 1
        assert model.found() == [
            *[("07", 1, side, "ok") for side in ("", "east", "west")],
            *[("08", 1, side, "flagged" if side != "east" else "ok") for side in ("", "east", "west")],
        ]
        assert model.references() == {"training", "previous"}
        model.clock.advance(HOUR.total_seconds())
        assert model.hour(4, served(300, 4)) == 1, "late rows restate all of a window"
    assert [each[1] for each in model.found()] == [1, 1, 1, 2, 2, 2]
    judged = [event for event in logs if event["event"] == "window_judged"]
    assert [event["verdict"] for event in judged] == ["ok", "flagged", "flagged"]
    flagged = judged[1]
    assert (flagged["slices"], flagged["flagged_slices"], flagged["verdict"]) == (2, 1, "flagged")
    assert model.ledger.audit_break() is None
    model.ledger.close()


@pytest.mark.timeout(240)
def test_windows_are_compared_with_earlier_seasons_and_a_pinned_range(tmp_path: Path) -> None:
    pinned = {"start": (NOON - 31 * HOUR).isoformat(), "end": (NOON - 29 * HOUR).isoformat()}
    names = ["previous", "seasonal", "pinned"]
    model = Served(tmp_path, settings(references=names, seasons=["1d"], pinned=pinned))
    model.hour(30, served(900, 2))
    assert model.references() == set(), "there is nothing earlier yet"
    model.hour(29, served(900, 3))
    assert model.references() == {"previous", "pinned"}
    model.hour(5, served(900, 4))
    assert model.references() == {"previous", "seasonal", "pinned"}
    # A new baseline has other cells: what lies before it is profiled again from its spans.
    made = baseline_from_windows(
        "model",
        model.ledger,
        model.storage,
        model.settings.models["model"],
        version=None,
        since=None,
        until=None,
        schema=None,
    )
    model.activate(made.baseline)
    model.hour(4, served(900, 5, moved="east"))
    assert model.references() == {"previous", "pinned"}, "the same hour of yesterday had no rows"
    flagged = {each["reference"] for each in model.ledger.findings("model")[-2]["findings"] if each["flagged"]}
    assert flagged == {"previous", "pinned"}
    assert all(each["baseline"] == 2 for each in model.ledger.findings("model")[-3:])
    model.ledger.close()
