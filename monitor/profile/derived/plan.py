"""Columns derived of texts, vectors and images, so that they are compared like any other; changes with how plans are kept.

A category says nothing of texts that all differ, and the numbers of a vector say little when they are mixed. So a baseline
learns a plan from its rows, and its own rows and those of every window are compared by the columns that the plan derives, in
place of the columns they come from. TFDV's statistics are made of the original columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.profile.calendar import BlockNumbers
from monitor.profile.counts import Indices
from monitor.profile.derived.arrays import is_text, is_vector, one_array
from monitor.profile.derived.images import COLUMNS as IMAGE_COLUMNS
from monitor.profile.derived.images import derive_images
from monitor.profile.derived.leave_out import units_of
from monitor.profile.derived.recognise import DerivedKind, kinds_of, vector_size
from monitor.profile.derived.text import TextPlan, learn_texts
from monitor.profile.derived.vector_sums import VectorReference, VectorSums
from monitor.profile.derived.vectors import VectorPlan, learn_vectors
from monitor.profile.document import Floats
from monitor.records import Rows

_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class DerivedPlan:
    """How the columns of a baseline that are no plain values are made into columns that are; kept with the baseline."""

    texts: Mapping[str, TextPlan] = field(default_factory=dict)
    vectors: Mapping[str, VectorPlan] = field(default_factory=dict)
    images: tuple[str, ...] = ()

    @property
    def sources(self) -> Mapping[str, str]:
        """The column that each derived column comes from."""
        columns: dict[str, tuple[str, ...]] = {name: plan.columns for name, plan in self.texts.items()}
        columns |= {name: plan.columns for name, plan in self.vectors.items()}
        columns |= dict.fromkeys(self.images, IMAGE_COLUMNS)
        return {f"{source}.{column}": source for source, named in columns.items() for column in named}

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "texts": {name: plan.to_document() for name, plan in self.texts.items()},
            "vectors": {name: plan.to_document() for name, plan in self.vectors.items()},
            "images": list(self.images),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> DerivedPlan:
        """Undo `to_document`."""
        return cls(
            {name: TextPlan.from_document(each) for name, each in document["texts"].items()},
            {name: VectorPlan.from_document(each) for name, each in document["vectors"].items()},
            tuple(document["images"]),
        )


def plan_derived(
    rows: Rows,
    schema: bytes | None,
    said: Mapping[str, str],
    blocks: BlockNumbers | None = None,
) -> tuple[DerivedPlan, Rows]:
    """Return the plan of a baseline's rows, and these rows as they are compared, derived columns in place of their sources.

    The baseline's own rows are derived here, and only here, because they must look as fresh rows would; see `leave_out`.

    Args:
        rows: the baseline's.
        schema: the user's, serialized; None where they gave none.
        said: kinds by column that a person set (see `DerivedKind`).
        blocks: of the rows, where they have times.

    Raises:
        InputError: a person set a kind that the column's type cannot be.
    """
    kinds = kinds_of(rows, schema, said)
    if not kinds:
        return DerivedPlan(), rows
    units = units_of(rows, blocks)
    texts: dict[str, TextPlan] = {}
    vectors: dict[str, VectorPlan] = {}
    derived: dict[str, Mapping[str, pa.Array]] = {}
    for name, kind in kinds.items():
        column = one_array(rows.features.column(name))
        if kind is DerivedKind.TEXT:
            texts[name], derived[name] = learn_texts(column, units)
        elif kind is DerivedKind.VECTOR:
            vectors[name], derived[name] = learn_vectors(column, vector_size(column), units)
        else:
            derived[name] = derive_images(column)
    images = tuple(name for name, kind in kinds.items() if kind is DerivedKind.IMAGE)
    return DerivedPlan(texts, vectors, images), _with(rows, derived)


def derive(rows: Rows, plan: DerivedPlan) -> Rows:
    """Return a window's rows as they are compared with the baseline of `plan`: derived columns in place of their sources.

    Where a source is not there, or holds values of another kind, its columns are not there either; the schema's anomaly
    says so.
    """
    derived: dict[str, Mapping[str, pa.Array]] = {}
    for name in rows.features.column_names:
        column = one_array(rows.features.column(name))
        if name in plan.texts:
            derived[name] = plan.texts[name].derive(column) if is_text(column.type) else {}
        elif name in plan.vectors:
            derived[name] = plan.vectors[name].derive(column) if is_vector(column.type) else {}
        elif name in plan.images:
            derived[name] = derive_images(column) if is_text(column.type) else {}
    return _with(rows, derived)


def vector_sums(rows: Rows, plan: DerivedPlan, clusters: Indices | None) -> Mapping[str, VectorSums]:
    """Return the sums of each column of vectors that a window's test needs, from the original rows.

    `clusters` is what `monitor.profile.baseline.cluster_numbers` says of the rows.
    """
    sums: dict[str, VectorSums] = {}
    for name, each in plan.vectors.items():
        found = _features(rows, name, each)
        if found is not None:
            features, there = found
            sums[name] = VectorSums.of(features, _at(rows.weights, there), _at(clusters, there))
    return sums


def vector_references(
    rows: Rows, plan: DerivedPlan, clusters: Indices | None, blocks: BlockNumbers | None
) -> Mapping[str, VectorReference]:
    """Return what a baseline keeps of each column of vectors, from its original rows; arguments as for its columns."""
    references: dict[str, VectorReference] = {}
    for name, each in plan.vectors.items():
        found = _features(rows, name, each)
        if found is not None:
            features, there = found
            at = None if blocks is None else blocks.part(there)
            references[name] = VectorReference.of(features, _at(rows.weights, there), _at(clusters, there), at)
    return references


def _features(rows: Rows, name: str, plan: VectorPlan) -> tuple[Floats, npt.NDArray[np.bool_]] | None:
    if name not in rows.features.column_names:
        return None
    column = one_array(rows.features.column(name))
    return plan.features_of(column) if is_vector(column.type) else None


def _at(values: npt.NDArray[_Number] | None, there: npt.NDArray[np.bool_]) -> npt.NDArray[_Number] | None:
    return None if values is None else values[there]


def _with(rows: Rows, derived: Mapping[str, Mapping[str, pa.Array]]) -> Rows:
    """Return the rows with the derived columns, by their full names, in place of their sources."""
    if not derived:
        return rows
    columns = {f"{source}.{name}": column for source, named in derived.items() for name, column in named.items()}
    kept = [name for name in rows.features.column_names if name not in derived and name not in columns]
    table = rows.features.select(kept)
    for name, column in columns.items():
        table = table.append_column(name, column)
    return replace(rows, features=table)
