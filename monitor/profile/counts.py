"""Counts of one feature over rows: mergeable sums from which shares and their effective numbers come.

Rows of one cluster (the instances of one request) are not independent, and weighted rows count for less than their
number; the sums kept here are those of the first-order Rao-Scott correction (Rao and Scott, 1984, Annals of Statistics
12:46), whose mean design effect over the cells is exact for weights and clusters together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.profile.document import Floats, pack_floats, unpack_floats

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)  # no slots: `effective` is asked for by every comparison, and kept
class Counts:
    """Weighted counts of K cells; two of disjoint clusters add up.

    Attributes:
        sums: (K,) total weight of the rows of each cell.
        squares: (K,) sum over clusters of the squared weight of the cluster in the cell.
        cross: (K,) sum over clusters of its weight in the cell times its whole weight.
        square_total: sum over clusters of the squared whole weight.
    """

    sums: Floats
    squares: Floats
    cross: Floats
    square_total: float

    @classmethod
    def of(cls, cells: Indices, size: int, weights: Floats | None, clusters: Indices | None) -> Counts:
        """Count values that fell into `cells` (n,), numbered from 0 to size - 1.

        Args:
            cells: the cell of each value.
            size: K.
            weights: (n,), or None where each counts once.
            clusters: (n,) numbers from 0 without big gaps, or None where all values are independent.
        """
        sums = _sum_by(cells, weights, size)
        if clusters is None:
            squares = sums if weights is None else _sum_by(cells, weights * weights, size)
            return cls(sums, squares, squares, float(squares.sum()))
        ones = np.ones(len(cells)) if weights is None else weights
        pair, inverse = np.unique(clusters * size + cells, return_inverse=True)
        in_cell = _sum_by(inverse, ones, len(pair))
        whole = _sum_by(clusters, ones, 0)
        cell = pair % size
        return cls(
            sums,
            _sum_by(cell, in_cell * in_cell, size),
            _sum_by(cell, in_cell * whole[pair // size], size),
            float((whole * whole).sum()),
        )

    @classmethod
    def nothing(cls, size: int) -> Counts:
        """Return counts of no rows at all."""
        return cls(np.zeros(size), np.zeros(size), np.zeros(size), 0.0)

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of both; their clusters must differ."""
        return Counts(
            self.sums + other.sums,
            self.squares + other.squares,
            self.cross + other.cross,
            self.square_total + other.square_total,
        )

    def scaled(self, factor: float) -> Counts:
        """Return the counts of every row taken `factor` times (as a mixture weight, not as a row weight)."""
        return Counts(self.sums * factor, self.squares * factor, self.cross * factor, self.square_total * factor)

    def __eq__(self, other: object) -> bool:
        """Compare all sums exactly."""
        return (
            isinstance(other, Counts)
            and np.array_equal(self.sums, other.sums)
            and np.array_equal(self.squares, other.squares)
            and np.array_equal(self.cross, other.cross)
            and self.square_total == other.square_total
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def total(self) -> float:
        """The weight of all rows."""
        return float(self.sums.sum())

    @cached_property
    def effective(self) -> float:
        """How many independent rows of weight one would tell as much; 0 without rows.

        At most Kish's number, (sum of weights)^2 / (sum of their squares): clusters that are more even than chance would
        be (each request holding one candidate of each sort) must not make a window look bigger than it is.
        """
        total = self.total
        if total <= 0.0:
            return 0.0
        kish = total * total / float(self.squares.sum())
        shares = self.sums / total
        held = shares > 0.0
        freedom = int(held.sum()) - 1
        p = shares[held]
        if freedom < 1:
            return min(kish, total * total / self.square_total)
        variance = self.squares[held] - 2.0 * p * self.cross[held] + p * p * self.square_total
        inflated = float((np.maximum(variance, 0.0) / p).sum())
        return kish if inflated <= 0.0 else min(kish, freedom * total * total / inflated)

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        rows = np.stack([self.sums, self.squares, self.cross])
        return {"sums": pack_floats(rows), "square_total": self.square_total}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Counts:
        """Undo `to_document`."""
        sums, squares, cross = unpack_floats(document["sums"])
        return cls(sums, squares, cross, float(document["square_total"]))


@dataclass(frozen=True, slots=True)
class Location:
    """Weighted sums of a score, from which its mean, spread and standard error come; two of disjoint clusters add up.

    Attributes:
        weight: total weight of the present values.
        total: sum of weight times score.
        squared: sum of weight times squared score.
        within: sum over clusters of the squared weighted total of the cluster.
        cross: sum over clusters of that total times the cluster's weight.
        square_total: sum over clusters of its squared weight.
    """

    weight: float = 0.0
    total: float = 0.0
    squared: float = 0.0
    within: float = 0.0
    cross: float = 0.0
    square_total: float = 0.0

    @classmethod
    def of(cls, scores: Floats, weights: Floats | None, clusters: Indices | None) -> Location:
        """Sum up the scores of the present values."""
        if weights is None and clusters is None:
            n, total, squared = float(len(scores)), float(scores.sum()), float(scores @ scores)
            return cls(n, total, squared, squared, total, n)
        w = np.ones(len(scores)) if weights is None else weights
        weighted = w * scores
        parts, sizes = weighted, w
        if clusters is not None:
            parts, sizes = _sum_by(clusters, weighted, 0), _sum_by(clusters, w, 0)
        return cls(
            float(w.sum()),
            float(weighted.sum()),
            float(weighted @ scores),
            float(parts @ parts),
            float(parts @ sizes),
            float(sizes @ sizes),
        )

    def __add__(self, other: Location) -> Location:
        """Return the sums of both; their clusters must differ."""
        return Location(*(a + b for a, b in zip(self.to_document(), other.to_document(), strict=True)))

    @property
    def mean(self) -> float:
        """Mean score; 0 without values."""
        return self.total / self.weight if self.weight else 0.0

    @property
    def variance(self) -> float:
        """Variance of the scores."""
        return max(0.0, self.squared / self.weight - self.mean**2) if self.weight else 0.0

    @property
    def variance_of_mean(self) -> float:
        """Squared standard error of the mean, clusters and weights taken into account."""
        if not self.weight:
            return 0.0
        between = self.within - 2.0 * self.mean * self.cross + self.mean**2 * self.square_total
        return max(0.0, between) / self.weight**2

    def to_document(self) -> list[float]:
        """Return the six sums."""
        return [self.weight, self.total, self.squared, self.within, self.cross, self.square_total]


def _sum_by(numbers: Indices, amounts: Floats | None, size: int) -> Floats:
    return np.bincount(numbers, amounts, size).astype(np.float64, copy=False)
