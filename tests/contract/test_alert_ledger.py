"""Alerts and silences in the ledger: what people and an Alertmanager say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from monitor.alert.alert import Alert, AlertState, Origin
from monitor.errors import InputError
from monitor.store import audit
from monitor.store.alert_ledger import NotFiring, SqlAlerts, UnknownAlert
from monitor.store.ledger import Ledger
from monitor.store.silence_ledger import UnknownSilence
from tests.contract.alert_world import SKEW, World, settings_of
from tests.ledgers import HOUR, NOON

DRIFT = {"alert": "Drift", "expr": {"findings": ""}}


def fired(ledger: Ledger) -> tuple[World, Alert]:
    here = World(ledger, settings_of([DRIFT]))
    here.judge(5, SKEW)
    (alert,) = here.look()
    return here, alert


def said(state: AlertState = AlertState.FIRING, began: datetime = NOON, **labels: str) -> Alert:
    ended = began + HOUR if state is AlertState.RESOLVED else None
    named = {"alertname": "GpuHot", "severity": "critical"} | labels
    return Alert(named, {"summary": "hot"}, state, Origin.ALERTMANAGER, began, fired_at=began, resolved_at=ended)


def actions(ledger: Ledger) -> list[str]:
    with ledger.database.read() as connection:
        return [entry.action for entry in audit.entries(connection, "default")]


def test_who_takes_note_is_recorded_once(ledger: Ledger) -> None:
    here, alert = fired(ledger)
    taken_note = ledger.alerts.acknowledge(alert.fingerprint, "ada", here.now)
    assert (taken_note.acknowledged_by, taken_note.acknowledged_at) == ("ada", here.now)
    assert ledger.alerts.acknowledge(alert.fingerprint, "bob", here.now + HOUR) == taken_note
    assigned = ledger.alerts.assign(alert.fingerprint, "bob", "ada", here.now)
    assert ledger.alerts.assign(alert.fingerprint, "bob", "eve", here.now) == assigned
    assert ledger.alerts.get(alert.fingerprint) == assigned
    events = ledger.alerts.events(alert.fingerprint)
    assert [(event.number, event.actor, event.reason) for event in events] == [
        (1, "monitor", "the window from 2026-03-01T07:00:00Z matches"),
        (2, "ada", "acknowledged by ada"),
        (3, "ada", "assigned to bob by ada"),
    ]
    assert {event.to_state for event in events} == {AlertState.FIRING}
    assert actions(ledger)[-3:] == ["alert_changed"] * 3
    assert ledger.alerts.assign(alert.fingerprint, "", "ada", here.now).assignee is None
    assert ledger.audit_break() is None


def test_there_is_nothing_to_take_note_of_in_what_does_not_fire(ledger: Ledger) -> None:
    here, alert = fired(ledger)
    here.judge(4)
    here.look()
    with pytest.raises(NotFiring, match="is resolved, not firing"):
        ledger.alerts.acknowledge(alert.fingerprint, "ada", here.now)
    for act in (ledger.alerts.acknowledge, lambda *a: ledger.alerts.assign(a[0], "bob", *a[1:])):
        with pytest.raises(UnknownAlert, match="there is no alert 00"):
            act("00", "ada", here.now)
    assert ledger.alerts.get("00") is None


def test_alerts_are_listed_by_model_and_state(ledger: Ledger) -> None:
    here, alert = fired(ledger)
    other = ledger.alerts.take(said(model="other"), here.now)
    nameless = ledger.alerts.take(said(AlertState.RESOLVED), here.now)
    assert ledger.alerts.list() == [nameless, alert, other]
    assert ledger.alerts.list(model="model") == [alert]
    assert ledger.alerts.list(state=AlertState.RESOLVED) == [nameless]
    assert ledger.alerts.firing() == [alert, other]
    assert {labels["alertname"]: origin for labels, _, origin in ledger.alerts.standing()} == {
        "Drift": Origin.DRIFTLINE,
        "GpuHot": Origin.ALERTMANAGER,
    }
    others = SqlAlerts(ledger.database, "another team")
    assert others.list() == []
    assert others.get(alert.fingerprint) is None


@pytest.mark.parametrize(
    ("words", "state", "episode", "events"),
    [
        pytest.param([said()], AlertState.FIRING, 1, 1, id="it fires"),
        pytest.param([said(), said()], AlertState.FIRING, 1, 1, id="said again: nothing new"),
        pytest.param([said(), said(AlertState.RESOLVED)], AlertState.RESOLVED, 1, 2, id="and ends"),
        pytest.param(
            [said(), said(AlertState.RESOLVED), said()], AlertState.RESOLVED, 1, 2, id="a late word of the beginning"
        ),
        pytest.param([said(AlertState.RESOLVED), said()], AlertState.RESOLVED, 1, 1, id="the end came first"),
        pytest.param(
            [said(), said(began=NOON + 2 * HOUR)], AlertState.FIRING, 2, 2, id="it began anew, the end was lost"
        ),
        pytest.param(
            [said(began=NOON + 2 * HOUR), said(AlertState.RESOLVED)],
            AlertState.FIRING,
            1,
            1,
            id="the end of one before",
        ),
    ],
)
def test_what_an_alertmanager_says(
    ledger: Ledger, words: Sequence[Alert], state: AlertState, episode: int, events: int
) -> None:
    for word in words:
        ledger.alerts.take(word, NOON + 3 * HOUR)
    (alert,) = ledger.alerts.list()
    assert (alert.state, alert.episode, alert.origin) == (state, episode, Origin.ALERTMANAGER)
    assert len(ledger.alerts.events(alert.fingerprint)) == events


def test_a_new_text_of_an_alertmanager_is_taken_without_an_event_and_keeps_who_took_note(ledger: Ledger) -> None:
    alert = ledger.alerts.take(said(), NOON)
    ledger.alerts.acknowledge(alert.fingerprint, "ada", NOON)
    after = ledger.alerts.take(replace(said(), annotations={"summary": "very hot"}), NOON + HOUR)
    assert (after.annotations, after.acknowledged_by) == ({"summary": "very hot"}, "ada")
    assert len(ledger.alerts.events(alert.fingerprint)) == 2
    assert ledger.alerts.get(alert.fingerprint) == after


def test_an_alertmanager_says_nothing_of_an_alert_that_came_from_here(ledger: Ledger) -> None:
    here, alert = fired(ledger)
    back = Alert(alert.labels, {}, AlertState.RESOLVED, Origin.ALERTMANAGER, here.now, fired_at=here.now + HOUR)
    assert ledger.alerts.take(back, here.now) == alert
    assert ledger.alerts.get(alert.fingerprint) == alert


def test_a_silence_holds_until_somebody_ends_it_once(ledger: Ledger) -> None:
    added = ledger.silences.add('model=~"m.*"', NOON, NOON + HOUR, "ada", "a sale", NOON)
    later = ledger.silences.add("alertname=Lost", NOON + HOUR, NOON + 2 * HOUR, "ada", "", NOON)
    (active,) = ledger.silences.active(NOON)
    assert (active.silence_id, active.created_by, active.comment, active.matchers) == (
        added,
        "ada",
        "a sale",
        'model=~"m.*"',
    )
    assert active.mutes({"model": "model"})
    assert [each.silence_id for each in ledger.silences.list(NOON)] == [added, later]
    ended = ledger.silences.expire(added, "bob", NOON + HOUR / 2)
    assert (ended.ends_at, ended.expired_by) == (NOON + HOUR / 2, "bob")
    assert ledger.silences.expire(added, "eve", NOON + HOUR) == ended, "expiring twice is once"
    assert ledger.silences.active(NOON + HOUR / 2) == []
    assert [each.silence_id for each in ledger.silences.list(NOON + HOUR / 2, with_expired=True)] == [added, later]
    assert actions(ledger) == ["silence_added", "silence_added", "silence_expired"]
    with pytest.raises(UnknownSilence, match="there is no silence nope"):
        ledger.silences.expire("nope", "ada", NOON)


@pytest.mark.parametrize(
    ("matchers", "hours", "expected"),
    [
        pytest.param("model", 1, "matchers: 'model' is no matcher", id="no matcher"),
        pytest.param("", 1, "one at least must ask for something that is there", id="everything"),
        pytest.param(
            'team=~".*"', 1, "one at least must ask for something that is there", id="everything, in other words"
        ),
        pytest.param("model=m", 0, "a silence ends after it starts", id="no time at all"),
        pytest.param("model=m", -1, "a silence ends after it starts", id="the past"),
    ],
)
def test_a_silence_that_makes_no_sense_is_refused(ledger: Ledger, matchers: str, hours: int, expected: str) -> None:
    with pytest.raises(InputError) as raised:
        ledger.silences.add(matchers, NOON, NOON + hours * HOUR, "ada", "", NOON)
    assert expected in str(raised.value)
    assert not ledger.silences.list(NOON, with_expired=True)
