from __future__ import annotations

import json
from typing import Any

import pytest

from collectors.dead_letter import Reason
from collectors.wire.answers import Choice
from collectors.wire.requests import Roles
from tests.unit.collectors.wire.logs import block, decode, reasons, rows

_BESIDE = {"model": "flights", "version": 3, "request_id": "r-1", "event_time": "2026-02-28T12:00:00Z"}


def pair(request: object, response: object = None, **beside: object) -> bytes:
    return json.dumps(_BESIDE | beside | {"request": request, "response": response}).encode()


def read(
    request: object, response: object = None, choice: Choice | None = None, **beside: object
) -> list[dict[str, Any]]:
    return rows(decode("rest", block(pair(request, response, **beside), headers={}), choice))


def features(row: dict[str, Any]) -> dict[str, Any]:
    found = {name[8:]: value for name, value in row.items() if name.startswith("feature.") and value is not None}
    return found | (json.loads(row["untyped"]) if row["untyped"] else {})


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [
        pytest.param({"instances": [{"count": 1, "speed": [2.5]}, {"count": 3}]}, [{"count": 1, "speed": 2.5}, {"count": 3}],
                     id="rows of objects"),
        pytest.param({"instances": [{"user": {"age": 3, "home": {"x": [[1, 2], [3, 4]]}}}]},
                     [{"user.age": 3, "user.home.x": [1, 2, 3, 4]}], id="nested objects and matrices"),
        pytest.param({"instances": [[1.0, 2.0], [3.0, 4.0]]}, [{"input": [1.0, 2.0]}, {"input": [3.0, 4.0]}],
                     id="rows of the only input"),
        pytest.param({"instances": [5, 6]}, [{"input": 5}, {"input": 6}], id="numbers of the only input"),
        pytest.param({"instances": [{"carrier": {"b64": "VUE="}}]}, [{"carrier": "UA"}], id="bytes in base 64"),
        pytest.param({"inputs": {"count": [1, 2], "scores": [[1.0, 2.0], [3.0, 4.0]]}},
                     [{"count": 1, "scores": [1.0, 2.0]}, {"count": 2, "scores": [3.0, 4.0]}], id="columns"),
        pytest.param({"inputs": {"count": [[1], [2]], "carrier": "UA"}},
                     [{"count": 1, "carrier": "UA"}, {"count": 2, "carrier": "UA"}], id="a column and a value for all"),
        pytest.param({"inputs": [[1, 2], [3, 4]]}, [{"input": [1, 2]}, {"input": [3, 4]}], id="the column of the only input"),
        pytest.param({"examples": [{"count": 1}, {"count": 2}], "context": {"carrier": "UA", "count": 9}},
                     [{"count": 1, "carrier": "UA"}, {"count": 2, "carrier": "UA"}], id="classify or regress with a context"),
        pytest.param({"inputs": [{"name": "count", "shape": [2, 1], "datatype": "INT64", "data": [1, 2]},
                                 {"name": "scores", "shape": [2, 2], "datatype": "FP32", "data": [[1.0, 2.0], [3.0, 4.0]]}]},
                     [{"count": 1, "scores": [1.0, 2.0]}, {"count": 2, "scores": [3.0, 4.0]}], id="tensors of version 2"),
        pytest.param({"data": {"names": ["count", "speed"], "ndarray": [[1, 2.5], [3, 4.5]]}},
                     [{"count": 1, "speed": 2.5}, {"count": 3, "speed": 4.5}], id="Seldon's matrix"),
        pytest.param({"data": {"tensor": {"shape": [1, 2], "values": [1, 2]}}}, [{"input": [1, 2]}], id="Seldon's tensor"),
    ],
)  # fmt: skip
def test_requests_of_every_shape_become_rows(request_body: object, expected: list[dict[str, Any]]) -> None:
    found = read(request_body)
    assert [features(row) for row in found] == expected
    assert [row["instance"] for row in found] == list(range(len(expected)))
    assert {(row["request_id"], row["version"]) for row in found} == {("r-1", "3")}


