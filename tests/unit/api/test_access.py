"""Who may ask for what."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from monitor.api.access import Patience
from monitor.clock import ManualClock
from monitor.store.token_ledger import Scope
from tests.apis import ALERTMANAGERS, Api

NEEDS = {
    ("GET", "/v1/models"): Scope.READ,
    ("GET", "/v1/models/{model}"): Scope.READ,
    ("GET", "/v1/models/{model}/windows"): Scope.READ,
    ("GET", "/v1/models/{model}/evaluations"): Scope.READ,
    ("GET", "/v1/models/{model}/baselines"): Scope.READ,
    ("GET", "/v1/findings"): Scope.READ,
    ("GET", "/v1/alerts"): Scope.READ,
    ("GET", "/v1/alerts/{fingerprint}"): Scope.READ,
    ("POST", "/v1/alerts/{fingerprint}/acknowledge"): Scope.OPERATE,
    ("POST", "/v1/alerts/{fingerprint}/assign"): Scope.OPERATE,
    ("POST", "/v1/alerts/alertmanager"): Scope.OPERATE,
    ("GET", "/v1/silences"): Scope.READ,
    ("POST", "/v1/silences"): Scope.OPERATE,
    ("DELETE", "/v1/silences/{silence_id}"): Scope.OPERATE,
    ("GET", "/v1/retrains"): Scope.READ,
    ("POST", "/v1/retrains"): Scope.OPERATE,
    ("GET", "/v1/retrains/{retrain_id}"): Scope.READ,
    ("POST", "/v1/retrains/{retrain_id}/approve"): Scope.OPERATE,
    ("POST", "/v1/retrains/{retrain_id}/cancel"): Scope.OPERATE,
    ("POST", "/v1/retrains/{retrain_id}/complete"): Scope.OPERATE,
    ("POST", "/v1/retrains/{retrain_id}/fail"): Scope.OPERATE,
    ("POST", "/v1/retrains/{retrain_id}/heartbeat"): Scope.OPERATE,
    ("GET", "/v1/decisions"): Scope.READ,
    ("GET", "/v1/audit"): Scope.ADMIN,
}
"""Written here a second time: a route with a smaller scope than it should have is found by whoever reads one of the two."""


def filled(path: str) -> str:
    return path.format(model="flights", fingerprint="0" * 16, silence_id="none", retrain_id="none")


def test_every_operation_has_its_scope(shared: Api) -> None:
    paths = shared.app.openapi()["paths"]
    told = {(method.upper(), path): each["x-scope"] for path, item in paths.items() for method, each in item.items()}
    assert told == {operation: str(scope) for operation, scope in NEEDS.items()}


@pytest.mark.parametrize(("method", "path"), NEEDS)
def test_a_token_is_let_in_where_its_scope_is_large_enough(shared: Api, method: str, path: str) -> None:
    for scope in Scope:
        status = shared.ask(method, filled(path), scope=scope).status_code
        assert (status == 403) == (not scope.includes(NEEDS[method, path])), scope
        assert status != 401


@pytest.mark.parametrize(("method", "path"), NEEDS)
def test_without_a_token_nothing_is_answered_not_even_what_is_wrong_with_a_body(
    shared: Api, method: str, path: str
) -> None:
    answer = shared.ask(method, filled(path), content=b"{", headers={"Content-Type": "application/json"}, scope=None)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="driftline"'
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer wrong", "Bearer " + "x" * 10_000, "Bearer dlt_ü"],
    ids=["empty", "no token", "a blank one", "another scheme", "unknown", "very long", "not ASCII"],
)
def test_what_is_no_known_token_is_refused(shared: Api, header: str) -> None:
    shared.clock.advance(60)  # what other tests guessed is forgotten
    answer = shared.client.get("/v1/models", headers={b"Authorization": header.encode()})
    assert answer.status_code == 401


def test_the_scheme_is_written_in_any_case(shared: Api) -> None:
    headers = {"Authorization": f"bEARER {shared.tokens[Scope.READ]}"}
    assert shared.client.get("/v1/models", headers=headers).status_code == 200


def test_a_revoked_token_is_refused_from_its_next_request_on(api: Api) -> None:
    assert api.ask("GET", "/v1/models", scope=Scope.READ).status_code == 200
    api.ledger.tokens.revoke("a read", api.clock.now())
    answer = api.ask("GET", "/v1/models", scope=Scope.READ)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_token_is_refused_from_the_moment_at_which_it_expires(api: Api) -> None:
    token = api.ledger.tokens.create("brief", Scope.READ, api.clock.now(), api.clock.now() + timedelta(hours=1))
    api.clock.advance(3_599)
    assert api.ask("GET", "/v1/models", given=token).status_code == 200
    api.clock.advance(1)
    assert api.ask("GET", "/v1/models", given=token).status_code == 401


def test_a_refusal_names_the_scope_that_is_needed(shared: Api) -> None:
    answer = shared.ask("GET", "/v1/audit", scope=Scope.OPERATE)
    assert answer.json()["detail"] == "a token with scope operate may not do this: it needs scope admin"
    assert 'scope="admin"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(("method", "path"), NEEDS)
def test_the_alertmanagers_token_does_one_thing(shared: Api, method: str, path: str) -> None:
    status = shared.ask(method, filled(path), given=ALERTMANAGERS).status_code
    assert status == (422 if path == "/v1/alerts/alertmanager" else 403)


def test_after_ten_wrong_tokens_an_address_waits_for_a_minute(api: Api) -> None:
    for _ in range(10):
        assert api.ask("GET", "/v1/models", given="wrong").status_code == 401
    answer = api.ask("GET", "/v1/models", given="wrong")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "61")
    fresh = api.ledger.tokens.create("fresh", Scope.READ, api.clock.now(), None)
    assert api.ask("GET", "/v1/models", given=fresh).status_code == 429, "guessing right is guessing too"
    api.clock.advance(60)
    assert api.ask("GET", "/v1/models", given=fresh).status_code == 200


def test_whoever_had_a_right_token_does_not_wait_for_the_neighbour_with_a_wrong_one(api: Api) -> None:
    assert api.ask("GET", "/v1/models").status_code == 200
    for _ in range(20):
        api.ask("GET", "/v1/models", given="wrong")
    assert api.ask("GET", "/v1/models").status_code == 200
    assert api.ask("GET", "/v1/models", given="wrong").status_code == 429


def test_patience_is_for_each_address_and_takes_no_more_memory_for_more_of_them() -> None:
    clock = ManualClock()
    patience = Patience(clock)
    for _ in range(10):
        patience.wrong("a")
    assert patience.seconds_to_wait("a") == 60
    assert patience.seconds_to_wait("b") == 0
    for number in range(20_000):
        patience.wrong(f"address {number}")
    assert len(patience._wrong) == 10_000


@pytest.mark.parametrize(
    ("address", "status"),
    [
        pytest.param("127.0.0.1", 200, id="this machine"),
        pytest.param("::1", 200, id="this machine over IPv6"),
        pytest.param("::ffff:127.0.0.1", 200, id="this machine over a socket for both"),
        pytest.param("192.0.2.7", 401, id="another machine"),
        pytest.param("2001:db8::1", 401, id="another machine over IPv6"),
        pytest.param("nonsense", 401, id="an address that is none"),
    ],
)
def test_metrics_are_open_to_this_machine_alone(shared: Api, address: str, status: int) -> None:
    with TestClient(shared.app, client=(address, 1)) as client:
        assert client.get("/metrics").status_code == status
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/models").status_code == 401, "which model there is, is told to nobody without a token"


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "Via"])
def test_a_proxy_on_this_machine_is_not_this_machine(shared: Api, header: str) -> None:
    with TestClient(shared.app, client=("127.0.0.1", 1)) as client:
        assert client.get("/metrics", headers={header: "203.0.113.9"}).status_code == 401


def test_another_machine_reads_metrics_with_a_token(shared: Api) -> None:
    answer = shared.ask("GET", "/metrics", scope=Scope.READ)
    assert answer.status_code == 200
    assert "driftline_api_requests_total" in answer.text


@pytest.fixture
def refused(api: Api) -> Iterator[dict[str, float]]:
    found: dict[str, float] = {}
    yield found
    for reason, count in found.items():
        assert api.registry.get_sample_value("driftline_api_refused_total", {"reason": reason}) == count


def test_refusals_are_counted_by_their_reason(api: Api, refused: dict[str, float]) -> None:
    api.ask("GET", "/v1/models", scope=None)
    api.ask("GET", "/v1/audit", scope=Scope.READ)
    for _ in range(12):
        api.ask("GET", "/v1/models", given="wrong")
    refused |= {"missing": 1, "scope": 1, "wrong": 10, "too_many": 2}


def test_no_token_is_shown_anywhere(api: Api) -> None:
    token = api.tokens[Scope.ADMIN]
    shown = [api.ask("GET", path).text for path in ("/v1/audit", "/metrics", "/v1/nothing", "/v1/models/none")]
    shown.append(api.ask("GET", "/v1/models", given=token + "x").text)
    assert not [text for text in shown if token in text or ALERTMANAGERS in text]
    assert token not in repr(api.ledger.tokens.list())
