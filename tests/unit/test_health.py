"""What /healthz and /readyz answer, and when."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
from prometheus_client import CollectorRegistry, Counter

from monitor.clock import ManualClock
from monitor.errors import TransientError
from monitor.health import Health
from monitor.serving import serve
from tests.conftest import free_port


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def health(clock: ManualClock) -> Health:
    return Health(clock)


@pytest.fixture
def address(health: Health) -> Iterator[str]:
    registry = CollectorRegistry()
    Counter("driftline_test", "A counter.", registry=registry).inc()
    listen = f"127.0.0.1:{free_port()}"
    stop = serve(listen, registry, health)
    yield f"http://{listen}"
    stop()


def asked(url: str, method: str = "GET") -> tuple[int, str]:
    address, _, path = url.removeprefix("http://").partition("/")
    connection = HTTPConnection(address, timeout=10)
    try:
        connection.request(method, f"/{path}")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_loop_that_turns_is_alive_and_one_that_does_not_is_named(
    address: str, health: Health, clock: ManualClock
) -> None:
    turned = health.loop("reader", 60.0)
    health.loop("committer", 600.0)
    clock.advance(59)
    assert asked(f"{address}/healthz")[0] == 200
    clock.advance(2)
    status, body = asked(f"{address}/healthz")
    assert status == 503
    assert json.loads(body) == {"status": "failing", "checks": {"committer": "ok", "reader": "failing"}}
    turned()
    assert asked(f"{address}/healthz")[0] == 200


def test_ready_is_who_has_started_and_whose_needs_are_met_now(address: str, health: Health) -> None:
    answers = [True]
    health.need("ledger", lambda: answers[-1])
    assert json.loads(asked(f"{address}/readyz")[1])["checks"] == {"ledger": "failing", "started": "failing"}
    health.started()
    assert asked(f"{address}/readyz") == (200, '{"status": "ok", "checks": {"started": "ok", "ledger": "ok"}}\n')
    answers.append(False)
    assert asked(f"{address}/readyz")[0] == 503
    answers.append(True)
    health.stopping()
    assert asked(f"{address}/readyz")[0] == 503


def test_what_fails_is_not_ready_and_its_reason_is_not_shown(address: str, health: Health) -> None:
    def fails() -> bool:
        raise TransientError("store: password authentication failed")

    health.need("ledger", fails)
    health.started()
    status, body = asked(f"{address}/readyz")
    assert (status, "password" in body) == (503, False)


def test_a_need_that_never_answers_is_asked_only_once(
    address: str, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.health._ANSWER_SECONDS", 0.05)
    release, questions = threading.Event(), []

    def hangs() -> bool:
        questions.append(1)
        return release.wait(30)

    health.need("ledger", hangs)
    health.started()
    assert [asked(f"{address}/readyz")[0] for _ in range(3)] == [503, 503, 503]
    assert len(questions) == 1
    release.set()


@pytest.mark.parametrize(
    ("path", "method", "status", "words"),
    [
        pytest.param("/metrics", "GET", 200, "driftline_test_total 1.0", id="the registry"),
        pytest.param("/metrics?name[]=none", "GET", 200, "", id="a query"),
        pytest.param("/", "GET", 404, "/readyz", id="another path"),
        pytest.param("/healthz", "POST", 405, "GET", id="another method"),
        pytest.param("/healthz", "HEAD", 200, "", id="a probe without a body"),
    ],
)
def test_other_requests(address: str, path: str, method: str, status: int, words: str) -> None:
    found, body = asked(address + path, method)
    assert (found, words in body) == (status, True)


def test_a_taken_port_does_not_stop_the_process(address: str, health: Health) -> None:
    stop = serve(address.removeprefix("http://"), CollectorRegistry(), health)
    stop()
    assert asked(f"{address}/healthz")[0] == 200
