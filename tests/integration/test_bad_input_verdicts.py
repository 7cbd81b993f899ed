"""Difficult data through `driftline check`: each kind of it has the verdict that an experienced user would expect."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

Driftline = Callable[..., Any]
Columns = Mapping[str, Any]
Floats = npt.NDArray[np.float64]

EXITS = {"ok": 0, "flagged": 3, "insufficient_evidence": 4}
ROWS = 2_000


def usual(rows: int = ROWS, seed: int = 0) -> dict[str, Any]:
    """Return a column without any difficulty, which stands beside the difficult ones."""
    return {"usual": np.random.default_rng(1_000 + seed).normal(size=rows)}


@dataclass(frozen=True, slots=True)
class Checked:
    """What `check` said of two tables: the findings object, and its findings by feature and measure."""

    document: dict[str, Any]
    findings: dict[tuple[str, str], dict[str, Any]]

    @property
    def verdict(self) -> str:
        return str(self.document["verdict"])

    @property
    def flagged(self) -> set[tuple[str, str]]:
        return {place for place, finding in self.findings.items() if finding["flagged"]}


Check = Callable[[Columns, Columns], Checked]


@pytest.fixture(params=["parquet", "csv"])
def check(request: pytest.FixtureRequest, driftline: Driftline, tmp_path: Path) -> Check:
    """Compare two tables as files of either kind, in every format of the report."""
    kind = str(request.param)

    def written(name: str, columns: Columns) -> Path:
        path = tmp_path / f"{name}.{kind}"
        table = pa.table(dict(columns))
        if kind == "csv":
            csv.write_csv(table, path)
        else:
            parquet.write_table(table, path)
        return path

    def run(reference: Columns, current: Columns) -> Checked:
        sides = ("--reference", written("r", reference), "--current", written("c", current))
        ran = driftline("check", *sides, "--format", "json")
        (found,) = json.loads(ran.stdout, parse_constant=pytest.fail)
        assert ran.code == EXITS[found["verdict"]]
        assert ran.stderr == ""
        for format_ in ("table", "html"):
            report = driftline("check", *sides, "--format", format_)
            assert (report.code, report.stderr) == (ran.code, "")
            assert report.stdout
        findings = {(str(each["feature"]), each["measure"]): each for each in found["findings"]}
        assert all(each["explanation"] for each in found["findings"])
        return Checked(found, findings)

    return run


def random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def numbers(seed: int) -> Floats:
    return random(seed).normal(size=ROWS)


def missing(kind: pa.DataType) -> pa.Array:
    return pa.array([None] * ROWS, kind)


def ids(first: int) -> list[str]:
    return [f"id{number}" for number in range(first, first + ROWS)]


def huge(seed: int) -> Floats:
    return np.where(random(seed).random(ROWS) < 0.5, 1e308, -1e308)


def infinite(seed: int) -> Floats:
    return np.where(random(seed).random(ROWS) < 0.1, np.inf, numbers(seed))


def mixed(seed: int) -> list[str]:
    """Return text, nine tenths of which spell a number."""
    return [text if text != "9" else "word" for text in random(seed).integers(0, 10, ROWS).astype(str)]


def days(seed: int, month: int) -> list[str]:
    return [f"2026-{month:02}-{day:02}" for day in random(seed).integers(1, 28, ROWS)]


def minutes(seed: int, month: int) -> list[str]:
    """Return times, hardly one of which comes twice."""
    parts = zip(
        days(seed, month), random(seed).integers(0, 24, ROWS), random(seed + 50).integers(0, 60, ROWS), strict=True
    )
    return [f"{day}T{hour:02}:{minute:02}:00Z" for day, hour, minute in parts]


@pytest.mark.parametrize(
    ("reference", "current"),
    [
        pytest.param({"c": [5] * ROWS, "t": ["a"] * ROWS}, {"c": [5] * ROWS, "t": ["a"] * ROWS}, id="constants"),
        pytest.param(
            {"n": missing(pa.float64()), "t": missing(pa.string())},
            {"n": missing(pa.float64()), "t": missing(pa.string())},
            id="columns without any value",
        ),
        pytest.param({"n": pa.nulls(ROWS)}, {"n": pa.nulls(ROWS)}, id="columns without a type"),
        pytest.param({"id": ids(0)}, {"id": ids(ROWS)}, id="ids that never come again"),
        pytest.param({"id": ids(0)}, {"id": ids(0)}, id="ids that all come again"),
        pytest.param({"big": huge(1)}, {"big": huge(2)}, id="the largest numbers there are"),
        pytest.param({"i": infinite(1)}, {"i": infinite(2)}, id="infinities on both sides"),
        pytest.param({"m": mixed(1)}, {"m": mixed(2)}, id="numbers and words in one column of text"),
        pytest.param({"d": days(1, 1)}, {"d": days(2, 1)}, id="dates of the same days"),
        pytest.param({"d": minutes(1, 1)}, {"d": minutes(2, 1)}, id="times that hardly come twice"),
        pytest.param({}, {"new": numbers(1)}, id="a feature in serving only"),
    ],
)
def test_what_did_not_change_is_ok_however_odd_it_is(check: Check, reference: Columns, current: Columns) -> None:
    found = check({**usual(), **reference}, {**usual(seed=1), **current})
    assert (found.verdict, found.flagged) == ("ok", set())


@pytest.mark.parametrize(
    ("reference", "current", "flagged"),
    [
        pytest.param({"t": ["a"] * ROWS}, {"t": ["b"] * ROWS}, {"cohens_w", "unseen_share"}, id="another constant"),
        pytest.param(
            {"t": [0.5] * ROWS}, {"t": [0.25] * ROWS}, {"cohens_w", "out_of_range_share"}, id="another number"
        ),
        pytest.param({"t": numbers(1)}, {"t": missing(pa.float64())}, {"gone_null", "missing_rate"}, id="gone missing"),
        pytest.param({"t": missing(pa.float64())}, {"t": numbers(1)}, {"missing_rate"}, id="missing before"),
        pytest.param({"t": numbers(1)}, {"t": huge(2)}, {"cohens_w", "out_of_range_share"}, id="the largest numbers"),
        pytest.param(
            {"t": numbers(1)}, {"t": infinite(2)}, {"cohens_d", "cohens_w", "out_of_range_share"}, id="infinities"
        ),
        pytest.param(
            {"t": numbers(1)},
            {"t": np.full(ROWS, -np.inf)},
            {"cohens_d", "cohens_w", "out_of_range_share"},
            id="nothing but infinities",
        ),
        pytest.param(
            {"t": np.arange(ROWS)},
            {"t": np.arange(ROWS, 2 * ROWS)},
            {"cohens_d", "cohens_w", "out_of_range_share"},
            id="ids that are numbers and count on: name their column, or ignore it",
        ),
        pytest.param(
            {"t": days(1, 1)}, {"t": days(2, 3)}, {"cohens_w", "unseen_share"}, id="dates that move on: likewise"
        ),
        pytest.param({"t": minutes(1, 1)}, {"t": minutes(2, 3)}, {"cohens_w", "unseen_share"}, id="times that move on"),
        pytest.param({"t": numbers(1)}, {}, {"SCHEMA_MISSING_COLUMN"}, id="a feature in training only"),
    ],
)
def test_what_changed_is_flagged_where_it_did(
    check: Check, reference: Columns, current: Columns, flagged: set[str]
) -> None:
    found = check({**usual(), **reference}, {**usual(seed=1), **current})
    assert found.verdict == "flagged"
    assert found.flagged == {("t", measure) for measure in flagged}


def test_a_feature_in_serving_only_is_told(check: Check) -> None:
    found = check(usual(), {**usual(seed=1), "new": numbers(1)})
    told = found.findings["new", "SCHEMA_NEW_COLUMN"]
    assert (told["flagged"], told["reason"]) == (False, "inferred from the reference: warns only")


@pytest.mark.parametrize(
    ("reference", "current", "reason"),
    [
        pytest.param(ROWS, 1, "too few rows: 1 effective, a large change shows from about", id="one row to judge"),
        pytest.param(1, ROWS, "too few rows: the reference's 1 effective rows could not show", id="one to judge by"),
        pytest.param(1, 1, "too few rows: the reference's 1 effective rows could not show", id="one each"),
    ],
)
def test_one_row_is_no_evidence(check: Check, reference: int, current: int, reason: str) -> None:
    sides = ({"x": numbers(seed)[:rows], "t": ["a"] * rows} for seed, rows in ((1, reference), (2, current)))
    found = check(*sides)
    assert (found.verdict, found.flagged) == ("insufficient_evidence", set())
    lacking = [each["reason"] for each in found.findings.values() if each["p_value"] is not None]
    assert lacking
    assert all(each.startswith(reason) for each in lacking)


def test_one_odd_row_is_no_evidence_either(check: Check) -> None:
    found = check({**usual(), "t": ["a"] * ROWS}, {"usual": [1e308], "t": ["never seen"]})
    assert (found.verdict, found.flagged) == ("insufficient_evidence", set())


def test_words_among_numbers_are_named(check: Check, request: pytest.FixtureRequest) -> None:
    found = check({**usual(), "m": random(1).integers(0, 9, ROWS)}, {**usual(seed=1), "m": mixed(2)})
    told = found.findings["m", "type_mismatch"]
    assert told["flagged"]
    if "csv" in request.node.name:
        assert '"word"' in told["explanation"]
        assert told["value"] == pytest.approx(0.1, abs=0.02)
        assert found.flagged == {("m", "type_mismatch"), ("m", "missing_rate")}, "the numbers among them are numbers"
    else:
        assert found.flagged == {("m", "type_changed"), ("m", "type_mismatch"), ("m", "missing_rate")}
        assert "numbers written as text" in found.findings["m", "type_changed"]["explanation"]


def many(seed: int) -> list[str]:
    return [f"k{number}" for number in random(seed).integers(0, 15_000, 20_000)]


@pytest.mark.parametrize("first", ["k", "q"], ids=["the same", "others"])
def test_ten_thousands_of_categories_are_no_news_as_long_as_none_stands_out(check: Check, first: str) -> None:
    """With more than 10,000 values nobody can tell which are new; `missing_rate` and TFDV's distances are measured."""
    now = [first + value[1:] for value in many(2)]
    found = check({**usual(20_000), "k": many(1)}, {**usual(20_000, 1), "k": now})
    assert (found.verdict, found.flagged) == ("ok", set())
    assert ("k", "unseen_share") not in found.findings
    assert found.findings["k", "infinity_norm"]["value"] < 0.01


