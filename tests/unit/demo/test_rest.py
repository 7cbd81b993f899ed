from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.demo.rest import Call, InvalidArgument, Signature, answer, failure, parse

BOTH = Signature({"carrier": "DT_STRING", "temp": "DT_FLOAT"}, ["score"])
ONE = Signature({"values": "DT_FLOAT"}, ["score"])
KINDS = Signature({"n": "DT_INT32", "u": "DT_UINT8", "b": "DT_BOOL", "d": "DT_DOUBLE"}, ["score"])
SIGNATURES = {"serving_default": BOTH, "one": ONE, "kinds": KINDS, "odd": Signature({"c": "DT_COMPLEX64"}, ["score"])}


def read(body: str | bytes | dict[str, Any]) -> Call:
    content = json.dumps(body) if isinstance(body, dict) else body
    return parse(content.encode() if isinstance(content, str) else content, SIGNATURES, "serving_default")


def test_rows_become_one_array_an_input() -> None:
    call = read('{"instances": [{"carrier": "UA", "temp": 39}, {"carrier": {"b64": "Rk8="}, "temp": NaN}]}')
    assert (call.signature, call.by_row, call.rows) == ("serving_default", True, 2)
    assert call.inputs["carrier"].tolist() == [b"UA", b"FO"]
    assert call.inputs["temp"].dtype == np.float32
    assert call.inputs["temp"][0] == 39
    assert math.isnan(call.inputs["temp"][1])


def test_columns_become_the_same_arrays() -> None:
    call = read({"inputs": {"carrier": ["UA", "B6"], "temp": [39.5, 41]}})
    assert (call.by_row, call.rows) == (False, 2)
    assert call.inputs["temp"].tolist() == [39.5, 41]


@pytest.mark.parametrize("body", [{"instances": [[1, 2], [3, 4]]}, {"inputs": [[1, 2], [3, 4]]}])
def test_the_only_input_needs_no_name(body: dict[str, Any]) -> None:
    assert read({"signature_name": "one", **body}).inputs["values"].tolist() == [[1, 2], [3, 4]]


def test_types_are_kept() -> None:
    inputs = read({"signature_name": "kinds", "inputs": {"n": [-3], "u": [255], "b": [True], "d": [0.1]}}).inputs
    assert [inputs[name].dtype for name in "nubd"] == [np.int32, np.uint8, np.bool_, np.float64]
    assert [inputs[name].tolist() for name in "nubd"] == [[-3], [255], [True], [0.1]]


def row(**change: Any) -> dict[str, Any]:
    return {"instances": [{"carrier": "UA", "temp": 39.0, **change}]}


