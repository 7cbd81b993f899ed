"""Decoded requests with their instances to rows: one column at a time, whatever the wire format; changes with what rows hold.

A request's values come as columns (`collectors.wire.tensors.Column`), and are put behind each other; types are looked at once a
batch of messages. Which value fits which type is told by `collectors.wire.values`, as for JSON; the quick ways here give
the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collectors.wire.blocks import (
    HASH_RATE,
    LATENCY,
    MISFITS,
    RATE,
    STATUS,
    Decoded,
    Envelope,
    blank,
    part_schema,
)
from collectors.wire.origins import UNSAID, Capture
from collectors.wire.tensors import Column
from collectors.wire.values import MISFIT, as_double, fit, json_text, missing
from monitor.records import (
    EVENT_TIME,
    EVENT_TIME_TYPE,
    FEATURE_PREFIX,
    INSTANCE,
    PREDICTION,
    PREDICTION_JSON,
    PREDICTION_TEXT,
    REQUEST_ID,
    UNTYPED,
    VERSION,
    ColumnTypes,
    FeatureType,
    ValueType,
)

MOST_INSTANCES: Final = 100_000
"""A request with more instances is taken for a mistake or an attack."""

_WORD: Final = 8
_INT64: Final = 2.0**63
_Part = npt.NDArray[Any] | list[object] | int
"""Values of neighbouring rows, or the number of rows that have none."""


class Request(NamedTuple):
    """One request as columns of `size` values each.

    Attributes:
        ids: the id of each instance, or one for all.
        instances: the number of each within its id; None for 0 to size - 1.
        event_times: microseconds since the epoch.
        prediction: None where there is no answer; lists and mappings among its values are kept as JSON.
    """

    model: str
    version: str
    ids: str | Sequence[str]
    event_times: int | Sequence[int]
    size: int
    features: Mapping[str, Column]
    prediction: Column | None
    capture: Capture
    instances: Sequence[int] | None = None


class _Pile:
    """The values of one column so far: lists and arrays, and the numbers of rows in between that have none."""

    __slots__ = ("filled", "parts", "tail")

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self.tail: list[object] | None = None
        self.filled = 0

    def add(self, row: int, values: Column, count: int) -> None:
        if self.filled < row:
            self.pad(row)
        if isinstance(values, np.ndarray):
            self.parts.append(values)
            self.tail = None
        elif self.tail is None:
            self.tail = list(values)
            self.parts.append(self.tail)
        else:
            self.tail.extend(values)
        self.filled = row + count

    def pad(self, rows: int) -> None:
        if self.filled < rows:
            self.parts.append(rows - self.filled)
            self.tail = None
            self.filled = rows

    def values(self) -> list[object]:
        """Return Python values, one a row."""
        return list(chain.from_iterable(_listed(part) for part in self.parts))


def _listed(part: _Part) -> Any:
    if isinstance(part, int):
        return repeat(None, part)
    return part.tolist() if isinstance(part, np.ndarray) else part


class _Model:
    """The rows of one model."""

    def __init__(self, types: ColumnTypes) -> None:
        self.types = types
        self.rows = 0
        self.versions: list[str] = []
        self.ids: list[str] = []
        self.instances: list[int] = []
        self.times: list[int] = []
        self.counts: list[int] = []
        self.captures: list[Capture] = []
        self.features: dict[str, _Pile] = {}
        self.prediction = _Pile()

    def add(self, request: Request) -> None:
        model, version, ids, times, count, features, prediction, capture, instances = request
        del model
        row = self.rows
        for name, column in features.items():
            pile = self.features.get(name)
            if pile is None:
                pile = self.features[name] = _Pile()
            pile.add(row, column, count)
        if prediction is not None:
            self.prediction.add(row, prediction, count)
        self.counts.append(count)
        self.captures.append(capture)
        if count == 1 and isinstance(ids, str) and isinstance(times, int):
            self.ids.append(ids)
            self.times.append(times)
            self.instances.append(0 if instances is None else instances[0])
            self.versions.append(version)
        else:
            self.ids.extend([ids] * count if isinstance(ids, str) else ids)
            self.times.extend([times] * count if isinstance(times, int) else times)
            self.instances.extend(range(count) if instances is None else instances)
            self.versions.extend([version] * count)
        self.rows = row + count

    def table(self, schema: pa.Schema) -> pa.Table:
        rows = self.rows
        columns = {
            VERSION: pa.array(self.versions, pa.string()),
            REQUEST_ID: pa.array(self.ids, pa.string()),
            INSTANCE: pa.array(self.instances, pa.int64()),
            EVENT_TIME: pa.array(np.array(self.times, dtype=np.int64)).cast(EVENT_TIME_TYPE),
            **_captured(self.captures, self.counts),
        }
        self.prediction.pad(rows)
        columns |= _predictions(self.prediction, rows)
        apart: dict[int, dict[str, object]] = {}
        misfits = np.zeros(rows, dtype=np.int32)
        for name, pile in self.features.items():
            pile.pad(rows)
            kind = self.types.get(name)
            if kind is None:
                _keep_apart(apart, name, enumerate(pile.values()))
                continue
            array, unfit = typed(pile.parts, kind)
            columns[FEATURE_PREFIX + name] = array
            if unfit:
                misfits[list(unfit)] += 1
                _keep_apart(apart, name, unfit.items())
        columns[MISFITS] = pa.array(misfits)
        if apart:
            columns[UNTYPED] = pa.array(
                [json_text(apart[row]) if row in apart else None for row in range(rows)], pa.string()
            )
        return pa.table(
            [columns[field.name] if field.name in columns else blank(field, rows) for field in schema], schema=schema
        )


class RequestCollector:
    """Collects the requests of one batch of messages, in order, by model."""

    def __init__(self, envelope: Envelope) -> None:
        """Collect requests of the models of `envelope`."""
        self._envelope = envelope
        self._parts: dict[str, _Model] = {}
        self._dead: list[tuple[int, str]] = []
        self._decoded = 0

    def add(self, request: Request | None) -> None:
        """Add the request of one message, None where the message is read and makes no rows of its own."""
        self._decoded += 1
        if request is None or not request.size:
            return
        part = self._parts.get(request.model)
        if part is None:
            part = self._parts[request.model] = _Model(self._envelope.types[request.model])
        part.add(request)

    def bury(self, index: int, reason: str) -> None:
        """Note that the message at `index` can never be read."""
        self._dead.append((index, reason))

    def decoded(self) -> Decoded:
        """Return what was added."""
        kind = self._envelope.kind
        parts = {model: part.table(part_schema(kind, part.types)) for model, part in self._parts.items()}
        return Decoded(parts, self._dead, self._decoded)


def typed(parts: Sequence[_Part], kind: FeatureType) -> tuple[pa.Array, dict[int, object]]:
    """Return the Arrow column of a feature of type `kind`, and the values that do not fit it by row."""
    quick = _vectors(parts, kind.value) if kind.multivalent else _scalars(_merged(parts), kind.value)
    if quick is not None:
        return quick, {}
    unfit: dict[int, object] = {}
    fitted: list[object] = []
    for row, value in enumerate(_plain_values(parts)):
        found = fit(value, kind)
        if found is MISFIT:
            unfit[row] = value
            found = None
        fitted.append(found)
    return pa.array(fitted, kind.arrow()), unfit


def _plain_values(parts: Sequence[_Part]) -> list[object]:
    return [_text(value) for value in chain.from_iterable(_listed(part) for part in parts)]


def _text(value: object) -> object:
    """Return bytes as text, those that are no UTF-8 with escapes, since spans hold text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, list):
        return [_text(element) for element in value]
    return value


