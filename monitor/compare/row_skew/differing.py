"""Differing pairs of numbers, each distinct one once, in two halves: one to fit on, one to test; changes with that sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from monitor.compare.row_skew.rounding import Floats

_FIT_PAIRS = 4096
"""A median over more pairs is no better, only slower."""
_LOOK = 1000


@dataclass(frozen=True, slots=True)
class Differing:
    """Distinct pairs of numbers, k of them, in an order that depends on the values alone, never on the order of rows.

    Attributes:
        training: float64 (k,), finite.
        served: float64 (k,), finite.
        counts: int64 (k,), rows that hold the pair.
        rows: all differing rows, those with an infinite or missing value included.
    """

    training: Floats
    served: Floats
    counts: npt.NDArray[np.int64]
    rows: int

    @classmethod
    def of(cls, training: Floats, served: Floats) -> Self:
        """Return the distinct pairs among n rows."""
        usable = np.isfinite(training) & np.isfinite(served)
        # Minus zero is zero, but has other bits.
        a, b = training[usable] + 0.0, served[usable] + 0.0
        mixed = _mixed(_mixed(a.view(np.uint64)) ^ (b.view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)))
        _, first, counts = np.unique(mixed, return_index=True, return_counts=True)
        return cls(a[first], b[first], counts.astype(np.int64), len(training))

    def swapped(self) -> Differing:
        """Return the same pairs seen from the other side."""
        return Differing(self.served, self.training, self.counts, self.rows)

    def fitting(self) -> Differing:
        """Return the half that parameters are fitted on, or a part of it."""
        return self._part(slice(0, 2 * _FIT_PAIRS, 2))

    def verifying(self) -> Differing:
        """Return the other half."""
        return self._part(slice(1, None, 2))

    def _part(self, part: slice) -> Differing:
        counts = self.counts[part]
        return Differing(self.training[part], self.served[part], counts, int(counts.sum()))

    def explained(self, mask: npt.NDArray[np.bool_]) -> int:
        """Return how many rows hold the pairs of a mask (k,)."""
        return int(self.counts[mask].sum())


def weighted_median(values: Floats, weights: npt.NDArray[np.int64] | Floats) -> float:
    """Return the value (of at least one) below and above which half of the weight lies."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def varied(values: Floats, least: int) -> bool:
    """Say whether there are at least `least` distinct values."""
    return len(np.unique(values[:_LOOK])) >= least or len(np.unique(values)) >= least


def _mixed(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return well mixed bits, one to one: the finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
