"""Findings for the tests of reports."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from monitor.compare.findings import Finding, Kind, Outcome, Verdict, WindowFindings

MakeFinding = Callable[..., Finding]
MakeFound = Callable[..., WindowFindings]


@pytest.fixture
def finding() -> MakeFinding:
    """Make a finding about one feature."""

    def make(
        feature: str = "temp", *, flagged: bool = False, outcome: Outcome = Outcome.JUDGED, value: float | None = 0.05
    ) -> Finding:
        return Finding(
            kind=Kind.SKEW,
            feature=feature,
            reference="training",
            measure="cohens_w",
            value=value,
            threshold=0.1,
            p_value=0.5,
            flagged=flagged,
            reason="too few rows: 300 would do" if outcome is Outcome.INSUFFICIENT else None,
            explanation=f"{feature}: mean from 1 to 2",
            outcome=outcome,
        )

    return make


@pytest.fixture
def found() -> MakeFound:
    """Make the findings of a comparison."""

    def make(verdict: Verdict, *findings: Finding, rows: int = 1000) -> WindowFindings:
        return WindowFindings(verdict, findings, rows_seen=rows, rows=rows, n_effective=float(rows))

    return make
