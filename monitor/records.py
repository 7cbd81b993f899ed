"""The nouns that everything shares: records as columns, their types, windows, and spans.

Rows never exist as Python objects on the hot path: a batch of records is a `pyarrow.Table` with the columns named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.clock import EPOCH, from_micros, rfc3339, to_micros

MODEL = "model"
VERSION = "version"
REQUEST_ID = "request_id"
INSTANCE = "instance"
HASH = "hash"
STRATUM = "stratum"
EVENT_TIME = "event_time"
WEIGHT = "weight"
HASH_RATE = "hash_rate"
"""A span column that is there only where some row was captured at a rate below 1, applied to `hash` before it reached us."""
PREDICTION = "prediction"
PREDICTION_TEXT = "prediction_text"
PREDICTION_JSON = "prediction_json"
LABEL = "label"
LABEL_TEXT = "label_text"
UNTYPED = "untyped"
FEATURE_PREFIX = "feature."
"""A feature `f` is the span column `feature.f`, so that no feature name can collide with the columns above."""

EVENT_TIME_TYPE = pa.timestamp("us", tz="UTC")

SYSTEM_FIELDS: tuple[pa.Field, ...] = (
    pa.field(REQUEST_ID, pa.string(), nullable=False),
    pa.field(INSTANCE, pa.int64(), nullable=False),
    pa.field(HASH, pa.uint64(), nullable=False),
    pa.field(STRATUM, pa.string(), nullable=False),
    pa.field(EVENT_TIME, EVENT_TIME_TYPE, nullable=False),
    pa.field(WEIGHT, pa.float64(), nullable=False),
)
LABEL_FIELDS: tuple[pa.Field, ...] = (
    pa.field(LABEL, pa.float64()),
    pa.field(LABEL_TEXT, pa.string()),
)
PREDICTION_FIELDS: tuple[pa.Field, ...] = (
    pa.field(PREDICTION, pa.float64()),
    pa.field(PREDICTION_TEXT, pa.string()),
    pa.field(PREDICTION_JSON, pa.string()),
)
UNTYPED_FIELD: pa.Field = pa.field(UNTYPED, pa.string())
"""A JSON object with the features of this row that have no typed column, or whose value does not fit it; else null."""


class SpanKind(StrEnum):
    """What the records of a span are. `LATE` is traffic of a window that was closed when it was committed."""

    TRAFFIC = "traffic"
    LABELS = "labels"
    LATE = "late"


class ValueType(StrEnum):
    """The types of TensorFlow Metadata's schema."""

    INT = "INT"
    FLOAT = "FLOAT"
    BYTES = "BYTES"

    def arrow(self) -> pa.DataType:
        """Return the Arrow type of one value."""
        return _ARROW[self]


_ARROW = {ValueType.INT: pa.int64(), ValueType.FLOAT: pa.float64(), ValueType.BYTES: pa.string()}


@dataclass(frozen=True, slots=True)
class FeatureType:
    """The type of a feature: of one value, and whether a row may hold several."""

    value: ValueType
    multivalent: bool = False

    def arrow(self) -> pa.DataType:
        """Return the Arrow type of a column of this feature."""
        return pa.list_(self.value.arrow()) if self.multivalent else self.value.arrow()


ColumnTypes = Mapping[str, FeatureType]
"""Feature name to type, as the active schema says; empty while a model has no baseline."""


def traffic_schema(types: ColumnTypes) -> pa.Schema:
    """Return the Parquet schema of a traffic or late span whose features have `types`."""
    features = [pa.field(FEATURE_PREFIX + name, kind.arrow()) for name, kind in sorted(types.items())]
    return pa.schema([*SYSTEM_FIELDS, *PREDICTION_FIELDS, *LABEL_FIELDS, *features, UNTYPED_FIELD])


def label_schema() -> pa.Schema:
    """Return the Parquet schema of a label span; its rows are sorted by hash, which serves the join."""
    return pa.schema([*SYSTEM_FIELDS, *LABEL_FIELDS])


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open interval [start, end) of event time, in aware UTC."""

    start: datetime
    end: datetime

    @classmethod
    def holding(cls, moment: datetime, length: timedelta) -> Window:
        """Return the tumbling window of `length`, aligned to the epoch, that holds `moment`."""
        step = to_micros(EPOCH + length)
        start = to_micros(moment) // step * step
        return cls(from_micros(start), from_micros(start + step))

    @property
    def length(self) -> timedelta:
        """Return how long it is."""
        return self.end - self.start

    def __str__(self) -> str:
        """Return the interval as people write it."""
        return f"[{rfc3339(self.start)}, {rfc3339(self.end)})"


@dataclass(frozen=True, slots=True, order=True)
class WindowKey:
    """One window of one version of one model."""

    model: str
    version: str
    window: Window


@dataclass(frozen=True, slots=True)
class Misfits:
    """Values of one feature that did not fit its type: how many, and up to three as JSON text, sorted."""

    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in canonical order (hash, id, instance), ready to be profiled; from spans or from a user's file alike.

    Attributes:
        features: one column a feature, n rows; int64, float64, string or binary, or lists of them; a missing value is null
            (NaN counts as missing too).
        weights: float64 (n,), or None where every row counts once.
        clusters: uint64 (n,); rows of one request share a value and are not independent. None where all are distinct.
        event_times: int64 microseconds since the epoch (n,), or None where the rows have no time.
        prediction: the column of `features` that holds the model's output, if any.
        label: the column of `features` that holds the label, if any.
        misfits: values left out because they do not fit their feature's type.
        seen: rows before sampling, at least n.
        uniform: bool (n,), which rows are a uniform sample of all; the others are there because their stratum is rare. None
            where all are.
    """

    features: pa.Table
    weights: npt.NDArray[np.float64] | None = None
    clusters: npt.NDArray[np.uint64] | None = None
    event_times: npt.NDArray[np.int64] | None = None
    prediction: str | None = None
    label: str | None = None
    misfits: Mapping[str, Misfits] = field(default_factory=dict)
    seen: int = 0
    uniform: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        """Return n, the number of rows."""
        return int(self.features.num_rows)
