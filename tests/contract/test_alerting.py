"""From judged windows to alerts, events and messages, in SQLite and PostgreSQL alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import delete, select

from collectors.memory import MemoryStorage
from monitor.alert.alert import Alert, AlertState, Origin
from monitor.clock import ManualClock
from monitor.errors import StaleClaim
from monitor.jobs.monitoring import Monitor
from monitor.loop import build_loop
from monitor.metrics import MonitorMetrics
from monitor.store import loop_tables as t
from monitor.store.alert_ledger import SqlAlerts
from monitor.store.leases import Lease
from monitor.store.ledger import Ledger
from monitor.window.label_due import Stage
from tests.contract.alert_world import RECEIVERS, SKEW, World, settings_of
from tests.ledgers import HOUR, NOON, held
from tests.unit.alert.findings import finding

DRIFT = {
    "alert": "Drift",
    "expr": {"findings": 'kind="skew"'},
    "annotations": {"summary": "{{ model }}: {{ findings[0].feature }}"},
}
LOST = {"alert": "Lost", "expr": {"quality": ""}, "severity": "critical"}
BOTH = {"pager": ["firing"], "quiet": ["firing"]}
ENDED = {"pager": ["firing", "resolved"], "quiet": ["firing"]}


def world(ledger: Ledger, *rules: Mapping[str, Any], **more: Any) -> World:
    return World(ledger, settings_of(rules or [DRIFT], **more))


def documents(ledger: Ledger, receiver: str) -> list[Mapping[str, Any]]:
    return [each.notification.document for each in ledger.outbox.find(receiver=receiver)]


def reasons(found: World) -> list[str]:
    return [event.reason for event in found.ledger.alerts.events(found.only().fingerprint)]


def test_a_flagged_window_fires_is_told_once_and_the_next_one_ends_it(ledger: Ledger) -> None:
    here = world(ledger, api={"public_url": "https://drift.test/"})
    here.judge(5, SKEW, finding("carrier", p_value=1e-9))
    (fired,) = here.look()
    assert (fired.state, fired.episode, fired.labels) == (
        AlertState.FIRING,
        1,
        {"alertname": "Drift", "model": "model", "severity": "warning"},
    )
    assert [each["feature"] for each in fired.findings] == ["carrier", "distance"], "the strongest first"
    assert fired.annotations == {"summary": "model: carrier"}
    assert here.told() == BOTH
    assert not here.look()
    assert ledger.alerts.firing() == [fired]
    with ledger.database.read() as connection:
        document = json.loads(connection.execute(select(t.outbox.c.document).limit(1)).scalar_one())
    assert document["links"] == {"Alert": f"https://drift.test/alerts/{fired.fingerprint}"}
    assert (document["status"], document["ends_at"]) == ("firing", None)
    here.judge(4)
    (ended,) = here.look()
    assert (ended.state, ended.resolved_at) == (AlertState.RESOLVED, here.now)
    assert here.told() == ENDED
    assert [(event.from_state, event.to_state) for event in ledger.alerts.events(fired.fingerprint)] == [
        (AlertState.INACTIVE, AlertState.FIRING),
        (AlertState.FIRING, AlertState.RESOLVED),
    ]
    assert ledger.audit_break() is None
    assert ledger.alerts.list() == [ended]


def test_all_versions_and_slices_are_in_one_alert(ledger: Ledger) -> None:
    here = world(ledger)
    here.serve(5, "1", "2")
    here.judge_served(5, SKEW)
    assert not here.look(), "version 2 of the window is not judged yet"
    here.judge_served(5, version="2", slices={'{"o":"J"}': finding(version="2", slice={"o": "J"})})
    (fired,) = here.look()
    assert [(each["version"], each["slice"]) for each in fired.findings] == [("1", {}), ("2", {"o": "J"})]
    assert here.told() == BOTH


def test_many_windows_of_a_replay_are_taken_in_their_order(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.jobs.alert.alerting._MOST_WINDOWS", 4)
    here = world(ledger, DRIFT | {"for": 2})
    for hour in range(30, 15, -1):
        here.judge(hour, *([SKEW] if hour % 5 in (1, 2) else []))
    here.look()
    assert here.told() == {"pager": ["firing", "resolved"] * 2 + ["firing"], "quiet": ["firing"] * 3}
    assert here.only().episode == 3


def test_a_restatement_resolves_and_is_never_told_twice(ledger: Ledger) -> None:
    here = world(ledger)
    here.judge(5, SKEW)
    here.look()
    here.judge(5)
    here.look()
    assert "was restated" in reasons(here)[-1]
    here.judge(5, SKEW)
    here.look()
    assert here.only().state is AlertState.RESOLVED
    assert here.told() == ENDED
    here.judge(4, SKEW)
    here.look()
    assert here.told() == {"pager": ["firing", "resolved", "firing"], "quiet": ["firing"] * 2}, "a newer window may"


def test_an_alert_shows_the_findings_of_the_newest_window_that_matches(ledger: Ledger) -> None:
    here = world(ledger, DRIFT | {"for": 1, "of": 3})
    here.judge(5, SKEW)
    here.judge(4, finding("carrier"))
    here.look()
    assert [each["feature"] for each in here.only().findings] == ["carrier"]
    here.judge(4)
    here.look()
    assert (here.only().state, here.only().findings[0]["feature"]) == (AlertState.FIRING, "distance")
    assert here.only().annotations == {"summary": "model: distance"}


def test_quality_is_decided_when_all_labels_are_in(ledger: Ledger) -> None:
    here = world(ledger, LOST)
    here.judge(5)
    here.evaluate(5, finding(None, "quality"), stage=Stage.PROVISIONAL)
    assert not here.look()
    here.evaluate(5, finding(None, "quality"))
    (fired,) = here.look()
    assert (fired.name, fired.findings[0]["kind"]) == ("Lost", "quality")
    here.evaluate(5, stage=Stage.RESTATED)
    (ended,) = here.look()
    assert ended.state is AlertState.RESOLVED


def test_quality_waits_for_every_version(ledger: Ledger) -> None:
    here = world(ledger, {"alert": "Healthy", "expr": {"not": {"quality": ""}}})
    here.serve(5, "1", "2")
    here.evaluate(5)
    assert not here.look()
    here.evaluate(5, version="2")
    assert [each.state for each in here.look()] == [AlertState.FIRING]


def test_what_a_data_break_explains_is_listed_and_fires_nothing(ledger: Ledger) -> None:
    here = world(ledger)
    here.judge(5, SKEW, finding("distance", "data_break", measure="new_unit", p_value=None))
    assert not here.look()
    assert [each["muted_by"] for each in here.only().muted] == ["data break: new_unit"]
    assert not ledger.alerts.list(), "it is inactive"
    assert [each.state for each in ledger.alerts.list(state=AlertState.INACTIVE)] == [AlertState.INACTIVE]


def test_what_was_silenced_is_recorded_and_told_once_the_silence_ends(ledger: Ledger) -> None:
    here = world(ledger)
    silence = ledger.silences.add('alertname="Drift"', here.now, here.now + 100 * HOUR, "ada", "a sale", here.now)
    here.judge(5, SKEW)
    (fired,) = here.look()
    assert fired.state is AlertState.FIRING
    assert here.told() == {}
    assert f"nobody is told, by silence {silence} of ada: a sale" in reasons(here)[0]
    assert not here.look()
    ledger.silences.expire(silence, "ada", here.now)
    assert here.look()
    assert here.told() == BOTH
    assert reasons(here)[-1] == "pager, quiet: told that it is firing"
    assert not here.look()


def test_the_end_under_a_silence_is_told_after_it_and_nothing_where_nobody_knew(ledger: Ledger) -> None:
    here = world(ledger)
    here.judge(5, SKEW)
    here.look()
    silence = ledger.silences.add('alertname="Drift"', here.now, here.now + 100 * HOUR, "ada", "", here.now)
    here.judge(4)
    here.look()
    here.judge(3, SKEW)
    here.look()
    here.judge(2)
    here.look()
    ledger.silences.expire(silence, "ada", here.now)
    here.restart()
    here.look()
    assert here.told() == ENDED, "the second episode was never told, but it ended the first"
    assert [document["episode"] for document in documents(ledger, "pager")] == [1, 1]
    here.judge(1, SKEW)
    here.look()
    silence = ledger.silences.add('alertname="Drift"', here.now, here.now + 100 * HOUR, "ada", "", here.now)
    here.judge(0)
    here.look()
    ledger.silences.expire(silence, "ada", here.now)
    here.look()
    assert here.told() == {"pager": ["firing", "resolved"] * 2, "quiet": ["firing"] * 2}


def test_a_receiver_that_no_route_names_is_told_of_the_end_of_what_it_was_paged_of(ledger: Ledger) -> None:
    here = world(ledger, routes=[{"receivers": ["quiet"]}])
    here.judge(5, SKEW)
    (fired,) = here.look()
    with ledger.database.write() as connection:
        ledger.alerts.paged(connection, fired, "pager", here.now)
    ledger.alerts.acknowledge(fired.fingerprint, "ada", here.now)
    here.look()
    here.judge(4)
    here.look()
    assert here.told() == {"pager": ["resolved"], "quiet": ["firing"]}
    with ledger.database.write() as connection, pytest.raises(StaleClaim, match="has ended meanwhile"):
        ledger.alerts.paged(connection, fired, "pager", here.now)


def test_a_firing_alert_is_told_again_until_somebody_takes_note(ledger: Ledger) -> None:
    routes = [{"receivers": ["pager"], "repeat_interval": "2h"}]
    here = world(ledger, routes=routes)
    here.judge(5, SKEW)
    here.look()
    here.look(minutes=119)
    assert here.told() == {"pager": ["firing"]}
    here.look(minutes=1)
    here.look(minutes=120)
    assert here.told() == {"pager": ["firing", "repeated", "repeated"]}
    ledger.alerts.acknowledge(here.only().fingerprint, "ada", here.now)
    here.look(minutes=500)
    assert len(here.told()["pager"]) == 3
    here.judge(4)
    here.look()
    assert here.told()["pager"][-1] == "resolved", "what it opened elsewhere is closed"


def test_an_alertmanager_hears_of_what_fires_before_it_takes_it_for_over(ledger: Ledger) -> None:
    central = {"type": "alertmanager", "url": "http://central.test", "holds_for": "2h"}
    here = world(ledger, receivers={"central": central})
    here.judge(5, SKEW)
    here.look()
    ledger.alerts.acknowledge(here.only().fingerprint, "ada", here.now)
    here.look(minutes=60)
    assert here.told() == {"central": ["firing", "repeated"]}


def test_a_rule_that_is_gone_leaves_no_alert_firing(ledger: Ledger) -> None:
    here = world(ledger)
    here.judge(5, SKEW)
    here.look()
    here.restart(settings_of([LOST]))
    (ended,) = here.look()
    assert ended.state is AlertState.RESOLVED
    assert reasons(here)[-1] == "there is no such rule in the settings any more"
    assert here.told() == ENDED
    assert not here.look()


def test_a_model_that_is_gone_leaves_no_alert_firing_and_its_end_is_told(ledger: Ledger) -> None:
    here = world(ledger)
    here.judge(5, SKEW)
    here.look()
    posted = Alert(
        {"alertname": "Up", "model": "model"}, {}, AlertState.FIRING, Origin.ALERTMANAGER, NOON, fired_at=NOON
    )
    ledger.alerts.take(posted, here.now)
    other = {"other": {"traffic": {"files": "requests"}}}
    here.restart(settings_of([DRIFT], models=other))
    here.alerter.retire_models(lambda _: None, here.now)
    assert len(ledger.alerts.firing()) == 2, "another monitor looks after it"
    silence = ledger.silences.add('alertname="Drift"', here.now, here.now + HOUR, "ada", "", here.now)
    asked: list[str] = []

    def lease_of(model: str) -> Lease:
        asked.append(model)
        return here.lease

    here.alerter.retire_models(lease_of, here.now)
    assert [alert.name for alert in ledger.alerts.firing()] == ["Up"], "what was found elsewhere stays"
    (drift,) = ledger.alerts.list(state=AlertState.RESOLVED)
    reason = ledger.alerts.events(drift.fingerprint)[-1].reason
    assert reason.startswith("the model is not in the settings any more; nobody is told, by silence")
    ledger.silences.expire(silence, "ada", here.now)
    for _ in range(2):
        here.alerter.retire_models(lease_of, here.now)
    assert here.told() == ENDED
    assert asked == ["model", "model"], "when all is told nobody looks any more"


def test_a_rule_that_asks_for_something_else_forgets_what_it_remembered(ledger: Ledger) -> None:
    here = world(ledger, DRIFT | {"for": 2})
    here.judge(5, SKEW)
    here.look()
    here.restart(settings_of([DRIFT | {"for": 2, "expr": {"findings": ""}}]))
    here.judge(4, SKEW)
    here.look()
    assert here.only().state is AlertState.PENDING
    here.judge(3, SKEW)
    here.look()
    assert here.only().state is AlertState.FIRING


def test_a_model_without_data_fires_until_there_is_some(ledger: Ledger) -> None:
    here = world(ledger, {"alert": "Silent", "no_data_for": "8h", "annotations": {"summary": "{{ model }} is silent"}})
    here.now = NOON + HOUR
    here.serve(1)
    assert not here.look(minutes=60 * 6)
    (fired,) = here.look(minutes=60)
    assert (fired.state, fired.annotations) == (AlertState.FIRING, {"summary": "model is silent"})
    assert reasons(here) == ["no rows since 2026-03-01T12:00:00Z, for longer than 8:00:00"]
    here.serve(-7)
    (ended,) = here.look()
    assert ended.state is AlertState.RESOLVED
    assert here.told() == ENDED


def test_a_model_that_never_had_data_is_silent_since_somebody_looks(ledger: Ledger) -> None:
    here = world(ledger, {"alert": "Silent", "no_data_for": "8h"})
    assert not here.look()
    here.restart()
    assert not here.look(minutes=60 * 7)
    assert [each.state for each in here.look(minutes=61)] == [AlertState.FIRING]


def test_a_replay_is_silent_by_the_time_of_its_stream(ledger: Ledger) -> None:
    here = world(ledger, {"alert": "Silent", "no_data_for": "8h"})
    model = here.settings.models["model"]
    replay = model.model_copy(update={"windows": model.windows.model_copy(update={"time": "replay"})})
    here.restart(here.settings.model_copy(update={"models": {"model": replay}}))
    here.now += 1000 * HOUR
    assert not here.look(), "it has not begun"
    here.serve(1)  # its stream goes on until the noon of the next day
    assert [each.state for each in here.look()] == [AlertState.FIRING]


def test_a_crash_between_judging_and_alerting_loses_nothing(ledger: Ledger) -> None:
    here = world(ledger)
    here.judge(5, SKEW)
    here.restart()
    assert [each.state for each in here.look()] == [AlertState.FIRING]


def test_what_cannot_be_recorded_whole_is_not_recorded_at_all(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    here = world(ledger)
    here.judge(5, SKEW)

    def fail(*_: object) -> None:
        raise StaleClaim("killed")

    monkeypatch.setattr("monitor.store.outbox.put", fail)
    with pytest.raises(StaleClaim, match="killed"):
        here.look()
    monkeypatch.undo()
    assert not ledger.alerts.list()
    assert here.look()
    assert here.told() == BOTH
    assert ledger.audit_break() is None


def test_of_two_monitors_one_tells(ledger: Ledger) -> None:
    here = world(ledger)
    here.judge(5, SKEW)
    other = replace(here)
    ledger.leases.release(here.lease)
    other.lease = held(ledger, "other", NOON + 200 * HOUR)
    with pytest.raises(StaleClaim):
        here.look()
    other.now = here.now
    assert other.look()
    assert here.told() == BOTH


def test_who_read_an_alert_before_a_person_changed_it_looks_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = world(ledger)
    here.judge(5, SKEW)
    here.look()
    here.judge(4)
    fingerprint, facts = here.only().fingerprint, SqlAlerts.facts

    def acknowledged_meanwhile(*arguments: Any) -> Any:
        ledger.alerts.acknowledge(fingerprint, "ada", here.now)
        return facts(*arguments)

    monkeypatch.setattr(SqlAlerts, "facts", acknowledged_meanwhile)
    with pytest.raises(StaleClaim, match="was changed by somebody else"):
        here.look()
    monkeypatch.undo()
    assert here.look()
    assert (here.only().state, here.only().acknowledged_by) == (AlertState.RESOLVED, "ada")


def test_without_receivers_or_rules_nobody_is_told_and_nothing_stays_due(ledger: Ledger) -> None:
    here = World(ledger, settings_of([]))
    here.judge(5, SKEW)
    assert not here.look()
    assert not ledger.alerts.look("model", 10, data=False).due
    here.restart(settings_of([DRIFT], receivers={}))
    here.judge(4, SKEW)
    assert [each.state for each in here.look()] == [AlertState.FIRING]
    assert here.told() == {}
    here.restart(settings_of([DRIFT], receivers={"pager": RECEIVERS["pager"]}))
    assert here.look()
    assert here.told() == {"pager": ["firing"]}, "a receiver that is new hears of what still fires"


def test_windows_judged_before_there_were_alerts_are_not_told_of(ledger: Ledger) -> None:
    here = world(ledger)
    here.judge(5, SKEW)
    with ledger.database.write() as connection:
        connection.execute(delete(t.alert_due))  # as the migration leaves it
    assert not here.look()
    assert not here.look(minutes=int(timedelta(days=2) / timedelta(minutes=1)))


@pytest.mark.parametrize("state", [AlertState.FIRING, AlertState.RESOLVED])
def test_an_alert_that_an_alertmanager_told_of_first_is_made_by_its_rule_from_then_on(
    ledger: Ledger, state: AlertState
) -> None:
    here = world(ledger)
    labels = {"alertname": "Drift", "model": "model", "severity": "warning"}
    ended = NOON + HOUR if state is AlertState.RESOLVED else None
    posted = Alert(labels, {}, state, Origin.ALERTMANAGER, NOON, fired_at=NOON, resolved_at=ended)
    ledger.alerts.take(posted, here.now)
    here.look()
    assert (here.only().state, here.only().origin) == (AlertState.RESOLVED, Origin.DRIFTLINE)
    assert here.told() == {}
    here.judge(5, SKEW)
    (fired,) = here.look()
    assert (fired.state, fired.episode, fired.origin) == (AlertState.FIRING, 2, Origin.DRIFTLINE)
    assert here.told() == BOTH
    assert ledger.alerts.take(replace(posted, fired_at=here.now + HOUR), here.now) == fired
    assert not here.look()


def test_the_monitor_ends_the_alerts_of_a_model_that_is_gone_when_it_cleans_up(ledger: Ledger) -> None:
    here = world(ledger)
    here.judge(5, SKEW)
    here.look()
    settings = settings_of([DRIFT], models={"other": {"traffic": {"files": "requests"}}})
    clock = ManualClock(here.now)
    storage, metrics = MemoryStorage(), MonitorMetrics.on(CollectorRegistry())
    with ThreadPoolExecutor(1) as executor:
        loop = build_loop(settings, ledger, storage, clock, executor, {})
        monitor = Monitor(settings, ledger, storage, clock, "another", metrics, loop)
        monitor.clean()
        assert ledger.alerts.firing(), "the monitor of before may look after it still"
        ledger.leases.release(here.lease)
        monitor.clean()
    assert not ledger.alerts.firing()
    assert here.told() == ENDED
