"""Plain columns: the few Arrow types that features may have; changes when another Arrow type is to be understood."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from monitor.errors import InputError
from monitor.records import EVENT_TIME_TYPE

NAIVE_TIME_TYPE = pa.timestamp("us")


def plain_column(name: str, column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return `column` as one array of a plain type: null, int64, float64, string, binary, a time, or a list of the former.

    Booleans become 0 and 1, dictionaries their values, decimals floats, bytes text where all of it is UTF-8. Times (date32,
    timestamp in microseconds with UTC or without a zone) stay times, so that they can still be read as event times;
    `plain_feature` makes text of them. Unsigned numbers beyond int64 become floats. NaN becomes null, except inside lists.

    Raises:
        InputError: the column holds objects, or lists of lists; the message names it.
    """
    array = _one_array(column)
    kind = array.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _plain_list(name, array)
    return _without_nan(_plain_values(name, array))


def plain_feature(name: str, column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a plain column whose times are ISO 8601 text and whose all-missing column is text without values."""
    array = plain_column(name, column)
    if is_time(array.type):
        return time_text(array)
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), pa.string())
    return array


def is_time(kind: pa.DataType) -> bool:
    """Say whether a plain type is a date or a timestamp."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def time_text(array: pa.Array) -> pa.Array:
    """Return dates as 2013-01-31 and timestamps as 2013-01-31T05:00:00.000000, with a Z where they have a zone."""
    if pa.types.is_date(array.type):
        return pc.cast(array, pa.string())
    written = pc.strftime(pc.cast(array, NAIVE_TIME_TYPE), format="%Y-%m-%dT%H:%M:%S")
    return pc.binary_join_element_wise(written, pa.scalar("Z"), "") if array.type.tz else written


def needs_look(kind: pa.DataType) -> bool:
    """Say whether the plain type depends on the values, not on the Arrow type alone."""
    if pa.types.is_dictionary(kind):
        return needs_look(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return True
    return bool(_is_bytes(kind) or pa.types.is_uint64(kind))


def _one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _without_nan(array: pa.Array) -> pa.Array:
    if not pa.types.is_floating(array.type):
        return array
    nan = pc.is_nan(array)
    return pc.if_else(nan, pa.scalar(None, array.type), array) if pc.any(nan).as_py() else array


def _plain_list(name: str, array: pa.Array) -> pa.Array:
    values = _plain_values(name, pc.list_flatten(array))
    if is_time(values.type):
        values = time_text(values)
    return list_array(pc.list_value_length(array), values)


def list_array(lengths: pa.Array, values: pa.Array) -> pa.Array:
    """Return the lists of `lengths` (n integers, null for a missing list) over the flat `values`."""
    sizes = pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False)
    ends = sizes.cumsum()
    starts = ends - sizes
    missing = pc.is_null(lengths).to_numpy(zero_copy_only=False)
    total = int(ends[-1]) if len(ends) else 0
    # A null offset marks a missing list, see pyarrow.ListArray.from_arrays; the last offset only ends the last list.
    offsets = pa.concat_arrays([pa.array(starts, pa.int32(), mask=missing), pa.array([total], pa.int32())])
    return pa.ListArray.from_arrays(offsets, values)


def _plain_values(name: str, array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _plain_values(name, array.dictionary_decode())
    for matches, convert in _CONVERSIONS:
        if matches(kind):
            return convert(array)
    if pa.types.is_nested(kind):
        raise InputError(f"column {name!r} holds nested objects ({_short(kind)}): flatten it into columns of its own")
    raise InputError(f"column {name!r} has the type {kind}, which cannot be a feature: leave it out or convert it")


def _short(kind: pa.DataType) -> str:
    written = str(kind)
    return written if len(written) <= 60 else written[:57] + "..."


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _text_or_bytes(array: pa.Array) -> pa.Array:
    raw = pc.cast(array, pa.binary())
    try:
        return pc.cast(raw, pa.string())
    except pa.ArrowInvalid:
        return raw


def _integers(array: pa.Array) -> pa.Array:
    try:
        return pc.cast(array, pa.int64())
    except pa.ArrowInvalid:
        return pc.cast(array, pa.float64(), safe=False)


def _timestamps(array: pa.Array) -> pa.Array:
    return pc.cast(array, EVENT_TIME_TYPE if array.type.tz else NAIVE_TIME_TYPE, safe=False)


def _to(kind: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    return lambda array: array if array.type == kind else pc.cast(array, kind, safe=False)


_CONVERSIONS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]], ...] = (
    (pa.types.is_null, lambda array: array),
    (pa.types.is_boolean, _to(pa.int64())),
    (pa.types.is_integer, _integers),
    (pa.types.is_floating, _to(pa.float64())),
    (pa.types.is_decimal, _to(pa.float64())),
    (pa.types.is_string, lambda array: array),
    (pa.types.is_large_string, _to(pa.string())),
    (_is_bytes, _text_or_bytes),
    (pa.types.is_timestamp, _timestamps),
    (pa.types.is_date, _to(pa.date32())),
    (pa.types.is_time, _to(pa.string())),
)
