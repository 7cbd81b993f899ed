"""tf.Examples read so that a feature without values is told from one that is not there; changes with how examples are decoded.

TFDV's feature skew detector tells them apart, and files hold both: TFX's ExampleGen writes an empty Feature for an empty cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collectors.formats.tfrecord import iter_records
from monitor.errors import InputError
from monitor.window.plain import list_array, plain_column

_BLOCK_RECORDS = 10_000


def example_blocks(stream: BinaryIO, where: str) -> Iterator[pa.Table]:
    """Yield the examples of a decompressed TFRecord as tables of list columns, 10,000 rows each.

    An empty list is a feature without values, null one that the example does not name. A feature of which a block knows no type
    is a list of nulls.

    Raises:
        InputError: a record is damaged, or is no tf.Example.
    """
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    decoder = ExamplesToRecordBatchDecoder()
    records = iter_records(stream, where)
    while examples := list(islice(records, _BLOCK_RECORDS)):
        try:
            batch = decoder.DecodeBatch(examples)
        except RuntimeError as error:
            raise InputError(f"{where}: a record cannot be read as tf.Example ({error})") from error
        names = batch.schema.names
        if not names:
            # Examples without any feature still are rows, and Arrow needs a column to count them.
            yield pa.table({"": pa.nulls(batch.num_rows, pa.list_(pa.null()))})
            continue
        columns = [_column(name, column, examples) for name, column in zip(names, batch.columns, strict=True)]
        yield pa.table(columns, names=names)


def merged_type(known: pa.DataType | None, field: pa.Field, where: str) -> pa.DataType:
    """Return the list type of a feature after one more block.

    Raises:
        InputError: the feature has two types.
    """
    if known is None or pa.types.is_null(known.value_type) or known == field.type:
        return field.type
    if pa.types.is_null(field.type.value_type):
        return known
    if {known.value_type, field.type.value_type} == {pa.string(), pa.binary()}:
        return pa.list_(pa.binary())
    raise InputError(
        f"{where}: feature {field.name!r} is of type {field.type} here and {known} before; write it in one type everywhere"
    )


def typed_column(block: pa.Table, field: pa.Field) -> pa.Array:
    """Return the column of a block with the type that it has over all blocks; null everywhere where the block lacks it."""
    if field.name not in block.column_names:
        return pa.nulls(block.num_rows, field.type)
    column = block.column(field.name)
    array = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
    if array.type == field.type:
        return array
    lengths = pc.list_value_length(array)
    return list_array(lengths, pc.cast(pc.list_flatten(array), field.type.value_type))


def _column(name: str, column: pa.Array, examples: Sequence[bytes]) -> pa.Array:
    if not column.null_count:
        return plain_column(name, column)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    named = missing.copy()
    named[missing] = _named(name, [examples[row] for row in np.flatnonzero(missing)])
    if pa.types.is_null(column.type):
        lengths, values = pa.nulls(len(column), pa.int64()), pa.nulls(0)
    else:
        plain = plain_column(name, column)
        lengths, values = pc.list_value_length(plain), pc.list_flatten(plain)
    return list_array(pc.if_else(pa.array(named), pa.scalar(0, lengths.type), lengths), values)


def _named(name: str, examples: Sequence[bytes]) -> npt.NDArray[np.bool_]:
    """Return which examples name a feature whose Feature message is empty: the decoder has no word for that.

    Such an entry of the map is the field 1 with the name and the field 2 without content, in this order.
    """
    key = name.encode()
    entry = b"\x0a" + _varint(len(key)) + key + b"\x12\x00"
    return np.fromiter((entry in example for example in examples), dtype=bool, count=len(examples))


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)
