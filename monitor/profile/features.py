"""Counting one feature: of a window on given cells, and of a baseline that lays the cells out; changes with what is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.profile.bins import (
    Bins,
    CategoricalBins,
    NumericBins,
    bins_from_document,
    categorical_bins,
    numeric_bins,
)
from monitor.profile.columns import Column
from monitor.profile.counts import Counts, Indices, Location
from monitor.profile.document import Floats, pack_floats, unpack_floats

MIN_BLOCKS = 5
MAX_BLOCKS = 100
NOTABLE = 10
"""Values without a cell of their own that a profile names, for explanations."""


@dataclass(frozen=True, slots=True)
class BlockNumbers:
    """The block of time of each row.

    Attributes:
        of_rows: (n,) numbers from 0; those from `kept` on belong to blocks that are not kept one by one.
        kept: how many blocks are kept.
        total: how many there are to number, at most kept + 1.
    """

    of_rows: Indices
    kept: int
    total: int

    @classmethod
    def of(cls, event_times: Indices, length: int) -> BlockNumbers | None:
        """Number the blocks of `length` microseconds; None where there are fewer than five.

        Of more than a hundred blocks, a hundred are drawn (by a fixed seed: a regular step could meet the same hour of
        every day).
        """
        distinct, numbers = np.unique(event_times // length, return_inverse=True)
        count = len(distinct)
        if count < MIN_BLOCKS:
            return None
        if count <= MAX_BLOCKS:
            return cls(numbers.astype(np.int64), count, count)
        chosen = np.sort(np.random.default_rng(0).choice(count, MAX_BLOCKS, replace=False))
        place = np.full(count, MAX_BLOCKS)
        place[chosen] = np.arange(MAX_BLOCKS)
        return cls(place[numbers], MAX_BLOCKS, MAX_BLOCKS + 1)


@dataclass(frozen=True, slots=True)
class FeatureCounts:
    """What is counted of one feature over some rows; two of disjoint clusters add up.

    Attributes:
        values: counts of the present values in the feature's cells.
        presence: counts of rows in two cells: present, missing.
        location: sums of the location score; None for categories.
    """

    values: Counts
    presence: Counts
    location: Location | None = None

    def __add__(self, other: FeatureCounts) -> FeatureCounts:
        """Return the counts of both."""
        both = self.location is not None and other.location is not None
        return FeatureCounts(
            self.values + other.values,
            self.presence + other.presence,
            self.location + other.location if both and self.location and other.location else None,
        )

    @property
    def missing_share(self) -> float:
        """Weighted share of rows without a value."""
        total = self.presence.total
        return float(self.presence.sums[1]) / total if total else 0.0

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "values": self.values.to_document(),
            "presence": self.presence.to_document(),
            "location": None if self.location is None else self.location.to_document(),
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> FeatureCounts:
        """Undo `to_document`."""
        location = document["location"]
        return cls(
            Counts.from_document(document["values"]),
            Counts.from_document(document["presence"]),
            None if location is None else Location(*location),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """A baseline's counts block of time by block of time, from which its own variation comes.

    Attributes:
        values: (B, K) counts in the feature's cells.
        presence: (B, 2) rows present and missing.
        novel: (B,) values that no other block holds: unseen categories, or numbers outside the others' range.
        location: (B, 2) weight and total of the location score; (B, 0) for categories.
    """

    values: Floats
    presence: Floats
    novel: Floats
    location: Floats

    def __eq__(self, other: object) -> bool:
        """Compare all counts exactly."""
        return isinstance(other, Blocks) and self.to_document() == other.to_document()

    __hash__ = None  # type: ignore[assignment]

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {name: pack_floats(getattr(self, name)) for name in ("values", "presence", "novel", "location")}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Blocks:
        """Undo `to_document`."""
        return cls(*(unpack_floats(document[name]) for name in ("values", "presence", "novel", "location")))


@dataclass(frozen=True, slots=True)
class FeatureReference:
    """What a baseline keeps of one feature.

    Attributes:
        bins: the cells, laid out on the baseline's values.
        counts: the baseline's own counts. A category seen once is counted as unseen, as it would be if it were left out
            (Good and Turing), so that a column of ids does not look new in every window.
        novel: weight of the values that would be new if they were left out.
        novel_pairs: the same for values seen twice; Var(novel share) = (novel + 2 novel_pairs) / total^2 (Good, 1953).
        blocks: None where the rows have no time, or cover fewer than five blocks.
        plain: counts of the values with those seen once in the cells of their own; None where that is no difference.
    """

    bins: Bins
    counts: FeatureCounts
    novel: float = 0.0
    novel_pairs: float = 0.0
    blocks: Blocks | None = None
    plain: Counts | None = None

    def values_beside(self, current: Counts) -> Counts:
        """Return the counts to compare a window's values with.

        A window with fewer unseen values than a fresh sample would have (at the extreme, rows of the baseline itself)
        is no news, so no more of the values seen once are taken for unseen than the window has of those.
        """
        expected = self.counts.values
        if self.plain is None or expected.sums[-1] <= 0.0 or current.total <= 0.0:
            return expected
        fresh = float(current.sums[-1]) / current.total / (float(expected.sums[-1]) / expected.total)
        return expected if fresh >= 1.0 else expected.scaled(fresh) + self.plain.scaled(1.0 - fresh)

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "bins": self.bins.to_document(),
            "counts": self.counts.to_document(),
            "novel": self.novel,
            "novel_pairs": self.novel_pairs,
            "blocks": None if self.blocks is None else self.blocks.to_document(),
            "plain": None if self.plain is None else self.plain.to_document(),
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> FeatureReference:
        """Undo `to_document`."""
        blocks, plain = document["blocks"], document["plain"]
        return cls(
            bins_from_document(document["bins"]),
            FeatureCounts.from_document(document["counts"]),
            float(document["novel"]),
            float(document["novel_pairs"]),
            None if blocks is None else Blocks.from_document(blocks),
            None if plain is None else Counts.from_document(plain),
        )


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


def reference_of(
    column: Column,
    weights: Floats | None,
    clusters: Indices | None,
    blocks: BlockNumbers | None,
) -> FeatureReference:
    """Lay out the cells of a baseline's column and count it."""
    if column.numbers is not None:
        return _numeric_reference(column, column.numbers, weights, clusters, blocks)
    return _categorical_reference(column, weights, clusters, blocks)


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


