from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from collectors.capture.rest import Body, Served, Target, encode, target_of
from collectors.wire.messages import PredictionLog
from monitor.errors import InvalidRecord

PREDICT = Target("flights", "predict", "3")


def log_of(target: Target, request: object, response: object, status: int = 200, served: Served | None = None) -> Any:
    encoded = encode(target, json.dumps(request).encode(), json.dumps(response).encode(), status, served or Served())
    return PredictionLog.FromString(encoded.log)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        pytest.param("/v1/models/m:predict", Target("m", "predict"), id="the default version"),
        pytest.param("/v1/models/m/versions/12:classify", Target("m", "classify", "12"), id="a version"),
        pytest.param("/v1/models/m/labels/canary:regress", Target("m", "regress", "", "canary"), id="a label"),
        pytest.param("/v1/models/a%20b:predict?x=1", Target("a b", "predict"), id="an escaped name and a query"),
        pytest.param("/v1/models/m", None, id="the status"),
        pytest.param("/v1/models/m/metadata", None, id="the metadata"),
        pytest.param("/v1/models/m/versions/x:predict", None, id="a version that is no number"),
        pytest.param("/v1/models/m:explain", None, id="another verb"),
        pytest.param("/v1/models/m:predict/", None, id="something behind"),
    ],
)
def test_a_path_names_what_it_asks_for(path: str, target: Target | None) -> None:
    assert target_of(path) == target


def test_rows_and_columns_say_the_same() -> None:
    rows = log_of(PREDICT, {"instances": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]}, {"predictions": [0.5, 0.75]})
    columns = log_of(PREDICT, {"inputs": {"a": [1, 2], "b": ["x", "y"]}}, {"outputs": [0.5, 0.75]})
    assert rows == columns
    assert list(rows.predict_log.request.inputs["a"].int64_val) == [1, 2]
    assert list(rows.predict_log.response.outputs["outputs"].double_val) == [0.5, 0.75]
    assert rows.predict_log.request.model_spec.version.value == 3


@pytest.mark.parametrize(
    "request_body",
    [
        pytest.param({"instances": [[1.5, 2.5]]}, id="a row"),
        pytest.param({"inputs": [[1.5, 2.5]]}, id="a column"),
        pytest.param({"instances": [{"x": [1.5, 2.5]}]}, id="a row that names it"),
    ],
)
def test_the_only_input_has_the_name_that_the_model_gives_it(request_body: object) -> None:
    served = Served("3", {"serving_default": ("x",)}, {"serving_default": ("y",)})
    log = log_of(PREDICT, request_body, {"predictions": [1]}, served=served)
    assert list(log.predict_log.request.inputs) == ["x"]
    assert list(log.predict_log.response.outputs) == ["y"]


def test_a_signature_is_told() -> None:
    encoded = encode(PREDICT, b'{"signature_name": "s", "instances": [1]}', b'{"predictions": [1]}', 200, Served())
    assert encoded.signature == "s"
    assert PredictionLog.FromString(encoded.log).predict_log.request.model_spec.signature_name == "s"


@pytest.mark.parametrize(
    ("target", "version", "spec"),
    [
        pytest.param(Target("m", "predict", "5"), "5", {"version": {"value": "5"}}, id="that of the path"),
        pytest.param(Target("m", "predict"), "9", {"version": {"value": "9"}}, id="that served by default"),
        pytest.param(Target("m", "predict", "", "stable"), "", {"versionLabel": "stable"}, id="unknown for a label"),
    ],
)
def test_the_version_is(target: Target, version: str, spec: dict[str, object]) -> None:
    check_version(target, Served("9"), version, spec)


def test_the_version_of_a_label_is_what_the_server_says_of_it() -> None:
    served = Served("9", label="canary")
    spec: dict[str, object] = {"version": {"value": "9"}}
    check_version(Target("m", "predict", "", "canary"), served, "9", spec)
    check_version(Target("m", "predict", "", "stable"), served, "", {"versionLabel": "stable"})
    check_version(Target("m", "predict"), served, "", {})


def check_version(target: Target, served: Served, version: str, spec: dict[str, object]) -> None:
    encoded = encode(target, b'{"instances": [1]}', b'{"predictions": [1]}', 200, served)
    assert encoded.version == version
    log = PredictionLog.FromString(encoded.log)
    assert MessageToDict(log.predict_log.response.model_spec) == {"name": "m", **spec}


def test_an_answer_that_is_an_error_leaves_the_request_alone() -> None:
    encoded = encode(PREDICT, b'{"instances": [1]}', b"<html>", 503, Served())
    log = PredictionLog.FromString(encoded.log)
    assert log.predict_log.HasField("request")
    assert not log.predict_log.HasField("response")


