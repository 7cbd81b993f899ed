from __future__ import annotations

import json
import socket
from http.client import HTTPConnection
from typing import Any

import orjson
import pytest

from monitor.demo.flights import CATEGORIES, FEATURES
from tests.unit.demo.servers import Adding, model_server

PREDICT = "/v1/models/flights:predict"


def flight(minute: float) -> dict[str, Any]:
    return {name: "x" if name in CATEGORIES else 1.0 for name in FEATURES} | {"departure_minute": minute}


def body_of(*minutes: float) -> bytes:
    return json.dumps({"instances": [flight(minute) for minute in minutes]}).encode()


def ask(address: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(PREDICT, id="the latest version"),
        pytest.param("/v1/models/flights/versions/1:predict", id="a version by number"),
        pytest.param("/v1/models/flights:predict?trace=1", id="with a query"),
    ],
)
def test_a_prediction(path: str) -> None:
    with model_server(Adding()) as address:
        status, body = ask(address, "POST", path, body_of(315, 500))
    assert (status, orjson.loads(body)) == (200, {"predictions": [[0.315], [0.5]]})


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        pytest.param("POST", "/v1/models/other:predict", b"{}", 404, "Latest(other)", id="another model"),
        pytest.param(
            "POST", "/v1/models/flights/versions/2:predict", b"{}", 404, "Specific(flights, 2)", id="another version"
        ),
        pytest.param("POST", "/v1/models/flights/labels/best:predict", b"{}", 404, "best", id="an unknown label"),
        pytest.param("GET", "/v1/models/other", None, 404, "Latest(other)", id="the status of another model"),
        pytest.param("POST", "/v1/model/flights:predict", b"{}", 400, "Malformed request: POST", id="another path"),
        pytest.param("GET", PREDICT, None, 400, "Malformed request: GET", id="a prediction without a body"),
        pytest.param("PUT", PREDICT, b"{}", 400, "Malformed request: PUT", id="another method"),
        pytest.param("POST", "/v1/models/flights", b"{}", 400, "Malformed request", id="nothing is asked"),
        pytest.param("POST", PREDICT, b"{", 400, "JSON Parse error", id="half a body"),
        pytest.param("POST", PREDICT, body_of(-1), 400, "before the day began", id="what the model refuses"),
        pytest.param("POST", "/v1/models/flights:classify", b"{}", 400, "classification", id="no classifier"),
    ],
)
def test_errors_are_as_tensorflow_serving_gives_them(
    method: str, path: str, body: bytes | None, status: int, said: str
) -> None:
    with model_server(Adding()) as address:
        found, content = ask(address, method, path, body)
    assert found == status
    assert said in orjson.loads(content)["error"]


def test_status_and_metadata_tell_the_version_and_the_signatures() -> None:
    with model_server(Adding()) as address:
        status = orjson.loads(ask(address, "GET", "/v1/models/flights")[1])
        metadata = orjson.loads(ask(address, "GET", "/v1/models/flights/versions/1/metadata")[1])
    (version,) = status["model_version_status"]
    assert (version["version"], version["state"], version["status"]["error_code"]) == ("1", "AVAILABLE", "OK")
    assert metadata["model_spec"] == {"name": "flights", "signature_name": "", "version": "1"}
    assert set(metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]) == set(FEATURES)


def test_as_long_as_there_is_no_model_nothing_is_found() -> None:
    with model_server(None) as address:
        assert ask(address, "GET", "/v1/models/flights")[0] == 404
        assert ask(address, "POST", PREDICT, body_of(1))[0] == 404


def test_answers_are_counted_by_status_under_tensorflow_servings_name() -> None:
    with model_server(Adding()) as address:
        for body in (body_of(1), body_of(1, 2, 3), body_of(-1), b"{"):
            ask(address, "POST", PREDICT, body)
        text = ask(address, "GET", "/monitoring/prometheus/metrics")[1].decode()
    assert ':tensorflow:serving:request_count{model_name="flights",status="OK"} 2\n' in text
    assert ':tensorflow:serving:request_count{model_name="flights",status="INVALID_ARGUMENT"} 2\n' in text


def test_requests_that_come_together_run_together_and_are_answered_in_order() -> None:
    model = Adding()
    content = [body_of(100), b"{", body_of(300)]
    sent = b"".join(
        b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%b\r\n%b"
        % (PREDICT.encode(), len(one), b"Connection: close\r\n" if one is content[-1] else b"", one)
        for one in content
    )
    with (
        model_server(model) as address,
        socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1]))) as client,
    ):
        client.sendall(sent)
        received = b"".join(iter(lambda: client.recv(65_536), b""))
    assert [received.find(one) > 0 for one in (b"[[0.1]]", b"JSON Parse error", b"[[0.3]]")] == [True] * 3
    assert received.index(b"[[0.1]]") < received.index(b"JSON Parse error") < received.index(b"[[0.3]]")
    assert model.together == [2]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"what is this\r\n\r\n", b"HTTP/1.1 400", id="no HTTP"),
        pytest.param(
            b"POST /v1/models/flights:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
            + b"x" * 70_000_000,
            b"HTTP/1.1 413",
            id="a body beyond the limit",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_and_the_next_client_served(sent: bytes, status: bytes) -> None:
    with model_server(Adding()) as address:
        with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1]))) as client:
            try:
                client.sendall(sent)
                assert client.recv(100).startswith(status)
            except ConnectionError:  # it does not read what it has refused
                assert len(sent) > 1_000_000
        assert ask(address, "POST", PREDICT, body_of(7))[0] == 200


def test_a_client_that_waits_for_leave_gets_it() -> None:
    body = body_of(100)
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (
        PREDICT.encode(),
        len(body),
    )
    with (
        model_server(Adding()) as address,
        socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1]))) as client,
    ):
        client.sendall(head)
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        client.sendall(body)
        assert client.recv(100).startswith(b"HTTP/1.1 200")