def _scalars(parts: Sequence[_Part], kind: ValueType) -> pa.Array | None:
    """Return the column where all values fit and each is one; None where they must be looked at one by one."""
    arrays = []
    for part in parts:
        if isinstance(part, int):
            array = pa.nulls(part, kind.arrow())
        elif isinstance(part, np.ndarray):
            array = _of_numbers(part, kind) if part.ndim == 1 else None
        else:
            array = _of_list(part, kind)
        if array is None:
            return None
        arrays.append(array)
    return pa.concat_arrays(arrays) if len(arrays) != 1 else arrays[0]


def _merged(parts: Sequence[_Part]) -> Sequence[_Part]:
    """Put arrays of one type together, since each call into Arrow costs more than copying some numbers."""
    vectors = [part for part in parts if isinstance(part, np.ndarray) and part.ndim == 1]
    if len(vectors) < len(parts) or len({part.dtype for part in vectors}) != 1:
        return parts
    return [np.concatenate(vectors)]


def _of_numbers(values: npt.NDArray[Any], kind: ValueType) -> pa.Array | None:
    family = values.dtype.kind
    if kind is ValueType.FLOAT and family in "fiu":
        doubles = values.astype(np.float64) + 0.0  # no negative zero
        nan = np.isnan(doubles) if family == "f" else None
        return pa.array(doubles, mask=nan if nan is not None and nan.any() else None)
    if kind is ValueType.INT and (family in "ib" or (family == "u" and values.itemsize < _WORD)):
        return pa.array(values.astype(np.int64))
    if (
        kind is ValueType.INT
        and family == "f"
        and bool(np.all((np.trunc(values) == values) & (np.abs(values) < _INT64)))
    ):
        return pa.array(values.astype(np.int64))
    return None


