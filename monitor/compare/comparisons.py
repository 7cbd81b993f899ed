"""Calibrated comparisons of one feature with one reference, as findings; changes with which comparisons are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial

import numpy as np

from monitor.compare.calibrated import Test, excess_test, location_test, rate_test, shares_test
from monitor.compare.expected import Expected
from monitor.compare.explain import explain_heaviest, explain_missing, explain_novel, explain_values
from monitor.compare.findings import Finding, Kind, Outcome
from monitor.compare.variation import Variation
from monitor.profile.bins import FREQUENT_SHARE, Bins, CategoricalBins, NumericBins
from monitor.profile.counts import Counts
from monitor.profile.features import FeatureCounts, FeatureReference
from monitor.profile.moments import Moments
from monitor.profile.profile import Notable

MISSING_RATE = "missing_rate"
UNSEEN_SHARE = "unseen_share"
OUT_OF_RANGE_SHARE = "out_of_range_share"
_OWN_THRESHOLD = "your own threshold decides about this feature"
MIN_RATE_DIFFERENCE = 0.01
"""Changes of a missing or never-seen share below this are not flagged, however sure they are."""
D_PER_W = 2.0
"""Cohen calls w = 0.1 and d = 0.2 equally small (Statistical Power Analysis, 1988), so d's least effect is twice w's."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison of a feature."""

    counts: FeatureCounts
    moments: Moments | None = None
    notable: Notable = ()
    blocks: float = 1.0


@dataclass(frozen=True, slots=True)
class Pair:
    """A feature of a window, and what it is compared with.

    Attributes:
        known: what the baseline keeps of the feature; None for a prediction that it lacks.
        expected: the other side as it is expected to look at the window's time, and how much it varies.
        bins: the cells of both sides.
        training: the other side is the baseline itself.
        min_effect: Cohen's w below which nothing is flagged.
        thresholds: a person's, by measure; they decide in the stead of the calibrated comparisons.
        decided: who else decides about the values, and what to say of that; None where nobody does.
    """

    feature: str
    kind: Kind
    reference: str
    current: Side
    other: Side
    expected: Expected
    bins: Bins
    known: FeatureReference | None
    training: bool
    min_effect: float
    thresholds: Mapping[str, float] = field(default_factory=dict)
    decided: str | None = None


_Shape = Callable[[float], Test]
"""The test of the values' distribution at a level, which tells for the others too whether there are rows enough."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison that is planned.

    Attributes:
        at: judges at a level of false alarms, which is known once all comparisons of a window are counted.
        decides: it may flag, so it takes a share of the window's level; else somebody's threshold decides in its stead.
    """

    at: Callable[[float], Finding]
    decides: bool


def comparisons(pair: Pair) -> Sequence[Comparison]:
    """Return the comparisons that this pair allows: missing values, values, location, and values never seen before."""
    shape = cache(partial(_values_test, pair))
    missing = _OWN_THRESHOLD if MISSING_RATE in pair.thresholds else None
    values = _OWN_THRESHOLD if pair.thresholds.keys() - {MISSING_RATE} else pair.decided
    made = [_planned(partial(_missing, pair), missing)]
    if pair.current.counts.values.total <= 0.0 or pair.other.counts.values.total <= 0.0:
        return made
    made.append(_planned(partial(_values, pair, shape), values))
    if pair.current.counts.location is not None and pair.known is not None:
        made.append(_planned(partial(_location, pair, shape), values))
    if pair.training and novel_cells(pair.bins) is not None:
        made.append(_planned(partial(_novel, pair, shape), values))
    if pair.training and isinstance(pair.bins, CategoricalBins) and (pair.bins.known or not pair.bins.complete):
        made.append(_planned(partial(_heaviest, pair, shape), values))
    return made


def _planned(compare: Callable[[float], Finding], decided: str | None) -> Comparison:
    if decided is None:
        return Comparison(compare, decides=True)

    def informing(level: float) -> Finding:
        return replace(compare(level), flagged=False, reason=decided, outcome=Outcome.INFORMATIVE)

    return Comparison(informing, decides=False)


def _missing(pair: Pair, level: float) -> Finding:
    now, before = pair.current.counts, pair.expected.counts
    test = rate_test(
        (now.missing_share, now.presence.effective),
        (before.missing_share, before.presence.effective),
        level=level,
        min_effect=MIN_RATE_DIFFERENCE,
        variation=pair.expected.presence,
    )
    size = shares_test(now.presence, before.presence, level=level, min_effect=0.0)
    said = explain_missing(pair.feature, now.missing_share, before.missing_share)
    exact = replace(test, needed=size.needed)
    return _finding(replace(pair, kind=Kind.MISSING_VALUES), MISSING_RATE, exact, said, exact=True)


def _values(pair: Pair, shape: _Shape, level: float) -> Finding:
    return _finding(pair, "cohens_w", shape(level), said_of_values(pair))


def _values_test(pair: Pair, level: float) -> Test:
    return shares_test(
        pair.current.counts.values,
        expected_values(pair),
        level=level,
        min_effect=pair.min_effect,
        variation=pair.expected.values,
        joined=_joined(pair),
    )


def expected_values(pair: Pair) -> Counts:
    """Return the counts to compare the window's values with; see `FeatureReference.values_beside`."""
    now, before = pair.current.counts.values, pair.expected.counts.values
    return pair.known.values_beside(now, before) if pair.training and pair.known is not None else before


