"""Who is told of an alert: routes, silences, acknowledgement, repetition, the end; and what the texts say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.alert.alert import Alert, AlertState, Origin
from monitor.alert.notification import Told
from monitor.alert.routing import routed
from monitor.alert.silence import Silence
from monitor.alert.telling import tellings
from monitor.alert.templates import LONGEST, annotated
from monitor.config.alerting import RouteSettings
from tests.unit.alert.findings import finding

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LABELS = {"alertname": "Drift", "model": "flights", "severity": "critical", "team": "ops"}
RECEIVERS = {"pager": 4 * HOUR, "slack": HOUR}


def alert(state: AlertState = AlertState.FIRING, acknowledged_by: str | None = None) -> Alert:
    return Alert(LABELS, {}, state, Origin.DRIFTLINE, NOW, episode=1, acknowledged_by=acknowledged_by)


@pytest.mark.parametrize(
    ("stands", "told", "silenced", "said"),
    [
        pytest.param(alert(), {}, False, {Told.FIRING: ["pager", "slack"]}, id="everybody, once"),
        pytest.param(alert(), {}, True, {}, id="nobody while it is silenced"),
        pytest.param(alert(), {"pager": NOW, "slack": NOW}, False, {}, id="nobody again so soon"),
        pytest.param(
            alert(),
            {"pager": NOW - HOUR, "slack": NOW - HOUR},
            False,
            {Told.REPEATED: ["slack"]},
            id="who wants it hourly",
        ),
        pytest.param(alert(), {"pager": NOW}, False, {Told.FIRING: ["slack"]}, id="a receiver that is new"),
        pytest.param(
            alert(acknowledged_by="ada"), {"pager": NOW, "slack": NOW - HOUR}, False, {}, id="acknowledged: not again"
        ),
        pytest.param(
            alert(AlertState.RESOLVED), {"pager": NOW}, False, {Told.RESOLVED: ["pager"]}, id="the end, who knew"
        ),
        pytest.param(
            alert(AlertState.RESOLVED, "ada"),
            {"pager": NOW},
            False,
            {Told.RESOLVED: ["pager"]},
            id="acknowledged: the end",
        ),
        pytest.param(alert(AlertState.RESOLVED), {"slack": NOW}, False, {}, id="no end for who does not want it"),
        pytest.param(alert(AlertState.RESOLVED), {}, False, {}, id="no end for who was never told"),
        pytest.param(
            alert(AlertState.PENDING), {"pager": NOW}, False, {Told.RESOLVED: ["pager"]}, id="over and pending"
        ),
        pytest.param(alert(AlertState.RESOLVED), {"pager": NOW}, True, {}, id="the end waits for the silence"),
    ],
)
def test_who_is_told(stands: Alert, told: dict[str, datetime], silenced: bool, said: dict[Told, list[str]]) -> None:
    found = tellings(stands, told, RECEIVERS, ["pager"], [], silenced=silenced, now=NOW)
    assert {kind: sorted(names) for kind, names in found.said} == said


def test_a_clock_that_was_ahead_keeps_nobody_from_being_told_again() -> None:
    known = {"pager": NOW + 1000 * HOUR}
    found = tellings(alert(), known, {"pager": HOUR}, [], [], silenced=False, now=NOW)
    assert dict(found.said) == {Told.REPEATED: ["pager"]}
    assert found.told == {"pager": NOW}


def test_an_acknowledgement_keeps_nothing_from_who_takes_silence_for_the_end() -> None:
    known = {"pager": NOW - 4 * HOUR, "slack": NOW - 4 * HOUR}
    found = tellings(alert(acknowledged_by="ada"), known, RECEIVERS, [], ["pager"], silenced=False, now=NOW)
    assert list(found.said) == [(Told.REPEATED, ["pager"])]


def test_who_was_told_is_known_until_the_end_was_told() -> None:
    known = tellings(alert(), {}, RECEIVERS, ["pager"], [], silenced=False, now=NOW).told
    assert known == {"pager": NOW, "slack": NOW}
    over = alert(AlertState.RESOLVED)
    assert tellings(over, known, RECEIVERS, ["pager"], [], silenced=True, now=NOW).told == known
    assert tellings(over, known, RECEIVERS, ["pager"], [], silenced=False, now=NOW).told == {}


def route(*receivers: str, **more: Any) -> RouteSettings:
    return RouteSettings.model_validate({"receivers": list(receivers)} | more)


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        pytest.param([], {"pager": 4, "slack": 4}, id="without routes everybody"),
        pytest.param(
            [route("pager", match='severity="critical"'), route("slack")], {"pager": 4}, id="the first decides"
        ),
        pytest.param(
            [route("pager", match='severity="info"'), route("slack")], {"slack": 4}, id="the first that matches"
        ),
        pytest.param(
            [route("pager", match='team="ops"', repeat_interval="1h", **{"continue": True}), route("slack", "pager")],
            {"pager": 1, "slack": 4},
            id="and goes on where it says so; a receiver keeps what was said first",
        ),
        pytest.param([route(match='model="flights"'), route("slack")], {}, id="a route to nobody drops"),
        pytest.param([route("pager", match='model="other"')], {}, id="no route matches"),
    ],
)
def test_routes(routes: list[RouteSettings], expected: dict[str, int]) -> None:
    found = routed(LABELS, routes, ["slack", "pager"])
    assert found == {name: hours * HOUR for name, hours in expected.items()}


@pytest.mark.parametrize(
    ("at", "active"),
    [(NOW - HOUR, False), (NOW, True), (NOW + HOUR, False), (NOW + HOUR - timedelta(microseconds=1), True)],
)
def test_a_silence_holds_from_its_start_to_before_its_end(at: datetime, active: bool) -> None:
    silence = Silence("s", 'model="flights"', NOW, NOW + HOUR, "ada", "", NOW)
    assert silence.active(at) is active
    assert silence.mutes(LABELS)
    assert not silence.mutes(LABELS | {"model": "other"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{{ model }}: {{ findings[0].feature }} moved in {{ windows | length }} windows",
            "flights: distance moved in 2 windows",
        ),
        ("{{ labels.team }}{{ labels.nobody }}", "ops"),
        ("{{ findings[7].feature }}", ""),
        ("{{ findings[0].value + windows }}", "(this text could not be filled: TypeError)"),
        ("{{ ''.__class__.__mro__ }}", ""),
        ("{{ 'x' * 100000 }}", "x" * LONGEST),
    ],
)
def test_annotations_are_filled_and_never_stop_an_alert(text: str, expected: str) -> None:
    assert annotated({"summary": text}, LABELS, [finding()], ["a", "b"]) == {"summary": expected}
