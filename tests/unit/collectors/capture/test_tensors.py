from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.capture.tensors import size_of, tensor, tensors_of_rows
from collectors.wire.messages import DataType
from monitor.errors import InvalidRecord


def shape_of(made: Any) -> list[int]:
    return [dim.size for dim in made.tensor_shape.dim]


@pytest.mark.parametrize(
    ("value", "kind", "field", "values", "shape"),
    [
        pytest.param(3, DataType.DT_INT64, "int64_val", [3], [], id="a whole number is an int64 scalar"),
        pytest.param([1, 2.5], DataType.DT_DOUBLE, "double_val", [1, 2.5], [2], id="one fraction makes all doubles"),
        pytest.param([True, False], DataType.DT_BOOL, "bool_val", [True, False], [2], id="booleans"),
        pytest.param(["é", b"\xff"], DataType.DT_STRING, "string_val", ["é".encode(), b"\xff"], [2], id="text, bytes"),
        pytest.param([{"b64": "/w=="}], DataType.DT_STRING, "string_val", [b"\xff"], [1], id="bytes as base64"),
        pytest.param([[[1], [2]], [[3], [4]]], DataType.DT_INT64, "int64_val", [1, 2, 3, 4], [2, 2, 1], id="rank 3"),
        pytest.param([[], []], DataType.DT_INT64, "int64_val", [], [2, 0], id="nothing in each row"),
        pytest.param([2**63], DataType.DT_UINT64, "uint64_val", [2**63], [1], id="beyond int64"),
        pytest.param([2**64, -1], DataType.DT_DOUBLE, "double_val", [2.0**64, -1.0], [2], id="beyond 64 bits"),
        pytest.param(math.inf, DataType.DT_DOUBLE, "double_val", [math.inf], [], id="infinity"),
        pytest.param(np.array(["a", "b"]), DataType.DT_STRING, "string_val", [b"a", b"b"], [2], id="an array of text"),
    ],
)
def test_a_value_becomes_a_tensor(value: Any, kind: int, field: str, values: list[Any], shape: list[int]) -> None:
    made = tensor(value)
    assert made.dtype == kind
    assert list(getattr(made, field)) == values
    assert shape_of(made) == shape


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([[1], [2, 3]], id="rows of different lengths"),
        pytest.param([1, [2]], id="a number beside a list"),
        pytest.param([[2], 1], id="a list beside a number"),
        pytest.param([1, "a"], id="a number beside text"),
        pytest.param([1, True], id="a number beside a boolean"),
        pytest.param([None], id="null"),
        pytest.param({"a": 1}, id="an object"),
        pytest.param([{"b64": "%"}], id="broken base64"),
        pytest.param([{"b64": 1}], id="base64 of a number"),
        pytest.param([10**400], id="a number beyond doubles"),
        pytest.param(object(), id="no value at all"),
        pytest.param([np.zeros(2), np.zeros(3)], id="arrays of different shapes"),
        pytest.param(np.array([1 + 2j]), id="complex numbers"),
    ],
)
def test_what_is_no_tensor_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRecord):
        tensor(value)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f8", "i1", "i4", "<i8", "u1", "u8", "?"])
def test_an_array_keeps_its_type_and_is_little_endian(kind: str) -> None:
    array = np.array([[0, 1], [1, 0]], dtype=kind)
    made = tensor(array)
    little = array.dtype.newbyteorder("<")
    assert DataType(made.dtype).name == "DT_" + {"float16": "HALF", "float32": "FLOAT", "float64": "DOUBLE"}.get(
        array.dtype.name, array.dtype.name.upper()
    )
    assert np.frombuffer(made.tensor_content, little).reshape(shape_of(made)).tolist() == array.tolist()


@given(st.lists(st.lists(st.floats(allow_nan=False), min_size=3, max_size=3), min_size=1))
def test_rows_of_numbers_lie_one_after_the_other(rows: list[list[float]]) -> None:
    made = tensor(rows)
    assert list(made.double_val) == [value for row in rows for value in row]
    assert shape_of(made) == [len(rows), 3]


def test_rows_with_names_become_one_tensor_for_each_name() -> None:
    made = tensors_of_rows([{"a": 1, "b": [1.0, 2.0]}, {"a": 2, "b": [3.0, 4.0]}], "inputs")
    assert {name: shape_of(one) for name, one in made.items()} == {"a": [2], "b": [2, 2]}


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([], id="none"),
        pytest.param([{"a": 1}, {"b": 1}], id="with different names"),
        pytest.param([{"a": 1}, 2], id="with and without names"),
    ],
)
def test_rows_that_do_not_go_together_are_refused(rows: list[Any]) -> None:
    with pytest.raises(InvalidRecord):
        tensors_of_rows(rows, "inputs")


def test_the_size_of_features_is_at_least_that_of_what_they_hold() -> None:
    assert size_of([{"a": "x" * 1000, "b": [1.0] * 100, "c": np.zeros(50)}]) >= 1000 + 800 + 400
