"""Columns of the two sides, told by what each row has, and made comparable; changes with the types that can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.errors import InputError
from monitor.window.conform import Origin, readable_json
from monitor.window.frames import event_times
from monitor.window.plain import NAIVE_TIME_TYPE, is_time, list_array, plain_column, time_text

_LOOK = 100


class Presence(IntEnum):
    """What a row has of a feature."""

    ABSENT = 0
    """Nothing: the tf.Example does not name the feature, or the table has no such column."""
    EMPTY = 1
    """The feature without a value: an empty list, or an empty cell, of which TFX's ExampleGen makes an empty list."""
    FILLED = 2
    """One value or several."""


class Kind(StrEnum):
    """The kinds of values that are compared with each other."""

    MISSING = "MISSING"
    INT = "INT"
    FLOAT = "FLOAT"
    BYTES = "BYTES"
    TIME = "TIME"


@dataclass(frozen=True, slots=True)
class Column:
    """One feature of one side.

    Attributes:
        values: n of a plain type, or lists of one; null where `presence` is not FILLED, and text is large_string or large_binary.
        presence: uint8 (n,), a `Presence` each.
        example: whether the rows are tf.Examples, whose types are strict and whose floats have 32 bits.
    """

    values: pa.Array
    presence: npt.NDArray[np.uint8]
    example: bool = False

    @classmethod
    def of_table(cls, name: str, column: pa.ChunkedArray | pa.Array, origin: Origin = Origin.TYPED) -> Self:
        """Return a column of a table, in which a null is an empty feature.

        Raises:
            InputError: it holds objects, or lists of lists.
        """
        values = _plain(name, column)
        if origin is Origin.JSON:
            values = pc.cast(readable_json(values), pa.large_string())
        return cls(*_single(values, _presence(values, Presence.EMPTY)))

    @classmethod
    def of_examples(cls, name: str, column: pa.ChunkedArray | pa.Array) -> Self:
        """Return a column of tf.Examples: lists, empty for a feature without values, null where the example does not name it."""
        values = _plain(name, column)
        presence = _presence(values, Presence.ABSENT)
        return cls(*_single(values, presence), example=True)

    @classmethod
    def absent(cls, rows: int) -> Self:
        """Return the column of a feature that a side does not have at all."""
        return cls(pa.nulls(rows), np.full(rows, Presence.ABSENT, dtype=np.uint8))

    @property
    def kind(self) -> Kind:
        """The kind of the values."""
        item = self.values.type.value_type if pa.types.is_list(self.values.type) else self.values.type
        if pa.types.is_null(item):
            return Kind.MISSING
        if is_time(item):
            return Kind.TIME
        if pa.types.is_floating(item):
            return Kind.FLOAT
        return Kind.INT if pa.types.is_integer(item) else Kind.BYTES

    @property
    def multivalent(self) -> bool:
        """Whether a row may hold several values."""
        return bool(pa.types.is_list(self.values.type))

    def take(self, rows: npt.NDArray[np.int64]) -> Column:
        """Return the rows of these places, in their order."""
        return Column(self.values.take(pa.array(rows)), self.presence[rows], self.example)

    def filter(self, mask: npt.NDArray[np.bool_]) -> pa.Array:
        """Return the values of some rows."""
        return self.values if mask.all() else self.values.filter(pa.array(mask))


def comparable(training: Column, served: Column) -> tuple[Column, Column] | None:
    """Return both columns in one type, or None where their values cannot be equal.

    tf.Examples are compared as TFDV does, which tells the whole number 1 from the float 1.0. Other formats say less about their
    types (pandas writes whole numbers with gaps as floats), so there numbers are numbers; and text is a time where the other is.
    """
    if training.multivalent != served.multivalent:
        training, served = _as_lists(training), _as_lists(served)
    one, other = training.kind, served.kind
    if one is other:
        return _same_kind(training, served)
    if {one, other} == {Kind.INT, Kind.FLOAT}:
        if training.example and served.example:
            return None
        return _cast(training, pa.float64()), _cast(served, pa.float64())
    if {one, other} == {Kind.TIME, Kind.BYTES}:
        return _times_or_texts(training, served)
    return None


