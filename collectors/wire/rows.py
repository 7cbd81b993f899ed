"""Parsed JSON records to rows, one at a time: what is a dead letter, and what is a value; changes with the record format."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NoReturn

import pyarrow as pa

from collectors.dead_letter import Reason
from collectors.wire import times
from collectors.wire.blocks import HASH_RATE, MISFITS, RATE, Decoded, Envelope, part_schema
from collectors.wire.flatten import flattened
from collectors.wire.values import MISFIT, as_double, fit, json_text, missing
from monitor.errors import InvalidRecord
from monitor.records import (
    EVENT_TIME,
    FEATURE_PREFIX,
    INSTANCE,
    LABEL,
    LABEL_TEXT,
    MODEL,
    PREDICTION,
    PREDICTION_JSON,
    PREDICTION_TEXT,
    REQUEST_ID,
    UNTYPED,
    VERSION,
    WEIGHT,
    ColumnTypes,
    SpanKind,
)

VERSION_BYTES = 256
"""A longer version, in UTF-8, is taken for a mistake: versions are kept as keys of the ledger."""

_INT64_MAX = 2**63 - 1


class RowReader:
    """Collects the records of one batch, in order, by model."""

    def __init__(self, envelope: Envelope, limits: Mapping[str, int]) -> None:
        """Read what `envelope` describes; `limits` is the newest allowed event time by model, in microseconds."""
        self._envelope = envelope
        self._limits = limits
        self._columns: dict[str, dict[str, list[object]]] = {}
        self._dead: list[tuple[int, str]] = []
        self._decoded = 0

    def bury(self, index: int, reason: str) -> None:
        """Note that the message at `index` can never be read."""
        self._dead.append((index, reason))

    def add(self, index: int, record: Mapping[str, object]) -> None:
        """Add the record of the message at `index`.

        Raises:
            InvalidRecord: it is a dead letter, for the first of its reasons in the order of the checks here.
        """
        del index  # rows stay in the order of the messages
        model = record.get(MODEL)
        if not isinstance(model, str) or not model:
            _refuse(Reason.MODEL)
        types = self._envelope.types.get(model)
        if types is None:
            _refuse(Reason.UNKNOWN_MODEL)
        traffic = self._envelope.kind is SpanKind.TRAFFIC
        row: dict[str, object] = {
            VERSION: _version(record.get(VERSION)) if traffic else "",
            REQUEST_ID: _identifier(record.get(REQUEST_ID), Reason.REQUEST_ID),
            EVENT_TIME: _event_time(record.get(EVENT_TIME), self._limits[model]),
            INSTANCE: _instance(record.get(INSTANCE)),
            WEIGHT: _weight(record.get(WEIGHT)),
            RATE: 1.0,
            HASH_RATE: 1.0,
            MISFITS: 0,
            **_label(record.get(LABEL), required=not traffic),
        }
        if traffic:
            row |= _prediction(record.get(PREDICTION)) | _features(record.get("features"), types)
        self._append(model, row)

    def decoded(self) -> Decoded:
        """Return what was added."""
        parts = {}
        for model, columns in self._columns.items():
            schema = part_schema(self._envelope.kind, self._envelope.types[model])
            parts[model] = pa.table([_array(columns[field.name], field.type) for field in schema], schema=schema)
        return Decoded(parts, self._dead, self._decoded)

    def _append(self, model: str, row: Mapping[str, object]) -> None:
        columns = self._columns.get(model)
        if columns is None:
            schema = part_schema(self._envelope.kind, self._envelope.types[model])
            columns = self._columns[model] = {name: [] for name in schema.names}
        for name, values in columns.items():
            values.append(row.get(name))
        self._decoded += 1


def _array(values: list[object], kind: pa.DataType) -> pa.Array:
    return pa.array(values, pa.int64()).cast(kind) if pa.types.is_timestamp(kind) else pa.array(values, kind)


def _refuse(reason: Reason) -> NoReturn:
    raise InvalidRecord(reason)


def _identifier(value: object, reason: Reason) -> str:
    if type(value) is int and -(2**63) <= value <= _INT64_MAX:
        return str(value)
    if not isinstance(value, str) or not value:
        _refuse(reason)
    return value


def _version(value: object) -> str:
    version = _identifier(value, Reason.VERSION)
    if "\0" in version or len(version.encode()) > VERSION_BYTES:
        _refuse(Reason.VERSION)
    return version


def _event_time(value: object, limit: int) -> int:
    if isinstance(value, str):
        micros = times.micros_of_text(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        micros = times.micros_of_number(as_double(value))
    else:
        _refuse(Reason.EVENT_TIME)
    if micros == times.INVALID:
        _refuse(Reason.EVENT_TIME)
    if micros == times.NO_ZONE:
        _refuse(Reason.EVENT_TIME_ZONE)
    if micros < 0:
        _refuse(Reason.EVENT_TIME_PAST)
    if micros > limit:
        _refuse(Reason.EVENT_TIME_FUTURE)
    return micros


def _instance(value: object) -> int:
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= _INT64_MAX:
        _refuse(Reason.INSTANCE)
    return value


def _weight(value: object) -> float:
    if value is None:
        return 1.0
    if not isinstance(value, int | float) or isinstance(value, bool):
        _refuse(Reason.WEIGHT)
    weight = as_double(value)
    if not (math.isfinite(weight) and weight > 0):
        _refuse(Reason.WEIGHT)
    return weight


def _label(value: object, *, required: bool) -> dict[str, object]:
    if missing(value):
        if required:
            _refuse(Reason.LABEL)
        return {}
    if isinstance(value, str):
        return {LABEL_TEXT: value}
    if not isinstance(value, int | float):
        _refuse(Reason.LABEL)
    return {LABEL: as_double(value)}  # true and false count as 1 and 0


def _prediction(value: object) -> dict[str, object]:
    if missing(value):
        return {}
    if isinstance(value, str):
        return {PREDICTION_TEXT: value}
    if isinstance(value, bool | list | dict):
        return {PREDICTION_JSON: json_text(value)}
    return {PREDICTION: as_double(value)}


def _features(features: object, types: ColumnTypes) -> dict[str, object]:
    if type(features) is not dict:
        _refuse(Reason.FEATURES)
    row: dict[str, object] = {}
    apart: dict[str, object] = {}
    misfits = 0
    for name, value in flattened(features).items():
        kind = types.get(name)
        fitted = MISFIT if kind is None else fit(value, kind)
        if fitted is not MISFIT:
            row[FEATURE_PREFIX + name] = fitted
        elif not missing(value):
            apart[name] = value
            misfits += kind is not None
    row[UNTYPED] = json_text(apart) if apart else None
    row[MISFITS] = misfits
    return row
