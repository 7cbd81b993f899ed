"""Retrains over HTTP: asking for one, and what people and trainers say of it."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.act.retrain import RetrainState
from monitor.store.token_ledger import Scope
from tests.apis import Api

WISH = {"model": "flights", "reason": "quality fell"}
MADE = {"uri": "flights/42", "version": "42", "statistics": {"rmse": 12.5}}


def ask_for(api: Api, body: dict[str, Any] | None = None, key: str | None = "k1") -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return api.ask("POST", "/v1/retrains", body or WISH, scope=Scope.OPERATE, headers=headers)


def test_the_same_key_asks_once(api: Api) -> None:
    first = ask_for(api)
    assert first.status_code == 201, first.text
    retrain = first.json()
    assert (retrain["model"], retrain["state"], retrain["reason"]) == ("flights", "proposed", "quality fell")
    assert retrain["created_by"] == "token:a operate"
    assert first.headers["Location"] == f"/v1/retrains/{retrain['retrain_id']}"
    again = ask_for(api)
    assert (again.status_code, again.json()) == (200, retrain)
    assert again.headers["Idempotency-Key"] == "k1"
    assert len(api.ask("GET", "/v1/retrains").json()) == 1


def test_the_same_key_gives_the_same_retrain_when_that_has_ended(api: Api) -> None:
    retrain_id = ask_for(api).json()["retrain_id"]
    api.ask("POST", f"/v1/retrains/{retrain_id}/cancel")
    again = ask_for(api)
    assert (again.status_code, again.json()["retrain_id"]) == (200, retrain_id)
    other = ask_for(api, key="k2")
    assert (other.status_code, other.json()["retrain_id"] != retrain_id) == (201, True)


def test_the_same_key_with_another_body_is_a_mistake(api: Api) -> None:
    ask_for(api)
    assert ask_for(api, WISH | {"reason": "another"}).status_code == 422


def test_a_model_has_one_retrain_at_a_time(api: Api) -> None:
    retrain_id = ask_for(api).json()["retrain_id"]
    answer = ask_for(api, key="k2")
    assert answer.status_code == 409
    assert retrain_id in answer.json()["detail"]


def test_a_key_is_made_where_none_is_given(api: Api) -> None:
    key = ask_for(api, key=None).headers["Idempotency-Key"]
    assert ask_for(api, key=key).status_code == 200


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "\u00fc"], ids=["empty", "a space", "too long", "not ASCII"])
def test_a_key_that_is_none(shared: Api, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    assert shared.ask("POST", "/v1/retrains", WISH, headers=headers).status_code == 422  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "said"), [("none", "there is no model 'none'"), ("quiet", "nothing says who trains it")]
)
def test_a_model_that_cannot_be_trained(shared: Api, model: str, said: str) -> None:
    answer = shared.ask("POST", "/v1/retrains", WISH | {"model": model})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_a_retrain_is_shown_with_what_its_trainer_gets_and_what_happened(api: Api) -> None:
    retrain_id = ask_for(api).json()["retrain_id"]
    shown = api.ask("GET", f"/v1/retrains/{retrain_id}", scope=Scope.READ).json()
    assert shown["request"]["retrain_id"] == retrain_id
    assert shown["request"]["why"]["reason"] == "quality fell"
    assert [event["to_state"] for event in shown["events"]] == ["proposed"]
    assert "request" not in api.ask("GET", "/v1/retrains").json()[0], "lists stay short"


def test_retrains_are_listed_by_model_and_state(api: Api) -> None:
    api.proposed()
    api.running("quiet")
    for query, models in (
        ("", {"flights", "quiet"}),
        ("?model=quiet", {"quiet"}),
        ("?state=proposed", {"flights"}),
        ("?state=failed", set()),
    ):
        listed = api.ask("GET", f"/v1/retrains{query}").json()
        assert {each["model"] for each in listed} == models, query
    assert len(api.ask("GET", "/v1/retrains?limit=1").json()) == 1
    assert api.ask("GET", "/v1/retrains?state=odd").status_code == 422


def test_what_a_person_says(api: Api) -> None:
    path = f"/v1/retrains/{api.proposed().retrain_id}"
    approved = api.ask("POST", f"{path}/approve").json()
    assert (approved["state"], approved["reason"]) == ("approved", "approved by token:a admin")
    assert api.ask("POST", f"{path}/approve").json() == approved, "again changes nothing"
    cancelled = api.ask("POST", f"{path}/cancel", {"reason": "not now"}).json()
    assert (cancelled["state"], "not now" in cancelled["reason"]) == ("cancelled", True)


def test_what_a_trainer_says(api: Api) -> None:
    path = f"/v1/retrains/{api.running().retrain_id}"
    assert api.ask("POST", f"{path}/heartbeat").json()["state"] == "running"
    done = api.ask("POST", f"{path}/complete", MADE).json()
    assert (done["state"], done["candidate"]) == ("evaluating", MADE)
    assert api.ask("POST", f"{path}/complete", MADE).json() == done, "again changes nothing"
    assert api.ask("POST", f"{path}/complete", MADE | {"version": "43"}).status_code == 409
    assert api.ask("POST", f"{path}/fail", {"reason": "late"}).status_code == 409, "out of order"


def test_a_trainer_that_failed_says_why(api: Api) -> None:
    path = f"/v1/retrains/{api.running().retrain_id}"
    failed = api.ask("POST", f"{path}/fail", {"reason": "out of memory"}).json()
    assert (failed["state"], failed["reason"]) == ("failed", "the trainer failed: out of memory")
    assert api.ask("POST", f"{path}/fail", {"reason": "out of memory"}).json() == failed
    assert api.ask("POST", f"{path}/complete", MADE).status_code == 409
    assert api.ask("POST", f"{path}/heartbeat").status_code == 409


BODIES = {"approve": None, "cancel": None, "complete": MADE, "fail": {"reason": "x"}, "heartbeat": None}


@pytest.mark.parametrize("what", BODIES)
def test_a_callback_for_a_retrain_that_there_is_not(shared: Api, what: str) -> None:
    assert shared.ask("POST", f"/v1/retrains/r0/{what}", BODIES[what]).status_code == 404


def test_a_callback_before_its_time(api: Api) -> None:
    path = f"/v1/retrains/{api.proposed().retrain_id}"
    for what in ("complete", "fail", "heartbeat"):
        assert api.ask("POST", f"{path}/{what}", BODIES[what]).status_code == 409, what


@pytest.mark.parametrize(
    "uri",
    [
        "/etc/passwd",
        "../secrets",
        "flights/../../secrets",
        "flights/..",
        "./flights",
        "flights//42",
        "file:/etc/passwd",
        "file:/models/candidates/../secrets",
        "file:/models/candidatesx/42",
        "http://evil.example/model",
        "gs://bucket/model",
        "s3://bucket/model",
        "memory://x",
        "C:\\models",
        "flights\\42",
        "flights/a\u202eb",
        "flights/\n42",
        "",
        "x" * 1_001,
    ],
)
def test_a_candidate_lies_under_the_configured_folder(api: Api, uri: str) -> None:
    path = f"/v1/retrains/{api.running().retrain_id}"
    answer = api.ask("POST", f"{path}/complete", MADE | {"uri": uri})
    assert answer.status_code == 422
    assert api.ask("GET", path).json()["state"] == "running", "and the trainer may say it right"


@pytest.mark.parametrize("uri", ["flights/42", "flights/42/", "file:/models/candidates/flights/42"])
def test_a_candidate_is_named_below_the_folder_or_whole(api: Api, uri: str) -> None:
    path = f"/v1/retrains/{api.running().retrain_id}/complete"
    assert api.ask("POST", path, MADE | {"uri": uri}).json()["candidate"]["uri"] == uri


@pytest.mark.parametrize("version", ["", "../42", "a b", ".42", "x" * 101])
def test_a_version_is_a_name(shared: Api, version: str) -> None:
    assert shared.ask("POST", "/v1/retrains/r0/complete", MADE | {"version": version}).status_code == 422


def nested(levels: int) -> Any:
    inner: Any = 1.0
    for level in range(levels):
        inner = [inner] if level % 2 else {"a": inner}
    return {"x": inner}


def test_statistics_that_are_deep_are_refused_and_leave_the_retrain_to_be_read(api: Api) -> None:
    retrain_id = api.running().retrain_id
    deep = api.ask("POST", f"/v1/retrains/{retrain_id}/complete", MADE | {"statistics": nested(300)})
    assert (deep.status_code, "deeper than 32 levels" in deep.text) == (422, True)
    assert api.ask("GET", "/v1/retrains").status_code == 200
    taken = api.ask("POST", f"/v1/retrains/{retrain_id}/complete", MADE | {"statistics": nested(31)})
    assert taken.status_code == 200, taken.text
    assert api.ask("GET", f"/v1/retrains/{retrain_id}").status_code == 200


def test_what_is_said_is_in_the_audit_log(api: Api) -> None:
    path = f"/v1/retrains/{api.running().retrain_id}"
    api.ask("POST", f"{path}/complete", MADE, scope=Scope.OPERATE)
    [entry] = api.ask("GET", "/v1/audit?after=7").json()
    assert (entry["action"], entry["actor"]) == ("retrain_changed", "token:a operate")
    assert entry["body"]["state"] == RetrainState.EVALUATING
    assert api.ledger.audit_break() is None
