"""The cells into which a feature's values are counted, laid out once on the baseline; changes when their layout does.

Numbers: quantile cells of the baseline, with cells of their own for heavy values, and one cell below and one above its
range. Categories: cells of their own for frequent values, hash buckets for the other known values, one for unseen ones.
No cell is chosen by how its count compares with its neighbours' in a way that noise decides: ranked cut-offs ("the top
32") would make the baseline differ from any second sample of the same distribution, winner's curse, so all values
above a fixed share have a cell, and the rest is spread over buckets by hash.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from monitor.profile.counts import Indices
from monitor.profile.document import Floats, pack_floats, pack_values, unpack_floats, unpack_values

QUANTILE_CELLS = 16
FEW_VALUES = 32
"""Numbers with at most this many distinct values get a cell for each."""
FREQUENT_SHARE = 1.0 / 64.0
BUCKETS = 16
MAX_KNOWN = 10_000
"""Distinct categories that are remembered; a feature with more has no unseen cell."""
_MAX_TABLE = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class NumericBins:
    """Cells of numbers: 0 is below `edges[0]`, i is [edges[i-1], edges[i]), the last is `edges[-1]` and above.

    Attributes:
        edges: (m,) ascending; there are m + 1 cells. NaN is missing; infinities fall into the outer cells.
        centre: median of the baseline.
        scale: interquartile range / 1.349 of the baseline (its standard deviation where that is 0, else 1).
        bounded: the edges are the baseline's own range, so that the outer cells mean "outside of it".
    """

    edges: Floats
    centre: float = 0.0
    scale: float = 1.0
    bounded: bool = True

    @property
    def size(self) -> int:
        """Number of cells."""
        return len(self.edges) + 1

    def cells(self, values: Floats) -> Indices:
        """Return the cell of each present (not NaN) value."""
        return np.searchsorted(self.edges, values, side="right")

    def scores(self, values: Floats) -> Floats:
        """Return asinh((value - centre) / (3 scale)): like the value near the centre, like its logarithm far out.

        It neither saturates, as ranks do where a window leaves the baseline's range, nor lets one outlier rule the mean.
        """
        limit = np.finfo(np.float64).max / 4.0
        with np.errstate(over="ignore"):
            # A third of each, so that neither three scales nor the distance from the centre is beyond all numbers.
            scaled = (np.clip(values, -limit, limit) / 3.0 - self.centre / 3.0) / max(self.scale, 1e-300)
        scores: Floats = np.arcsinh(np.clip(scaled, -limit, limit))
        return scores

    def __eq__(self, other: object) -> bool:
        """Compare the layouts exactly."""
        return isinstance(other, NumericBins) and self.to_document() == other.to_document()

    __hash__ = None  # type: ignore[assignment]

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `bins_from_document` reads back exactly."""
        return {
            "type": "numeric",
            "edges": pack_floats(self.edges),
            "centre": self.centre,
            "scale": self.scale,
            "bounded": self.bounded,
        }