def test_classify_takes_examples_and_a_context() -> None:
    request = {
        "context": {"user": "u1"},
        "examples": [{"age": 31, "scores": [0.5, 2], "photo": {"b64": "/w=="}}, {"age": 40}],
    }
    log = log_of(Target("m", "classify"), request, {"results": [[["cat", 0.75], ["dog", 0.25]], [["cat", 1]]]})
    given_input = log.classify_log.request.input.example_list_with_context
    feature = given_input.examples[0].features.feature
    assert list(feature["age"].int64_list.value) == [31]
    assert list(feature["scores"].float_list.value) == [0.5, 2.0]
    assert list(feature["photo"].bytes_list.value) == [b"\xff"]
    assert list(given_input.context.features.feature["user"].bytes_list.value) == [b"u1"]
    first, second = log.classify_log.response.result.classifications
    assert [(one.label, one.score) for one in first.classes] == [("cat", 0.75), ("dog", 0.25)]
    assert len(second.classes) == 1


@pytest.mark.parametrize("key", ["results", "result"])
def test_regress_gives_a_value_for_each_example(key: str) -> None:
    log = log_of(Target("m", "regress"), {"examples": [{"a": 1}, {"a": 2}]}, {key: [0.5, 2]})
    assert len(log.regress_log.request.input.example_list.examples) == 2
    assert [one.value for one in log.regress_log.response.result.regressions] == [0.5, 2.0]


@pytest.mark.parametrize(
    ("verb", "request_body", "response"),
    [
        pytest.param("predict", b"[1]", b"{}", id="a request that is no object"),
        pytest.param("predict", b"{", b"{}", id="a request that is no JSON"),
        pytest.param("predict", b"{}", b"{}", id="no instances"),
        pytest.param("predict", b'{"instances": [1], "inputs": [1]}', b"{}", id="rows and columns"),
        pytest.param("predict", b'{"instances": 1}', b"{}", id="rows that are no list"),
        pytest.param("predict", b'{"instances": [1]}', b"", id="an empty answer"),
        pytest.param("predict", b'{"instances": [1]}', b"{}", id="an answer without predictions"),
        pytest.param("predict", b'{"instances": [1], "signature_name": 1}', b"{}", id="a signature that is no text"),
        pytest.param("classify", b'{"examples": []}', b"{}", id="no examples"),
        pytest.param("classify", b'{"examples": [1]}', b"{}", id="an example that is no object"),
        pytest.param("classify", b'{"examples": [{"a": [1, "b"]}]}', b"{}", id="an example of two types"),
        pytest.param("classify", b'{"examples": [{"a": 9223372036854775808}]}', b"{}", id="an integer beyond int64"),
        pytest.param(
            "classify", b'{"examples": [{"a": 1}]}', b'{"results": [["cat", 1]]}', id="classes without scores"
        ),
        pytest.param("regress", b'{"examples": [{"a": 1}]}', b'{"results": ["1"]}', id="a regression that is text"),
    ],
)
def test_what_is_not_the_api_is_refused(verb: Any, request_body: bytes, response: bytes) -> None:
    with pytest.raises(InvalidRecord):
        encode(Target("m", verb), request_body, response, 200, Served())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "b64"]), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.sampled_from(["predict", "classify", "regress"]),
    st.dictionaries(st.sampled_from(["instances", "inputs", "examples", "context", "signature_name"]), json_values),
    st.dictionaries(st.sampled_from(["predictions", "outputs", "results"]), json_values),
)
def test_any_json_is_encoded_or_refused(verb: Any, request_body: Any, response: Any) -> None:
    try:
        log = log_of(Target("m", verb), request_body, response)
    except InvalidRecord:
        return
    assert log.WhichOneof("log_type") == f"{verb}_log"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(Body(b"abc"), id="as it is"),
        pytest.param(Body(gzip.compress(b"abc"), "gzip"), id="gzip"),
        pytest.param(Body(zlib.compress(b"abc"), "Deflate"), id="deflate"),
    ],
)
def test_a_body_is_read_by_its_encoding(body: Body) -> None:
    assert body.decoded(3) == b"abc"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(Body(b"abcd"), id="larger than the limit"),
        pytest.param(Body(gzip.compress(bytes(10**7)), "gzip"), id="a gzip bomb"),
        pytest.param(Body(zlib.compress(bytes(10**7)), "deflate"), id="a deflate bomb"),
        pytest.param(Body(b"abc", "gzip"), id="no gzip"),
        pytest.param(Body(gzip.compress(b"abc")[:-9], "gzip"), id="half a gzip"),
        pytest.param(Body(b"abc", "deflate"), id="no deflate"),
        pytest.param(Body(b"abc", "br"), id="an unknown encoding"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(body: Body) -> None:
    with pytest.raises(InvalidRecord):
        body.decoded(3)
