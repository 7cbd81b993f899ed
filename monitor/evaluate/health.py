"""Findings about the health of a window's outputs, labels or not; changes with what a broken model gives away.

A model that lost its inputs answers all requests alike; one whose weights blew up answers NaN, or 0 and 1 only; one behind
a wrong post-processing answers beyond [0, 1]. None of it takes a label to see.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from monitor.compare.calibrated import Test, excess_test
from monitor.compare.case import TRAINING
from monitor.compare.explain import number, percent
from monitor.compare.findings import Finding, Kind, Outcome
from monitor.evaluate.model_outputs import EDGE, OutputKind, Outputs
from monitor.profile.bins import CategoricalBins, NumericBins
from monitor.profile.features import FeatureReference

LEAST_INVALID = 0.001
"""Excess of outputs that are no valid value at all below which nothing is flagged."""
LEAST_ALIKE = 0.05
"""The same of outputs that are valid, and too often the same."""
FEWEST_ROWS = 30.0
"""Effective rows below which outputs that are all alike may come from requests that are."""


@dataclass(frozen=True, slots=True)
class _Check:
    """One share of the outputs, with the most that the reference can have had of it.

    Attributes:
        rows: effective rows behind `usual`; None where there is no reference.
        least: excess below which it is not flagged.
        unless: why it is not judged; None where it is.
    """

    measure: str
    share: float
    usual: float
    rows: float | None
    least: float
    said: str
    unless: str | None = None


def kind_of(known: FeatureReference) -> OutputKind:
    """Return what outputs are, by those that a baseline was made of: numbers within [0, 1] are taken for probabilities."""
    if isinstance(known.bins, CategoricalBins):
        return OutputKind.CLASS
    edges = known.bins.edges
    if len(edges) and edges[0] >= -EDGE and edges[-1] <= 1.0 + EDGE:
        return OutputKind.PROBABILITY
    return OutputKind.NUMBER


def health_findings(
    outputs: Outputs, feature: str, known: FeatureReference | None, false_alarm_rate: float
) -> Iterator[Finding]:
    """Yield a finding for each share of the outputs that says something of their health.

    With a reference each is held against it by an exact test (binomial, given the total of both), one-sided; the level is
    shared evenly. A baseline's counts in cells are enough for that: they tell the most that it can have had of
    any value. Without a reference the findings only inform.

    Args:
        outputs: of the window.
        feature: the column that holds them.
        known: what the baseline keeps of that column; None where there is no baseline, or it lacks the column. One of numbers
            is no reference of classes, nor the other way round.
        false_alarm_rate: of all these findings together, a window.
    """
    alike = known is not None and (kind_of(known) is OutputKind.CLASS) == (outputs.kind is OutputKind.CLASS)
    checks = list(_checks(outputs, _Usual(known if alike else None)))
    level = false_alarm_rate / max(1, len(checks))
    for check in checks:
        yield _finding(check, feature, outputs, level)


@dataclass(frozen=True, slots=True)
class _Usual:
    """The most that a baseline can have had of some values, from its counts in cells."""

    known: FeatureReference | None

    @property
    def rows(self) -> float | None:
        return None if self.known is None else self.known.counts.values.effective

    @property
    def answered(self) -> float | None:
        return None if self.known is None else self.known.counts.presence.effective

    @property
    def missing(self) -> float:
        return 0.0 if self.known is None else self.known.counts.missing_share

    def between(self, low: float, high: float) -> float:
        """Return the share of the cells that hold any number from `low` to `high`, both inclusive."""
        if self.known is None or not isinstance(self.known.bins, NumericBins):
            return 0.0
        first, last = self.known.bins.cells(np.array([low, high]))
        return self._share(slice(int(first), int(last) + 1))

    def above(self, low: float) -> float:
        """Return the share of the cells that hold only numbers of at least `low`."""
        if self.known is None or not isinstance(self.known.bins, NumericBins):
            return 0.0
        return self._share(slice(int(np.searchsorted(self.known.bins.edges, low, side="left")) + 1, None))

    def of_class(self, name: str) -> float:
        """Return the most that a class can have had."""
        if self.known is None or not isinstance(self.known.bins, CategoricalBins):
            return 0.0
        cell = int(self.known.bins.cells(pa.array([name.encode()], pa.binary()))[0])
        return self._share(slice(cell, cell + 1))

    def _share(self, cells: slice) -> float:
        if self.known is None:
            return 0.0
        counts = self.known.counts.values
        return float(counts.sums[cells].sum()) / counts.total if counts.total > 0.0 else 0.0


def _checks(outputs: Outputs, usual: _Usual) -> Iterator[_Check]:
    absent = outputs.missing + outputs.nan
    said = f"{percent(absent)} of the outputs are missing or NaN"
    yield _Check("missing_share", absent, usual.missing, usual.answered, LEAST_INVALID, said)
    if outputs.kind is not OutputKind.CLASS:
        said = f"{percent(outputs.infinite)} of the outputs are infinite"
        infinite = usual.between(-np.inf, -np.inf) + usual.between(np.inf, np.inf)
        yield _Check("infinite_share", outputs.infinite, infinite, usual.rows, LEAST_INVALID, said)
    if outputs.kind is OutputKind.PROBABILITY:
        yield from _of_probabilities(outputs, usual)
    if outputs.common is not None:
        yield from _alike(outputs, usual)


def _of_probabilities(outputs: Outputs, usual: _Usual) -> Iterator[_Check]:
    beyond = usual.between(-np.inf, np.nextafter(0.0, -1.0)) + usual.between(np.nextafter(1.0, 2.0), np.inf)
    said = f"{percent(outputs.outside)} of the outputs lie outside [0, 1]"
    yield _Check("outside_share", outputs.outside, beyond, usual.rows, LEAST_INVALID, said)
    for measure, share, low, high, end in (
        ("zero_share", outputs.at_zero, 0.0, EDGE, "0"),
        ("one_share", outputs.at_one, 1.0 - EDGE, 1.0, "1"),
    ):
        said = f"{percent(share)} of the outputs are {end}, within {EDGE:g}"
        yield _Check(measure, share, usual.between(low, high), usual.rows, LEAST_ALIKE, said)


def _alike(outputs: Outputs, usual: _Usual) -> Iterator[_Check]:
    common, share = outputs.common, outputs.common_share
    few = None
    if outputs.effective < FEWEST_ROWS:
        few = f"too few rows: {outputs.effective:.0f} effective, {FEWEST_ROWS:.0f} are needed"
    if isinstance(common, str):
        said = f"all outputs are {common!r}" if share == 1.0 else f"{percent(share)} of the outputs are {common!r}"
        yield _one_class(share, usual.of_class(common), usual, said, few)
        return
    if common is None:
        return
    said = f"{number(common)} is the most common output, with {percent(share)}"
    if outputs.distinct == 1:
        said = f"all outputs are {number(common)}"
    yield _Check("most_common_share", share, usual.between(common, common), usual.rows, LEAST_ALIKE, said, few)
    if outputs.kind is OutputKind.PROBABILITY:
        positive = outputs.positive
        above = positive >= 0.5
        share = positive if above else 1.0 - positive
        most = usual.between(0.5, np.inf) if above else 1.0 - usual.above(np.nextafter(0.5, 1.0))
        said = f"{percent(share)} of the outputs are {'above' if above else 'at most'} 0.5"
        yield _one_class(share, most, usual, said, few)


def _one_class(share: float, most: float, usual: _Usual, said: str, few: str | None) -> _Check:
    """Return the check of one class being predicted always; that a class is predicted more often is drift, not ill health."""
    several = None if share == 1.0 else "more than one class is predicted"
    return _Check("one_class_share", share, most, usual.rows, 0.0, said, several or few)


def _finding(check: _Check, feature: str, outputs: Outputs, level: float) -> Finding:
    rows = check.rows
    test = Test(check.share, 1.0, 1.0)
    if rows is not None:
        test = excess_test((check.share, outputs.effective), (check.usual, rows), level=level, min_effect=check.least)
    unless = check.unless if rows is not None else "there is no reference to compare with: informs only"
    judged = unless is None
    said = f"{feature}: {check.said}" + ("" if rows is None else f", at most {percent(check.usual)} in training")
    return Finding(
        kind=Kind.OUTPUT_HEALTH,
        feature=feature,
        reference=TRAINING,
        measure=check.measure,
        value=check.share,
        threshold=check.usual + test.threshold if judged else None,
        p_value=test.p_value if judged else None,
        flagged=judged and test.value > test.threshold,
        reason=unless,
        explanation=said,
        outcome=Outcome.JUDGED if judged else Outcome.INFORMATIVE,
        null=test.null if judged else "",
    )
