"""Distances that people know, on the baseline's own cells; changes when a distance is added.

They describe how far two samples are apart and depend on their sizes, so they flag only against a threshold that a user sets;
whether a difference is news is told by `monitor.compare.calibrated`. P and Q are shares of K cells, in the order of the cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from scipy import special

from monitor.profile.bins import Bins, NumericBins
from monitor.profile.counts import Counts
from monitor.profile.document import Floats

_HALF_A_ROW: Final = 0.5


def jensen_shannon(p: Floats, q: Floats) -> float:
    """Return the Jensen-Shannon divergence in bits, in [0, 1] (Lin 1991, IEEE Trans. Inf. Theory 37:145), as TFDV has it."""
    middle = (p + q) / 2.0
    nats = float((special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum()) / 2.0
    return min(1.0, max(0.0, nats / math.log(2.0)))


def l_infinity(p: Floats, q: Floats) -> float:
    """Return the largest difference of one cell's share, in [0, 1]."""
    return float(np.abs(p - q).max(initial=0.0))


def hellinger(p: Floats, q: Floats) -> float:
    """Return the Hellinger distance, in [0, 1]: sqrt(1 - sum sqrt(p q)) (Hellinger 1909)."""
    return float(np.linalg.norm(np.sqrt(p) - np.sqrt(q)) / np.sqrt(2.0))


def kolmogorov_smirnov(p: Floats, q: Floats) -> float:
    """Return the largest difference of the distribution functions at the cells' bounds: at most that of the values themselves."""
    return float(np.abs(np.cumsum(p - q)).max(initial=0.0))


def population_stability(current: Counts, reference: Counts) -> float:
    """Return the population stability index: sum (p - q) ln(p / q) (Siddiqi 2006, Credit Risk Scorecards, chapter 12).

    Half a row is added to every cell of each side, so that an empty one does not make it infinite.
    """
    p, q = (_smoothed(counts) for counts in (current, reference))
    return float(((p - q) * np.log(p / q)).sum())


def wasserstein(p: Floats, q: Floats, bins: NumericBins) -> float:
    """Return the 1-Wasserstein distance over the baseline's range, in its robust standard deviations (`bins.scale`).

    It is the area between the two distribution functions (Vallender 1973), which are taken as straight within a cell; what lies
    outside of the range counts as lying at its ends.
    """
    if len(bins.edges) < 2:
        return 0.0
    gaps = np.cumsum(p - q)[:-1]  # at each edge
    left, right = gaps[:-1], gaps[1:]
    size = np.abs(left) + np.abs(right)
    crossing = left * right < 0.0
    # Where a line crosses zero, two triangles: (l^2 + r^2) / (2 (|l| + |r|)); else a trapezium.
    height = np.divide(left**2 + right**2, 2.0 * size, out=np.zeros_like(size), where=size > 0.0)
    with np.errstate(over="ignore"):
        widths = np.diff(bins.edges) / bins.scale
    return float((np.where(crossing, height, size / 2.0) * widths)[size > 0.0].sum())


def measures(bins: Bins, current: Counts, reference: Counts) -> Mapping[str, float]:
    """Return all distances of a feature's values by name; empty where a side has none.

    Kolmogorov-Smirnov and Wasserstein need an order of the cells, so categories have neither.
    """
    if current.total <= 0.0 or reference.total <= 0.0:
        return MappingProxyType({})
    p, q = current.sums / current.total, reference.sums / reference.total
    found = {name: measure(p, q) for name, measure in _OF_SHARES.items()}
    found["psi"] = population_stability(current, reference)
    if isinstance(bins, NumericBins):
        found["kolmogorov_smirnov"] = kolmogorov_smirnov(p, q)
        found["wasserstein"] = wasserstein(p, q, bins)
    return MappingProxyType(found)


_OF_SHARES: Final[Mapping[str, Callable[[Floats, Floats], float]]] = MappingProxyType(
    {"jensen_shannon": jensen_shannon, "l_infinity": l_infinity, "hellinger": hellinger}
)


def _smoothed(counts: Counts) -> Floats:
    # Weights may be of any size: half of one effective row.
    share = _HALF_A_ROW / max(counts.effective, 1.0)
    smoothed: Floats = (counts.sums / counts.total + share) / (1.0 + share * len(counts.sums))
    return smoothed