@dataclass(frozen=True, slots=True)
class CategoricalBins:
    """Cells of categories: the frequent values in the order of their bytes, then hash buckets, then the unseen.

    Attributes:
        frequent: values with a cell of their own.
        known: all other values of the baseline, in the order of their bytes; empty where there were too many.
        complete: every value of the baseline is remembered, so that "unseen" means something.
        hashed: values without a cell of their own are spread over the buckets; else all are in the first.
    """

    frequent: tuple[bytes, ...]
    known: tuple[bytes, ...]
    complete: bool
    hashed: bool = True

    @property
    def size(self) -> int:
        """Number of cells."""
        return len(self.frequent) + BUCKETS + 1

    @property
    def unseen(self) -> int:
        """The cell of values that the baseline does not know; empty where it is not complete."""
        return self.size - 1

    def cells(self, distinct: pa.Array) -> Indices:
        """Return the cell of each distinct value, a binary array without nulls."""
        if len(distinct) == 0:
            return np.zeros(0, np.int64)
        values = pa.array([*self.frequent, *self.known], pa.binary())
        found = pc.index_in(distinct, value_set=values)
        place = np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), np.int64)
        cells = np.where(place < 0, self.unseen, place)
        first = len(self.frequent)
        bucketed = (place >= first) if self.complete else ((place < 0) | (place >= first))
        if not self.hashed:
            cells[bucketed] = first
            return cells
        members = distinct.filter(pa.array(bucketed)).to_pylist()
        cells[bucketed] = [first + xxhash.xxh3_64_intdigest(member) % BUCKETS for member in members]
        return cells

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `bins_from_document` reads back exactly."""
        return {
            "type": "categorical",
            "frequent": pack_values(self.frequent),
            "known": pack_values(self.known),
            "complete": self.complete,
            "hashed": self.hashed,
        }


Bins = NumericBins | CategoricalBins


def bins_from_document(document: dict[str, Any]) -> Bins:
    """Undo `to_document` of either kind."""
    if document["type"] == "numeric":
        edges = unpack_floats(document["edges"])
        return NumericBins(edges, float(document["centre"]), float(document["scale"]), bool(document["bounded"]))
    frequent, known = unpack_values(document["frequent"]), unpack_values(document["known"])
    return CategoricalBins(frequent, known, bool(document["complete"]), bool(document["hashed"]))


def numeric_bins(values: Floats, weights: Floats | None) -> NumericBins:
    """Lay out cells on the baseline's present values (no NaN); infinities shape no cell.

    A value that holds 1/16 of the rows or more gets a cell of its own, [value, next number); what lies between two such
    values is cut at quantiles into cells of about 1/16 each.
    """
    finite = np.isfinite(values)
    inside = values if finite.all() else values[finite]
    if len(inside) == 0:
        return NumericBins(np.zeros(0), bounded=False)
    order = None if weights is None else np.argsort(inside, kind="stable")
    ordered = np.sort(inside) if order is None else inside[order]
    w = np.ones(len(ordered)) if weights is None else (weights if finite.all() else weights[finite])[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] > ordered[:-1]]))
    distinct, mass = ordered[starts], np.add.reduceat(w, starts)
    cumulative = np.cumsum(mass)
    total = float(cumulative[-1])
    centre, low, high = (float(distinct[_place(cumulative, q * total)]) for q in (0.5, 0.25, 0.75))
    return NumericBins(_edges(distinct, mass, cumulative), centre, _scale(ordered, low, high))


def categorical_bins(values: list[bytes], mass: Floats, rows: Floats) -> CategoricalBins:
    """Lay out cells on the baseline's distinct values, their weights, and how many rows hold each.

    A value seen once never has a cell of its own: left out, it would be unseen, and that is how it is counted.
    """
    total = float(mass.sum())
    frequent = sorted(
        v for v, m, r in zip(values, mass.tolist(), rows.tolist(), strict=True) if r > 1 and m >= FREQUENT_SHARE * total
    )
    if len(values) > MAX_KNOWN:
        return CategoricalBins(tuple(frequent), (), complete=False, hashed=False)
    return CategoricalBins(tuple(frequent), tuple(sorted(set(values) - set(frequent))), complete=True)


def universal_bins(numeric: bool) -> Bins:
    """Return cells that need no baseline: twentieths of [0, 1] and steps of a third of a decade; or hash buckets."""
    if not numeric:
        return CategoricalBins((), (), complete=False)
    decades = 10.0 ** (np.arange(-18, 37) / 3.0)
    return NumericBins(np.unique(np.concatenate([-decades, decades, np.linspace(0.0, 1.0, 21)])), bounded=False)


def _place(cumulative: Floats, mass: float) -> int:
    return min(int(np.searchsorted(cumulative, mass)), len(cumulative) - 1)


def _edges(distinct: Floats, mass: Floats, cumulative: Floats) -> Floats:
    total = float(cumulative[-1])
    if len(distinct) <= FEW_VALUES:
        heavy = np.ones(len(distinct), bool)
    else:
        heavy = mass >= total / QUANTILE_CELLS
    edges = [distinct[heavy], _after(distinct[heavy])]
    bounds = [-1, *np.flatnonzero(heavy).tolist(), len(distinct)]
    for left, right in itertools.pairwise(bounds):
        if right - left < 2:
            continue
        before = float(cumulative[left]) if left >= 0 else 0.0
        between = float(cumulative[right - 1]) - before
        pieces = max(1, round(between * QUANTILE_CELLS / total))
        targets = before + between * np.arange(1, pieces) / pieces
        # A cell starts at the first value that lies beyond the quantile.
        cuts = np.searchsorted(cumulative, targets, side="right")
        edges.append(distinct[np.clip(cuts, left + 1, right - 1)])
    edges.append(np.concatenate([distinct[:1], _after(distinct[-1:])]))
    return _tolerant(np.unique(np.concatenate(edges)), distinct)


def _after(values: Floats) -> Floats:
    """Return the next numbers; infinity after the largest, which as an edge has only infinity above it."""
    with np.errstate(over="ignore"):
        following: Floats = np.nextafter(values, np.inf)
    return following


def _tolerant(edges: Floats, distinct: Floats) -> Floats:
    """Move the edges off the values that they separate, so that a value rounded to single precision keeps its cell.

    A tf.Example holds float32 where JSON and CSV hold float64. An edge lies above some value and at or below the next; it is put
    between the two, at most four units of single precision away from the value it was laid at.
    """
    place = np.searchsorted(distinct, edges, side="left")
    below = distinct[np.clip(place - 1, 0, None)]
    above = distinct[np.clip(place, None, len(distinct) - 1)]
    outer = (place == 0) | (place == len(distinct))
    at_above = ~outer & (edges == above)
    slack = np.abs(edges) * 2.0**-21
    gap = np.where(outer, np.inf, above / 2.0 - below / 2.0)  # halved first: 1e308 on both sides must not overflow
    with np.errstate(over="ignore", invalid="ignore"):  # beyond the largest double lies infinity, as it should
        moved = np.where(at_above | (place == 0), edges - np.minimum(slack, gap), edges + np.minimum(slack, gap))
    result: Floats = np.unique(moved)
    return result


def _scale(ordered: Floats, low: float, high: float) -> float:
    spread = high / 1.349 - low / 1.349
    if 0.0 < spread < np.inf:
        return spread
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = float(np.std(ordered))
    return deviation if 0.0 < deviation < np.inf else 1.0
