from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from collectors.capture.asgi import App, CaptureMiddleware
from collectors.capture.tensors import predict_log
from tests.unit.collectors.capture.sinks import WAIT_SECONDS, World

ROW = b'{"instances": [{"a": 1.5}]}'
ANSWER = b'{"predictions": [0.25]}'


async def model(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once, in two pieces."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    status = 500 if scope["path"] == "/fails" else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": ANSWER[:5], "more_body": True})
    await send({"type": "http.response.body", "body": ANSWER[5:]})


def call(
    app: App,
    path: str = "/predict",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    method: str = "POST",
    body: bytes = ROW,
) -> list[Any]:
    """Return the events of an answer."""
    pieces = [body[:7], body[7:]]
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return sent


def test_the_answer_is_passed_on_as_it_is_and_captured() -> None:
    world = World.make()
    start, *bodies = call(
        CaptureMiddleware(model, world.producer, model="flights", version="3"), headers=((b"X-Request-Id", b"abc"),)
    )
    assert (b"x-request-id", b"abc") in start["headers"]
    assert b"".join(event["body"] for event in bodies) == ANSWER
    assert world.producer.close(WAIT_SECONDS)
    stated = world.sink.headers()
    assert stated["driftline-request-id"] == "abc"
    assert stated["driftline-model"] == "flights"
    assert stated["driftline-version"] == "3"
    (log,) = world.sink.logs()
    assert list(log.predict_log.request.inputs["a"].double_val) == [1.5]
    assert list(log.predict_log.response.outputs["outputs"].double_val) == [0.25]


def test_the_application_sees_the_id_that_was_made() -> None:
    seen: list[Any] = []

    async def looking(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(scope["headers"])
        await model(scope, receive, send)

    world = World.make()
    start, *_ = call(CaptureMiddleware(looking, world.producer, model="m"))
    assert seen == [pair for pair in start["headers"] if pair[0] == b"x-request-id"]
    assert world.producer.close(WAIT_SECONDS)
    assert world.sink.headers()["driftline-request-id"] == seen[0][1].decode()


@pytest.mark.parametrize(
    ("options", "request_options", "totals"),
    [
        pytest.param({}, {"method": "GET"}, {}, id="only POSTs"),
        pytest.param({"paths": ["/predict"]}, {"path": "/login"}, {}, id="only the paths that are named"),
        pytest.param({"paths": ["/predict"]}, {}, {"sent": 1}, id="a path that is named"),
        pytest.param({"max_body_bytes": 10}, {}, {"too_large": 1}, id="nothing beyond the limit"),
        pytest.param({}, {"body": b"no JSON"}, {"unreadable": 1}, id="nothing that cannot be read"),
    ],
)
def test_captured_is(options: dict[str, Any], request_options: dict[str, Any], totals: dict[str, int]) -> None:
    world = World.make()
    assert len(call(CaptureMiddleware(model, world.producer, model="m", **options), **request_options)) == 3
    world.producer.close(WAIT_SECONDS)
    assert world.totals() == totals


def test_a_path_of_tensorflow_serving_names_model_and_version_itself() -> None:
    world = World.make()
    call(CaptureMiddleware(model, world.producer, model="m", version="1"), "/v1/models/other/versions/9:predict")
    world.producer.close(WAIT_SECONDS)
    assert world.sink.headers()["driftline-model"] == "other"
    assert world.sink.headers()["driftline-version"] == "9"


def test_a_function_of_the_users_own_reads_other_bodies() -> None:
    def extract(request: bytes, response: bytes) -> Any:
        return predict_log([{"length": len(request)}], [len(json.loads(response))], "m", "", "")

    world = World.make()
    call(CaptureMiddleware(model, world.producer, model="m", extract=extract), body=b"not JSON")
    world.producer.close(WAIT_SECONDS)
    (log,) = world.sink.logs()
    assert list(log.predict_log.request.inputs["length"].int64_val) == [8]


def test_a_function_that_fails_costs_the_capture_and_not_the_answer() -> None:
    def extract(request: bytes, response: bytes) -> Any:
        raise ZeroDivisionError

    world = World.make()
    assert len(call(CaptureMiddleware(model, world.producer, model="m", extract=extract))) == 3
    world.producer.close(WAIT_SECONDS)
    assert world.totals() == {"unreadable": 1}


def test_an_answer_that_is_an_error_is_captured_with_its_status() -> None:
    world = World.make()
    call(CaptureMiddleware(model, world.producer, model="m"), "/fails")
    world.producer.close(WAIT_SECONDS)
    assert world.sink.headers()["driftline-status"] == "500"
    assert not world.sink.logs()[0].predict_log.HasField("response")


def test_an_application_that_breaks_off_is_counted_and_its_error_goes_on() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        raise ZeroDivisionError

    world = World.make()
    with pytest.raises(ZeroDivisionError):
        call(CaptureMiddleware(broken, world.producer, model="m"))
    assert world.totals() == {"unanswered": 1}


def test_other_protocols_pass_untouched() -> None:
    world = World.make()
    seen: list[Any] = []

    async def lifespan(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    given: Any = ({"type": "lifespan"}, object(), object())
    asyncio.run(CaptureMiddleware(lifespan, world.producer, model="m")(*given))
    assert seen == [given]
