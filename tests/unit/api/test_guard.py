"""What holds for every request: size, time, text, headers, and errors that nobody foresaw."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Message

from monitor.api.guard import MAX_BODY_BYTES, Guard
from monitor.api.metrics import ApiMetrics
from monitor.api.problems import in_one_line
from monitor.clock import SystemClock
from monitor.errors import StaleClaim, TransientError
from monitor.logs import configure_logs
from monitor.store.token_ledger import Scope
from tests.apis import Api

JSON = {"Content-Type": "application/json"}


def problem(answer: Any) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["status"] == answer.status_code
    assert "\n" not in body["detail"]
    return answer.status_code, body["detail"]


@pytest.mark.parametrize("path", ["/v1/models", "/healthz", "/nothing", "/docs", "/approve/x"])
def test_every_answer_says_what_a_browser_may_do_with_it(shared: Api, path: str) -> None:
    headers = shared.ask("GET", path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "script" not in policy


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b'{"model": NaN, "reason": "x"}', "body.10: not JSON", id="NaN"),
        pytest.param(b'{"model": "m", "reason": "x", "n": Infinity}', "not JSON", id="infinity"),
        pytest.param(b'{"model": "m", "reason": "\\ud800"}', "not JSON", id="half a surrogate"),
        pytest.param(b'{"model": "m", "reason": "a\\u0000b"}', "a text holds a NUL", id="a NUL"),
        pytest.param(b'{"model": "m", "re\\u0000ason": "x"}', "a text holds a NUL", id="a NUL in a name"),
        pytest.param(b"\xff\xfe", "not JSON", id="not UTF-8"),
        pytest.param(b"{", "not JSON", id="cut off"),
        pytest.param(b"[" * 100_000, "not JSON", id="nested deeply"),
        pytest.param(b"[]", "body: ", id="a list"),
        pytest.param(b"null", "body: input should be", id="null"),
        pytest.param(b'{"model": "m"}', "body.reason: field required", id="a field is missing"),
        pytest.param(b'{"model": "m", "reason": "x", "url": "http://x"}', "body.url: extra inputs", id="an odd field"),
        pytest.param(b'{"model": "m", "reason": "two\\nlines"}', "body.reason: string should match", id="two lines"),
    ],
)
def test_a_body_that_cannot_be_used_is_told_in_a_line(shared: Api, content: bytes, said: str) -> None:
    status, detail = problem(shared.ask("POST", "/v1/retrains", content=content, headers=JSON))
    assert status == 422
    assert said in detail
    assert len(detail) < 400


def test_a_literal_backslash_before_u0000_is_no_nul(shared: Api) -> None:
    status, detail = problem(shared.ask("POST", "/v1/retrains", {"model": "m", "reason": "\\u0000"}))
    assert (status, "NUL" in detail) == (422, False)


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded", "application/jsonx"])
def test_a_body_is_json(shared: Api, kind: str) -> None:
    answer = shared.ask("POST", "/v1/retrains", content=b"{}", headers={"Content-Type": kind})
    assert problem(answer)[0] == 415


def test_a_body_has_its_largest_size(shared: Api) -> None:
    text = json.dumps({"model": "m", "reason": "x" * 2_000_000}).encode()
    assert problem(shared.ask("POST", "/v1/retrains", content=text, headers=JSON))[0] == 413
    fits = b" " * (MAX_BODY_BYTES - 2) + b"{}"
    assert problem(shared.ask("POST", "/v1/retrains", content=fits, headers=JSON))[0] == 422


def test_a_body_that_does_not_say_its_size_is_counted(shared: Api) -> None:
    chunk = b" " * 65_536
    headers = JSON | {"Authorization": f"Bearer {shared.tokens[Scope.ADMIN]}"}
    answer = shared.client.post("/v1/retrains", content=iter([chunk] * 17), headers=headers)
    assert problem(answer)[0] == 413


@pytest.mark.parametrize("path", ["/v1/models/a%00b", "/v1/findings?model=a%00b", "/v1/retrains?model=%00"])
def test_an_address_holds_no_nul(shared: Api, path: str) -> None:
    assert problem(shared.ask("GET", path)) == (400, "an address holds no NUL")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/retrains?modle=flights", "query.modle: no such parameter; there is: limit, model, state"),
        ("/v1/models?model=flights", "query.model: no such parameter; there is none here"),
    ],
    ids=["misspelt", "where there is none"],
)
def test_a_parameter_that_there_is_not_is_not_overlooked(shared: Api, path: str, said: str) -> None:
    assert problem(shared.ask("GET", path)) == (422, said)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (StaleClaim("offsets of host db-1"), 503, "the ledger was changed by somebody else meanwhile; try again"),
        (TransientError("store: db-1 is down"), 503, "the ledger, or what it needs, does not answer now; try again"),
        (SQLAlchemyError("db-1"), 500, "an internal error; the log of the server says more"),
        (KeyError("db-1"), 500, "an internal error; the log of the server says more"),
    ],
    ids=["somebody was quicker", "the database is down", "the database is odd", "a mistake of ours"],
)
def test_an_error_inside_is_told_without_what_is_inside(
    shared: Api, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, said: str
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("monitor.store.retrain_ledger.SqlRetrains.list", broken)
    answer = shared.ask("GET", "/v1/retrains")
    assert problem(answer) == (status, said)
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_what_there_is_not_is_a_problem_too(shared: Api) -> None:
    assert problem(shared.ask("GET", "/v1/nothing"))[0] == 404
    answer = shared.ask("PUT", "/v1/retrains")
    assert problem(answer)[0] == 405
    assert set(answer.headers["Allow"].split(", ")) >= {"GET"}


def test_requests_are_counted_by_their_route_not_by_their_address(api: Api) -> None:
    for name in ("a", "b"):
        api.ask("GET", f"/v1/models/{name}")
        api.ask("GET", f"/{name}")
    api.client.request("ODD", "/healthz")
    count = api.registry.get_sample_value
    name = "driftline_api_requests_total"
    assert count(name, {"route": "/v1/models/{model}", "method": "GET", "status": "404"}) == 2
    assert count(name, {"route": "", "method": "GET", "status": "404"}) == 2
    assert count(name, {"route": "", "method": "other", "status": "405"}) == 1


def test_many_mistakes_are_told_in_one_line() -> None:
    errors = [{"loc": ("body", "x" * 500), "type": "missing", "msg": "Field required"}] * 5
    told = in_one_line(errors)
    assert told.count("field required") == 3
    assert told.endswith("; and 2 more")
    assert len(told) < 400


def test_the_log_says_where_an_error_happened_and_not_what_it_held(
    shared: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a payload")

    monkeypatch.setattr("monitor.store.retrain_ledger.SqlRetrains.list", broken)
    configure_logs(as_json=False)
    shared.ask("GET", "/v1/retrains")
    said = capsys.readouterr().err
    assert "request_failed" in said
    assert "KeyError" in said
    assert "list_retrains" in said
    assert "a payload" not in said
    assert shared.tokens[Scope.ADMIN] not in said


class _Slow:
    """An ASGI application that waits for a body, and a client that never ends it."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    async def receive(self) -> Message:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    slow, sent = _Slow(), []
    guard = Guard(slow, ApiMetrics.on(CollectorRegistry()), SystemClock(), body_seconds=0.01)
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(asyncio.wait_for(guard(scope, slow.receive, send), 10))
    assert sent[0]["status"] == 408
