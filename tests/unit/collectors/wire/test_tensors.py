from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from collectors.dead_letter import Reason
from collectors.wire import messages as pb
from collectors.wire.tensors import Shape, column_of, listed, shape_of
from monitor.errors import InvalidRecord
from tests.unit.collectors.wire.logs import tensor

_T = pb.DataType
_KINDS: list[tuple[pb.DataType, str, Any]] = [
    (_T.DT_FLOAT, "float_val", np.float32),
    (_T.DT_DOUBLE, "double_val", np.float64),
    (_T.DT_INT32, "int_val", np.int32),
    (_T.DT_INT16, "int_val", np.int16),
    (_T.DT_INT8, "int_val", np.int8),
    (_T.DT_UINT8, "int_val", np.uint8),
    (_T.DT_UINT16, "int_val", np.uint16),
    (_T.DT_INT64, "int64_val", np.int64),
    (_T.DT_UINT32, "uint32_val", np.uint32),
    (_T.DT_UINT64, "uint64_val", np.uint64),
    (_T.DT_BOOL, "bool_val", np.bool_),
]


def read(message: Any) -> list[object]:
    packed = pb.PackedTensorProto.FromString(message.SerializeToString())
    return list(listed(column_of(packed, shape_of(packed.tensor_shape))))


@given(st.data(), st.sampled_from(_KINDS), st.booleans())
def test_any_numbers_of_any_rank_come_back_row_by_row_packed_or_raw(
    data: st.DataObject, kind: tuple[pb.DataType, str, Any], raw: bool
) -> None:
    dtype, field, of = kind
    array = data.draw(arrays.arrays(of, arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)))
    flat = array.reshape(array.shape[0], int(np.prod(array.shape[1:])))
    expected = [row[0] if len(row) == 1 else (row or None) for row in flat.tolist()]
    assert repr(read(tensor(array, dtype, None if raw else field))) == repr(expected)


@pytest.mark.parametrize(("dtype", "bits", "value"), [
    pytest.param(_T.DT_HALF, 0x3E00, 1.5, id="half"),
    pytest.param(_T.DT_BFLOAT16, 0x3FC0, 1.5, id="bfloat16"),
])  # fmt: skip
def test_numbers_of_sixteen_bits_are_read_from_their_bit_patterns(dtype: pb.DataType, bits: int, value: float) -> None:
    assert read(tensor([bits, bits], dtype, "half_val")) == [value, value]
    assert read(tensor(np.array([bits], dtype="<u2"), dtype)) == [value]


def test_texts_come_back_as_bytes_and_a_row_of_several_as_a_list() -> None:
    message = pb.TensorProto(dtype=_T.DT_STRING, string_val=[b"a", b"b", b"c", b"\xff"])
    message.tensor_shape.dim.add(size=2)
    message.tensor_shape.dim.add(size=2)
    assert read(message) == [[b"a", b"b"], [b"c", b"\xff"]]


def test_the_last_value_stands_for_all_that_are_left_out() -> None:
    assert read(tensor([1.0, 2.0], _T.DT_FLOAT, "float_val", shape=[4])) == [1.0, 2.0, 2.0, 2.0]
    assert read(tensor([7], _T.DT_INT64, "int64_val", shape=[2, 2])) == [[7, 7], [7, 7]]


def test_floats_that_are_not_packed_are_read_too() -> None:
    unpacked = tensor([0.0, 0.0], _T.DT_FLOAT, "float_val", shape=[2])
    del unpacked.float_val[:]
    content = unpacked.SerializeToString() + b"\x2d" + np.float32(1.5).tobytes() + b"\x2d" + np.float32(-2).tobytes()
    packed = pb.PackedTensorProto.FromString(content)
    assert list(listed(column_of(packed, Shape(1, 2, 1, 2)))) == [1.5, -2.0]


def test_a_scalar_is_one_row() -> None:
    assert read(tensor(2.5, _T.DT_DOUBLE, "double_val")) == [2.5]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        pytest.param(
            tensor(np.array([1.0], dtype=np.float32), _T.DT_FLOAT, shape=[2]),
            Reason.TENSOR,
            id="raw content that is too short",
        ),
        pytest.param(tensor([1.0, 2.0, 3.0], _T.DT_FLOAT, "float_val", [2]), Reason.TENSOR, id="too many values"),
        pytest.param(tensor([], _T.DT_FLOAT, "float_val", [2]), Reason.TENSOR, id="no value at all"),
        pytest.param(tensor([1], _T.DT_INT64, "int64_val", [-1]), Reason.TENSOR, id="an unknown dimension"),
        pytest.param(
            tensor([1], _T.DT_FLOAT, "int64_val", [1]), Reason.TENSOR, id="values in the field of another type"
        ),
        pytest.param(tensor([1.0], _T.DT_COMPLEX64, "scomplex_val", [1]), Reason.TENSOR_TYPE, id="complex numbers"),
        pytest.param(pb.TensorProto(), Reason.TENSOR_TYPE, id="a tensor without a type"),
    ],
)
def test_a_tensor_that_contradicts_itself_is_refused(message: Any, reason: Reason) -> None:
    with pytest.raises(InvalidRecord, match=reason):
        read(message)
