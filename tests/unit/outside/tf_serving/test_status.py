"""The status of a model's versions, over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from monitor.clock import SystemClock
from monitor.errors import InputError, TransientError
from monitor.outside.http import HttpClient
from monitor.outside.tf_serving.status import StatusPage, VersionStatus

LISTED = {
    "model_version_status": [
        {"version": "42", "state": "END", "status": {"error_code": "NOT_FOUND", "error_message": "no\nsuch op"}},
        {"version": "41", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}},
    ]
}


@contextmanager
def answering(status: int, content: Any) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the base class calls it so

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", asked
        finally:
            server.shutdown()
            thread.join()


def page(address: str) -> StatusPage:
    return StatusPage(HttpClient(SystemClock()), address, "my flights", 5.0)


def test_versions_and_labels_are_read() -> None:
    with answering(200, LISTED) as (address, asked):
        found = page(address).versions()
        assert found == {42: VersionStatus(42, "END", "NOT_FOUND: no such op"), 41: VersionStatus(41, "AVAILABLE")}
        assert [(one.available, one.failed) for one in found.values()] == [(False, True), (True, False)]
        assert page(address).labelled("stable") == 42
    assert asked == ["/v1/models/my%20flights", "/v1/models/my%20flights/labels/stable"]


@pytest.mark.parametrize("status", [400, 404])
def test_what_is_not_known_has_no_versions(status: int) -> None:
    with answering(status, {"error": "Servable not found"}) as (address, _):
        assert (page(address).versions(), page(address).labelled("canary")) == ({}, None)


@pytest.mark.parametrize(
    ("status", "content", "error", "said"),
    [
        pytest.param(503, b"busy", TransientError, "is answered with 503", id="a server that is not well"),
        pytest.param(200, b"<html>", InputError, "not JSON", id="a page for people"),
        pytest.param(200, {"status": "up"}, InputError, "no status of a model", id="another API"),
        pytest.param(
            200, {"model_version_status": [{"version": "x", "state": "END"}]}, InputError, "no status", id="no number"
        ),
        pytest.param(200, {"model_version_status": [3]}, InputError, "no status of a model", id="no object"),
        pytest.param(200, [], InputError, "no status of a model", id="a list"),
    ],
)
def test_other_answers_are_told(status: int, content: Any, error: type[Exception], said: str) -> None:
    with answering(status, content) as (address, _), pytest.raises(error, match=said):
        page(address).versions()


def test_nobody_there_is_asked_again_later() -> None:
    with pytest.raises(TransientError):
        page("http://127.0.0.1:1").versions()
