"""Whoever else serves a model, asked over HTTP: what is sent, how it is signed, and what answers mean."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from monitor.clock import SystemClock
from monitor.config.canary import CanaryWebhookSettings
from monitor.errors import InputError, TransientError
from monitor.outside.canary_webhook import CanaryWebhook
from monitor.outside.http import HttpClient
from monitor.outside.serving import Plan

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoaXMgdGVzdCBvbmx5IQ=="
PLAN = Plan("41", "42")


@contextmanager
def receiving(status: int = 204, location: str = "") -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    received: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the base class calls it so

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/canary?token=t0p", received
        finally:
            server.shutdown()
            thread.join()


def webhook(url: str, **settings: Any) -> CanaryWebhook:
    clock = SystemClock()
    return CanaryWebhook(
        CanaryWebhookSettings.model_validate({"url": url, "timeout": "2s", **settings}),
        "flights",
        "r1",
        {"uri": "file:candidates/r1", "version": "42"},
        lambda candidate: f"not {candidate}",
        HttpClient(clock),
        clock,
    )


def test_each_step_is_one_signed_request_that_can_be_told_apart() -> None:
    with receiving() as (url, received):
        asked = webhook(url, signing_secret=SECRET)
        assert asked.plan("42") == Plan("not 42", "42")
        asked.begin(PLAN, lambda: nullcontext(Path("/nowhere")))
        asked.begin(PLAN, lambda: nullcontext(Path("/nowhere")))
        asked.promote(PLAN)
        assert asked.roll_back(PLAN) == ""
    bodies = [json.loads(body) for _, body in received]
    assert [body.pop("action") for body in bodies] == ["begin", "begin", "promote", "rollback"]
    assert [headers["idempotency-key"] for headers, _ in received] == [
        "r1.begin",
        "r1.begin",
        "r1.promote",
        "r1.rollback",
    ]
    assert bodies[0] == {
        "type": "driftline.canary.begin",
        "retrain_id": "r1",
        "model": "flights",
        "stable_version": "41",
        "candidate_version": "42",
        "candidate_uri": "file:candidates/r1",
    }
    for headers, body in received:
        Webhook(SECRET).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(received[0][1] + b" ", received[0][0])


def test_without_a_secret_nothing_is_signed() -> None:
    with receiving(200) as (url, received):
        webhook(url).promote(PLAN)
    assert not [name for name in received[0][0] if name.startswith("webhook-")]


@pytest.mark.parametrize(
    ("status", "location", "error", "said"),
    [
        pytest.param(500, "", TransientError, "answered promote with 500", id="trouble, asked again later"),
        pytest.param(429, "", TransientError, "answered promote with 429", id="too many requests, asked again later"),
        pytest.param(409, "", InputError, "answered promote with 409", id="a refusal"),
        pytest.param(302, "/elsewhere", InputError, "drops what is sent", id="a redirect that loses the request"),
        pytest.param(307, "http://127.0.0.2:1/", InputError, "redirects to another host", id="a redirect elsewhere"),
    ],
)
def test_other_answers(status: int, location: str, error: type[Exception], said: str) -> None:
    with receiving(status, location) as (url, _), pytest.raises(error, match=said) as raised:
        webhook(url).promote(PLAN)
    assert "t0p" not in str(raised.value)


def test_settings_show_no_secret() -> None:
    shown = repr(webhook("http://h/canary?token=t0p", signing_secret=SECRET).settings)
    assert "t0p" not in shown
    assert SECRET not in shown


def test_what_is_not_allowed_any_more_is_not_asked() -> None:
    def stopping() -> None:
        raise TransientError("the monitor is stopping")

    with receiving() as (url, received):
        asked = replace(webhook(url), ensure_allowed=stopping)
        with pytest.raises(TransientError, match="the monitor is stopping"):
            asked.promote(PLAN)
    assert received == []
