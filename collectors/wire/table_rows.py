"""Rows of table files to decoded rows, by the columns that the settings name; changes with `format: table`.

What a file's types mean, and which values fit, is told by `monitor.window.conform`, as for `driftline check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collectors.dead_letter import Reason
from collectors.wire.blocks import MISFITS, Decoded, Envelope, blank, part_schema
from collectors.wire.values import json_text, missing
from monitor.clock import to_micros
from monitor.config.settings import FileColumns
from monitor.errors import InputError
from monitor.records import (
    EVENT_TIME,
    EVENT_TIME_TYPE,
    FEATURE_PREFIX,
    INSTANCE,
    LABEL,
    LABEL_TEXT,
    PREDICTION,
    PREDICTION_TEXT,
    REQUEST_ID,
    UNTYPED,
    VERSION,
    WEIGHT,
    ColumnTypes,
    SpanKind,
)
from monitor.window.conform import conform, origin_of
from monitor.window.frames import event_times
from monitor.window.plain import plain_column, plain_feature

_Mask = npt.NDArray[np.bool_]


class TableDecoder:
    """Decodes rows of one model's table files. Times without a zone are UTC, as in all tables."""

    def __init__(self, envelope: Envelope, columns: FileColumns) -> None:
        """Decode for the only model of `envelope`, with what `columns` names."""
        self._kind = envelope.kind
        (self._model,) = envelope.types
        self._types: ColumnTypes = envelope.types[self._model] if envelope.kind is SpanKind.TRAFFIC else {}
        self._ahead = envelope.max_future[self._model]
        self._columns = columns

    def decode(self, table: pa.Table, now: datetime) -> Decoded:
        """Return the rows of a batch, and those without id, time or weight, which can never be read.

        Raises:
            InputError: a column that the settings name is missing.
        """
        self._check_names(table)
        reasons = _Reasons(table.num_rows)
        ids = _texts(table.column(self._columns.id))
        reasons.add(Reason.REQUEST_ID, _is(pc.fill_null(pc.equal(ids, ""), True)))
        micros = self._times(table, reasons, now)
        weights = _numbers(table, self._columns.weight, 1.0)
        reasons.add(Reason.WEIGHT, ~((weights > 0) & np.isfinite(weights)))
        columns = {
            REQUEST_ID: ids,
            EVENT_TIME: pa.array(micros).cast(EVENT_TIME_TYPE),
            WEIGHT: pa.array(weights),
            VERSION: pa.repeat(pa.scalar(self._columns.version, pa.string()), table.num_rows),
            INSTANCE: pa.array(np.zeros(table.num_rows, dtype=np.int64)),
            **_number_or_text(table, self._columns.label, LABEL, LABEL_TEXT),
        }
        if self._kind is SpanKind.LABELS:
            labels = [columns[name].is_valid() for name in (LABEL, LABEL_TEXT) if name in columns]
            reasons.add(Reason.LABEL, ~_is(labels[0]) if labels else np.ones(table.num_rows, dtype=np.bool_))
        else:
            columns |= _number_or_text(table, self._columns.prediction, PREDICTION, PREDICTION_TEXT)
            columns |= self._features(table)
        schema = part_schema(self._kind, self._types)
        arrays = [columns[field.name] if field.name in columns else blank(field, table.num_rows) for field in schema]
        rows = pa.table(arrays, names=schema.names).filter(pa.array(reasons.good)).cast(schema)
        return Decoded({self._model: rows} if rows.num_rows else {}, reasons.dead, rows.num_rows)

    def _check_names(self, table: pa.Table) -> None:
        named = self._columns
        for role, name in (("timestamp", named.timestamp), ("id", named.id), ("prediction", named.prediction),
                           ("label", named.label), ("weight", named.weight)):  # fmt: skip
            if name is not None and name not in table.column_names:
                raise InputError(
                    f"columns.{role}: there is no column {name!r}; there are: {', '.join(table.column_names)}"
                )

    def _times(self, table: pa.Table, reasons: _Reasons, now: datetime) -> npt.NDArray[np.int64]:
        try:
            micros = event_times(table, self._columns.timestamp)
        except InputError:
            micros, unreadable = _times_one_by_one(table, self._columns.timestamp)
            reasons.add(Reason.EVENT_TIME, unreadable)
        reasons.add(Reason.EVENT_TIME_PAST, micros < 0)
        reasons.add(Reason.EVENT_TIME_FUTURE, micros > to_micros(now + self._ahead))
        return np.clip(micros, 0, None)

    def _features(self, table: pa.Table) -> dict[str, pa.Array]:
        named = self._columns
        roles = {named.timestamp, named.id, named.prediction, named.label, named.weight, *named.ignore}
        columns: dict[str, pa.Array] = {}
        apart: dict[int, dict[str, object]] = {}
        misfits = np.zeros(table.num_rows, dtype=np.int32)
        for field in table.schema:
            if field.name in roles:
                continue
            plain = plain_feature(field.name, table.column(field.name))
            kind = self._types.get(field.name)
            bad = _is(plain.is_valid())
            if kind is not None:
                fitted, unfit = conform(plain, kind, origin_of(field))
                columns[FEATURE_PREFIX + field.name] = _decoded_bytes(fitted)
                bad = bad & ~_is(fitted.is_valid()) if unfit is not None else np.zeros_like(bad)
                misfits += bad
            rows = np.flatnonzero(bad)
            for row, value in zip(rows.tolist(), _decoded_bytes(plain).take(pa.array(rows)).to_pylist(), strict=True):
                if not missing(value):
                    apart.setdefault(row, {})[field.name] = value
        columns[UNTYPED] = pa.array(
            [json_text(apart[row]) if row in apart else None for row in range(table.num_rows)], pa.string()
        )
        columns[MISFITS] = pa.array(misfits)
        return columns


