"""Which pairs of features are counted, and the coarse groups that they are counted in; changes with either choice."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.profile.bins import CategoricalBins, NumericBins
from monitor.profile.counts import Indices
from monitor.profile.document import Floats, pack_floats, unpack_floats
from monitor.profile.features import FeatureReference

SIDE = 6
"""Groups of one side of a table at most: four of numbers or five of categories, and one of missing values."""
LEFT_OUT = SIDE
"""The code of rows that a table does not count."""
MAX_PAIRS = 200
QUANTILE_GROUPS = 4
TOP_VALUES = 4
COMMON_MISSING = 0.1
"""From this share on, missing is a group of its own; below, rows without the value are left out of the feature's tables."""
_LEAST_SHARE = 0.05
"""What the groups of numbers below and above a cut must at least hold of the baseline's values."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureGroups:
    """The groups of one feature: group i of numbers is [cuts[i-1], cuts[i]); categories are grouped by their cell.

    Attributes:
        labels: a name for each group; there are len(labels) <= SIDE groups.
        missing: the group of missing values; LEFT_OUT where they have none.
        cuts: (g - 1,) ascending, for numbers; None for categories.
        shares: (g - 1,) share of the baseline's present values below each cut.
        cells: (K,) group of each of the feature's cells, for categories; LEFT_OUT for the unseen.
    """

    labels: tuple[str, ...]
    missing: int
    cuts: Floats | None = None
    shares: Floats | None = None
    cells: Indices | None = None

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "labels": list(self.labels),
            "missing": self.missing,
            "cuts": None if self.cuts is None else pack_floats(self.cuts),
            "shares": None if self.shares is None else pack_floats(self.shares),
            "cells": None if self.cells is None else self.cells.tolist(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> FeatureGroups:
        """Undo `to_document`."""
        cuts, shares, cells = document["cuts"], document["shares"], document["cells"]
        return cls(
            tuple(document["labels"]),
            int(document["missing"]),
            None if cuts is None else unpack_floats(cuts),
            None if shares is None else unpack_floats(shares),
            None if cells is None else np.array(cells, np.int64),
        )

    def __eq__(self, other: object) -> bool:
        """Compare the groups exactly."""
        return isinstance(other, FeatureGroups) and self.to_document() == other.to_document()

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class PairLayout:
    """The pairs that are counted, in this order, and the groups of every feature in them."""

    groups: Mapping[str, FeatureGroups]
    pairs: tuple[tuple[str, str], ...]

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "groups": {name: groups.to_document() for name, groups in self.groups.items()},
            "pairs": [list(pair) for pair in self.pairs],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> PairLayout:
        """Undo `to_document`."""
        return cls(
            {name: FeatureGroups.from_document(d) for name, d in document["groups"].items()},
            tuple((first, second) for first, second in document["pairs"]),
        )


def groups_of(reference: FeatureReference) -> FeatureGroups | None:
    """Group a feature's cells by the baseline's counts; None where it would have one group only, so no dependence."""
    if isinstance(reference.bins, NumericBins):
        found = _numeric(reference.bins, reference.counts.values.sums)
    else:
        found = _categorical(reference.bins, reference.counts.values.sums)
    if reference.counts.missing_share >= COMMON_MISSING:
        labels = (*found.labels, "missing")
        found = FeatureGroups(labels, len(labels) - 1, found.cuts, found.shares, found.cells)
    return found if len(found.labels) > 1 else None


def layout_of(groups: Mapping[str, FeatureGroups], ranked: Sequence[tuple[str, str]]) -> PairLayout:
    """Keep the first MAX_PAIRS of pairs that come strongest dependence first."""
    pairs = tuple(ranked[:MAX_PAIRS])
    used = {name for pair in pairs for name in pair}
    return PairLayout({name: groups[name] for name in sorted(used)}, pairs)


def _numeric(bins: NumericBins, sums: Floats) -> FeatureGroups:
    below = np.cumsum(sums)[:-1] / max(float(sums.sum()), 1e-300)
    places: list[int] = []
    for target in np.arange(1, QUANTILE_GROUPS) / QUANTILE_GROUPS:
        place = int(np.argmin(np.abs(below - target))) if len(below) else -1
        least = (below[places[-1]] if places else 0.0) + _LEAST_SHARE
        if place >= 0 and least <= below[place] <= 1.0 - _LEAST_SHARE:
            places.append(place)
    cuts = bins.edges[places]
    names = [f"{cut:.6g}" for cut in cuts.tolist()]
    inner = [f"from {low} to {high}" for low, high in itertools.pairwise(names)]
    labels = (f"below {names[0]}", *inner, f"from {names[-1]} on") if names else ("any",)
    return FeatureGroups(labels, LEFT_OUT, cuts, below[places])


def _categorical(bins: CategoricalBins, sums: Floats) -> FeatureGroups:
    order = np.argsort(-sums[: len(bins.frequent)], kind="stable")[:TOP_VALUES]
    cells = np.full(bins.size, len(order))
    cells[order] = np.arange(len(order))
    if bins.complete:
        # A new value's partners say nothing of how known values go together, and that it is new is another finding.
        cells[bins.unseen] = LEFT_OUT
    named = tuple(bins.frequent[place].decode("utf-8", "replace") for place in order.tolist())
    rest = bool(sums[cells == len(order)].sum() > 0.0) or not bins.complete
    return FeatureGroups((*named, "other values") if rest else named, LEFT_OUT, cells=cells)
