"""Thresholds that a person sets on a distance, which then decide; changes with what a threshold may be set on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitor.compare.comparisons import (
    MISSING_RATE,
    OUT_OF_RANGE_SHARE,
    UNSEEN_SHARE,
    Pair,
    expected_values,
    novel_cells,
    said_of_values,
)
from monitor.compare.explain import explain_missing
from monitor.compare.findings import Finding, Kind
from monitor.compare.measures import measures
from monitor.profile.bins import CategoricalBins
from monitor.profile.counts import Counts

_SET = "your own threshold"


def threshold_findings(pair: Pair) -> Iterator[Finding]:
    """Yield a finding for each threshold that was set for this feature and means something for it."""
    if not pair.thresholds:
        return
    found = all_measures(pair)
    for name in sorted(pair.thresholds.keys() & found.keys()):
        missing = name == MISSING_RATE
        kind = Kind.MISSING_VALUES if missing else pair.kind
        value, threshold = found[name], pair.thresholds[name]
        yield Finding(
            kind=kind,
            feature=pair.feature,
            reference=pair.reference,
            measure=name,
            value=value,
            threshold=threshold,
            p_value=None,
            flagged=value > threshold,
            reason=_SET,
            explanation=_missing(pair) if missing else said_of_values(pair),
        )


def all_measures(pair: Pair) -> Mapping[str, float]:
    """Return every distance of the two sides by name; those that need values are left out where a side has none.

    Shares and rates are absolute differences but for those of values never seen, which are shares of the window; shifts are in
    robust standard deviations of the baseline.
    """
    now, before = pair.current.counts, pair.expected.counts
    found = {**measures(pair.bins, now.values, expected_values(pair)), **_shifts(pair)}
    found[MISSING_RATE] = abs(now.missing_share - before.missing_share)
    cells = novel_cells(pair.bins)
    if cells is not None and now.values.total > 0.0:
        name = UNSEEN_SHARE if isinstance(pair.bins, CategoricalBins) else OUT_OF_RANGE_SHARE
        found[name] = _share(now.values, cells)
    return found


def _shifts(pair: Pair) -> Mapping[str, float]:
    now, before = pair.current.moments, pair.other.moments
    if isinstance(pair.bins, CategoricalBins) or now is None or before is None:
        return {}
    scale = pair.bins.scale
    pairs = {
        "mean_shift": (now.mean, before.mean, scale),
        "median_shift": (now.median, before.median, scale),
        "zero_rate": (now.zero_share, before.zero_share, 1.0),
    }
    return {name: abs(a - b) / unit for name, (a, b, unit) in pairs.items() if a is not None and b is not None}


def _share(counts: Counts, cells: list[int]) -> float:
    return float(counts.sums[cells].sum()) / counts.total


def _missing(pair: Pair) -> str:
    return explain_missing(pair.feature, pair.current.counts.missing_share, pair.expected.counts.missing_share)