@pytest.mark.parametrize(
    ("reference", "current"),
    [
        pytest.param(ids(0), ["unknown"] * ROWS, id="ids that became one word"),
        pytest.param(ids(0), ["a", "b", "c", "d"] * (ROWS // 4), id="ids that became four words"),
        pytest.param(many(1), ["k7"] * 10_000 + many(2)[:10_000], id="one of many categories that became half of all"),
    ],
)
def test_a_value_that_suddenly_has_weight_is_flagged(check: Check, reference: list[str], current: list[str]) -> None:
    found = check({**usual(len(reference)), "t": reference}, {**usual(len(current), 1), "t": current})
    assert found.verdict == "flagged"


def test_two_constants_are_at_no_finite_number_of_standard_deviations(check: Check) -> None:
    found = check({**usual(), "n": [5] * ROWS}, {**usual(seed=1), "n": [6] * ROWS})
    assert found.flagged == {("n", "cohens_w"), ("n", "out_of_range_share")}


def test_shares_are_written_as_people_write_them(check: Check) -> None:
    found = check({**usual(), "t": numbers(1)}, {**usual(seed=1), "t": ["word"] * ROWS})
    assert "2000 values (100" in found.findings["t", "type_mismatch"]["explanation"]


def test_a_file_of_mixed_json_agrees_with_itself(driftline: Driftline, tmp_path: Path) -> None:
    file = tmp_path / "mixed.jsonl"
    file.write_text("".join(json.dumps({"m": "word" if row % 10 == 0 else row % 7}) + "\n" for row in range(ROWS)))
    assert driftline("check", "--reference", file, "--current", file).code == 0


def test_odd_values_among_numbers_of_json_are_named(driftline: Driftline, tmp_path: Path) -> None:
    odd = {0: "word", 1: [1, 2], 2: 2.5, 3: 10**30, 4: True}
    for name, values in (("r", {}), ("c", odd)):
        rows = ({"m": values.get(row % 20, row % 7)} for row in range(ROWS))
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sides = ("--reference", tmp_path / "r.jsonl", "--current", tmp_path / "c.jsonl")
    ran = driftline("check", *sides, "--format", "json")
    (found,) = json.loads(ran.stdout, parse_constant=pytest.fail)
    (told,) = [each for each in found["findings"] if each["measure"] == "type_mismatch"]
    assert (ran.code, told["flagged"]) == (3, True)
    assert told["value"] == pytest.approx(4 / 20), "true is 1"
