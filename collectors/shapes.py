"""The type a column has over all files, and blocks made to have it; changes when types are to be merged differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from collectors.formats.json_lines import json_text
from monitor.errors import InputError
from monitor.records import ColumnTypes, ValueType
from monitor.window.conform import ORIGIN, Origin, origin_of
from monitor.window.numerals import all_numbers, read_truths
from monitor.window.plain import is_time, list_array, time_text


@dataclass(frozen=True, slots=True)
class Shape:
    """What is known of a column from the blocks seen so far.

    Attributes:
        kind: a plain Arrow type; of a CSV column null, int64, float64, bool or string, whichever reads all of its text.
        origin: where the column comes from.
        longest: length of the longest list of a tf.Example column; None in other formats.
    """

    kind: pa.DataType
    origin: Origin = Origin.TYPED
    longest: int | None = None

    def final(self) -> pa.DataType:
        """Return the Arrow type that the column gets."""
        if self.longest is not None and self.longest <= 1:
            return self.kind.value_type if pa.types.is_list(self.kind) else self.kind
        return pa.int64() if pa.types.is_boolean(self.kind) else self.kind


Shapes = Mapping[str, Shape]


def csv_shapes(seen: Shapes, block: pa.Table, types: ColumnTypes) -> dict[str, Shape]:
    """Return `seen` after one more block of CSV text; columns that `types` knows as BYTES stay text."""
    shapes = dict(seen)
    for name in block.column_names:
        known = seen[name].kind if name in seen else pa.null()
        if name in types and types[name].value is ValueType.BYTES:
            known = pa.string()
        shapes[name] = Shape(_csv_kind(block.column(name).combine_chunks(), known), Origin.CSV)
    return shapes


def typed_shapes(seen: Shapes, block: pa.Table, where: str, *, of_examples: bool) -> dict[str, Shape]:
    """Return `seen` after one more block of plain columns; `of_examples` where they are lists of tf.Example.

    Raises:
        InputError: a column has types that do not go together, other than in JSON.
    """
    shapes = dict(seen)
    for field in block.schema:
        longest = _longest(block.column(field.name)) if of_examples else None
        shape = Shape(field.type, origin_of(field), longest)
        shapes[field.name] = _merged(field.name, seen[field.name], shape, where) if field.name in seen else shape
    return shapes


def mixed_shapes(seen: Shapes, block: pa.Table) -> dict[str, Shape]:
    """Return `seen` after one more block of JSON, where a column whose types do not go together becomes JSON texts."""
    shapes = dict(seen)
    for field in block.schema:
        shape = Shape(field.type, origin_of(field))
        if field.name in seen:
            kind = _merged_kind(seen[field.name].kind, shape.kind)
            if kind is None or Origin.JSON in (seen[field.name].origin, shape.origin):
                shape = Shape(pa.string(), Origin.JSON)
            else:
                shape = Shape(kind)
        shapes[field.name] = shape
    return shapes


def shaped(block: pa.Table, shapes: Shapes) -> pa.Table:
    """Return a block with exactly the columns of `shapes`, of their final types; a column it lacks is null."""
    fields = [
        pa.field(
            name, shape.final(), metadata=None if shape.origin is Origin.TYPED else {ORIGIN: shape.origin.encode()}
        )
        for name, shape in shapes.items()
    ]
    arrays = [_shaped_column(block, name, shape) for name, shape in shapes.items()]
    return pa.table(arrays, schema=pa.schema(fields))


def _csv_kind(text: pa.Array, known: pa.DataType) -> pa.DataType:
    if pa.types.is_string(known):
        return known
    if text.null_count == len(text):
        return known
    if (pa.types.is_null(known) or pa.types.is_integer(known)) and all_numbers(text, ValueType.INT) is not None:
        return pa.int64()
    if not pa.types.is_boolean(known) and all_numbers(text, ValueType.FLOAT) is not None:
        return pa.float64()
    if (pa.types.is_null(known) or pa.types.is_boolean(known)) and read_truths(text) is not None:
        return pa.bool_()
    return pa.string()


def _longest(column: pa.ChunkedArray) -> int:
    if not pa.types.is_list(column.type):
        return 0
    return pc.max(pc.list_value_length(column)).as_py() or 0


def _merged(name: str, one: Shape, other: Shape, where: str) -> Shape:
    kind = _merged_kind(one.kind, other.kind)
    if kind is None:
        raise InputError(
            f"{where}: column {name!r} is of type {other.kind} here and {one.kind} before; write it in one type everywhere"
        )
    longest = None if one.longest is None or other.longest is None else max(one.longest, other.longest)
    return Shape(kind, one.origin, longest)


def _merged_kind(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if pa.types.is_list(one) or pa.types.is_list(other):
        item = _merged_kind(*(kind.value_type if pa.types.is_list(kind) else kind for kind in (one, other)))
        return None if item is None else pa.list_(item)
    for wider, group in _WIDER:
        if one in group and other in group:
            return wider
    if is_time(one) and is_time(other):
        return pa.string()
    return None


_WIDER = (
    (pa.float64(), (pa.int64(), pa.float64())),
    (pa.binary(), (pa.string(), pa.binary())),
)


def _shaped_column(block: pa.Table, name: str, shape: Shape) -> pa.Array:
    final = shape.final()
    if name not in block.column_names:
        return pa.nulls(block.num_rows, final)
    array = block.column(name).combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if shape.origin is Origin.CSV:
        return _csv_column(array, shape.kind)
    if shape.origin is Origin.JSON:
        return array if origin_of(block.schema.field(name)) is Origin.JSON else _json_texts(array)
    if pa.types.is_list(array.type) and not pa.types.is_list(final):
        array = _only_values(array)
    return _cast(array, final)


def _csv_column(text: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_string(kind):
        return text
    if pa.types.is_null(kind):
        return pa.nulls(len(text))
    if pa.types.is_boolean(kind):
        return read_truths(text) if text.null_count < len(text) else pa.nulls(len(text), pa.int64())
    return all_numbers(text, ValueType.INT if pa.types.is_integer(kind) else ValueType.FLOAT)


def _json_texts(array: pa.Array) -> pa.Array:
    return pa.array([None if value is None else json_text(value) for value in array.to_pylist()], pa.string())


def _only_values(array: pa.Array) -> pa.Array:
    sizes = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    return pc.list_flatten(array).take(pa.array(sizes.cumsum() - sizes, pa.int64(), mask=sizes == 0))


def _cast(array: pa.Array, final: pa.DataType) -> pa.Array:
    if array.type == final:
        return array
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), final)
    if pa.types.is_list(final):
        if not pa.types.is_list(array.type):
            lengths = pc.if_else(pc.is_valid(array), 1, pa.scalar(None, pa.int64()))
            return list_array(lengths, _cast(array.drop_null(), final.value_type))
        return list_array(pc.list_value_length(array), _cast(pc.list_flatten(array), final.value_type))
    if is_time(array.type):
        return time_text(array)
    return pc.cast(array, final, safe=False)
