"""Counting one feature: of a window on given cells, and of a baseline that lays the cells out; changes with how that is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.profile.bins import Bins, CategoricalBins, NumericBins, categorical_bins, numeric_bins
from monitor.profile.calendar import BlockNumbers
from monitor.profile.columns import Column
from monitor.profile.counts import Counts, Indices, Location
from monitor.profile.document import Floats
from monitor.profile.features import Blocks, FeatureCounts, FeatureReference

NOTABLE = 10
"""Values without a cell of their own that a profile names, for explanations."""


def count_feature(column: Column, bins: Bins, weights: Floats | None, clusters: Indices | None) -> FeatureCounts:
    """Count one column of n rows on given cells; weights and cluster numbers are (n,) or None."""
    return _count(column, bins, column.cells(bins), weights, clusters)


def notable_values(column: Column, bins: Bins, weights: Floats | None) -> tuple[tuple[bytes, float], ...]:
    """Return the heaviest categories without a cell of their own, with their share of the present values."""
    if not isinstance(bins, CategoricalBins) or column.codes is None or column.distinct is None:
        return ()
    if len(column.codes) == 0:
        return ()
    mass = np.bincount(column.codes, _floats(column.of_values(weights)), len(column.distinct)).astype(np.float64)
    total = float(mass.sum())
    mass[bins.cells(column.distinct) < len(bins.frequent)] = 0.0
    best = np.argsort(-mass, kind="stable")[:NOTABLE]
    named = ((column.distinct[int(i)].as_py(), float(mass[i]) / total) for i in best if mass[i] > 0.0)
    return tuple(sorted(named, key=lambda pair: (-pair[1], pair[0])))


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A baseline's column with the cells laid out on all of its rows, to be counted as a whole or in parts.

    Attributes:
        cells: (v,) the cell of each value, a category seen once being in the unseen one.
        plain: (v,) the same with those in cells of their own; None where that is no difference.
        once, twice: (v,) the value would be new if its one row, or its two rows, were left out.
        alone: (v,) no other block of time holds the value, or reaches as far; None without blocks.
    """

    column: Column
    weights: Floats | None
    blocks: BlockNumbers | None
    bins: Bins
    cells: Indices
    plain: Indices | None
    once: npt.NDArray[np.bool_]
    twice: npt.NDArray[np.bool_]
    alone: npt.NDArray[np.bool_] | None

    @classmethod
    def of(cls, column: Column, weights: Floats | None, blocks: BlockNumbers | None) -> Layout:
        """Lay out the cells of a column on its values."""
        if column.numbers is not None:
            return _numeric_layout(column, column.numbers, weights, blocks)
        return _categorical_layout(column, weights, blocks)

    def reference(self, clusters: Indices | None) -> FeatureReference:
        """Count all rows; (n,) `clusters` numbers their clusters from 0 without big gaps, None where each is its own."""
        column, bins, weights = self.column, self.bins, self.weights
        each = _each(column, weights)
        plain = None if self.plain is None else _count(column, bins, self.plain, weights, clusters).values
        return FeatureReference(
            bins,
            _count(column, bins, self.cells, weights, clusters),
            float(each[self.once].sum()),
            float(each[self.twice].sum()),
            self._blocks(each),
            plain,
        )

    def part(self, rows: npt.NDArray[np.bool_]) -> Layout:
        """Return the rows of a mask (n,), on the same cells; what is new is still told by all rows."""
        values = _masked(self.column.of_values(rows))
        return Layout(
            self.column.part(rows),
            None if self.weights is None else self.weights[rows],
            None if self.blocks is None else self.blocks.part(rows),
            self.bins,
            self.cells[values],
            None if self.plain is None else self.plain[values],
            self.once[values],
            self.twice[values],
            None if self.alone is None else self.alone[values],
        )

    def _blocks(self, each: Floats) -> Blocks | None:
        blocks, column = self.blocks, self.column
        if blocks is None or self.alone is None:
            return None
        at = _indices(column.of_values(blocks.of_rows))
        values, location = self._sums(at, blocks.total, each)
        seasonal, seasonal_location = self._sums(_indices(column.of_values(blocks.seasons)), blocks.slots, each)
        kept = blocks.kept
        return Blocks(
            values[:kept],
            _table(blocks.of_rows, blocks.total, _missing(column), 2, self.weights)[:kept],
            np.bincount(at, each * self.alone, blocks.total)[:kept].astype(np.float64),
            location[:kept],
            seasonal,
            _table(blocks.seasons, blocks.slots, _missing(column), 2, self.weights),
            seasonal_location,
        )

    def _sums(self, groups: Indices, count: int, each: Floats) -> tuple[Floats, Floats]:
        """Return the counts (count, K) of groups of values, and weight, total and squared total (count, 3) of their scores."""
        values = _table(groups, count, self.cells, self.bins.size, each)
        if not isinstance(self.bins, NumericBins):
            return values, np.zeros((count, 0))
        scores = self.column.scores(self.bins)
        sums = [np.bincount(groups, each * power, count) for power in (np.ones(len(scores)), scores, scores * scores)]
        return values, np.stack(sums, axis=1)


