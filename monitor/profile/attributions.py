"""How much of a model's predictions each feature accounts for: mergeable sums over rows; changes with what is kept of them.

An attribution is what one feature added to one prediction, of either sign, however it was made (Shapley values, integrated
gradients, permutation). A feature's share is its mean absolute attribution over the sum of all features' means, the global
importance of Lundberg and Lee (2017, A Unified Approach to Interpreting Model Predictions).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.profile.counts import Indices
from monitor.profile.document import Floats, pack_floats, unpack_floats
from monitor.records import Rows

PREFIX = "attribution."
"""The column `attribution.f` holds the attribution of feature `f`, one number a row, or a list of numbers that add up."""


@dataclass(frozen=True, eq=False)
class AttributionCounts:
    """Sums of absolute attributions over rows; two of disjoint clusters add up.

    Attributes:
        names: of d features, sorted.
        rows: that have attributions.
        weight: total weight W of these rows.
        square_weight: sum over clusters of the squared weight of the cluster.
        totals: (d,) sum of weight times absolute attribution.
        products: (d, d) sum over clusters of the outer product of the cluster's weighted absolute attributions.
        blocks: by number of a block of time, (1 + d,) the weight and the totals of its rows; empty without times.
    """

    names: tuple[str, ...]
    rows: int
    weight: float
    square_weight: float
    totals: Floats
    products: Floats
    blocks: Mapping[int, Floats]

    @classmethod
    def of(
        cls,
        attributions: Mapping[str, Floats],
        *,
        weights: Floats | None = None,
        clusters: Indices | None = None,
        blocks: Indices | None = None,
    ) -> AttributionCounts:
        """Sum up attributions.

        Args:
            attributions: by feature, (n,) each; one that is not finite counts as 0, and a row without any is left out.
            weights: (n,), or None where each row counts once.
            clusters: (n,) any numbers; rows of one cluster are not independent. None where all rows are.
            blocks: (n,) the number of each row's block of time; None without times.
        """
        names = tuple(sorted(attributions))
        signed = np.stack([np.asarray(attributions[name], np.float64) for name in names], axis=1)
        there = np.isfinite(signed)
        kept = there.any(axis=1)
        w = (np.ones(len(signed)) if weights is None else weights)[kept]
        # The weight stands beside the attributions, so that one sum over rows does for both.
        parts = np.column_stack([w, w[:, None] * np.where(there, np.abs(signed), 0.0)[kept]])
        wholes = parts if clusters is None else _sums_by(clusters[kept], parts)[1]
        numbers, by_block = (np.empty(0, np.int64), parts[:0]) if blocks is None else _sums_by(blocks[kept], parts)
        return cls(
            names=names,
            rows=int(kept.sum()),
            weight=float(w.sum()),
            square_weight=float(wholes[:, 0] @ wholes[:, 0]),
            totals=parts[:, 1:].sum(axis=0),
            products=wholes[:, 1:].T @ wholes[:, 1:],
            blocks={int(number): sums for number, sums in zip(numbers, by_block, strict=True)},
        )

    def __add__(self, other: AttributionCounts) -> AttributionCounts:
        """Return the sums of both; their clusters must differ. A feature that one side lacks has attribution 0 there."""
        names = tuple(sorted({*self.names, *other.names}))
        a, b = self.padded(names), other.padded(names)
        numbers = a.blocks.keys() | b.blocks.keys()
        nothing = np.zeros(1 + len(names))
        return AttributionCounts(
            names,
            a.rows + b.rows,
            a.weight + b.weight,
            a.square_weight + b.square_weight,
            a.totals + b.totals,
            a.products + b.products,
            {number: a.blocks.get(number, nothing) + b.blocks.get(number, nothing) for number in sorted(numbers)},
        )

    def padded(self, names: tuple[str, ...]) -> AttributionCounts:
        """Return the same with the features of `names`, which hold all of these, in their order."""
        if names == self.names:
            return self
        places = np.array([names.index(name) for name in self.names])
        totals, products = np.zeros(len(names)), np.zeros((len(names), len(names)))
        totals[places] = self.totals
        products[np.ix_(places, places)] = self.products
        blocks = {}
        for number, sums in self.blocks.items():
            blocks[number] = np.zeros(1 + len(names))
            blocks[number][np.concatenate([[0], 1 + places])] = sums
        return AttributionCounts(names, self.rows, self.weight, self.square_weight, totals, products, blocks)

    @property
    def effective(self) -> float:
        """Kish's effective number of independent rows, clusters and weights taken into account; 0 without rows."""
        return self.weight**2 / self.square_weight if self.square_weight else 0.0

    @property
    def shares(self) -> Floats:
        """(d,) share of each feature; all 0 where nothing has any attribution."""
        whole = float(self.totals.sum())
        return self.totals / whole if whole > 0.0 else np.zeros(len(self.names))

    @cached_property
    def row_variances(self) -> Floats:
        """(d,) variance of each share times the effective number of rows: what one independent row brings.

        The share is a ratio of two totals, so its variance is that of the linearised ratio: sum over clusters of
        (a_j - s_j a)^2 / T^2, with a_j and a the cluster's total of the feature and of all (Cochran 1977, Sampling
        Techniques, 6.4).
        """
        whole, n = float(self.totals.sum()), self.effective
        if whole <= 0.0 or n <= 1.0:
            return np.zeros(len(self.names))
        s, across = self.shares, self.products.sum(axis=1)
        squared = np.diag(self.products) - 2.0 * s * across + s**2 * across.sum()
        return np.asarray(np.maximum(squared, 0.0) / whole**2 * n * n / (n - 1.0), np.float64)

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        table = np.array(list(self.blocks.values())).reshape(len(self.blocks), 1 + len(self.names))
        return {
            "names": list(self.names),
            "rows": self.rows,
            "weight": self.weight,
            "square_weight": self.square_weight,
            "totals": pack_floats(self.totals),
            "products": pack_floats(self.products),
            "block_numbers": list(self.blocks),
            "blocks": pack_floats(table),
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> AttributionCounts:
        """Undo `to_document`."""
        return cls(
            tuple(document["names"]),
            int(document["rows"]),
            float(document["weight"]),
            float(document["square_weight"]),
            unpack_floats(document["totals"]),
            unpack_floats(document["products"]),
            dict(zip(document["block_numbers"], unpack_floats(document["blocks"]), strict=True)),
        )


def attribution_summary(
    rows: Rows, *, prefix: str = PREFIX, block_length: int | None = None
) -> AttributionCounts | None:
    """Return the sums of the attributions that were logged with the rows; None where no column of numbers has the prefix.

    Args:
        rows: of a window or of a reference.
        prefix: what the names of attribution columns begin with; what follows is the feature's name.
        block_length: length of a block of time in microseconds; without it, or times, nothing is known of blocks.
    """
    columns = {
        name.removeprefix(prefix): values
        for name in rows.features.column_names
        if name.startswith(prefix) and (values := _numbers(rows.features.column(name))) is not None
    }
    if not columns:
        return None
    times = rows.event_times
    return AttributionCounts.of(
        columns,
        weights=rows.weights,
        clusters=None if rows.clusters is None else rows.clusters.view(np.int64),
        blocks=None if times is None or block_length is None else times // block_length,
    )


def _numbers(column: pa.ChunkedArray) -> Floats | None:
    """Return one number a row, NaN where there is none; the sum of a list, whose parts are of one feature."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        if not _is_number(kind.value_type):
            return None
        owners = np.asarray(pc.list_parent_indices(column).to_numpy(), np.int64)
        parts = pc.cast(pc.list_flatten(column), pa.float64()).to_numpy()
        sums = np.bincount(owners, parts, minlength=len(column))
        return np.where(np.bincount(owners, minlength=len(column)) > 0, sums, np.nan)
    if not _is_number(kind):
        return None
    return np.asarray(pc.cast(column, pa.float64()).to_numpy(), np.float64)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _sums_by(numbers: Indices, parts: Floats) -> tuple[Indices, Floats]:
    """Return the distinct numbers, and the sums of the rows of `parts` (n, k) that have each."""
    distinct, inverse = np.unique(numbers, return_inverse=True)
    sums = [np.bincount(inverse, column, len(distinct)) for column in parts.T]
    return distinct, np.stack(sums, axis=1).astype(np.float64, copy=False)
