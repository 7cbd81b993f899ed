"""TensorProto to one value a row: shapes, packed fields and raw content; changes with the tensor encoding.

Source: tensorflow/core/framework/tensor.proto and tensor.cc (`FromProtoField`: a field with fewer values than the shape has
elements repeats its last one).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from collectors.dead_letter import Reason
from collectors.wire.messages import DataType, TensorProto, TensorShapeProto
from monitor.errors import InvalidRecord

Column = npt.NDArray[Any] | Sequence[object]
"""One value a row: an array (k,), or (k, d) where each row has d values; or k numbers, texts, bytes, lists or None."""

MOST_VALUES: Final = 2**22
"""So many values a message may unpack to, or as many as it has bytes: a tensor's values may all be repeated from one."""

_FLOAT: Final = int(DataType.DT_FLOAT)
_INT64: Final = int(DataType.DT_INT64)
_F4: Final = struct.Struct("<f")


class _Kind(NamedTuple):
    """How one type is sent: its field, and the types of tensor_content and of the field's values."""

    field: str
    raw: np.dtype[Any]
    held: np.dtype[Any]
    is_bfloat16: bool = False


def _kind(field: str, name: str) -> _Kind:
    return _Kind(field, np.dtype(name), np.dtype(name).newbyteorder("="))


_KINDS: Final[dict[int, _Kind]] = {
    DataType.DT_FLOAT: _kind("float_val", "<f4"),
    DataType.DT_DOUBLE: _kind("double_val", "<f8"),
    DataType.DT_INT32: _kind("int_val", "<i4"),
    DataType.DT_UINT8: _kind("int_val", "u1"),
    DataType.DT_INT16: _kind("int_val", "<i2"),
    DataType.DT_INT8: _kind("int_val", "i1"),
    DataType.DT_UINT16: _kind("int_val", "<u2"),
    DataType.DT_INT64: _kind("int64_val", "<i8"),
    DataType.DT_BOOL: _kind("bool_val", "?"),
    DataType.DT_UINT32: _kind("uint32_val", "<u4"),
    DataType.DT_UINT64: _kind("uint64_val", "<u8"),
    DataType.DT_HALF: _kind("half_val", "<f2"),
    DataType.DT_BFLOAT16: _Kind("half_val", np.dtype("<u2"), np.dtype(np.uint16), is_bfloat16=True),
}
_PACKED_FIELDS: Final = {"float_val", "double_val"}


class Shape(NamedTuple):
    """A tensor's shape as rows of so many values; a scalar is one row and has rank 0."""

    rank: int
    rows: int
    width: int
    size: int


@lru_cache(maxsize=4096)
def shape_of(content: bytes) -> Shape:
    """Return the shape in the bytes of a TensorShapeProto; raises InvalidRecord where a dimension is unknown."""
    try:
        shape = TensorShapeProto.FromString(content)
    except DecodeError as error:
        raise InvalidRecord(Reason.TENSOR) from error
    sizes = tuple(dim.size for dim in shape.dim)
    if shape.unknown_rank or any(size < 0 for size in sizes):
        raise InvalidRecord(Reason.TENSOR)
    rows, width = sizes[0] if sizes else 1, math.prod(sizes[1:])
    return Shape(len(sizes), rows, width, rows * width)


def column_of(tensor: Any, shape: Shape) -> Column:
    """Return the values of a `PackedTensorProto` of that shape by row, row-major; a scalar is one row.

    Rows of one value are that value; rows of none are None. The caller bounds the shape.

    Raises:
        InvalidRecord: the content does not match the shape, or the type is not read.
    """
    _, rows, width, size = shape
    dtype = tensor.dtype
    if size == 1 and (single := _single(tensor, dtype)) is not None:
        return single
    if dtype == DataType.DT_STRING:
        values: Column = _strings(tensor, size)
    else:
        kind = _KINDS.get(dtype)
        if kind is None:
            raise InvalidRecord(Reason.TENSOR_TYPE)
        values = _numbers(tensor, size, kind)
    if width == 1:
        return values
    if not width:
        return [None] * rows
    if isinstance(values, np.ndarray):
        return values.reshape(rows, width)
    return [list(values[start : start + width]) for start in range(0, size, width)]


def _single(tensor: Any, dtype: int) -> Sequence[object] | None:
    """Return the only value of a tensor the short way, None where it must be read as others are."""
    if dtype == _FLOAT:
        chunks = tensor.float_val
        return _F4.unpack(chunks[0]) if len(chunks) == 1 and len(chunks[0]) == _F4.size else None
    if dtype == _INT64:
        values: Sequence[object] = tensor.int64_val[:]
        return values if len(values) == 1 else None
    return None


def _strings(tensor: Any, size: int) -> Sequence[object]:
    values = list(tensor.string_val)
    if tensor.tensor_content:
        raise InvalidRecord(Reason.TENSOR)
    if len(values) < size:
        if not values:
            raise InvalidRecord(Reason.TENSOR)
        values += values[-1:] * (size - len(values))
    if len(values) != size:
        raise InvalidRecord(Reason.TENSOR)
    return values


def _numbers(tensor: Any, size: int, kind: _Kind) -> npt.NDArray[Any]:
    content = tensor.tensor_content
    if content:
        return _raw(content, size, kind)
    field = kind.field
    if field in _PACKED_FIELDS:
        chunks = getattr(tensor, field)
        packed = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if len(packed) == size * kind.raw.itemsize:
            return np.frombuffer(packed, dtype=kind.raw)
        # Fewer values than elements, or not packed.
        try:
            tensor = TensorProto.FromString(tensor.SerializeToString())
        except DecodeError as error:
            raise InvalidRecord(Reason.TENSOR) from error
    found = getattr(tensor, field)[:]
    if not found and not size:
        return np.empty(0, dtype=np.float64)
    if not found or len(found) > size:
        raise InvalidRecord(Reason.TENSOR)
    values: npt.NDArray[Any]
    if field == "half_val":
        bits = np.array(found, dtype=np.int64).astype(np.uint16)
        values = _widened(bits) if kind.is_bfloat16 else bits.view(np.float16)
    elif field == "int_val":  # values wider than the type are cut to it, as TensorFlow does
        values = np.array(found, dtype=np.int64).astype(kind.held)
    else:
        values = np.array(found, dtype=kind.held)
    if len(found) < size:
        values = np.concatenate([values, np.repeat(values[-1:], size - len(found))])
    return values


def _raw(content: bytes, size: int, kind: _Kind) -> npt.NDArray[Any]:
    if len(content) != size * kind.raw.itemsize:
        raise InvalidRecord(Reason.TENSOR)
    if kind.raw.kind == "b":
        truths: npt.NDArray[np.bool_] = np.frombuffer(content, dtype=np.uint8) != 0
        return truths
    values: npt.NDArray[Any] = np.frombuffer(content, dtype=kind.raw)
    return _widened(values) if kind.is_bfloat16 else values


def _widened(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """Return bfloat16 numbers as float32, whose upper half they are."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def listed(column: Column) -> Sequence[object]:
    """Return the values of a column as Python objects."""
    values: Sequence[object] = column.tolist() if isinstance(column, np.ndarray) else column
    return values