def _numeric_reference(
    column: Column,
    numbers: Floats,
    weights: Floats | None,
    clusters: Indices | None,
    blocks: BlockNumbers | None,
) -> FeatureReference:
    each = _each(column, weights)
    bins = numeric_bins(numbers, _floats(column.of_values(weights)))
    counts = count_feature(column, bins, weights, clusters)
    if len(numbers) == 0:
        return FeatureReference(bins, counts)
    ends = (float(numbers.min()), float(numbers.max()))
    held = [each[numbers == end] for end in dict.fromkeys(ends)]
    novel = sum(float(h[0]) for h in held if len(h) == 1)
    pairs = sum(float(h.sum()) for h in held if len(h) == 2)
    kept = None
    if blocks is not None:
        at = _indices(column.of_values(blocks.of_rows))
        low, high = np.full(blocks.total, np.inf), np.full(blocks.total, -np.inf)
        np.minimum.at(low, at, numbers)
        np.maximum.at(high, at, numbers)
        outside = (numbers < _of_others(low)[at]) | (numbers > -_of_others(-high)[at])
        kept = _blocks(column, bins, column.cells(bins), outside, blocks, weights)
    return FeatureReference(bins, counts, novel, pairs, kept)


def _of_others(lowest: Floats) -> Floats:
    """Return for each entry the minimum of all the other entries."""
    order = np.argsort(lowest, kind="stable")
    others = np.full(len(lowest), lowest[order[0]])
    others[order[0]] = lowest[order[1]] if len(order) > 1 else np.inf
    return others


def _categorical_reference(
    column: Column,
    weights: Floats | None,
    clusters: Indices | None,
    blocks: BlockNumbers | None,
) -> FeatureReference:
    codes = np.zeros(0, np.int64) if column.codes is None else column.codes
    distinct = pa.array([], pa.binary()) if column.distinct is None else column.distinct
    each = _each(column, weights)
    mass = np.bincount(codes, each, len(distinct)).astype(np.float64)
    seen = np.bincount(codes, minlength=len(distinct))
    bins = categorical_bins(distinct.to_pylist(), mass, seen.astype(np.float64))
    own = column.cells(bins)
    once = seen[codes] == 1
    moved = bins.complete and bool(once.any())
    cells = np.where(once, bins.unseen, own) if moved else own
    plain = _count(column, bins, own, weights, clusters).values if moved else None
    kept = None
    if blocks is not None and len(codes):
        at = _indices(column.of_values(blocks.of_rows))
        first, last = np.full(len(distinct), blocks.total), np.full(len(distinct), -1)
        np.minimum.at(first, codes, at)
        np.maximum.at(last, codes, at)
        kept = _blocks(column, bins, cells, (first == last)[codes], blocks, weights)
    novel, pairs = float(each[once].sum()), float(each[seen[codes] == 2].sum())
    return FeatureReference(bins, _count(column, bins, cells, weights, clusters), novel, pairs, kept, plain)


def _blocks(
    column: Column,
    bins: Bins,
    cells: Indices,
    novel: npt.NDArray[np.bool_],
    blocks: BlockNumbers,
    weights: Floats | None,
) -> Blocks:
    at, each, kept, count = (
        _indices(column.of_values(blocks.of_rows)),
        _each(column, weights),
        blocks.kept,
        blocks.total,
    )
    values = np.bincount(at * bins.size + cells, each, count * bins.size).reshape(count, bins.size)
    presence = np.bincount(blocks.of_rows * 2 + _missing(column), weights, count * 2).reshape(count, 2)
    location = np.zeros((count, 0))
    if isinstance(bins, NumericBins):
        scores = column.scores(bins)
        location = np.stack([np.bincount(at, each, count), np.bincount(at, each * scores, count)], axis=1)
    return Blocks(
        values[:kept].astype(np.float64),
        presence[:kept].astype(np.float64),
        np.bincount(at, each * novel, count)[:kept].astype(np.float64),
        location[:kept],
    )


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


def _indices(array: npt.NDArray[Any] | None) -> Indices:
    return np.zeros(0, np.int64) if array is None else array.astype(np.int64, copy=False)
