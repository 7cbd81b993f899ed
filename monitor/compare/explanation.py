"""How the verdict on one feature came about, so that anybody can do it again; changes with what is needed for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from monitor.compare.comparisons import expected_values
from monitor.compare.findings import Finding
from monitor.compare.plan import Plan
from monitor.compare.thresholds import all_measures
from monitor.profile.bins import CategoricalBins, NumericBins
from monitor.profile.features import FeatureCounts


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a feature.

    Attributes:
        label: the values that it holds.
        reference, current: weight of the rows in it; those of the reference as they are expected at the window's time.
        part: its part in w^2, from 0 to 1.
    """

    label: str
    reference: float
    current: float
    part: float


@dataclass(frozen=True, slots=True)
class Explained:
    """The comparison of one feature with one reference.

    Attributes:
        effective: independent rows that the reference's and the window's values are worth.
        cells: in the order of the values; then "missing", which has no part in w^2.
        measures: all distances by name.
        findings: the calibrated comparisons.
        deciding, level: how many comparisons of the window share its budget of false alarms, and the level of each.
    """

    feature: str
    reference: str
    effective: tuple[float, float]
    cells: Sequence[Cell]
    measures: Mapping[str, float]
    findings: Sequence[Finding]
    deciding: int
    level: float


def explained(plan: Plan, feature: str) -> Sequence[Explained]:
    """Explain what a plan says of a feature, one explanation a reference; empty where it does not compare the feature."""
    return [
        Explained(
            feature,
            pair.reference,
            (expected_values(pair).effective, pair.current.counts.values.effective),
            _cells(pair.bins, replace(pair.expected.counts, values=expected_values(pair)), pair.current.counts),
            all_measures(pair),
            [comparison.at(plan.level) for comparison in planned],
            plan.deciding,
            plan.level,
        )
        for pair, planned in plan.pairs
        if pair.feature == feature
    ]


def _cells(bins: NumericBins | CategoricalBins, reference: FeatureCounts, current: FeatureCounts) -> Sequence[Cell]:
    before, now = reference.values, current.values
    p, q = (counts.sums / max(counts.total, 1e-300) for counts in (now, before))
    pooled = (p * now.effective + q * before.effective) / max(now.effective + before.effective, 1e-300)
    parts = np.divide((p - q) ** 2, pooled, out=np.zeros_like(pooled), where=pooled > 0.0)
    parts = parts / max(float(parts.sum()), 1e-300)
    cells = [
        Cell(label, float(b), float(n), float(part))
        for label, b, n, part in zip(cell_labels(bins), before.sums, now.sums, parts, strict=True)
        if b or n
    ]
    missing = Cell("missing", float(reference.presence.sums[1]), float(current.presence.sums[1]), 0.0)
    return [*cells, missing]


def cell_labels(bins: NumericBins | CategoricalBins) -> list[str]:
    """Return what each cell holds; hash buckets of other values all say the same."""
    if isinstance(bins, CategoricalBins):
        named = [value.decode("utf-8", "backslashreplace") or "(empty text)" for value in bins.frequent]
        return [*named, *["other known values"] * (bins.size - len(named) - 1), "values new to the reference"]
    edges = [f"{edge:.6g}" for edge in bins.edges]
    if not edges:
        return ["any number"]
    between = [low if low == high else f"{low} to {high}" for low, high in pairwise(edges)]
    return [f"below {edges[0]}", *between, f"{edges[-1]} and above"]
