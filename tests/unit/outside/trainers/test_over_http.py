"""Trainers over HTTP whose servers fail, refuse, redirect, forget, or say what was not expected."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.act.steps import Progress
from monitor.errors import InputError, TransientError
from monitor.outside.trainers.messages import PARAMETER_BYTES, SERVER_BYTES
from tests.loopback import Reply, Request, http_server, socket_server
from tests.trainers.servers import said
from tests.trainers.worlds import PRESETS, REQUEST, TOKEN, ServerWorld, a_retrain, http_settings, made, server_world

RETRAIN = a_retrain()


@pytest.fixture(params=PRESETS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerWorld]:
    with server_world(request.param, tmp_path) as started:
        yield started


def of_own(url: str, **more: Any) -> dict[str, Any]:
    return {"url": url, "body": {"id": "{{ retrain_id }}"}, "reference": "id", **more}


def test_an_answer_that_was_lost_on_the_way_does_not_make_a_second_run(world: ServerWorld) -> None:
    world.server.forgotten_answers = 1
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:\d+ answers 503"):
        world.trainer.submit(RETRAIN)
    assert world.trainer.submit(RETRAIN)
    assert len(world.asked()) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 425, 429])
def test_a_status_that_may_pass_is_worth_another_try(world: ServerWorld, status: int) -> None:
    reference = world.trainer.submit(RETRAIN)
    world.server.status = status
    with pytest.raises(TransientError, match=str(status)):
        world.trainer.submit(RETRAIN)
    with pytest.raises(TransientError, match=str(status)):
        world.trainer.poll(replace(RETRAIN, reference=reference))


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_a_refusal_ends_a_submission_but_no_run(world: ServerWorld, status: int) -> None:
    retrain = replace(RETRAIN, reference=world.trainer.submit(RETRAIN))
    world.server.status = status
    with pytest.raises(InputError, match=str(status)):
        world.trainer.submit(RETRAIN)
    with pytest.raises(TransientError, match=str(status)):
        world.trainer.poll(retrain)
    with pytest.raises(TransientError, match=str(status)):
        world.trainer.cancel(retrain)


def test_a_server_that_repeats_our_secret_does_not_get_it_into_a_message(world: ServerWorld) -> None:
    world.server.status = 400
    with pytest.raises(InputError, match=r"sent: \*\*\*") as raised:
        world.trainer.submit(RETRAIN)
    assert TOKEN not in str(raised.value)
    assert TOKEN not in repr(world.trainer)


def test_each_submission_carries_the_id_as_its_idempotency_key(world: ServerWorld) -> None:
    world.trainer.submit(RETRAIN)
    sent = [each.headers.get("idempotency-key") for each in world.loopback.requests if each.method == "POST"]
    assert sent == ["a1b2c3"]


def test_what_is_no_json_says_nothing_of_a_run(world: ServerWorld) -> None:
    retrain = replace(RETRAIN, reference=world.trainer.submit(RETRAIN))
    for body in (b"<html>sign in</html>", b"[]", b"null"):
        world.loopback.answer = lambda _, body=body: Reply(200, {}, body)  # type: ignore[misc]
        with pytest.raises(TransientError):
            world.trainer.poll(retrain)


def test_a_request_that_is_too_long_goes_without_its_spans(world: ServerWorld) -> None:
    spans = [{"uri": f"file:///spans/{number:060}.parquet", "kind": "traffic"} for number in range(15_000)]
    request = {**REQUEST, "data": {"spans": spans, "listed": len(spans), "start": "2026-01-01T00:00:00Z"}}
    world.trainer.submit(replace(RETRAIN, request=request))
    asked = world.asked()[0]
    if "request" in asked:  # a body of the user's own is as long as its template makes it
        assert asked["request"]["data"]["spans"] == spans
        return
    assert (asked["data"]["spans"], asked["data"]["listed"]) == ([], 0)
    assert asked["data"]["start"] == "2026-01-01T00:00:00Z"
    assert len(json.dumps(asked)) < min(PARAMETER_BYTES, SERVER_BYTES)


def test_a_request_that_is_too_long_without_spans_is_refused(world: ServerWorld) -> None:
    request = {**REQUEST, "why": {"reason": "x" * 1_100_000}}
    if world.server.__class__.__name__ == "Own":
        assert world.trainer.submit(replace(RETRAIN, request=request))
        return
    with pytest.raises(InputError, match="longer than"):
        world.trainer.submit(replace(RETRAIN, request=request))
    assert not world.asked()


def test_a_redirect_to_another_host_is_not_followed(tmp_path: Path) -> None:
    with http_server() as elsewhere, http_server() as server:
        server.answer = lambda _: Reply(307, {"Location": elsewhere.url})
        with pytest.raises(InputError, match="redirects to another host"):
            made(http_settings(**of_own(server.url)), tmp_path).submit(RETRAIN)
        assert elsewhere.requests == []


def test_a_redirect_to_a_page_for_signing_in_is_no_submission(tmp_path: Path) -> None:
    def answer(request: Request) -> Reply:
        return Reply(302, {"Location": "/login"}) if request.method == "POST" else said(200, {"id": "x"})

    with http_server(answer) as server, pytest.raises(InputError, match="redirects instead of taking the request"):
        made(http_settings(**of_own(f"{server.url}/train")), tmp_path).submit(RETRAIN)


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    def silent(_: socket.socket, over: threading.Event) -> None:
        over.wait(10)

    with socket_server(silent) as port:
        trainer = made(http_settings(**of_own(f"http://127.0.0.1:{port}", timeout="100ms")), tmp_path)
        with pytest.raises(TransientError, match="in time"):
            trainer.submit(RETRAIN)


@pytest.mark.parametrize(
    "odd",
    ["../../admin", "a b", "a?b=c#d", 'x"; DROP', "{{ 7 * 7 }}", "%2e%2e", "ü/é", "{retrain_id}", "//evil.example/"],
)
def test_a_name_that_a_server_gives_a_run_stays_one_segment_of_the_address(tmp_path: Path, odd: str) -> None:
    with http_server() as server:
        status = {"url": f"{server.url}/runs/{{reference}}/state", "state": "s", "completed": ["d"], "failed": ["f"]}
        trainer = made(http_settings(**of_own(server.url, status=status)), tmp_path)
        server.answer = lambda _: said(201, {"id": odd})
        retrain = replace(RETRAIN, reference=trainer.submit(RETRAIN))
        server.answer = lambda _: said(200, {"s": "d"})
        assert trainer.poll(retrain) is not None
    asked = server.requests[-1].path
    assert asked.startswith("/runs/")
    assert asked.endswith("/state")
    assert asked.count("/") == 3
    assert "?" not in asked
    assert "a1b2c3" not in asked


@pytest.mark.parametrize("said_id", [None, "", ["x"], {"a": 1}, True, "x" * 600, "a\nb"])
def test_an_answer_without_a_name_of_the_run_is_refused(tmp_path: Path, said_id: Any) -> None:
    with http_server(lambda _: said(200, {"id": said_id})) as server:
        trainer = made(http_settings(**of_own(server.url)), tmp_path)
        with pytest.raises(InputError, match="no name of the run at id"):
            trainer.submit(RETRAIN)


def test_a_number_is_a_name_too_and_a_request_that_is_known_already_counts(tmp_path: Path) -> None:
    with http_server(lambda _: said(200, {"id": 17})) as server:
        trainer = made(http_settings(**of_own(server.url)), tmp_path)
        assert trainer.submit(RETRAIN) == "17"
        server.answer = lambda _: said(409, {})
        assert trainer.submit(RETRAIN) == "a1b2c3"


@pytest.mark.parametrize("reference", [".", ".."])
def test_a_name_that_would_go_up_is_no_part_of_an_address(tmp_path: Path, reference: str) -> None:
    with server_world("kubeflow", tmp_path) as world:
        before = len(world.loopback.requests)
        with pytest.raises(TransientError, match="cannot be a part of an address"):
            world.trainer.poll(replace(RETRAIN, reference=reference))
        assert len(world.loopback.requests) == before


def test_a_state_that_nobody_knows_is_a_run_that_goes_on(tmp_path: Path) -> None:
    with server_world("own", tmp_path) as world:
        retrain = replace(RETRAIN, reference=world.trainer.submit(RETRAIN))
        next(iter(world.server.runs.values())).state = "de\nferred"
        report = world.trainer.poll(retrain)
    assert report is not None
    assert report.progress is Progress.RUNNING
    assert report.reason == "its state is 'de ferred', of which nothing is known here"


def test_without_a_way_to_ask_the_trainer_reports_by_itself(tmp_path: Path) -> None:
    with http_server(lambda _: said(200, {"id": "x"})) as server:
        trainer = made(http_settings(**of_own(server.url)), tmp_path)
        retrain = replace(RETRAIN, reference=trainer.submit(RETRAIN))
        assert trainer.poll(retrain) is None
        trainer.cancel(retrain)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ({"uri": 7}, "`uri` is no text"),
        ({"uri": "x" * 2000}, "`uri` is no text"),
        ({"version": 1.5}, "`version` is no text"),
        ({"version": True}, "`version` is no text"),
        ({"version": "../7"}, "`version` is no text"),
        ({"statistics": [1]}, "`statistics` are no JSON object"),
        ({"statistics": {"a": "x" * 70_000}}, "more than 65536 bytes"),
        ({"statistics": {"a": json.loads("[" * 300 + "]" * 300)}}, "nested deeper than 32 levels"),
    ],
)
def test_a_candidate_that_is_told_of_badly_is_a_failed_run(tmp_path: Path, model: dict[str, Any], why: str) -> None:
    with server_world("own", tmp_path) as world:
        retrain = replace(RETRAIN, reference=world.trainer.submit(RETRAIN))
        world.loopback.answer = lambda _: said(200, {"training": {"state": "done", "model": model}})
        report = world.trainer.poll(retrain)
    assert report is not None
    assert report.progress is Progress.FAILED
    assert why in report.reason


def test_a_token_is_read_anew_for_each_request(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    with http_server(lambda _: said(200, {"id": "x"})) as server:
        settings = http_settings(**of_own(server.url, headers={}, token_file=str(token)))
        trainer = made(settings, tmp_path)
        trainer.submit(RETRAIN)
        token.write_text("second")
        trainer.submit(RETRAIN)
        token.unlink()
        with pytest.raises(TransientError, match="cannot read the token"):
            trainer.submit(RETRAIN)
    assert [each.headers["authorization"] for each in server.requests] == ["Bearer first", "Bearer second"]


def test_a_build_that_jenkins_no_longer_has_in_its_queue_is_found_by_its_parameter(tmp_path: Path) -> None:
    with server_world("jenkins", tmp_path) as world:
        retrain = replace(RETRAIN, reference=world.trainer.submit(RETRAIN))
        assert retrain.reference == "queue/101"
        waiting = world.trainer.poll(retrain)
        next(iter(world.server.runs.values())).state = "running"
        running = world.trainer.poll(retrain)
        again = world.trainer.submit(RETRAIN)
    assert waiting is not None
    assert running is not None
    assert (waiting.progress, running.progress, again) == (Progress.WAITING, Progress.RUNNING, "build/101")