def _of_list(values: list[object], kind: ValueType) -> pa.Array | None:
    types = set(map(type, values))
    types.discard(type(None))
    try:
        if kind is ValueType.FLOAT and types <= {float}:
            return _cleaned(pa.array(values, pa.float64()))
        if kind is ValueType.INT and types <= {int}:
            return pa.array(values, pa.int64())
        if kind is ValueType.BYTES and types <= {str}:
            return pa.array(values, pa.string())
        if kind is ValueType.BYTES and types <= {bytes}:
            return pa.array(values, pa.binary()).cast(pa.string())
    except (pa.ArrowInvalid, OverflowError):
        pass  # too large a whole number, or bytes that are no UTF-8: find out which
    return None


def _cleaned(values: pa.Array) -> pa.Array:
    """Make NaN null and a negative zero zero."""
    values = pc.add(values, 0.0)
    nan = pc.is_nan(values)
    return pc.if_else(nan, pa.scalar(None, pa.float64()), values) if pc.any(nan).as_py() else values


def _vectors(parts: Sequence[_Part], kind: ValueType) -> pa.Array | None:
    if not all(isinstance(part, np.ndarray) and part.ndim == 2 for part in parts):
        return None
    matrices: list[npt.NDArray[Any]] = list(parts)  # type: ignore[arg-type]
    flat = _of_numbers(np.concatenate([matrix.ravel() for matrix in matrices]), kind)
    if flat is None or len(flat) >= 2**31:
        return None
    sizes = np.repeat([matrix.shape[1] for matrix in matrices], [matrix.shape[0] for matrix in matrices])
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), flat)


def _keep_apart(apart: dict[int, dict[str, object]], name: str, values: Any) -> None:
    for row, value in values:
        if not missing(value):
            apart.setdefault(row, {})[name] = _text(value)


def _captured(captures: Sequence[Capture], counts: Sequence[int]) -> dict[str, pa.Array]:
    if all(capture is UNSAID for capture in captures):
        return {}
    rates, hash_rates, latencies, statuses = zip(*captures, strict=True)
    rows = None if all(count == 1 for count in counts) else pa.array(np.repeat(np.arange(len(counts)), counts))
    columns = {
        RATE: pa.array(rates, pa.float64()),
        HASH_RATE: pa.array(hash_rates, pa.float64()),
        LATENCY: pa.array(latencies, pa.float64()),
        STATUS: pa.array(statuses, pa.string()),
    }
    return columns if rows is None else {name: column.take(rows) for name, column in columns.items()}


def _predictions(pile: _Pile, rows: int) -> dict[str, pa.Array]:
    """Return the three columns of predictions."""
    numbers = _scalars(_merged(pile.parts), ValueType.FLOAT) if _numeric(pile) else None
    if numbers is not None:
        return {PREDICTION: numbers}
    found: dict[str, list[object]] = {name: [None] * rows for name in (PREDICTION, PREDICTION_TEXT, PREDICTION_JSON)}
    for row, value in enumerate(_plain_values(pile.parts)):
        if missing(value):
            continue
        if isinstance(value, str):
            found[PREDICTION_TEXT][row] = value
        elif isinstance(value, bool | list | dict):
            found[PREDICTION_JSON][row] = json_text(value)
        else:
            found[PREDICTION][row] = as_double(value)
    return {
        PREDICTION: pa.array(found[PREDICTION], pa.float64()),
        PREDICTION_TEXT: pa.array(found[PREDICTION_TEXT], pa.string()),
        PREDICTION_JSON: pa.array(found[PREDICTION_JSON], pa.string()),
    }


def _numeric(pile: _Pile) -> bool:
    return all(not isinstance(part, np.ndarray) or part.dtype.kind in "fiu" for part in pile.parts)