@pytest.mark.parametrize(
    ("response", "choice", "column", "expected"),
    [
        pytest.param({"predictions": [0.5, 0.25]}, Choice(), "prediction", [0.5, 0.25], id="a number each"),
        pytest.param({"predictions": [[0.5], [0.25]]}, Choice(), "prediction", [0.5, 0.25], id="a list of one each"),
        pytest.param({"predictions": [[0.5, 0.5], [0.25, 0.75]]}, Choice(of=1), "prediction", [0.5, 0.75], id="a class"),
        pytest.param({"predictions": [{"p": 1, "q": "x"}, {"p": 2, "q": "y"}]}, Choice("q"), "prediction_text", ["x", "y"],
                     id="one of several outputs"),
        pytest.param({"outputs": {"p": [[0.5], [0.25]]}}, Choice(), "prediction", [0.5, 0.25], id="columns"),
        pytest.param({"outputs": [{"name": "p", "shape": [2], "datatype": "FP32", "data": [0.5, 0.25]}]}, Choice(), "prediction",
                     [0.5, 0.25], id="tensors of version 2"),
        pytest.param({"results": [[["a", 0.5], ["b", 0.75]], [["a", 0.25], ["b", 0.0]]]}, Choice(of="argmax"), "prediction_text",
                     ["b", "a"], id="classify"),
        pytest.param({"results": [0.5, 0.25]}, Choice(), "prediction", [0.5, 0.25], id="regress"),
        pytest.param({"data": {"ndarray": [[0.5], [0.25]]}}, Choice(), "prediction", [0.5, 0.25], id="Seldon's matrix"),
        pytest.param({"error": "no such model"}, Choice(), "prediction", [None, None], id="an error"),
        pytest.param(None, Choice(), "prediction", [None, None], id="no answer"),
    ],
)  # fmt: skip
def test_answers_of_every_shape_become_predictions(
    response: object, choice: Choice, column: str, expected: list[object]
) -> None:
    assert [row[column] for row in read({"instances": [{"count": 1}, {"count": 2}]}, response, choice)] == expected


def test_what_is_known_of_the_answer_is_kept() -> None:
    (row,) = read({"instances": [1]}, status=503, latency_seconds=0.25, sampling_rate=0.5)
    assert (row["status"], row["latency_seconds"], row["rate"]) == ("503", 0.25, 0.5)


def test_the_id_of_version_2_is_the_request_id_where_nothing_else_says_one() -> None:
    body = {"id": "v2-1", "inputs": [{"name": "count", "shape": [1], "datatype": "INT64", "data": [1]}]}
    assert read(body, request_id=None)[0]["request_id"] == "v2-1"


def test_the_id_may_be_a_feature() -> None:
    value = pair({"instances": [{"id": 7}, {"id": 8}]}, request_id=None)
    found = rows(decode("rest", block(value, headers={}), roles=Roles("id")))
    assert [(row["request_id"], row["instance"]) for row in found] == [("7", 0), ("8", 0)]


_ONE = {"instances": [{"count": 1}]}
_DEEP: list[object] = []
for _ in range(40):
    _DEEP = [_DEEP, 1]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(b"{", Reason.NOT_JSON, id="half a message"),
        pytest.param(b"[]", Reason.NOT_AN_OBJECT, id="a list"),
        pytest.param(b"{}", Reason.NOT_A_PAIR, id="no request"),
        pytest.param(pair({"x": 1}), Reason.NOT_A_PAIR, id="a request of no known shape"),
        pytest.param(pair(_ONE, "x"), Reason.NOT_A_PAIR, id="a text as response"),
        pytest.param(pair({"instances": [{"a": [{"b": 1}]}]}), Reason.NESTED_FEATURE, id="a list of objects"),
        pytest.param(pair({"instances": [{"a": _DEEP}]}), Reason.NESTED_FEATURE, id="lists forty deep"),
        pytest.param(pair({"instances": [{"a": {"b64": "?"}}]}), Reason.NOT_A_PAIR, id="what is not base 64"),
        pytest.param(pair({"inputs": {"a": [1], "b": [1, 2]}}), Reason.BATCH, id="columns of different lengths"),
        pytest.param(
            pair({"inputs": [{"name": "a", "shape": [3], "data": [1, 2]}]}), Reason.TENSOR, id="a wrong shape"
        ),
        pytest.param(
            pair({"inputs": [{"name": "a", "shape": [10**12, 0], "data": []}]}), Reason.TOO_LARGE, id="a shape alone"
        ),
        pytest.param(pair(_ONE, {"predictions": [1, 2]}), Reason.BATCH, id="too many predictions"),
        pytest.param(pair(_ONE, {"results": [[["a"]]]}), Reason.NOT_A_PAIR, id="a class without a score"),
        pytest.param(pair(_ONE, request_id=None), Reason.REQUEST_ID, id="no request id"),
        pytest.param(pair(_ONE, model="x"), Reason.UNKNOWN_MODEL, id="another model"),
        pytest.param(pair(_ONE, event_time="noon"), Reason.EVENT_TIME, id="a wrong time"),
        pytest.param(pair(_ONE, sampling_rate=2), Reason.SAMPLING_RATE, id="a wrong rate"),
        pytest.param(pair({"instances": [[1]] * 100_001}), Reason.TOO_LARGE, id="too many instances"),
    ],
)
def test_a_pair_that_can_never_be_read_is_a_dead_letter(value: bytes, reason: Reason) -> None:
    assert reasons(decode("rest", block(value, headers={}))) == [reason]