class _Reasons:
    """The first reason of each row that cannot be read."""

    def __init__(self, rows: int) -> None:
        self._first: dict[int, str] = {}
        self.good = np.ones(rows, dtype=np.bool_)

    def add(self, reason: Reason, bad: _Mask) -> None:
        for row in np.flatnonzero(bad & self.good).tolist():
            self._first[row] = reason
        self.good &= ~bad

    @property
    def dead(self) -> list[tuple[int, str]]:
        return sorted(self._first.items())


def _is(mask: pa.Array | pa.ChunkedArray) -> _Mask:
    array: _Mask = np.asarray(mask, dtype=np.bool_)
    return array


def _texts(column: pa.ChunkedArray) -> pa.Array:
    plain = _decoded_bytes(plain_feature("", column))
    return plain if pa.types.is_string(plain.type) else plain.cast(pa.string())


def _numbers(table: pa.Table, name: str | None, default: float) -> npt.NDArray[np.float64]:
    if name is None:
        return np.full(table.num_rows, default)
    plain = plain_column(name, table.column(name))
    if pa.types.is_null(plain.type):
        return np.full(table.num_rows, default)
    if not (pa.types.is_integer(plain.type) or pa.types.is_floating(plain.type)):
        return np.full(table.num_rows, np.nan)
    values: npt.NDArray[np.float64] = pc.fill_null(plain.cast(pa.float64(), safe=False), default).to_numpy(
        zero_copy_only=False
    )
    return values


def _number_or_text(table: pa.Table, name: str | None, number: str, text: str) -> Mapping[str, pa.Array]:
    """Return the column under the name of its kind; NaN is missing."""
    if name is None:
        return {}
    plain = plain_column(name, table.column(name))
    if pa.types.is_integer(plain.type) or pa.types.is_floating(plain.type):
        values = plain.cast(pa.float64(), safe=False)
        return {number: pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)}
    return {text: _texts(table.column(name))}


def _decoded_bytes(column: pa.Array) -> pa.Array:
    """Return bytes that are no UTF-8 as text with escapes, since spans hold text."""
    if not pa.types.is_binary(column.type):
        return column
    texts = [None if value is None else value.decode("utf-8", "backslashreplace") for value in column.to_pylist()]
    return pa.array(texts, pa.string())


def _times_one_by_one(table: pa.Table, name: str) -> tuple[npt.NDArray[np.int64], _Mask]:
    micros = np.zeros(table.num_rows, dtype=np.int64)
    unreadable = np.zeros(table.num_rows, dtype=np.bool_)
    for row in range(table.num_rows):
        try:
            micros[row] = event_times(table.slice(row, 1), name)[0]
        except InputError:
            unreadable[row] = True
    return micros, unreadable
