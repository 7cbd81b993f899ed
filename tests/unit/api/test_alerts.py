"""Alerts over HTTP: those that fire, those that an Alertmanager posts, who looks after them, and silences."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from structlog.testing import capture_logs

from monitor.alert.alert import Alert, AlertState, Origin
from monitor.clock import ManualClock, rfc3339
from monitor.store.alert_ledger import Revised
from monitor.store.alert_rows import KeptAlert
from monitor.store.token_ledger import Scope
from tests.apis import ALERTMANAGERS, Api

LABELS = {"alertname": "ServingErrors", "severity": "critical", "model": "flights"}
ZERO = "0001-01-01T00:00:00Z"
BEGAN = rfc3339(ManualClock().at - timedelta(minutes=5))
AGAIN = rfc3339(ManualClock().at - timedelta(minutes=1))


def posted(status: str = "firing", starts: str = BEGAN, **labels: str) -> dict[str, Any]:
    """Return one alert as Alertmanager 0.25 posts it."""
    return {
        "status": status,
        "labels": LABELS | labels,
        "annotations": {"summary": "1 in 10 requests fails"},
        "startsAt": starts,
        "endsAt": ZERO if status == "firing" else rfc3339(ManualClock().at),
        "generatorURL": "http://prometheus.example/graph?g0.expr=up",
        "fingerprint": "b8a2d0eb3c4f6a11",
    }


def message(*alerts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "receiver": "driftline",
        "status": "firing",
        "alerts": list(alerts),
        "groupLabels": {"alertname": "ServingErrors"},
        "commonLabels": LABELS,
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "version": "4",
        "groupKey": '{}:{alertname="ServingErrors"}',
        "truncatedAlerts": 0,
    } | fields


def post(api: Api, *alerts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = api.ask("POST", "/v1/alerts/alertmanager", message(*alerts, **fields), given=ALERTMANAGERS)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def only(api: Api) -> dict[str, Any]:
    [alert] = api.ask("GET", "/v1/alerts").json()
    found: dict[str, Any] = api.ask("GET", f"/v1/alerts/{alert['fingerprint']}").json()
    return found


def test_an_alertmanagers_alert_stands_beside_driftlines_own(api: Api) -> None:
    assert post(api, posted()) == {"taken": 1, "repeated": 0, "ignored": 0, "refused": 0}
    alert = only(api)
    assert (alert["origin"], alert["state"], alert["episode"]) == ("alertmanager", "firing", 1)
    assert (alert["name"], alert["model"], alert["labels"]) == ("ServingErrors", "flights", LABELS)
    assert alert["annotations"]["summary"] == "1 in 10 requests fails"
    assert alert["annotations"]["source"] == "http://prometheus.example/graph?g0.expr=up"
    assert (alert["fired_at"], alert["resolved_at"]) == (BEGAN, None)
    assert [event["to_state"] for event in alert["events"]] == ["firing"]
    assert api.ask("GET", "/v1/models/flights").json()["firing"] == [alert["fingerprint"]]


def test_the_same_message_again_changes_nothing(api: Api) -> None:
    post(api, posted())
    before = only(api)
    api.clock.advance(3_600)
    assert post(api, posted(), posted()) == {"taken": 0, "repeated": 2, "ignored": 0, "refused": 0}
    assert only(api) == before


def test_what_is_said_of_an_alert_that_came_from_here_is_ignored(api: Api) -> None:
    now = api.clock.now()
    lease = api.ledger.leases.acquire("model:flights", "monitor", now, timedelta(minutes=1))
    assert lease is not None
    ours = Alert(LABELS, {}, AlertState.FIRING, Origin.DRIFTLINE, now, episode=1, fired_at=now)
    api.ledger.alerts.record("flights", [Revised(KeptAlert(ours), KeptAlert(ours))], [], lease, now)
    for status in ("firing", "resolved"):
        assert post(api, posted(status), posted(status)) == {"taken": 0, "repeated": 0, "ignored": 2, "refused": 0}
    assert api.ledger.alerts.get(ours.fingerprint) == ours


def test_an_alert_is_told_by_its_labels_not_by_the_fingerprint_in_the_message(api: Api) -> None:
    other = posted(instance="b")
    assert post(api, posted(), other)["taken"] == 2, "both messages hold the same fingerprint"
    assert len(api.ask("GET", "/v1/alerts").json()) == 2


TOLD = (posted("firing"), posted("resolved"), posted("firing", AGAIN))


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_messages_in_any_order_end_at_the_newest(api: Api, order: tuple[int, ...]) -> None:
    for place in order:
        post(api, TOLD[place])
    post(api, *TOLD)
    alert = only(api)
    assert (alert["state"], alert["fired_at"]) == ("firing", AGAIN)
    times = [event["number"] for event in alert["events"]]
    assert times == sorted(set(times))


def test_a_firing_that_comes_after_its_end_is_old_news(api: Api) -> None:
    assert post(api, posted("resolved"))["taken"] == 1
    assert post(api, posted("firing")) == {"taken": 0, "repeated": 1, "ignored": 0, "refused": 0}
    assert only(api)["state"] == "resolved"


def test_a_firing_of_the_same_start_long_after_its_end_is_a_new_episode(api: Api) -> None:
    for episode in (1, 2, 3):
        assert post(api, posted("firing"))["taken"] == 1
        assert post(api, posted("firing"))["repeated"] == 1
        assert (only(api)["state"], only(api)["episode"], only(api)["resolved_at"]) == ("firing", episode, None)
        assert post(api, posted("resolved"))["taken"] == 1
        api.clock.advance(300)
        assert post(api, posted("firing"))["repeated"] == 1, "it may have been overtaken by its end"
        assert (only(api)["state"], only(api)["episode"]) == ("resolved", episode)
        api.clock.advance(1)


def test_fields_of_newer_servers_are_no_error(api: Api) -> None:
    assert post(api, posted() | {"odd": {"a": [1]}}, notification_reason="repeat")["taken"] == 1


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("version", "3", "body.version"),
        ("alerts", {}, "body.alerts"),
        ("alerts", [posted()] * 1_001, "body.alerts"),
    ],
    ids=["another version", "no list", "more than a thousand alerts"],
)
def test_what_is_no_message_is_refused_whole(shared: Api, field: str, value: Any, said: str) -> None:
    body = message(posted(instance="refused"), **{field: value})
    answer = shared.ask("POST", "/v1/alerts/alertmanager", body)
    assert (answer.status_code, answer.json()["detail"][: len(said)]) == (422, said)
    assert shared.ask("GET", "/v1/alerts").json() == []


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        pytest.param({}, "status: ", id="no alert"),
        pytest.param(None, "", id="nothing"),
        pytest.param("firing", "", id="a text"),
        pytest.param(posted() | {"status": "odd"}, "status: ", id="another status"),
        pytest.param(posted() | {"labels": {}}, "labels: ", id="no labels"),
        pytest.param(posted() | {"labels": {"a": 1}}, "labels.a: ", id="a label that is no text"),
        pytest.param(
            posted() | {"labels": {"model": "x" * 501}}, "labels.model: ", id="a label longer than the ledger keeps"
        ),
        pytest.param(posted() | {"startsAt": "yesterday"}, "startsAt: ", id="no time"),
        pytest.param(posted() | {"startsAt": "2026-01-01T00:00:00"}, "startsAt: ", id="a time without zone"),
        pytest.param(posted() | {"startsAt": 1_772_366_400}, "startsAt: ", id="a time that is a number"),
        pytest.param(posted() | {"endsAt": "9999-12-31T23:59:59-01:00"}, "endsAt: ", id="a time after the last year"),
    ],
)
def test_an_alert_that_cannot_be_taken_costs_none_beside_it(api: Api, bad: Any, why: str) -> None:
    with capture_logs() as logs:
        told = post(api, bad, posted())
    assert told == {"taken": 1, "repeated": 0, "ignored": 0, "refused": 1}
    assert [why in entry["why"] for entry in logs if entry["event"] == "alert_refused"] == (
        [True] if bad is not None else []
    )
    assert only(api)["labels"] == LABELS
    assert 'driftline_api_alerts_received_total{outcome="refused"} 1.0' in api.ask("GET", "/metrics").text


def test_an_alertmanager_that_must_wait_is_told_so_that_it_posts_again(api: Api) -> None:
    for _ in range(10):
        api.ask("GET", "/v1/models", given="wrong")
    answer = api.ask("POST", "/v1/alerts/alertmanager", message(posted()), given=ALERTMANAGERS)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "61")


def test_an_end_before_the_beginning_is_taken_as_now(api: Api) -> None:
    post(api, posted("resolved") | {"endsAt": ZERO})
    assert only(api)["resolved_at"] == rfc3339(api.clock.now())


def test_a_crash_between_taking_and_noting_is_mended_by_the_repetition(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("monitor.store.inbox_ledger.SqlInbox.remember", _dies)
        answer = api.ask("POST", "/v1/alerts/alertmanager", message(posted()))
        assert answer.status_code == 500, "which an Alertmanager takes as: again"
    assert post(api, posted())["taken"] == 1
    alert = only(api)
    assert (alert["episode"], len(alert["events"])) == (1, 1)


def _dies(*_: object) -> None:
    raise RuntimeError("killed here")


def fires(api: Api, **labels: str) -> str:
    now = api.clock.now()
    alert = Alert(LABELS | labels, {}, AlertState.FIRING, Origin.ALERTMANAGER, now, active_at=now, fired_at=now)
    return api.ledger.alerts.take(alert, now).fingerprint


def test_alerts_are_listed_by_model_and_state(api: Api) -> None:
    mine = fires(api)
    fires(api, model="quiet")
    listed = api.ask("GET", "/v1/alerts?model=flights&state=firing").json()
    assert [alert["fingerprint"] for alert in listed] == [mine]
    assert api.ask("GET", "/v1/alerts?state=resolved").json() == []
    assert api.ask("GET", "/v1/alerts?state=odd").status_code == 422


def test_taking_note_names_the_token_and_the_person(api: Api) -> None:
    path = f"/v1/alerts/{fires(api)}/acknowledge"
    answer = api.ask("POST", path, {"by": "Ada"}, scope=Scope.OPERATE)
    assert answer.json()["acknowledged_by"] == "Ada (token:a operate)"
    again = api.ask("POST", path, {"by": "Bob"}, scope=Scope.OPERATE)
    assert again.json()["acknowledged_by"] == "Ada (token:a operate)", "the first one has taken note"
    assert api.ask("POST", f"/v1/alerts/{fires(api, model='quiet')}/acknowledge").status_code == 200, "no body needed"


def test_nobody_takes_note_of_an_alert_that_is_over(api: Api) -> None:
    post(api, posted("resolved"))
    answer = api.ask("POST", f"/v1/alerts/{only(api)['fingerprint']}/acknowledge")
    assert answer.status_code == 409


def test_an_alert_is_given_to_somebody(api: Api) -> None:
    fingerprint = fires(api)
    answer = api.ask("POST", f"/v1/alerts/{fingerprint}/assign", {"to": "Grace", "by": "Ada"})
    assert answer.json()["assignee"] == "Grace"
    event = api.ask("GET", f"/v1/alerts/{fingerprint}").json()["events"][-1]
    assert (event["actor"], event["reason"]) == ("Ada (token:a admin)", "assigned to Grace by Ada (token:a admin)")


@pytest.mark.parametrize("what", ["", "/acknowledge", "/assign"])
def test_an_alert_that_there_is_not(shared: Api, what: str) -> None:
    answer = shared.ask(
        "POST" if what else "GET", f"/v1/alerts/{'0' * 16}{what}", {"to": "x"} if what == "/assign" else None
    )
    assert answer.status_code == 404


def test_a_silence_mutes_until_it_is_ended(api: Api) -> None:
    fires(api)
    answer = api.ask("POST", "/v1/silences", {"matchers": 'model="flights"', "duration": "2h", "comment": "holiday"})
    assert answer.status_code == 201
    silence = answer.json()
    assert answer.headers["Location"] == f"/v1/silences/{silence['silence_id']}"
    assert silence["ends_at"] == rfc3339(api.clock.now() + timedelta(hours=2))
    assert only(api)["silenced"]
    assert api.ask("GET", "/v1/silences").json() == [silence]
    api.clock.advance(60)
    assert api.ask("DELETE", f"/v1/silences/{silence['silence_id']}").status_code == 204
    assert api.ask("DELETE", f"/v1/silences/{silence['silence_id']}").status_code == 204, "over is over"
    assert not only(api)["silenced"]
    assert api.ask("GET", "/v1/silences").json() == []
    [over] = api.ask("GET", "/v1/silences?expired=true").json()
    assert over["ends_at"] == rfc3339(api.clock.now())
    entries = [entry["action"] for entry in api.ask("GET", "/v1/audit").json()]
    assert entries[-2:] == ["silence_added", "silence_expired"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("matchers", ""),
        ("matchers", "odd odd"),
        ("matchers", 'a=~"("'),
        ("matchers", 'a=~"(a+)+$"'),
        ("matchers", f'a=~"{"x" * 201}"'),
        ("comment", ""),
        ("duration", "2 odd"),
        ("duration", None),
        ("duration", "9999999w"),
        ("ends_at", "2030-01-01T00:00:00Z"),
        ("starts_at", "2030-01-01T00:00:00"),
        ("starts_at", 1_772_366_400),
        ("starts_at", "0001-01-01T00:00:00+01:00"),
    ],
    ids=[
        "nothing to match",
        "no matcher",
        "no regular expression",
        "a regular expression that may take for ever",
        "a long regular expression",
        "no comment",
        "no duration",
        "no end",
        "an end after the last year",
        "two ends",
        "a start without zone",
        "a start in seconds of nobody knows what",
        "a start before the first year",
    ],
)
def test_a_silence_that_cannot_be(shared: Api, field: str, value: Any) -> None:
    body = {"matchers": 'a="b"', "duration": "2h", "comment": "why"} | {field: value}
    answer = shared.ask("POST", "/v1/silences", body)
    assert answer.status_code == 422, answer.text
    assert shared.ask("GET", "/v1/silences?expired=true").json() == []


def test_a_silence_does_not_end_in_the_past(shared: Api) -> None:
    body = {"matchers": 'a="b"', "ends_at": rfc3339(shared.clock.now()), "comment": "why"}
    assert shared.ask("POST", "/v1/silences", body).status_code == 422


def test_a_silence_that_there_is_not(shared: Api) -> None:
    assert shared.ask("DELETE", "/v1/silences/none").status_code == 404
