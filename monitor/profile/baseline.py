"""Baselines: the immutable reference that windows are compared with; changes with what a reference must hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from monitor.errors import InputError
from monitor.profile import tfdv
from monitor.profile.columns import Column
from monitor.profile.counts import Counts, Indices
from monitor.profile.document import Floats, pack_bytes, unpack_bytes
from monitor.profile.features import FeatureReference
from monitor.profile.layout import BlockNumbers, reference_of
from monitor.profile.schema import column_types_of, parse_schema, with_environments
from monitor.records import ColumnTypes, FeatureType, Rows, ValueType

__all__ = ["Baseline", "column_types_of", "create_baseline", "parse_schema"]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What windows are compared with: schema, training statistics, and counts of every feature.

    Attributes:
        schema: serialized TFMD Schema, the user's or inferred.
        statistics: serialized DatasetFeatureStatisticsList of the rows in canonical order.
        features: what is kept of each column of the rows, the prediction included and the label left out.
        column_types: of every feature of the schema.
        rows, n_effective: how many rows, and how many independent ones would tell as much.
        weighted: the statistics are weighted.
        prediction, label: the columns that hold them, where the rows had any.
        block_length: length of a block of time, in microseconds, where the rows have times.
        blocks: effective number of blocks of time that the rows cover; 1 where they have no time.
        number: as numbered by the store; None outside of it.
    """

    schema: bytes
    schema_inferred: bool
    statistics: bytes
    features: Mapping[str, FeatureReference]
    column_types: ColumnTypes
    rows: int
    n_effective: float
    weighted: bool
    prediction: str | None
    label: str | None
    block_length: int | None = None
    blocks: float = 1.0
    number: int | None = None

    @property
    def fingerprint(self) -> str:
        """A digest of what the cells are made from: profiles on other cells cannot be compared."""
        digest = hashlib.sha256(self.schema)
        digest.update(self.statistics)
        return digest.hexdigest()[:32]

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "schema": pack_bytes(self.schema),
            "schema_inferred": self.schema_inferred,
            "statistics": pack_bytes(self.statistics),
            "features": {name: reference.to_document() for name, reference in self.features.items()},
            "column_types": {name: [str(t.value), t.multivalent] for name, t in self.column_types.items()},
            "rows": self.rows,
            "n_effective": self.n_effective,
            "weighted": self.weighted,
            "prediction": self.prediction,
            "label": self.label,
            "block_length": self.block_length,
            "blocks": self.blocks,
            "number": self.number,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Baseline:
        """Undo `to_document`."""
        return cls(
            schema=unpack_bytes(document["schema"]),
            schema_inferred=bool(document["schema_inferred"]),
            statistics=unpack_bytes(document["statistics"]),
            features={name: FeatureReference.from_document(d) for name, d in document["features"].items()},
            column_types={
                name: FeatureType(ValueType(value), bool(many))
                for name, (value, many) in document["column_types"].items()
            },
            rows=int(document["rows"]),
            n_effective=float(document["n_effective"]),
            weighted=bool(document["weighted"]),
            prediction=document["prediction"],
            label=document["label"],
            block_length=document["block_length"],
            blocks=float(document["blocks"]),
            number=document["number"],
        )


def create_baseline(rows: Rows, *, schema: bytes | None = None, block_length: timedelta | None = None) -> Baseline:
    """Make a baseline of training rows.

    Args:
        rows: the training rows in canonical order; with `event_times` the baseline learns how much it varies by itself.
        schema: serialized, as `parse_schema` returns it; None infers one, with the label in environment TRAINING only.
        block_length: length of a block of time, normally that of the windows to come; None learns no variation in time.

    Raises:
        InputError: there are no rows.
    """
    if len(rows) == 0:
        raise InputError("the reference holds no rows, so nothing can be compared with it")
    statistics = tfdv.statistics(rows.features, rows.weights)
    used = schema if schema is not None else with_environments(tfdv.infer_schema(statistics), rows.label)
    length = (
        None if block_length is None or rows.event_times is None else max(1, block_length // timedelta(microseconds=1))
    )
    times = rows.event_times
    blocks = None if length is None or times is None else BlockNumbers.of(times, length)
    clusters = cluster_numbers(rows)
    features = {
        name: reference_of(Column.of(rows.features.column(name)), rows.weights, clusters, blocks)
        for name in rows.features.column_names
        if name != rows.label
    }
    return Baseline(
        schema=used,
        schema_inferred=schema is None,
        statistics=statistics,
        features=features,
        column_types=column_types_of(used),
        rows=len(rows),
        n_effective=effective_rows(rows, clusters),
        weighted=rows.weights is not None,
        prediction=rows.prediction,
        label=rows.label,
        block_length=length,
        blocks=effective_blocks(times, length, rows.weights),
    )


def cluster_numbers(rows: Rows) -> Indices | None:
    """Return each row's cluster as a number from 0, or None where every row is its own."""
    if rows.clusters is None or len(rows) == 0:
        return None
    distinct, numbers = np.unique(rows.clusters, return_inverse=True)
    return None if len(distinct) == len(rows) else numbers.astype(np.int64)


def effective_rows(rows: Rows, clusters: Indices | None) -> float:
    """Return Kish's effective number of rows; rows of one cluster count as one where clusters repeat.

    Each feature's comparison uses its own, often larger number: this is the cautious one that people are told.
    """
    if len(rows) == 0:
        return 0.0
    if clusters is None and rows.weights is None:
        return float(len(rows))
    whole = Counts.of(np.zeros(len(rows), np.int64), 1, rows.weights, clusters)
    return whole.effective


def effective_blocks(times: Indices | None, length: int | None, weights: Floats | None) -> float:
    """Return how many blocks of time the rows cover, uneven ones counting for less; 1 where they have no time."""
    if times is None or length is None or len(times) == 0:
        return 1.0
    _, numbers = np.unique(times // length, return_inverse=True)
    sizes = np.bincount(numbers, weights)
    return float(sizes.sum() ** 2 / (sizes @ sizes))
