"""Tables of pairs of features over rows: mergeable counts, in two groupings of the numbers; changes with what is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.profile.bins import Bins, CategoricalBins
from monitor.profile.columns import Column
from monitor.profile.counts import Counts, Indices
from monitor.profile.document import Floats, pack_floats, unpack_floats
from monitor.profile.features import FeatureReference
from monitor.profile.joint.layout import SIDE, FeatureGroups, PairLayout

Codes = npt.NDArray[np.uint8]

FIXED, RANKED = 0, 1
"""The two tables of a pair: numbers grouped at the baseline's cuts, or at the cuts that give the window's own values the
shares that the baseline's groups have, which no rising transformation of a column changes."""
_SLOTS = SIDE + 1


@dataclass(frozen=True, slots=True, eq=False)
class PairCounts:
    """Weighted counts of a layout's pairs over some rows; two of disjoint clusters add up.

    Attributes:
        tables: (P, 2, SIDE, SIDE) counts of the FIXED and the RANKED grouping, first feature by second. Rows in which
            either is left out are in neither; a pair whose column was not there is all zeros.
        weight: of all rows.
        square_total: sum over clusters of their squared weight.
    """

    tables: Floats
    weight: float
    square_total: float

    def __add__(self, other: PairCounts) -> PairCounts:
        """Return the counts of both; ranks remain those within each part."""
        return PairCounts(
            self.tables + other.tables, self.weight + other.weight, self.square_total + other.square_total
        )

    def __eq__(self, other: object) -> bool:
        """Compare all counts exactly."""
        return (
            isinstance(other, PairCounts)
            and np.array_equal(self.tables, other.tables)
            and (self.weight, self.square_total) == (other.weight, other.square_total)
        )

    __hash__ = None  # type: ignore[assignment]

    def effective(self, grouping: int) -> Floats:
        """Return (P,) effective numbers of rows: Kish's, rows of one cluster taken for one row."""
        held: Floats = self.tables[:, grouping].sum(axis=(1, 2))
        return held * (self.weight / self.square_total) if self.square_total > 0.0 else held * 0.0

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {"tables": pack_floats(self.tables), "weight": self.weight, "square_total": self.square_total}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> PairCounts:
        """Undo `to_document`."""
        return cls(unpack_floats(document["tables"]), float(document["weight"]), float(document["square_total"]))


def count_pairs(
    columns: Mapping[str, Column],
    layout: PairLayout,
    features: Mapping[str, FeatureReference],
    weights: Floats | None,
    clusters: Indices | None,
) -> PairCounts:
    """Count a window's pairs.

    Args:
        columns: the window's columns of n rows; one that is not there, holds lists or has another kind of type than the
            baseline's is left out.
        layout: made on the baseline.
        features: the baseline's, whose cells tell known categories from unseen ones.
        weights: (n,), or None where each row counts once.
        clusters: (n,) numbers from 0 without big gaps, or None where all rows are independent.
    """
    coded = {
        name: codes
        for name, groups in layout.groups.items()
        if name in columns and (codes := code(columns[name], groups, features[name].bins, weights)) is not None
    }
    tables = np.zeros((len(layout.pairs), 2, SIDE, SIDE))
    for place, (first, second) in enumerate(layout.pairs):
        if first not in coded or second not in coded:
            continue
        (one, one_ranked), (two, two_ranked) = coded[first], coded[second]
        tables[place, FIXED] = table(one, two, weights)
        same = one_ranked is one and two_ranked is two
        tables[place, RANKED] = tables[place, FIXED] if same else table(one_ranked, two_ranked, weights)
    rows = next((column.rows for column in columns.values()), 0)
    whole = Counts.of(np.zeros(rows, np.int64), 1, weights, clusters)
    return PairCounts(tables, whole.total, whole.square_total)


def table(first: Codes, second: Codes, weights: Floats | None) -> Floats:
    """Return the (SIDE, SIDE) counts of two codings of the same rows."""
    counted = np.bincount(first * np.uint8(_SLOTS) + second, weights, _SLOTS * _SLOTS)
    return counted.reshape(_SLOTS, _SLOTS)[:SIDE, :SIDE].astype(np.float64)


def code(column: Column, groups: FeatureGroups, bins: Bins, weights: Floats | None) -> tuple[Codes, Codes] | None:
    """Return the group of each row in the FIXED and the RANKED grouping; None where the column is of another kind.

    For categories both are the same array.
    """
    if column.owners is not None:
        return None
    if groups.cuts is None or groups.shares is None:
        if not isinstance(bins, CategoricalBins) or column.codes is None or groups.cells is None:
            return None
        found = _of_rows(column, groups, groups.cells[column.cells(bins)].astype(np.uint8))
        return found, found
    if column.numbers is None:
        return None
    own = _ranked_cuts(column.numbers, _of_values(column, weights), groups.shares)
    fixed, ranked = (_of_rows(column, groups, _grouped(column.numbers, cuts)) for cuts in (groups.cuts, own))
    return fixed, ranked


def _of_rows(column: Column, groups: FeatureGroups, of_values: Codes) -> Codes:
    if column.present is None:
        return of_values
    codes = np.full(column.rows, groups.missing, np.uint8)
    codes[column.present] = of_values
    return codes


def _grouped(numbers: Floats, cuts: Floats) -> Codes:
    groups = np.zeros(len(numbers), np.uint8)
    for cut in cuts.tolist():
        groups += numbers >= cut
    return groups


def _of_values(column: Column, weights: Floats | None) -> Floats | None:
    each = column.of_values(weights)
    return None if each is None else each.astype(np.float64, copy=False)


def _ranked_cuts(numbers: Floats, weights: Floats | None, shares: Floats) -> Floats:
    """Return the cuts between these numbers whose shares below come nearest to `shares`; equal numbers stay together."""
    if len(numbers) == 0:
        return np.zeros(len(shares))
    if weights is None:
        places = np.minimum((shares * len(numbers)).astype(np.int64), len(numbers) - 1)
        at = np.partition(numbers, places)[places]
    else:
        order = np.argsort(numbers, kind="stable")
        cumulative = np.cumsum(weights[order])
        places = np.searchsorted(cumulative, shares * cumulative[-1])
        at = numbers[order[np.minimum(places, len(numbers) - 1)]]
    cuts = np.zeros(len(shares))
    for place, (value, share) in enumerate(zip(at.tolist(), shares.tolist(), strict=True)):
        below = np.average(numbers < value, weights=weights)
        upto = np.average(numbers <= value, weights=weights)
        cuts[place] = value if abs(below - share) <= abs(upto - share) else np.nextafter(value, np.inf)
    return cuts