def _location(pair: Pair, shape: _Shape, level: float) -> Finding:
    now, before = pair.current.counts, pair.expected.counts
    if now.location is None or before.location is None:
        raise TypeError(f"{pair.feature}: categories have no location")
    test = location_test(
        now.location,
        before.location,
        level=level,
        min_effect=D_PER_W * pair.min_effect,
        rows=(now.values.effective, before.values.effective),
        variation=pair.expected.location,
    )
    needed = shape(level).needed
    return _finding(pair, "cohens_d", replace(test, needed=needed), said_of_values(pair))


def _novel(pair: Pair, shape: _Shape, level: float) -> Finding:
    cells = novel_cells(pair.bins) or []
    now, before = pair.current.counts.values, pair.other.counts.values
    rate = float(now.sums[cells].sum()) / now.total
    usual, rows = float(before.sums[cells].sum()) / before.total, before.effective
    variation = None
    if pair.known is not None:
        usual, rows, variation = _expected_novelty(pair, pair.known, usual, rows)
    test = excess_test(
        (rate, now.effective), (usual, rows), level=level, min_effect=MIN_RATE_DIFFERENCE, variation=variation
    )
    measure = UNSEEN_SHARE if isinstance(pair.bins, CategoricalBins) else OUT_OF_RANGE_SHARE
    said = explain_novel(pair.feature, pair.bins, pair.current.counts, pair.current.moments, pair.current.notable)
    needed = shape(level).needed
    return _finding(pair, measure, replace(test, needed=needed), said, exact=True)


def _heaviest(pair: Pair, shape: _Shape, level: float) -> Finding:
    """Compare the heaviest value without a cell of its own with what none of those had in training.

    All of them share some cells, so that one of them taking over would be seen by none. At most 1 / `FREQUENT_SHARE` values can
    have as much at once, which is how many tests this one stands for.
    """
    now, before = pair.current.counts.values, pair.expected.counts.values
    value, share = pair.current.notable[0] if pair.current.notable else (b"", 0.0)
    test = excess_test(
        (share, now.effective),
        (FREQUENT_SHARE, before.effective),
        level=level * FREQUENT_SHARE,
        min_effect=MIN_RATE_DIFFERENCE,
    )
    said = explain_heaviest(pair.feature, value, share)
    needed = shape(level).needed
    return _finding(pair, "heaviest_share", replace(test, needed=needed), said, exact=True)


def _expected_novelty(
    pair: Pair,
    known: FeatureReference,
    usual: float,
    rows: float,
) -> tuple[float, float, Variation | None]:
    """Return the share of new values to expect of a window like the baseline, the rows that tell it, and its variation.

    Leaving one row out gives the share for independent rows (Good and Turing); leaving out one block of time gives it
    where each block brings values of its own.
    """
    total = known.counts.values.total
    expected = max(usual, known.novel / total)
    doubt = 1.0 + 2.0 * known.novel_pairs / known.novel if known.novel > 0.0 else 1.0
    if known.blocks is None:
        return expected, rows / doubt, None
    sizes = known.blocks.values.sum(axis=1)
    counts = np.stack([np.maximum(sizes - known.blocks.novel, 0.0), known.blocks.novel], axis=1)
    sums = counts.sum(axis=0)
    if sums.sum() <= 0.0:
        return expected, rows / doubt, None
    variation = Variation.around(counts, sums, window=pair.current.blocks, reference=pair.other.blocks)
    return max(expected, float(sums[1] / sums.sum())), rows / doubt, variation


def novel_cells(bins: Bins) -> list[int] | None:
    """Return the cells of values that the baseline never saw; None where it cannot tell."""
    if isinstance(bins, NumericBins):
        return [0, bins.size - 1] if bins.bounded and len(bins.edges) else None
    return [bins.unseen] if bins.complete else None


def _joined(pair: Pair) -> Sequence[int]:
    """Return the cells that a comparison with an earlier window does not tell from the ones before them.

    How far windows beyond the training range differ from each other is nothing that the training range can tell: its own
    blocks never went there. That they are beyond it, the comparison with training says.
    """
    cells = None if pair.training or not isinstance(pair.bins, NumericBins) else novel_cells(pair.bins)
    return () if cells is None else (1, cells[-1])


def said_of_values(pair: Pair) -> str:
    """Say how the values of a pair moved."""
    return explain_values(
        pair.feature,
        pair.bins,
        pair.current.counts,
        pair.expected.counts,
        (pair.current.moments, pair.other.moments),
        (pair.current.notable, pair.other.notable),
    )


def _finding(pair: Pair, measure: str, test: Test, said: str, *, exact: bool = False) -> Finding:
    """Make a finding of a test; with too few rows only an exact test may flag, since the others need many."""
    significant = test.value > test.threshold
    lacking = test.needed is not None and not (exact and significant)
    return Finding(
        kind=pair.kind,
        feature=pair.feature,
        reference=pair.reference,
        measure=measure,
        value=test.value,
        threshold=None if lacking else test.threshold,
        p_value=test.p_value,
        flagged=significant and not lacking,
        reason=_too_few(pair, test.needed) if lacking and test.needed is not None else None,
        explanation=said,
        outcome=Outcome.INSUFFICIENT if lacking else Outcome.JUDGED,
        null=test.null,
    )


def _too_few(pair: Pair, needed: int) -> str:
    has = pair.current.counts.presence.effective
    if needed == 0:
        held = pair.other.counts.presence.effective
        return f"too few rows: the reference's {held:.0f} effective rows could not show even a large change"
    return f"too few rows: {has:.0f} effective, a large change shows from about {needed} on"
