"""`driftline backtest`: window by window, the same whatever way the files hold the traffic."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import parquet

from collectors.files import read_table
from monitor.compare.judge import judge
from monitor.config.detection import DetectionSettings
from monitor.jobs.checking import ReferenceFiles, read_baseline
from monitor.profile.profile import build_profile
from monitor.window.frames import ColumnRoles, rows_from_table

Driftline = Callable[..., Any]

HOUR = 3600
START = 1_400_000_400  # a full hour
ROLES = ("--timestamp-column", "ts", "--id-column", "id")


def traffic(hours: list[float], rows: int, shift: float = 0.0, seed: int = 0) -> pa.Table:
    """Return rows of the given hours after START; from the third hour on, `x` is shifted."""
    random = np.random.default_rng(seed)
    parts = []
    for hour in hours:
        x = random.normal(size=rows) + (shift if hour >= 2 else 0.0)
        ts = START + hour * HOUR + np.sort(random.integers(0, HOUR, rows))
        ids = [f"{seed}-{hour}-{n}" for n in range(rows)]
        parts.append(pa.table({"id": ids, "ts": ts, "x": x, "c": random.choice(["a", "b", "c"], rows)}))
    return pa.concat_tables(parts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    parquet.write_table(traffic([-9, -8, -7, -6, -5, -4], 400, seed=1), tmp_path / "reference.parquet")
    parquet.write_table(traffic([0, 1, 2, 5], 500, shift=3.0, seed=2), tmp_path / "traffic.parquet")
    return tmp_path


def replay(driftline: Driftline, folder: Path, name: str, *options: str) -> list[dict[str, Any]]:
    output = folder / "findings.jsonl"
    sides = ("--reference", folder / "reference.parquet", "--traffic", folder / name)
    ran = driftline("backtest", *sides, *ROLES, "--window", "1h", "--output", output, *options)
    assert ran.code == 0, ran.stderr
    assert ran.stdout == ""
    return [json.loads(line, parse_constant=pytest.fail) for line in output.read_text().splitlines()]


def test_windows_come_in_order_and_those_without_rows_do_not_come(driftline: Driftline, folder: Path) -> None:
    found = replay(driftline, folder, "traffic.parquet")
    assert [window["window_start"] for window in found] == [
        *("2014-05-13T17:00:00Z", "2014-05-13T18:00:00Z", "2014-05-13T19:00:00Z", "2014-05-13T22:00:00Z")
    ]
    assert [window["verdict"] for window in found] == ["ok", "ok", "flagged", "flagged"]
    assert [window["rows"] for window in found] == [500] * 4


def test_drift_is_measured_against_the_window_before(driftline: Driftline, folder: Path) -> None:
    found = replay(driftline, folder, "traffic.parquet")
    drift = [
        {f["feature"] for f in window["findings"] if f["flagged"] and f["reference"] == "previous"} for window in found
    ]
    assert drift == [set(), set(), {"x"}, set()]
    assert not any(finding["reference"] == "previous" for finding in found[0]["findings"])
    assert not any(finding["feature"] in ("ts", "id") for window in found for finding in window["findings"])


def test_files_batches_and_their_order_change_nothing(
    driftline: Driftline, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = read_table(str(folder / "traffic.parquet"))
    expected = replay(driftline, folder, "traffic.parquet")
    (folder / "shuffled").mkdir()
    order = np.random.default_rng(3).permutation(table.num_rows)
    for part in range(3):
        parquet.write_table(table.take(pa.array(order[part::3])), folder / "shuffled" / f"{part}.parquet")
    monkeypatch.setattr("monitor.jobs.backtest._BATCH_ROWS", 97)
    assert replay(driftline, folder, "shuffled") == expected
    assert replay(driftline, folder, "traffic.parquet") == expected


def test_a_window_is_judged_as_production_judges_it(driftline: Driftline, folder: Path) -> None:
    found = replay(driftline, folder, "traffic.parquet")
    roles = ColumnRoles(timestamp="ts", id="id")
    baseline, _ = read_baseline(ReferenceFiles(str(folder / "reference.parquet"), roles), None, DetectionSettings())
    table = read_table(str(folder / "traffic.parquet"))
    first = table.filter(pc.less(table["ts"], START + HOUR))
    alone = judge(
        build_profile(rows_from_table(first, roles, baseline.column_types), baseline),
        baseline,
        {},
        DetectionSettings(),
    )
    assert found[0]["findings"] == alone.to_json()["findings"]


def test_rows_of_a_window_can_be_limited_by_their_ids(driftline: Driftline, folder: Path) -> None:
    found = replay(driftline, folder, "traffic.parquet", "--max-rows-per-window", "200")
    assert [(window["rows"], window["rows_seen"]) for window in found] == [(200, 500)] * 4


def test_people_get_a_summary_on_standard_error_and_pipes_the_findings(driftline: Driftline, folder: Path) -> None:
    sides = ("--reference", folder / "reference.parquet", "--traffic", folder / "traffic.parquet")
    ran = driftline("backtest", *sides, *ROLES, "--window", "1h", "--output", "-")
    assert len(ran.stdout.splitlines()) == 4
    assert "4 windows of 2,000 rows, 2014-05-13 17:00 to 2014-05-13 23:00" in ran.stderr
    assert "2 ok  2 flagged" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--window", "1h"], "Missing option '--timestamp-column'", id="no column of times"),
        pytest.param(["--window", "soon", *ROLES], "'soon' is not a duration", id="no length"),
        pytest.param(["--window", "1ms", *ROLES], "at least 1s long", id="too short windows"),
        pytest.param(
            ["--window", "1h", "--timestamp-column", "when"],
            "no column 'when'; the columns are: id",
            id="no such column",
        ),
        pytest.param(
            ["--window", "1h", "--timestamp-column", "c"], "rows have no readable time in column 'c'", id="no times"
        ),
        pytest.param(
            ["--window", "1h", "--timestamp-column", "ts", "--max-rows-per-window", "100"],
            "name it with --id-column",
            id="no ids",
        ),
    ],
)
def test_bad_input_is_exit_2_and_leaves_no_file(
    driftline: Driftline, folder: Path, arguments: list[str], message: str
) -> None:
    sides = ("--reference", folder / "reference.parquet", "--traffic", folder / "traffic.parquet")
    ran = driftline("backtest", *sides, *arguments, "--output", folder / "out.jsonl")
    assert ran.code == 2
    assert message in ran.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["reference.parquet", "traffic.parquet"]


def test_no_traffic_is_bad_input(driftline: Driftline, folder: Path) -> None:
    (folder / "none.jsonl").write_text("")
    sides = ("--reference", folder / "reference.parquet", "--traffic", folder / "none.jsonl")
    ran = driftline("backtest", *sides, *ROLES, "--window", "1h", "--output", "-")
    assert (ran.code, ran.stderr) == (2, f"driftline: {folder}/none.jsonl: there are no rows to replay\n")
