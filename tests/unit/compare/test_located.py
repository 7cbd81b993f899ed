from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from monitor.compare.findings import Finding, Kind, Verdict, WindowFindings
from monitor.compare.located import located
from monitor.records import Rows

RANDOM = np.random.default_rng(3)
COUNT = 8_000


def _rows(shift: float, everywhere: float = 0.0) -> Rows:
    origin = RANDOM.choice(["EWR", "JFK", "LGA"], COUNT)
    delay = RANDOM.normal(size=COUNT) + np.where(origin == "EWR", shift, everywhere)
    other = delay + RANDOM.normal(size=COUNT)
    return Rows(pa.table({"origin": origin, "delay": delay, "other": other, "attribution.delay": delay}))


def _finding(feature: str, *, flagged: bool = True, kind: Kind = Kind.SKEW) -> Finding:
    return Finding(kind, feature, "training", "cohens_w", 0.4, 0.1, 1e-9, flagged, None, f"{feature}: moved")


def _said(current: Rows, *findings: Finding) -> list[str]:
    found = WindowFindings(Verdict.FLAGGED, findings, COUNT, COUNT, float(COUNT))
    return [each.explanation for each in located(found, current, _rows(0.0), None).findings]


def test_the_slice_in_which_the_change_is_stands_in_the_sentence() -> None:
    (said,) = _said(_rows(1.5), _finding("delay"))
    assert said.startswith("delay: moved; ")
    assert "origin='EWR'" in said


def test_a_column_that_moved_too_explains_nothing() -> None:
    first, second = _said(_rows(1.5), _finding("delay"), _finding("other"))
    assert "other" not in first
    assert "delay" not in second.removeprefix("other: moved")


@pytest.mark.parametrize(
    "finding",
    [
        _finding("delay", flagged=False),
        _finding("delay", kind=Kind.SCHEMA_ANOMALY),
        replace(_finding("delay"), p_value=None),
        replace(_finding("delay"), reference="previous"),
        _finding("gone"),
    ],
    ids=["not flagged", "an anomaly", "somebody's threshold", "another reference", "a column that is not there"],
)
def test_nothing_is_said_of_findings_that_are_not_about_the_rows(finding: Finding) -> None:
    assert _said(_rows(1.5), finding) == [finding.explanation]


def test_nothing_is_said_of_a_change_that_is_everywhere() -> None:
    assert _said(_rows(1.0, 1.0), _finding("delay")) == ["delay: moved"]


def test_nothing_is_said_of_a_feature_whose_data_broke() -> None:
    said = _said(_rows(1.5), _finding("delay", kind=Kind.DATA_BREAK), _finding("delay"))
    assert said == ["delay: moved", "delay: moved"]


def test_a_feature_is_searched_once() -> None:
    first, second = _said(_rows(1.5), _finding("delay"), replace(_finding("delay"), measure="cohens_d"))
    assert first != second == "delay: moved"
