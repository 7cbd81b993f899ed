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


def numbers(seed: int, rows: int = ROWS) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=rows)


def show(found: Checked) -> None:
    print(found.verdict, sorted(found.flagged))
    for place, f in found.findings.items():
        if place[0] != "usual":
            print("  ", place, f["value"], f["threshold"], f["flagged"], f["reason"], "|", f["explanation"][:110])
