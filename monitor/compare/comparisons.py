"""Calibrated comparisons of one feature with one reference, as findings; changes with which comparisons are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.compare.calibrated import Test, Variation, excess_test, location_test, rate_test, shares_test
from monitor.compare.explain import explain_missing, explain_novel, explain_values
from monitor.compare.findings import Finding, Kind, Outcome
from monitor.profile.bins import Bins, CategoricalBins, NumericBins
from monitor.profile.counts import Counts
from monitor.profile.features import Blocks, FeatureCounts, FeatureReference
from monitor.profile.moments import Moments
from monitor.profile.profile import Notable

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
        bins: the cells of both sides.
        training: the other side is the baseline itself.
    """

    feature: str
    kind: Kind
    reference: str
    current: Side
    other: Side
    bins: Bins
    known: FeatureReference | None
    training: bool
    min_effect: float


Comparison = Callable[[float], Finding]
"""Judges at a level of false alarms, which is known once all comparisons of a window are counted."""


def comparisons(pair: Pair) -> Sequence[Comparison]:
    """Return the comparisons that this pair allows: missing values, values, location, and values never seen before."""
    made: list[Comparison] = [lambda level: _missing(pair, level)]
    if pair.current.counts.values.total <= 0.0 or pair.other.counts.values.total <= 0.0:
        return made
    made.append(lambda level: _values(pair, level))
    if pair.current.counts.location is not None and pair.known is not None:
        made.append(lambda level: _location(pair, level))
    if pair.training and _novel_cells(pair.bins) is not None:
        made.append(lambda level: _novel(pair, level))
    return made


def _missing(pair: Pair, level: float) -> Finding:
    now, before = pair.current.counts, pair.other.counts
    test = rate_test(
        (now.missing_share, now.presence.effective),
        (before.missing_share, before.presence.effective),
        level=level,
        min_effect=MIN_RATE_DIFFERENCE,
        variation=_variation(pair, _presence),
    )
    size = shares_test(now.presence, before.presence, level=level, min_effect=0.0)
    said = explain_missing(pair.feature, now.missing_share, before.missing_share)
    exact = replace(test, needed=size.needed)
    return _finding(replace(pair, kind=Kind.MISSING_VALUES), "missing_rate", exact, said, exact=True)


def _values(pair: Pair, level: float) -> Finding:
    test = _values_test(pair, level)
    return _finding(pair, "cohens_w", test, _said(pair))


def _values_test(pair: Pair, level: float) -> Test:
    now, before = pair.current.counts.values, pair.other.counts.values
    if pair.training and pair.known is not None:
        before = pair.known.values_beside(now)
    return shares_test(
        now,
        before,
        level=level,
        min_effect=pair.min_effect,
        variation=_variation(pair, _shares),
        joined=_joined(pair),
    )


def _location(pair: Pair, level: float) -> Finding:
    now, before = pair.current.counts, pair.other.counts
    if now.location is None or before.location is None:
        raise TypeError(f"{pair.feature}: categories have no location")
    test = location_test(
        now.location,
        before.location,
        level=level,
        min_effect=D_PER_W * pair.min_effect,
        rows=(now.values.effective, before.values.effective),
        variation=_variation(pair, _means),
    )
    needed = _values_test(pair, level).needed
    return _finding(pair, "cohens_d", replace(test, needed=needed), _said(pair))


def _novel(pair: Pair, level: float) -> Finding:
    cells = _novel_cells(pair.bins) or []
    now, before = pair.current.counts.values, pair.other.counts.values
    rate = float(now.sums[cells].sum()) / now.total
    usual, rows = float(before.sums[cells].sum()) / before.total, before.effective
    variation = None
    if pair.known is not None:
        usual, rows, variation = _expected_novelty(pair, pair.known, usual, rows)
    test = excess_test(
        (rate, now.effective), (usual, rows), level=level, min_effect=MIN_RATE_DIFFERENCE, variation=variation
    )
    measure = "unseen_share" if isinstance(pair.bins, CategoricalBins) else "out_of_range_share"
    said = explain_novel(pair.feature, pair.bins, pair.current.counts, pair.current.moments, pair.current.notable)
    needed = _values_test(pair, level).needed
    return _finding(pair, measure, replace(test, needed=needed), said, exact=True)


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
    held = float(sums.sum())
    if held <= 0.0:
        return expected, rows / doubt, None
    return (
        max(expected, float(known.blocks.novel.sum()) / held),
        rows / doubt,
        Variation(counts, _factor(pair), Counts(sums, sums, sums, held)),
    )


def _variation(pair: Pair, of: Callable[[FeatureCounts, Blocks, float], Variation]) -> Variation | None:
    if pair.known is None or pair.known.blocks is None:
        return None
    return of(pair.known.counts, pair.known.blocks, _factor(pair))


def _presence(counts: FeatureCounts, blocks: Blocks, factor: float) -> Variation:
    return Variation(blocks.presence, factor, counts.presence)


def _shares(counts: FeatureCounts, blocks: Blocks, factor: float) -> Variation:
    return Variation(blocks.values, factor, counts.values)


def _means(_: FeatureCounts, blocks: Blocks, factor: float) -> Variation:
    return Variation(blocks.location, factor)


def _factor(pair: Pair) -> float:
    return 1.0 / max(1.0, pair.current.blocks) + 1.0 / max(1.0, pair.other.blocks)


def _novel_cells(bins: Bins) -> list[int] | None:
    if isinstance(bins, NumericBins):
        return [0, bins.size - 1] if bins.bounded and len(bins.edges) else None
    return [bins.unseen] if bins.complete else None


def _joined(pair: Pair) -> Sequence[int]:
    """Return the cells that a comparison with an earlier window does not tell from the ones before them.

    How far windows beyond the training range differ from each other is nothing that the training range can tell: its own
    blocks never went there. That they are beyond it, the comparison with training says.
    """
    cells = None if pair.training or not isinstance(pair.bins, NumericBins) else _novel_cells(pair.bins)
    return () if cells is None else (1, cells[-1])


def _said(pair: Pair) -> str:
    return explain_values(
        pair.feature,
        pair.bins,
        pair.current.counts,
        pair.other.counts,
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
    )


def _too_few(pair: Pair, needed: int) -> str:
    has = pair.current.counts.presence.effective
    if needed == 0:
        held = pair.other.counts.presence.effective
        return f"too few rows: the reference's {held:.0f} effective rows could not show even a large change"
    return f"too few rows: {has:.0f} effective, a large change shows from about {needed} on"
