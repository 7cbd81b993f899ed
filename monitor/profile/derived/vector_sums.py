"""Mergeable sums of the features of vectors, which a test of their means needs; changes with what that test asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.additive import Additive
from monitor.profile.calendar import BlockNumbers
from monitor.profile.counts import Indices
from monitor.profile.derived.arrays import sums_by
from monitor.profile.document import Floats, pack_floats, unpack_floats

_SUMS = ("totals", "squared", "within", "cross")
_ROWS_PER_DIRECTION = 5.0
"""Effective rows that a baseline must have for each direction of its covariance."""
_LEAST_VARIANCE = 0.05
"""Part of the mean variance that a direction must have. In those of less the bulk of the rows cancels out, and outliers rule the
mean: with them, 4% of windows of 300 heavy-tailed vectors exceeded a level of 0.1%; without them, 0.1% did."""
_WEIGHTS = ("weight", "row_squares", "square_total")


@dataclass(frozen=True, slots=True, eq=False)
class VectorSums(Additive):
    """Weighted sums of D features over rows, as `counts.Location` keeps them of one score; two of disjoint clusters add up.

    Attributes:
        weight: total weight of the rows.
        totals: (D,) weighted sum.
        squared: (D,) weighted sum of squares.
        within: (D,) sum over clusters of the squared weighted total of the cluster.
        cross: (D,) sum over clusters of that total times the cluster's weight.
        row_squares: sum over rows of the squared weight.
        square_total: sum over clusters of the squared weight.
    """

    weight: float
    totals: Floats
    squared: Floats
    within: Floats
    cross: Floats
    row_squares: float
    square_total: float

    @classmethod
    def of(cls, features: Floats, weights: Floats | None, clusters: Indices | None) -> VectorSums:
        """Sum up features (m, D); weights and cluster numbers are (m,) or None."""
        w = np.ones(len(features)) if weights is None else weights
        weighted = features * w[:, None]
        parts, sizes = weighted, w
        if clusters is not None:
            distinct, numbers = np.unique(clusters, return_inverse=True)
            parts = sums_by(numbers, weighted, len(distinct))
            sizes = np.bincount(numbers, w, len(distinct)).astype(np.float64)
        return cls(
            float(w.sum()),
            weighted.sum(axis=0),
            np.einsum("ij,ij->j", weighted, features),
            np.einsum("ij,ij->j", parts, parts),
            sizes @ parts,
            float(w @ w),
            float(sizes @ sizes),
        )

    def __eq__(self, other: object) -> bool:
        """Compare all sums exactly."""
        return isinstance(other, VectorSums) and self.to_document() == other.to_document()

    __hash__ = None  # type: ignore[assignment]

    @property
    def means(self) -> Floats:
        """(D,) mean of each feature; zeros without rows."""
        return self.totals / self.weight if self.weight else np.zeros_like(self.totals)

    @property
    def effective(self) -> float:
        """How many independent rows of weight one would tell as much; 0 without rows.

        At most Kish's number; divided by the mean over the features of what clusters add to the variance of a mean
        (first-order Rao-Scott, as for counts).
        """
        if self.weight <= 0.0:
            return 0.0
        kish = self.weight**2 / self.row_squares
        means = self.means
        variance = self.squared / self.weight - means**2
        varied = variance > 1e-12
        if not varied.any():
            return min(kish, self.weight**2 / self.square_total)
        between = self.within - 2.0 * means * self.cross + means**2 * self.square_total
        inflation = float(np.mean(np.maximum(between, 0.0)[varied] / variance[varied])) / self.weight**2
        return kish if inflation <= 0.0 else min(kish, 1.0 / inflation)

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        weights = {name: getattr(self, name) for name in _WEIGHTS}
        return {"sums": pack_floats(np.stack([getattr(self, name) for name in _SUMS])), **weights}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> VectorSums:
        """Undo `to_document`."""
        totals, squared, within, cross = unpack_floats(document["sums"])
        weight, row_squares, square_total = (float(document[name]) for name in _WEIGHTS)
        return cls(weight, totals, squared, within, cross, row_squares, square_total)


@dataclass(frozen=True, slots=True, eq=False)
class VectorReference:
    """What a baseline keeps of the features of its vectors.

    Attributes:
        sums: over all of its rows.
        scaling: (D, r) directions in which the features are uncorrelated and of variance one, the largest variance last.
        kurtosis: mean of |y|^4 over the scaled features y, less the r (r + 2) of normal ones (Mardia 1970, Biometrika 57:519).
        blocks: (B, 1 + D) weight and totals of each block of time that is kept; None where there are fewer than five.
        seasons: (S, 1 + D) the same of all rows of each season.
    """

    sums: VectorSums
    scaling: Floats
    kurtosis: float
    blocks: Floats | None = None
    seasons: Floats | None = None

    @classmethod
    def of(
        cls, features: Floats, weights: Floats | None, clusters: Indices | None, blocks: BlockNumbers | None
    ) -> VectorReference:
        """Sum up a baseline's features (m, D); the blocks are those of the same m rows."""
        sums = VectorSums.of(features, weights, clusters)
        w = np.ones(len(features)) if weights is None else weights
        centred = features - sums.means
        scaling = _whitening((centred * w[:, None]).T @ centred / max(sums.weight, 1e-300), sums.effective)
        lengths = ((centred @ scaling) ** 2).sum(axis=1)
        rank = scaling.shape[1]
        kurtosis = float(w @ lengths**2) / max(sums.weight, 1e-300) - rank * (rank + 2.0)
        if blocks is None:
            return cls(sums, scaling, kurtosis)
        weighted = np.concatenate([np.ones((len(features), 1)), features], axis=1) * w[:, None]
        by_block = sums_by(blocks.of_rows, weighted, blocks.total)[: blocks.kept]
        return cls(sums, scaling, kurtosis, by_block, sums_by(blocks.seasons, weighted, blocks.slots))

    def __eq__(self, other: object) -> bool:
        """Compare all sums exactly."""
        return isinstance(other, VectorReference) and self.to_document() == other.to_document()

    __hash__ = None  # type: ignore[assignment]

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "sums": self.sums.to_document(),
            "scaling": pack_floats(self.scaling),
            "kurtosis": self.kurtosis,
            "blocks": None if self.blocks is None else pack_floats(self.blocks),
            "seasons": None if self.seasons is None else pack_floats(self.seasons),
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> VectorReference:
        """Undo `to_document`."""
        blocks, seasons = document["blocks"], document["seasons"]
        return cls(
            VectorSums.from_document(document["sums"]),
            unpack_floats(document["scaling"]),
            float(document["kurtosis"]),
            None if blocks is None else unpack_floats(blocks),
            None if seasons is None else unpack_floats(seasons),
        )


def _whitening(covariance: Floats, rows: float) -> Floats:
    values, directions = np.linalg.eigh(covariance)
    spread = float(values.mean()) if len(values) else 0.0
    rank = int((values > _LEAST_VARIANCE * spread).sum()) if spread > 0.0 else 0
    first = len(values) - min(rank, int(rows / _ROWS_PER_DIRECTION))
    scaling: Floats = directions[:, first:] / np.sqrt(values[first:])
    return scaling
