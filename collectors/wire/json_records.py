"""JSON records of a topic or file to rows: one fast columnar way, and one that looks at each message.

Changes with the record format (docs: "Records on a JSON topic"). Both ways give the same rows for the same messages, in any mix
and any batching: the columnar way refuses a batch as soon as it holds anything that it would not read exactly as the
other does, and a refused batch is cut in pieces, so that one bad message does not slow down its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from collectors.wire import times
from collectors.wire.blocks import Decoded, Envelope, blank, joined, part_schema
from collectors.wire.parsing import parse_object
from collectors.wire.rows import VERSION_BYTES, RowReader
from monitor.clock import to_micros
from monitor.errors import InvalidRecord
from monitor.records import (
    EVENT_TIME,
    EVENT_TIME_TYPE,
    FEATURE_PREFIX,
    INSTANCE,
    LABEL,
    LABEL_TEXT,
    MODEL,
    PREDICTION,
    PREDICTION_TEXT,
    REQUEST_ID,
    VERSION,
    WEIGHT,
    ColumnTypes,
    FeatureType,
    SpanKind,
)

_COLUMNAR_FROM = 32
"""Calling the columnar parser costs as much as reading so many messages one by one."""

_SPLIT = 8
_SMALLEST = 256
"""A refused batch of at most this size is read message by message."""

_STRANGE_INFINITY = re.compile(rb"(?<=[:,\[\s-])Inf(?!inity)")
"""A spelling that the columnar parser would take and the other would not."""

_FEATURES = "features"


class _Refused(Exception):
    """The columnar way cannot be sure to read the batch as the other would."""


class JsonDecoder:
    """Decodes the records of one envelope; it remembers how the last batch was written, which only makes it faster."""

    def __init__(self, envelope: Envelope, columnar_from: int = _COLUMNAR_FROM) -> None:
        """Decode what `envelope` describes; batches of fewer than `columnar_from` messages are read one by one."""
        self._columnar_from = columnar_from
        self._envelope = envelope
        self._features = _union(envelope)
        self._schemas = {model: part_schema(envelope.kind, types) for model, types in envelope.types.items()}
        self._layout: dict[str, pa.DataType] | None = None
        self.singly = 0
        """How many messages were read one by one so far."""

    def decode(self, values: Sequence[bytes | None], now: datetime) -> Decoded:
        """Return the rows of a batch of messages, and those that can never be read; `now` judges times in the future."""
        limits = {model: to_micros(now + ahead) for model, ahead in self._envelope.max_future.items()}
        return self._decode(values, limits)

    def _decode(self, values: Sequence[bytes | None], limits: dict[str, int]) -> Decoded:
        if not values:
            return Decoded({}, (), 0)
        try:
            return self._columnar(values, limits)
        except _Refused:
            if len(values) <= _SMALLEST:
                return self._one_by_one(values, limits)
        step = -(-len(values) // _SPLIT)
        return joined(
            (first, self._decode(values[first : first + step], limits)) for first in range(0, len(values), step)
        )

    def _one_by_one(self, values: Sequence[bytes | None], limits: dict[str, int]) -> Decoded:
        reader = RowReader(self._envelope, limits)
        self.singly += len(values)
        for index, value in enumerate(values):
            try:
                reader.add(index, parse_object(value))
            except InvalidRecord as error:
                reader.bury(index, str(error))
        return reader.decoded()

    def _columnar(self, values: Sequence[bytes | None], limits: dict[str, int]) -> Decoded:
        if self._features is None or len(values) < self._columnar_from:
            raise _Refused
        text = _lines(values)
        known = self._layout
        if known is not None:
            try:
                return self._columnar_as(known, text, len(values), limits)
            except _Refused:
                pass
        layout = _layout(values[0])
        if layout is None or layout == known:
            raise _Refused
        decoded = self._columnar_as(layout, text, len(values), limits)
        self._layout = layout
        return decoded

    def _columnar_as(self, layout: dict[str, pa.DataType], text: bytes, count: int, limits: dict[str, int]) -> Decoded:
        traffic = self._envelope.kind is SpanKind.TRAFFIC
        fields = [pa.field(name, kind) for name, kind in layout.items()]
        if traffic:
            struct = pa.struct([(name, kind.arrow()) for name, kind in (self._features or {}).items()])
            fields.append(pa.field(_FEATURES, struct))
        table = _parse(text, pa.schema(fields))
        if table.num_rows != count or any(table.schema.field(name).type != kind for name, kind in layout.items()):
            raise _Refused
        columns = {field.name: _whole(table.column(field.name)) for field in fields}
        features = _children(columns.pop(_FEATURES), self._features or {}) if traffic else {}
        common = _common(columns, count, traffic=traffic)
        models = columns[MODEL]
        if models.null_count:
            raise _Refused
        present = pc.unique(models).to_pylist()
        if any(model not in self._schemas for model in present):
            raise _Refused
        parts = {}
        for model in present:
            chosen = None if len(present) == 1 else pc.equal(models, model)
            parts[model] = self._part(model, common, features, chosen, limits[model])
        return Decoded(parts, (), count)

    def _part(
        self,
        model: str,
        common: dict[str, pa.Array],
        features: dict[str, pa.Array],
        chosen: pa.Array | None,
        limit: int,
    ) -> pa.Table:
        rows = {name: column if chosen is None else column.filter(chosen) for name, column in common.items()}
        newest = pc.max(rows[EVENT_TIME]).cast(pa.int64()).as_py()
        if newest > limit:
            raise _Refused
        types = self._envelope.types[model]
        for name, column in features.items():
            own = column if chosen is None else column.filter(chosen)
            if name in types:
                rows[FEATURE_PREFIX + name] = own
            elif own.null_count < len(own):
                raise _Refused  # a feature that only another model of this topic has
        size = len(rows[REQUEST_ID])
        schema = self._schemas[model]
        return pa.table(
            [rows[field.name] if field.name in rows else blank(field, size) for field in schema], schema=schema
        )


def _union(envelope: Envelope) -> dict[str, FeatureType] | None:
    """Return the features of all models together, None where two models disagree on a type."""
    union: dict[str, FeatureType] = {}
    for types in envelope.types.values():
        for name, kind in types.items():
            if union.setdefault(name, kind) != kind:
                return None
    return union


def _lines(values: Sequence[bytes | None]) -> bytes:
    """Return the messages as one text, if each looks like an object."""
    try:
        text = b"\n".join(values)  # type: ignore[arg-type]
    except TypeError as error:
        raise _Refused from error
    # Each begins and ends as an object does and so holds at least one: as many rows as messages means exactly one each.
    if not (text.startswith(b"{") and text.endswith(b"}") and text.count(b"}\n{") == len(values) - 1):
        raise _Refused
    if b"\0" in text or (b"Inf" in text and _STRANGE_INFINITY.search(text)):
        raise _Refused  # at a zero byte the columnar parser stops
    if not text.isascii():
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _Refused from error
    return text


def _layout(sample: bytes | None) -> dict[str, pa.DataType] | None:
    """Return the types of the fields around the features as one message has them; None where a column cannot hold them."""
    try:
        record = parse_object(sample)
    except InvalidRecord:
        return None
    layout = {MODEL: pa.string(), INSTANCE: pa.int64(), WEIGHT: pa.float64()}
    for name in (VERSION, REQUEST_ID):
        layout[name] = pa.int64() if type(record.get(name)) is int else pa.string()
    layout[EVENT_TIME] = pa.float64() if type(record.get(EVENT_TIME)) in (int, float) else pa.string()
    for name in (PREDICTION, LABEL):
        value = record.get(name)
        if isinstance(value, bool | list | dict):
            return None
        layout[name] = pa.string() if isinstance(value, str) else pa.float64()
    return layout


def _parse(text: bytes, schema: pa.Schema) -> pa.Table:
    try:
        return pyarrow.json.read_json(
            pa.BufferReader(text),
            # One block, since types must not depend on where a block ends; one thread, since the poller has the other core.
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer"),
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, UnicodeDecodeError) as error:
        raise _Refused from error


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _children(column: pa.Array, types: ColumnTypes) -> dict[str, pa.Array]:
    """Return the columns of the features; all of them of the types asked for, and nothing beyond but empty columns."""
    if column.null_count:
        raise _Refused
    children: dict[str, pa.Array] = {}
    for index in range(column.type.num_fields):
        field, child = column.type[index], column.field(index)
        kind = types.get(field.name)
        if kind is None:
            if child.null_count < len(child):
                raise _Refused
            continue
        if field.type != kind.arrow():
            raise _Refused
        children[field.name] = _clean(child)
    return children


def _clean(column: pa.Array) -> pa.Array:
    """Make NaN null and a negative zero zero, in a column of numbers or of lists of them."""
    if pa.types.is_list(column.type):
        values = _clean(column.values)
        return pa.Array.from_buffers(
            column.type,
            len(column),
            column.buffers()[:2],
            null_count=column.null_count,
            offset=column.offset,
            children=[values],
        )
    if not pa.types.is_floating(column.type):
        return column
    column = pc.add(column, 0.0)
    nan = pc.is_nan(column)
    return pc.if_else(nan, pa.scalar(None, pa.float64()), column) if pc.any(nan).as_py() else column


def _common(columns: dict[str, pa.Array], count: int, *, traffic: bool) -> dict[str, pa.Array]:
    """Return the columns around the features, checked; refuse the batch where a message would be a dead letter."""
    found = {
        REQUEST_ID: _text(columns[REQUEST_ID], None),
        VERSION: _text(columns[VERSION], VERSION_BYTES) if traffic else pa.array([""] * count, pa.string()),
        EVENT_TIME: _times(columns[EVENT_TIME]),
        INSTANCE: _filled(columns[INSTANCE], 0),
        WEIGHT: _filled(columns[WEIGHT], 1.0),
    }
    weights = found[WEIGHT].to_numpy()
    if pc.min(found[INSTANCE]).as_py() < 0 or not np.all((weights > 0) & (weights < np.inf)):
        raise _Refused
    label = _clean(columns[LABEL])
    if not traffic and label.null_count:
        raise _Refused
    found[LABEL_TEXT if pa.types.is_string(label.type) else LABEL] = label
    if traffic:
        prediction = _clean(columns[PREDICTION])
        found[PREDICTION_TEXT if pa.types.is_string(prediction.type) else PREDICTION] = prediction
    return found


def _text(column: pa.Array, longest: int | None) -> pa.Array:
    if column.null_count:
        raise _Refused
    if pa.types.is_integer(column.type):
        return column.cast(pa.string())
    sizes = pc.min_max(pc.binary_length(column)).as_py()
    if sizes["min"] == 0 or (longest is not None and sizes["max"] > longest):
        raise _Refused
    if longest is not None and pc.any(pc.match_substring(column, "\0")).as_py():
        raise _Refused
    return column


def _times(column: pa.Array) -> pa.Array:
    if column.null_count:
        raise _Refused
    if pa.types.is_string(column.type):
        micros = times.micros_of_texts(column)
    else:
        micros = times.micros_of_seconds(column.to_numpy(zero_copy_only=False))
    if micros.min() < 0:
        raise _Refused
    return _moments(micros)


def _moments(micros: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(micros, pa.int64()).cast(EVENT_TIME_TYPE)


def _filled(column: pa.Array, value: float) -> pa.Array:
    return pc.fill_null(column, pa.scalar(value, column.type)) if column.null_count else column
