"""What a baseline keeps of its slices, to compare a window's slices with; changes with what such a comparison needs.

A slice is counted on the cells that the whole baseline lays out, so that slices, and windows of them, can be told apart by counts
alone. The columns that make a slice are constant in it, and no features of it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.errors import InputError
from monitor.profile.bins import NumericBins
from monitor.profile.counts import Indices
from monitor.profile.effective import cluster_numbers, effective_blocks, effective_rows
from monitor.profile.features import FeatureReference
from monitor.profile.layout import Layout
from monitor.records import Rows
from monitor.window.slicing import SliceKey, rows_at, slice_columns, slice_key, slices_of

Spec = tuple[str, ...]
"""The columns of a slicing, in the order of their names."""

_NO_BINS = NumericBins(np.zeros(0)).to_document()


def slice_specs(columns: Collection[Collection[str]]) -> tuple[Spec, ...]:
    """Return the slicings by each list of columns, whose order means nothing."""
    return tuple(sorted({tuple(sorted(each)) for each in columns}))


@dataclass(frozen=True, slots=True)
class Slicing:
    """Which slices a baseline keeps.

    Attributes:
        specs: the columns to slice by.
        min_rows: effective rows below which a slice is not kept.
        limit: how many slices are kept at most, those with the most rows.
    """

    specs: tuple[Spec, ...] = ()
    min_rows: float = 300.0
    limit: int = 50

    @classmethod
    def by(cls, columns: Collection[Collection[str]], min_rows: float, limit: int) -> Slicing:
        """Return the slicing by each list of columns; their order means nothing."""
        return cls(slice_specs(columns), min_rows, limit)

    def check(self, features: Collection[str]) -> None:
        """Raise InputError where a column to slice by is not among `features`."""
        for column in sorted({column for spec in self.specs for column in spec}):
            if column not in features:
                raise InputError(f"there is no column {column!r} to slice by; the columns are: {', '.join(features)}")


NO_SLICING = Slicing()


@dataclass(frozen=True, slots=True)
class SliceReference:
    """One slice of a baseline: its rows on the whole baseline's cells."""

    features: Mapping[str, FeatureReference]
    rows: int
    n_effective: float
    blocks: float


@dataclass(frozen=True, slots=True)
class ReferenceSlices:
    """The slices of a baseline.

    Attributes:
        specs: the columns it was sliced by.
        kept: by key.
        small: how many slices have too few rows.
        cut: how many have enough, and are left out because there are so many.
    """

    specs: tuple[Spec, ...] = ()
    kept: Mapping[SliceKey, SliceReference] = field(default_factory=dict)
    small: int = 0
    cut: int = 0

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly, given the whole baseline's features."""
        return {
            "specs": [list(spec) for spec in self.specs],
            "kept": [
                {
                    "slice": dict(key),
                    "features": {name: _without_bins(reference) for name, reference in each.features.items()},
                    "rows": each.rows,
                    "n_effective": each.n_effective,
                    "blocks": each.blocks,
                }
                for key, each in self.kept.items()
            ],
            "small": self.small,
            "cut": self.cut,
        }

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any] | None, features: Mapping[str, FeatureReference]
    ) -> ReferenceSlices:
        """Undo `to_document`; no slices where there is no document, as in a baseline from before there were any."""
        if document is None:
            return NO_SLICES
        kept = {
            slice_key(each["slice"]): SliceReference(
                {name: _with_bins(packed, features[name]) for name, packed in each["features"].items()},
                int(each["rows"]),
                float(each["n_effective"]),
                float(each["blocks"]),
            )
            for each in document["kept"]
        }
        specs = tuple(tuple(spec) for spec in document["specs"])
        return cls(specs, kept, int(document["small"]), int(document["cut"]))


NO_SLICES = ReferenceSlices()


def reference_slices(
    rows: Rows, layouts: Mapping[str, Layout], slicing: Slicing, block_length: int | None
) -> ReferenceSlices:
    """Return the slices of a baseline's rows, each feature counted on its layout of all of them.

    Raises:
        InputError: a column to slice by is not among the features.
    """
    slicing.check(rows.features.column_names)
    large, small = _large(rows, slicing)
    largest = sorted(large, key=lambda key: (-large[key].n_effective, key))[: slicing.limit]
    kept = {key: _counted(key, large[key], layouts, block_length) for key in sorted(largest)}
    return ReferenceSlices(slicing.specs, kept, small, len(large) - len(kept))


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of a slice: a mask (n,) over all rows, themselves (with one column only), and their clusters."""

    mask: npt.NDArray[np.bool_]
    rows: Rows
    clusters: Indices | None
    n_effective: float


def _large(rows: Rows, slicing: Slicing) -> tuple[dict[SliceKey, _Part], int]:
    """Return the slices with enough rows, and the number of the others."""
    thin = replace(rows, features=rows.features.select([0]), prediction=None, label=None)
    found: dict[SliceKey, _Part] = {}
    small = 0
    for spec in slicing.specs:
        slices = slices_of(rows.features, spec, math.ceil(slicing.min_rows))
        small += slices.small
        for key, places in slices.places.items():
            part = rows_at(thin, places)
            clusters = cluster_numbers(part)
            n_effective = effective_rows(part, clusters)
            if n_effective < slicing.min_rows:
                small += 1
                continue
            mask = np.zeros(len(rows), bool)
            mask[places] = True
            found[key] = _Part(mask, part, clusters, n_effective)
    return found, small


def _counted(key: SliceKey, part: _Part, layouts: Mapping[str, Layout], block_length: int | None) -> SliceReference:
    features = {
        name: layout.part(part.mask).reference(part.clusters)
        for name, layout in layouts.items()
        if name not in slice_columns(key)
    }
    blocks = effective_blocks(part.rows.event_times, block_length, part.rows.weights)
    return SliceReference(features, len(part.rows), part.n_effective, blocks)


def _without_bins(reference: FeatureReference) -> dict[str, Any]:
    return {name: value for name, value in reference.to_document().items() if name != "bins"}


def _with_bins(document: Mapping[str, Any], whole: FeatureReference) -> FeatureReference:
    """Return the reference of a slice, its cells being those of the whole baseline: one object, however many slices."""
    return replace(FeatureReference.from_document({**document, "bins": _NO_BINS}), bins=whole.bins)
