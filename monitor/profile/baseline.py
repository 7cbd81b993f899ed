"""Baselines: the immutable reference that windows are compared with; changes with what a reference must hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from monitor.errors import InputError
from monitor.profile import tfdv
from monitor.profile.calendar import Calendar, calendar_of
from monitor.profile.columns import Column
from monitor.profile.daily import Daily, daily_of
from monitor.profile.derived.plan import plan_derived
from monitor.profile.document import pack_bytes, unpack_bytes
from monitor.profile.effective import cluster_numbers, effective_blocks, effective_rows
from monitor.profile.extras import NO_EXTRAS, BaselineExtras, baseline_extras, is_attribution
from monitor.profile.features import FeatureReference
from monitor.profile.layout import Layout
from monitor.profile.schema import column_types_of, parse_schema, with_environments
from monitor.profile.slices import NO_SLICES, NO_SLICING, ReferenceSlices, Slicing, reference_slices
from monitor.records import ColumnTypes, FeatureType, Rows, ValueType
from monitor.window.slicing import SliceKey

NO_KINDS: Mapping[str, str] = MappingProxyType({})

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
        calendar: how they lie in time; None where that is not known, or there are fewer than five blocks.
        number: as numbered by the store; None outside of it.
        slices: what is kept of the slices of the rows.
        extras: what is kept beside single columns.
        daily: its days, where blocks of time are shorter.
        evaluation: what an EvalConfig says of the quality of the rows, where they had labels and predictions; it belongs to
            `monitor.jobs.quality_references`.
        misfits: shares of the rows whose value of a feature did not fit its type, where there were any.
        whole: fingerprint of the baseline that this is a slice of, whose cells its counts are on; None where it is a whole.
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
    calendar: Calendar | None = None
    number: int | None = None
    slices: ReferenceSlices = NO_SLICES
    extras: BaselineExtras = NO_EXTRAS
    daily: Daily | None = None
    misfits: Mapping[str, float] = field(default_factory=dict)
    whole: str | None = None
    evaluation: Mapping[str, Any] | None = None

    @property
    def fingerprint(self) -> str:
        """A digest of what the cells are made from: profiles on other cells cannot be compared."""
        if self.whole is not None:
            return self.whole
        digest = hashlib.sha256(self.schema)
        digest.update(self.statistics)
        if self.extras.derived.sources:
            digest.update(json.dumps(self.extras.derived.to_document(), sort_keys=True).encode())
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
            "calendar": None if self.calendar is None else self.calendar.to_document(),
            "number": self.number,
            "slices": self.slices.to_document(),
            "extras": self.extras.to_document(),
            "misfits": dict(self.misfits),
            "daily": None if self.daily is None else self.daily.to_document(),
            "evaluation": None if self.evaluation is None else dict(self.evaluation),
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Baseline:
        """Undo `to_document`."""
        features = {name: FeatureReference.from_document(d) for name, d in document["features"].items()}
        return cls(
            schema=unpack_bytes(document["schema"]),
            schema_inferred=bool(document["schema_inferred"]),
            statistics=unpack_bytes(document["statistics"]),
            features=features,
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
            calendar=None if document.get("calendar") is None else Calendar.from_document(document["calendar"]),
            number=document["number"],
            slices=ReferenceSlices.from_document(document.get("slices"), features),
            extras=BaselineExtras.from_document(document.get("extras")),
            misfits=document.get("misfits", {}),
            daily=None if document.get("daily") is None else Daily.from_document(document["daily"]),
            evaluation=document.get("evaluation"),
        )

    def of_slice(self, key: SliceKey) -> Baseline:
        """Return a slice that is kept as a baseline of its own, without TFDV's statistics; raises KeyError for others."""
        kept = self.slices.kept[key]
        return replace(
            self,
            statistics=b"",
            features=kept.features,
            rows=kept.rows,
            n_effective=kept.n_effective,
            blocks=kept.blocks,
            slices=NO_SLICES,
            extras=BaselineExtras(self.extras.derived),
            daily=None,
            whole=self.fingerprint,
        )


def create_baseline(
    rows: Rows,
    *,
    schema: bytes | None = None,
    block_length: timedelta | None = None,
    slicing: Slicing = NO_SLICING,
    kinds: Mapping[str, str] = NO_KINDS,
    joint: bool = False,
) -> Baseline:
    """Make a baseline of training rows.

    Args:
        rows: the training rows in canonical order; with `event_times` the baseline learns how much it varies by itself.
        schema: serialized, as `parse_schema` returns it; None infers one, with the label in environment TRAINING only.
        block_length: length of a block of time, normally that of the windows to come; None learns no variation in time.
        slicing: which slices to keep.
        kinds: what columns hold (text, vector, image or values), where a person says so.
        joint: keep what comparing the dependence between columns needs.

    Raises:
        InputError: there are no rows, or they lack a column to slice by.
    """
    if len(rows) == 0:
        raise InputError("the reference holds no rows, so nothing can be compared with it")
    statistics = tfdv.statistics(rows.features, rows.weights)
    used = schema if schema is not None else with_environments(tfdv.infer_schema(statistics), rows.label)
    length = (
        None if block_length is None or rows.event_times is None else max(1, block_length // timedelta(microseconds=1))
    )
    times = rows.event_times
    cut = None if length is None or times is None else calendar_of(times, length, rows.weights)
    calendar, blocks = cut if cut is not None else (None, None)
    clusters = cluster_numbers(rows)
    derived, compared = plan_derived(rows, schema, kinds, blocks)
    columns = {
        name: Column.of(compared.features.column(name))
        for name in compared.features.column_names
        if name != rows.label and not is_attribution(name)
    }
    layouts = {name: Layout.of(column, rows.weights, blocks) for name, column in columns.items()}
    features = {name: layout.reference(clusters) for name, layout in layouts.items()}
    extras = baseline_extras(
        rows, compared, derived, features, columns, clusters, blocks, joint=joint, block_length=length
    )
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
        calendar=calendar,
        slices=reference_slices(compared, layouts, slicing, length),
        extras=extras,
        misfits={name: misfit.count / len(rows) for name, misfit in rows.misfits.items()},
        daily=None if calendar is None else daily_of(columns, times, length, rows.weights),
    )