def _count(
    column: Column,
    bins: Bins,
    cells: Indices,
    weights: Floats | None,
    clusters: Indices | None,
) -> FeatureCounts:
    value_weights = _floats(column.of_values(weights))
    grouped = clusters
    if column.owners is not None and clusters is None:
        # The values of one list belong together, so the row is their cluster.
        grouped = np.arange(column.rows)
    owners = column.of_values(grouped)
    of = None if owners is None else owners.astype(np.int64)
    location = None
    if isinstance(bins, NumericBins):
        location = Location.of(column.scores(bins), value_weights, of)
    return FeatureCounts(
        Counts.of(cells, bins.size, value_weights, of),
        Counts.of(_missing(column), 2, weights, clusters),
        location,
    )


def _numeric_layout(column: Column, numbers: Floats, weights: Floats | None, blocks: BlockNumbers | None) -> Layout:
    bins = numeric_bins(numbers, _floats(column.of_values(weights)))
    nothing = np.zeros(len(numbers), bool)
    if len(numbers) == 0:
        return Layout(column, weights, None, bins, column.cells(bins), None, nothing, nothing, None)
    once, twice = nothing.copy(), nothing.copy()
    for end in dict.fromkeys((float(numbers.min()), float(numbers.max()))):
        held = np.flatnonzero(numbers == end)
        if len(held) <= 2:
            (once if len(held) == 1 else twice)[held] = True
    alone = None
    if blocks is not None:
        at = _indices(column.of_values(blocks.of_rows))
        low, high = np.full(blocks.total, np.inf), np.full(blocks.total, -np.inf)
        np.minimum.at(low, at, numbers)
        np.maximum.at(high, at, numbers)
        alone = (numbers < _of_others(low)[at]) | (numbers > -_of_others(-high)[at])
    return Layout(column, weights, blocks, bins, column.cells(bins), None, once, twice, alone)


def _of_others(lowest: Floats) -> Floats:
    """Return for each entry the minimum of all the other entries."""
    order = np.argsort(lowest, kind="stable")
    others = np.full(len(lowest), lowest[order[0]])
    others[order[0]] = lowest[order[1]] if len(order) > 1 else np.inf
    return others


def _categorical_layout(column: Column, weights: Floats | None, blocks: BlockNumbers | None) -> Layout:
    codes = np.zeros(0, np.int64) if column.codes is None else column.codes
    distinct = pa.array([], pa.binary()) if column.distinct is None else column.distinct
    mass = np.bincount(codes, _each(column, weights), len(distinct)).astype(np.float64)
    seen = np.bincount(codes, minlength=len(distinct))
    bins = categorical_bins(distinct.to_pylist(), mass, seen.astype(np.float64))
    own, once = column.cells(bins), seen[codes] == 1
    moved = bins.complete and bool(once.any())
    alone = None
    if blocks is not None and len(codes):
        at = _indices(column.of_values(blocks.of_rows))
        first, last = np.full(len(distinct), blocks.total), np.full(len(distinct), -1)
        np.minimum.at(first, codes, at)
        np.maximum.at(last, codes, at)
        alone = (first == last)[codes]
    cells = np.where(once, bins.unseen, own) if moved else own
    return Layout(column, weights, blocks, bins, cells, own if moved else None, once, seen[codes] == 2, alone)


def _table(rows: Indices, count: int, cells: Indices, size: int, weights: Floats | None) -> Floats:
    return np.bincount(rows * size + cells, weights, count * size).reshape(count, size).astype(np.float64)


def _missing(column: Column) -> Indices:
    return np.zeros(column.rows, np.int64) if column.present is None else (~column.present).astype(np.int64)


def _each(column: Column, weights: Floats | None) -> Floats:
    """Return the weight of each value, ones where rows have none."""
    w = _floats(column.of_values(weights))
    if w is not None:
        return w
    return np.ones(len(column.numbers if column.numbers is not None else _indices(column.codes)))


def _floats(array: npt.NDArray[Any] | None) -> Floats | None:
    return None if array is None else array.astype(np.float64, copy=False)


def _masked(array: npt.NDArray[Any] | None) -> npt.NDArray[np.bool_]:
    return np.zeros(0, bool) if array is None else array.astype(bool, copy=False)


def _indices(array: npt.NDArray[Any] | None) -> Indices:
    return np.zeros(0, np.int64) if array is None else array.astype(np.int64, copy=False)
