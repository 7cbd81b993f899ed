"""Values made to fit the type of their feature, and those that do not fit; changes when the rule of fitting does.

The rule, value by value:

| wanted | fits | does not fit |
|---|---|---|
| INT | whole numbers, also as floats (pandas writes ints with gaps so), booleans | 2.5, infinity, text |
| FLOAT | numbers, also whole ones | text |
| BYTES | text and bytes | numbers |
| several values | a list, or one value alone | a list with a value that does not fit |
| one value | a value, or a list of at most one (a tf.Example knows nothing else) | longer lists |

A CSV file has no types, so there a text that spells a number is that number, and a number where text is wanted is its text. JSON
and Parquet say what they mean: there "12.5" is text. A missing value (null, NaN) always fits.
"""

from __future__ import annotations

import json
import math
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.records import FeatureType, Misfits, ValueType
from monitor.window.numerals import read_numbers, whole_floats
from monitor.window.plain import list_array, plain_feature

ORIGIN = b"driftline.origin"
"""Key of a field's metadata that says where the column comes from, one of `Origin`."""

_EXAMPLES = 3
_EXAMPLE_LENGTH = 60

_Mask = npt.NDArray[np.bool_]


class Origin(StrEnum):
    """How a column came to its Arrow type."""

    TYPED = "typed"
    """The file says the type."""
    CSV = "csv"
    """Text of a file that has no types."""
    JSON = "json"
    """Each value is the JSON text of a value: values of several types were in one column."""


def origin_of(field: pa.Field) -> Origin:
    """Return the origin that a reader left in the field's metadata."""
    return Origin((field.metadata or {}).get(ORIGIN, b"typed").decode())


def conform(
    column: pa.ChunkedArray | pa.Array, kind: FeatureType, origin: Origin = Origin.TYPED
) -> tuple[pa.Array, Misfits | None]:
    """Return `column` with the Arrow type of `kind` (bytes that are no UTF-8 stay binary), null where a value does not fit.

    Also returns how many values do not fit, with examples; None where all fit. Raises InputError for nested objects.
    """
    array = plain_feature("", column)
    if array.null_count == len(array):
        return pa.nulls(len(array), kind.arrow()), None
    if origin is Origin.JSON:
        return _conform_json(array, kind)
    if pa.types.is_list(array.type):
        fitted, bad = _fit_lists(array, kind, origin)
    else:
        fitted, bad = _fit_values(array, kind.value, origin)
        if kind.multivalent:
            fitted = _as_lists(fitted)
    if not bad.any():
        return fitted, None
    return fitted, _misfits(array.filter(pa.array(bad)))


def readable_json(column: pa.Array) -> pa.Array:
    """Return a column of JSON texts (`Origin.JSON`) as plain text: strings as they are, everything else as its JSON."""
    return pa.array([_plain_text(text) for text in column.to_pylist()], pa.string())


def _plain_text(text: str | None) -> str | None:
    if text is None:
        return None
    value = json.loads(text)
    return value if isinstance(value, str) else text


def commonest_type(column: pa.Array) -> FeatureType:
    """Return the type that fits most values of a column of JSON texts (`Origin.JSON`); of equals INT, FLOAT, BYTES."""
    values = [None if text is None else json.loads(text) for text in column.to_pylist()]
    kinds = [FeatureType(value) for value in (ValueType.INT, ValueType.FLOAT, ValueType.BYTES)]
    return max(kinds, key=lambda kind: sum(_fit_json(value, kind) is not None for value in values))


def _fit_values(array: pa.Array, value: ValueType, origin: Origin) -> tuple[pa.Array, _Mask]:
    none_bad = np.zeros(len(array), dtype=bool)
    is_text = pa.types.is_string(array.type) or pa.types.is_binary(array.type)
    if value is ValueType.BYTES:
        if is_text:
            return array, none_bad
        if origin is Origin.CSV:
            return pc.cast(array, pa.string()), none_bad
    elif not is_text:
        if array.type == value.arrow():
            return array, none_bad
        if value is ValueType.FLOAT:
            return pc.cast(array, pa.float64(), safe=False), none_bad
        return whole_floats(array)
    elif origin is Origin.CSV and pa.types.is_string(array.type):
        numbers, bad = read_numbers(array, value)
        return numbers, none_bad if bad is None else bad
    return pa.nulls(len(array), value.arrow()), _present(array)


def _present(array: pa.Array) -> _Mask:
    present = pc.is_valid(array)
    if pa.types.is_floating(array.type):
        present = pc.and_not(present, pc.fill_null(pc.is_nan(array), False))
    return np.asarray(present.to_numpy(zero_copy_only=False), dtype=bool)


def _as_lists(values: pa.Array) -> pa.Array:
    lengths = pc.if_else(pc.is_valid(values), 1, pa.scalar(None, pa.int64()))
    return list_array(lengths, values.drop_null())


def _fit_lists(array: pa.Array, kind: FeatureType, origin: Origin) -> tuple[pa.Array, _Mask]:
    lengths = pc.list_value_length(array)
    sizes = pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False)
    values, bad_values = _fit_values(pc.list_flatten(array), kind.value, origin)
    parents = np.repeat(np.arange(len(sizes)), sizes)
    bad = np.zeros(len(sizes), dtype=bool)
    bad[parents[bad_values]] = True
    if kind.multivalent:
        kept = values.filter(pa.array(~bad[parents])) if bad.any() else values
        return list_array(pc.if_else(pa.array(bad), pa.scalar(None, lengths.type), lengths), kept), bad
    bad |= sizes > 1
    firsts = pa.array(sizes.cumsum() - sizes, pa.int64(), mask=bad | (sizes == 0))
    return values.take(firsts), bad


def _conform_json(array: pa.Array, kind: FeatureType) -> tuple[pa.Array, Misfits | None]:
    decoded = [None if text is None else json.loads(text) for text in array.to_pylist()]
    fitted = [_fit_json(value, kind) for value in decoded]
    bad = [value for value, fit in zip(decoded, fitted, strict=True) if fit is None and _is_present(value)]
    column = pa.array(fitted, kind.arrow())
    return column, _counted(bad) if bad else None


def _is_present(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _fit_json(value: Any, kind: FeatureType) -> Any:
    if kind.multivalent:
        fits = [_fit_scalar(item, kind.value) for item in (value if isinstance(value, list) else [value])]
        return None if None in fits else fits
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    return _fit_scalar(value, kind.value)


def _fit_scalar(value: Any, wanted: ValueType) -> int | float | str | None:
    if not _is_present(value):
        return None
    if wanted is ValueType.BYTES:
        return value if isinstance(value, str) else None
    if not isinstance(value, int | float):
        return None
    if wanted is ValueType.FLOAT:
        return float(value)
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if -(2**63) <= value < 2**63 else None


def _misfits(bad: pa.Array) -> Misfits:
    examples = bad if pa.types.is_list(bad.type) else bad.unique()
    return Misfits(len(bad), _counted(examples.to_pylist()).examples)


def _counted(values: list[Any]) -> Misfits:
    return Misfits(len(values), tuple(sorted({_example(value) for value in values})[:_EXAMPLES]))


def _example(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str) and len(value) > _EXAMPLE_LENGTH:
        value = value[:_EXAMPLE_LENGTH] + "…"
    return json.dumps(value, ensure_ascii=False, default=repr)