def times_of_text(values: pa.Array) -> pa.Array | None:
    """Return text as times without a zone (UTC), or None where some of it is no time."""
    known = values.drop_null()
    if _micros(known.slice(0, _LOOK)) is None:
        return None
    micros = _micros(known)
    if micros is None:
        return None
    full = np.zeros(len(values), dtype=np.int64)
    valid = values.is_valid().to_numpy(zero_copy_only=False)
    full[valid] = micros
    return pc.cast(pa.array(full, mask=~valid), NAIVE_TIME_TYPE)


def _micros(texts: pa.Array) -> npt.NDArray[np.int64] | None:
    try:
        return event_times(pa.table({"time": texts}), "time")
    except InputError:
        return None


def _plain(name: str, column: pa.ChunkedArray | pa.Array) -> pa.Array:
    if pa.types.is_string(column.type):
        # Large offsets first: a column of more than 2 GiB of text does not fit one array otherwise.
        column = pc.cast(column, pa.large_string())
    if pa.types.is_large_string(column.type):
        return (
            column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
        )
    array = plain_column(name, column)
    if pa.types.is_string(array.type):
        return pc.cast(array, pa.large_string())
    return pc.cast(array, pa.large_binary()) if pa.types.is_binary(array.type) else array


def _presence(values: pa.Array, of_null: Presence) -> npt.NDArray[np.uint8]:
    if pa.types.is_list(values.type):
        sizes = pc.fill_null(pc.list_value_length(values), -1).to_numpy(zero_copy_only=False)
        return np.where(sizes > 0, Presence.FILLED, np.where(sizes == 0, Presence.EMPTY, of_null)).astype(np.uint8)
    valid = values.is_valid().to_numpy(zero_copy_only=False)
    return np.where(valid, Presence.FILLED, of_null).astype(np.uint8)


def _single(values: pa.Array, presence: npt.NDArray[np.uint8]) -> tuple[pa.Array, npt.NDArray[np.uint8]]:
    """Return lists that never hold two values as those values."""
    if not pa.types.is_list(values.type):
        return values, presence
    sizes = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    if len(sizes) and sizes.max() > 1:
        return values, presence
    places = pa.array(sizes.cumsum() - sizes, pa.int64(), mask=sizes == 0)
    return _plain_text(pc.list_flatten(values).take(places)), presence


def _plain_text(values: pa.Array) -> pa.Array:
    large = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}.get(values.type)
    return values if large is None else pc.cast(values, large)


def _as_lists(column: Column) -> Column:
    if column.multivalent or column.kind is Kind.MISSING:
        return column
    values = time_text(column.values) if column.kind is Kind.TIME else column.values
    lengths = pc.if_else(pc.is_valid(values), 1, pa.scalar(None, pa.int64()))
    return Column(list_array(lengths, values.drop_null()), column.presence, column.example)


def _same_kind(training: Column, served: Column) -> tuple[Column, Column]:
    if training.kind is Kind.TIME:
        return _cast(training, NAIVE_TIME_TYPE), _cast(served, NAIVE_TIME_TYPE)
    if training.values.type == served.values.type:
        return training, served
    binary = pa.binary() if training.multivalent else pa.large_binary()
    return _cast(training, binary), _cast(served, binary)


def _cast(column: Column, item: pa.DataType) -> Column:
    if column.multivalent:
        flat = pc.cast(pc.list_flatten(column.values), item, safe=False)
        return Column(list_array(pc.list_value_length(column.values), flat), column.presence, column.example)
    return Column(pc.cast(column.values, item, safe=False), column.presence, column.example)


def _times_or_texts(training: Column, served: Column) -> tuple[Column, Column] | None:
    text, time = (training, served) if training.kind is Kind.BYTES else (served, training)
    if text.multivalent or not pa.types.is_large_string(text.values.type):
        return None
    parsed = times_of_text(text.values)
    if parsed is None:
        return None
    text = Column(parsed, text.presence, text.example)
    time = _cast(time, NAIVE_TIME_TYPE)
    return (text, time) if training.kind is Kind.BYTES else (time, text)
