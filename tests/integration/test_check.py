"""`driftline check` on real and on difficult data, as its users run it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import csv, parquet

from collectors.files import read_table

Driftline = Callable[..., Any]

KNOWN_BEFORE = [
    "sched_dep_time",
    "sched_arr_time",
    "carrier",
    "origin",
    "dest",
    "distance",
    "hour",
    "minute",
    "time_hour",
]


@pytest.fixture(scope="session")
def flights(flights_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with January in two random halves, and July, of the real flights."""
    folder = tmp_path_factory.mktemp("flights")
    table = read_table(str(flights_folder / "flights.csv.zip")).replace_schema_metadata(None)
    january, july = (table.filter(pc.equal(table["month"], month)).select(KNOWN_BEFORE) for month in (1, 7))
    order = pa.array(np.random.default_rng(7).permutation(january.num_rows))
    half = january.num_rows // 2
    parquet.write_table(january.take(order[:half]), folder / "january_a.parquet")
    csv.write_csv(january.take(order[half:]), folder / "january_b.csv")
    parquet.write_table(july, folder / "july.parquet")
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Folder with a reference of 1,000 rows, as CSV."""
    rows = "".join(f"id{n},{n % 10},{'ab'[n % 2]},{1400000000 + n}\n" for n in range(1000))
    (tmp_path / "r.csv").write_text("id,x,c,ts\n" + rows)
    return tmp_path


def test_two_halves_of_one_month_agree(driftline: Driftline, flights: Path) -> None:
    ran = driftline("check", "--reference", flights / "january_a.parquet", "--current", flights / "january_b.csv")
    assert ran.code == 0, ran.stdout
    assert ran.stdout.startswith(" OK ")


def test_july_is_not_january(driftline: Driftline, flights: Path) -> None:
    sides = ("--reference", flights / "january_a.parquet", "--current", flights / "july.parquet")
    ran = driftline("check", *sides, "--timestamp-column", "time_hour")
    assert ran.code == 3
    assert ran.stdout.startswith(" FLAGGED ")
    assert "dest" in ran.stdout
    assert "time_hour" not in ran.stdout


def test_json_is_the_contracts_list_and_all_there_is_on_standard_output(driftline: Driftline, flights: Path) -> None:
    sides = ("--reference", flights / "january_a.parquet", "--current", flights / "july.parquet")
    ran = driftline("check", *sides, "--format", "json", "--timestamp-column", "time_hour")
    (found,) = json.loads(ran.stdout, parse_constant=pytest.fail)
    assert list(found) == [
        *("schema_version", "model", "version", "slice", "baseline", "window_start", "window_end", "revision"),
        *("rows_seen", "rows", "n_effective", "verdict", "findings"),
    ]
    assert (found["verdict"], found["rows"], found["window_start"], found["slice"]) == ("flagged", 29425, None, {})
    measures = {finding["measure"] for finding in found["findings"] if finding["feature"] == "carrier"}
    assert {"cohens_w", "infinity_norm", "jensen_shannon_divergence", "missing_rate"} <= measures
    assert {finding["flagged"] for finding in found["findings"]} == {True, False}


def test_a_report_goes_to_a_file_whole(driftline: Driftline, flights: Path, tmp_path: Path) -> None:
    sides = ("--reference", flights / "january_a.parquet", "--current", flights / "july.parquet")
    ran = driftline("check", *sides, "--format", "html", "--output", tmp_path / "report.html")
    assert (ran.code, ran.stdout) == (3, "")
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.count("<figure>") >= 2
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_real_schema_and_real_examples_without_labels(driftline: Driftline, shared_data: Path) -> None:
    taxi = shared_data / "chicago_taxi"
    sides = (
        "--reference",
        taxi / "csv_example_gen" / "Split-train",
        "--current",
        taxi / "csv_example_gen" / "unlabelled",
    )
    ran = driftline(
        "check", *sides, "--schema", taxi / "user_provided_schema.pbtxt", "--label-column", "tips", "--format", "json"
    )
    (found,) = json.loads(ran.stdout)
    assert "tips" not in {finding["feature"] for finding in found["findings"] if finding["flagged"]}
    unexpected = {finding["feature"] for finding in found["findings"] if finding["measure"].startswith("ENUM_TYPE")}
    assert unexpected == {"company"}


def test_single_precision_of_tf_examples_is_no_drift(driftline: Driftline, shared_data: Path) -> None:
    taxi = shared_data / "chicago_taxi"
    sides = ("--reference", taxi / "csv_example_gen" / "Split-train", "--current", taxi / "simple_data.csv")
    ran = driftline("check", *sides, "--format", "json")
    (found,) = json.loads(ran.stdout)
    assert [finding for finding in found["findings"] if finding["flagged"]] == []
    assert ran.code == 0


def test_columns_with_a_role_may_stand_in_the_schema(driftline: Driftline, small: Path) -> None:
    (small / "s.pbtxt").write_text(
        "".join(f'feature {{ name: "{name}" type: {kind} presence {{ min_fraction: 1 }} }}\n' for name, kind in
                [("id", "BYTES"), ("x", "INT"), ("c", "BYTES"), ("ts", "INT")])
    )  # fmt: skip
    roles = ("--id-column", "id", "--timestamp-column", "ts", "--schema", small / "s.pbtxt")
    ran = driftline("check", "--reference", small / "r.csv", "--current", small / "r.csv", *roles)
    assert ran.code == 0, ran.stdout


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("c.csv", "id,x,c,ts\n", id="a CSV of a header only"),
        pytest.param("c.jsonl", "", id="an empty JSON Lines file"),
    ],
)
def test_no_current_rows_are_a_lack_of_evidence(driftline: Driftline, small: Path, name: str, content: str) -> None:
    (small / name).write_text(content)
    ran = driftline("check", "--reference", small / "r.csv", "--current", small / name, "--id-column", "id")
    assert ran.code == 4
    assert "there are no rows to judge" in ran.stdout


def test_a_few_rows_are_a_lack_of_evidence(driftline: Driftline, small: Path) -> None:
    (small / "c.csv").write_text("id,x,c,ts\n" + "".join(f"i{n},{n},a,5\n" for n in range(8)))
    ran = driftline(
        "check", "--reference", small / "r.csv", "--current", small / "c.csv", "--id-column", "id", "--ignore", "ts"
    )
    assert ran.code == 4, ran.stdout
    assert "INSUFFICIENT EVIDENCE" in ran.stdout


def test_bad_cells_are_named_and_do_not_spoil_their_column(driftline: Driftline, small: Path) -> None:
    content = (small / "r.csv").read_text().replace("id7,7,", "id7,seven,")
    (small / "c.csv").write_text(content)
    sides = ("--reference", small / "r.csv", "--current", small / "c.csv", "--id-column", "id", "--ignore", "ts")
    ran = driftline("check", *sides, "--format", "json")
    findings = json.loads(ran.stdout)[0]["findings"]
    (misfit,) = [finding for finding in findings if finding["measure"] == "type_mismatch"]
    assert (misfit["feature"], misfit["flagged"], misfit["value"]) == ("x", True, 0.001)
    assert "seven" in misfit["explanation"]
    assert not any(finding["flagged"] for finding in findings if finding is not misfit)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ["--current", "r.csv", "--reference", "none.csv"], "none.csv: there is no such file", id="no such file"
        ),
        pytest.param(
            ["--current", "r.csv", "--reference", "head.csv"],
            "head.csv: the reference holds no rows",
            id="no reference",
        ),
        pytest.param(
            ["--current", "r.csv", "--id-column", "uid"],
            "r.csv: there is no id column 'uid'; the columns",
            id="no such column",
        ),
        pytest.param(["--current", "r.csv", "--ignore", "idd"], "no column 'idd' to ignore", id="a slip of the pen"),
        pytest.param(["--current", "r.csv", "--label-column", "y"], "no column 'y' for the label", id="no such label"),
        pytest.param(
            ["--current", "r.csv", "--timestamp-column", "c"], "1000 of 1000 rows have no readable time", id="no times"
        ),
        pytest.param(["--current", "r.csv", "--weight-column", "c"], "cannot be the weight", id="no weight"),
        pytest.param(["--current", "r.csv", "--schema", "r.csv"], "r.csv: the schema is neither", id="no schema"),
        pytest.param(["--current", "nested.jsonl"], "column 'x' holds nested objects", id="nested objects"),
        pytest.param(
            ["--current", "r.csv", "--id-column", "c", "--ignore", "c"], "column 'c' is given two roles", id="two roles"
        ),
        pytest.param(
            ["--current", "r.csv", "--output", "no/such/folder.txt"],
            "folder.txt: cannot be written",
            id="no such folder",
        ),
        pytest.param(["--current", "r.csv", "--format", "pdf"], "'pdf' is not one of", id="a format that is none"),
        pytest.param([], "Missing option '--current'", id="half of the sides"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    driftline: Driftline, small: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(small)
    Path("head.csv").write_text("id,x,c,ts\n")
    Path("nested.jsonl").write_text('{"x": {"y": 1}}\n')
    ran = driftline("check", "--reference", "r.csv", *arguments)
    assert ran.code == 2
    assert ran.stdout == ""
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr
    assert len(ran.stderr.splitlines()) == 1 or ran.stderr.startswith("Usage:")


@pytest.mark.slow
def test_a_pipe_gets_json_and_nothing_else(small: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "monitor.cli",
        "check",
        "--reference",
        "r.csv",
        "--current",
        "r.csv",
        "--format",
        "json",
    ]
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run(command, cwd=small, env={"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)[0]["verdict"] == "ok"
    assert ran.stderr == ""