def kinds(**change: Any) -> dict[str, Any]:
    return {"signature_name": "kinds", "inputs": {"n": [1], "u": [1], "b": [True], "d": [1.0], **change}}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"", "The document is empty", id="no body"),
        pytest.param(b"{", "JSON Parse error", id="half a body"),
        pytest.param(b"\xff{}", "JSON Parse error", id="no UTF-8"),
        pytest.param(b"[" * 100_000, "JSON Parse error", id="nested beyond all depth"),
        pytest.param(b"[1]", "Is not object", id="a list"),
        pytest.param({}, "Missing 'inputs' or 'instances' key", id="neither rows nor columns"),
        pytest.param({"instances": [1], "inputs": [1]}, "expecting only one of", id="both"),
        pytest.param({"instances": 1}, "to be an list/array", id="rows that are no list"),
        pytest.param({"instances": []}, "No values in 'instances'", id="no rows"),
        pytest.param({"instances": [1]}, "expecting list of objects", id="rows without names"),
        pytest.param({"inputs": [1]}, "expecting an object", id="columns without names"),
        pytest.param({"instances": [*row()["instances"], 1]}, "got list at item 1", id="one row without names"),
        pytest.param(row(other=1), "does not have named input: other", id="an unknown input"),
        pytest.param({"instances": [{"temp": 1}]}, "Missing named input: carrier", id="a missing input"),
        pytest.param({"signature_name": 1, **row()}, "must be a string value", id="a signature that is no text"),
        pytest.param({"signature_name": "?", **row()}, "not found in signature def", id="an unknown signature"),
        pytest.param(row(temp=None), "not of expected type: float", id="null"),
        pytest.param(row(temp=True), "not of expected type: float", id="true for a number"),
        pytest.param(row(temp=1e300), "without loss of precision", id="a number beyond single precision"),
        pytest.param(row(temp=10**400), "without loss of precision", id="a number beyond everything"),
        pytest.param(row(carrier=1), "not of expected type: string", id="a number for text"),
        pytest.param(row(carrier={"b64": "?"}), "Unable to base64 decode", id="broken base64"),
        pytest.param(row(carrier={"x": 1}), "for base64 data", id="an object for text"),
        pytest.param(
            {"instances": row()["instances"] + row(temp=[1])["instances"]},
            "not of expected type",
            id="shapes that differ",
        ),
        pytest.param({"signature_name": "one", "instances": [[1, 2], [3]]}, "unexpected size", id="a ragged tensor"),
        pytest.param(kinds(n=[2**31]), "not of expected type: int32", id="a whole number beyond its type"),
        pytest.param(kinds(u=[-1]), "not of expected type: uint8", id="a negative number of an unsigned type"),
        pytest.param(kinds(n=[1.5]), "not of expected type: int32", id="a fraction for a whole number"),
        pytest.param(kinds(b=[1]), "not of expected type: bool", id="a number for true"),
        pytest.param({"signature_name": "odd", "inputs": {"c": [1]}}, "to type: complex64", id="a type without JSON"),
    ],
)
def test_what_is_wrong_is_said(body: bytes | dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read(body)
    assert said in str(caught.value)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with pytest.raises(InvalidArgument):
        read(body)


def call(rows: int, *, by_row: bool) -> Call:
    return Call("serving_default", {"x": np.zeros(rows, np.float32)}, by_row)


@pytest.mark.parametrize(
    ("by_row", "outputs", "body"),
    [
        pytest.param(
            True,
            {"score": np.array([[0.1], [0.25]], np.float32)},
            {"predictions": [[0.1], [0.25]]},
            id="single precision has its shortest digits",
        ),
        pytest.param(
            True,
            {"score": np.array([1, 2]), "name": np.array([b"a", b"\xff"], object)},
            {"predictions": [{"score": 1, "name": "a"}, {"score": 2, "name": {"b64": "/w=="}}]},
            id="several outputs are an object a row",
        ),
        pytest.param(False, {"score": np.array([1.5, 2.5])}, {"outputs": [1.5, 2.5]}, id="by column, one output"),
        pytest.param(
            False,
            {"a": np.array(1.5), "b": np.array([[True]])},
            {"outputs": {"a": 1.5, "b": [[True]]}},
            id="by column, several outputs of any shape",
        ),
    ],
)
def test_answers(by_row: bool, outputs: dict[str, Any], body: dict[str, Any]) -> None:
    assert orjson.loads(answer(call(2, by_row=by_row), outputs)) == body


def test_what_json_cannot_say_is_written_as_tensorflow_serving_does() -> None:
    said = answer(call(3, by_row=True), {"score": np.array([np.nan, np.inf, -np.inf], np.float32)})
    assert said == b'{"predictions": [NaN, Infinity, -Infinity]}'


def test_an_output_that_is_not_by_row_cannot_answer_rows() -> None:
    with pytest.raises(InvalidArgument, match="inconsistent batch size"):
        answer(call(2, by_row=True), {"score": np.zeros(1)})


def test_an_error_is_an_object() -> None:
    assert orjson.loads(failure('say "what"')) == {"error": 'say "what"'}


def test_inputs_that_disagree_on_the_rows_have_none() -> None:
    assert Call("s", {"a": np.zeros(2), "b": np.zeros(3)}, by_row=False).rows is None
    assert Call("s", {"a": np.zeros(())}, by_row=False).rows is None
