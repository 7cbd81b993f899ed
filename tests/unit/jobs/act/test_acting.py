"""Policies at work on a ledger: from a firing alert to what is done about it, once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from monitor.act.decision import RecordedDecision
from monitor.act.retrain import Confirmation, RetrainState
from monitor.act.steps import CanaryVerdict, Found, Headroom, Progress
from monitor.alert.alert import Alert, AlertState
from monitor.errors import InputError, StaleClaim, TransientError
from monitor.jobs.act import actions
from monitor.jobs.act.acting import Actor
from monitor.jobs.retrain import events as retrain_events
from monitor.jobs.retrain.events import RequestFor
from monitor.store import loop_tables as t
from monitor.store.ledger import Ledger
from tests.ledgers import HOUR, NOON
from tests.unit.act.steps import MemoryGpus
from tests.unit.jobs.retrain_world import FINGERPRINT, MODEL, World, alert, opened, request, settings_of

MINUTE = timedelta(minutes=1)
MATCH = 'alertname="QualityLost"'
AGAIN = {"name": "again", "match": MATCH, "action": "retrain", "cooldown": "1h", "max_per_day": 5}
PAGE = {"name": "page", "match": 'severity="critical"', "action": "page", "receiver": "pager"}
S = RetrainState


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with opened(tmp_path) as ledger:
        yield ledger


@dataclass
class Acting:
    """A monitor with policies; the alert fires from the beginning."""

    ledger: Ledger
    policies: list[dict[str, Any]]
    retrain: dict[str, Any] = field(default_factory=dict)
    public_url: str | None = None
    request_for: RequestFor = request

    def __post_init__(self) -> None:
        settings = settings_of(policies=self.policies, **{"cooldown": "1h", **self.retrain})
        if self.public_url is not None:
            settings = settings.model_copy(
                update={"api": settings.api.model_copy(update={"public_url": self.public_url})}
            )
        self.world = World(self.ledger, settings)
        self.restart()
        self.ledger.alerts.take(alert(), NOON)

    def restart(self) -> None:
        gpus = {"serving": MemoryGpus(self.world.outside)}
        self.actor = Actor(self.ledger, self.world.settings, self.request_for, gpus)

    def look(self, after: timedelta = MINUTE) -> int:
        """Decide, after a while, and return how many actions there were."""
        self.world.now += after
        return self.actor.tick(MODEL, self.world.held(), self.world.now)

    def decisions(self) -> list[tuple[str, str, str]]:
        """Return policy, outcome and rule of all decisions, in the order in which they were first made."""
        found = [each.decided for each in self.ledger.decisions.list()][::-1]
        return [(each.policy, str(each.decision.outcome), str(each.decision.rule)) for each in found]

    def newest(self) -> RecordedDecision:
        return self.ledger.decisions.list()[0]

    def messages(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Return receiver, kind and document of all messages, in their order."""
        with self.ledger.database.read() as connection:
            rows = connection.execute(select(t.outbox).order_by(t.outbox.c.sequence)).all()
        return [(row.receiver, row.kind, json.loads(row.document)) for row in rows]


def test_a_firing_alert_begins_a_retrain_once(ledger: Ledger) -> None:
    acting = Acting(ledger, [AGAIN])
    assert [acting.look() for _ in range(5)] == [1, 0, 0, 0, 0]
    (retrain,) = ledger.retrains.list(MODEL)
    assert (retrain.state, retrain.policy, retrain.fingerprint, retrain.episode) == (
        S.APPROVED,
        "again",
        FINGERPRINT,
        1,
    )
    assert retrain.created_by == "policy again"
    assert retrain.request == {
        "model": MODEL,
        "why": "policy again: QualityLost fires: quality fell",
        "alert": FINGERPRINT,
    }
    assert acting.decisions() == [("again", "acted", "all_met"), ("again", "held", "cooldown")]
    assert ledger.decisions.list(retrain_id=retrain.retrain_id)[0].decided.decision.reason.endswith(retrain.retrain_id)
    assert [(to, kind) for to, kind, _ in acting.messages()] == [("pager", "news"), ("team", "news")]


def test_a_look_at_an_alert_that_is_not_matched_is_recorded_too(ledger: Ledger) -> None:
    acting = Acting(ledger, [{**AGAIN, "match": 'alertname="Other"'}])
    assert acting.look() == 0
    assert acting.decisions() == [("again", "unmatched", "match")]
    assert ledger.retrains.list() == []


def test_an_alert_that_has_resolved_or_is_of_another_model_is_not_decided_about(ledger: Ledger) -> None:
    acting = Acting(ledger, [AGAIN])
    ledger.alerts.take(alert(AlertState.RESOLVED), NOON)
    ledger.alerts.take(alert(model="another"), NOON)
    assert acting.look() == 0
    assert acting.decisions() == []


def test_negative_decisions_are_counted_once_a_minute_and_looked_at_every_few_seconds(ledger: Ledger) -> None:
    acting = Acting(ledger, [{**AGAIN, "debounce": "10h"}])
    for _ in range(181):
        acting.look(timedelta(seconds=1))
    (found,) = ledger.decisions.list()
    assert (found.decided.decision.rule.value, found.times) == ("debounce", 4)
    acting.restart()
    acting.look(timedelta(seconds=1))
    assert acting.newest().times == 5, "whoever starts anew counts on"


def test_waiting_writes_nothing_between_two_counts(ledger: Ledger) -> None:
    acting = Acting(ledger, [{**AGAIN, "debounce": "10h"}])
    acting.look()
    written: list[str] = []

    @event.listens_for(ledger.database.engine, "before_cursor_execute")
    def _before(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE", "BEGIN IMMEDIATE")):
            written.append(statement)

    for _ in range(9):
        acting.look(timedelta(seconds=6))
    assert written == []


def test_a_policy_acts_as_soon_as_what_held_it_back_is_over(ledger: Ledger) -> None:
    acting = Acting(ledger, [{**AGAIN, "debounce": "10m", "quiet_hours": ["12:00-12:30"]}])
    looks = [acting.look() for _ in range(32)]
    assert looks.index(1) == 29, "at 12:30"
    assert [rule for _, _, rule in acting.decisions()][:3] == ["debounce", "quiet_hours", "all_met"]


def test_a_required_approval_asks_a_person_and_begins_nothing(ledger: Ledger) -> None:
    acting = Acting(ledger, [{**AGAIN, "approval": "required"}], public_url="https://drift.example/")
    assert acting.look() == 1
    (retrain,) = ledger.retrains.list()
    assert (retrain.state, retrain.deadline_at) == (S.PROPOSED, acting.world.now + timedelta(hours=24))
    messages = acting.messages()
    assert [(to, kind) for to, kind, _ in messages] == [("pager", "approval"), ("team", "approval")]
    links = [document["links"]["Approve or reject"] for _, _, document in messages]
    assert len(set(links)) == 2, "each receiver has a link of its own"
    assert all(link.startswith("https://drift.example/approve/") for link in links)
    token = links[0].rsplit("/", 1)[1]
    link = ledger.approvals.peek(token)
    assert link is not None
    assert (link.retrain_id, link.expires_at) == (retrain.retrain_id, retrain.deadline_at)
    assert acting.decisions()[0] == ("again", "asked", "approval")


def test_without_a_public_address_the_command_is_told(ledger: Ledger) -> None:
    acting = Acting(ledger, [AGAIN], {"approval": "required"})
    acting.look()
    _, kind, document = acting.messages()[0]
    (retrain,) = ledger.retrains.list()
    assert (kind, document["links"]) == ("approval", {})
    assert f"driftline retrain approve {retrain.retrain_id}" in document["text"]


def test_a_person_is_paged_by_the_pager_alone(ledger: Ledger) -> None:
    acting = Acting(ledger, [PAGE])
    assert [acting.look(HOUR) for _ in range(3)] == [1, 0, 0]
    (message,) = acting.messages()
    assert message[:2] == ("pager", "page")
    assert (message[2]["labels"]["alertname"], message[2]["text"]) == ("QualityLost", "paged by policy page")


def test_a_page_is_sent_again_after_the_cooldown_unless_somebody_took_note(ledger: Ledger) -> None:
    acting = Acting(ledger, [{**PAGE, "cooldown": "2h", "max_per_day": 9}])
    assert [acting.look(HOUR) for _ in range(4)] == [1, 0, 1, 0]
    assert len(acting.messages()) == 2
    ledger.alerts.acknowledge(FINGERPRINT, "ada", acting.world.now)
    assert [acting.look(HOUR) for _ in range(4)] == [0, 0, 0, 0]
    assert acting.decisions()[-1] == ("page", "held", "acknowledged")


@pytest.mark.parametrize("wants_ends", [True, False])
def test_who_was_paged_is_told_of_the_end(ledger: Ledger, wants_ends: bool) -> None:
    acting = Acting(ledger, [PAGE])
    receivers = acting.world.settings.receivers
    receivers["pager"] = receivers["pager"].model_copy(update={"send_resolved": wants_ends})
    acting.look()
    for _ in range(2):
        ledger.alerts.take(replace(alert(), state=AlertState.RESOLVED, resolved_at=acting.world.now), acting.world.now)
    page, *ends = acting.messages()
    assert (page[1], [each[:2] for each in ends]) == ("page", [("pager", "resolved")] * wants_ends)
    assert all((end[2]["status"], end[2]["episode"]) == ("resolved", page[2]["episode"]) for end in ends)


def test_the_end_of_a_paged_episode_is_told_though_the_next_one_was_heard_of_first(ledger: Ledger) -> None:
    acting = Acting(ledger, [PAGE])
    acting.look()
    ledger.alerts.take(replace(alert(), fired_at=acting.world.now), acting.world.now)
    told = [(kind, document["episode"]) for _, kind, document in acting.messages()]
    assert told == [("page", 1), ("resolved", 1)]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Found(Headroom.SUSPECT, "queue 40, utilisation 3 %"), "the GPUs that serve model are suspect: queue 40"),
        (TransientError("connection refused"), "the GPUs that serve model are unknown: connection refused"),
    ],
)
def test_a_look_at_the_serving_gpus_is_recorded_and_told(ledger: Ledger, answer: object, told: str) -> None:
    acting = Acting(ledger, [{**PAGE, "action": "gpu_check"}])
    acting.world.outside.answers = {"serving": [answer]}
    assert acting.look() == 1
    assert told in acting.newest().decided.decision.reason
    ((to, kind, document),) = acting.messages()
    assert (to, kind) == ("pager", "news")
    assert told in document["text"]


def test_a_policy_rolls_a_canary_back(ledger: Ledger) -> None:
    acting = Acting(ledger, [{**PAGE, "action": "rollback"}])
    acting.world.outside.answers = {"watch": [CanaryVerdict.WAITING]}
    acting.world.propose()
    acting.world.until(S.CANARY)
    assert acting.look() == 1
    ended = acting.world.until_ended()
    assert (ended.state, "policy page: QualityLost fires" in ended.reason) == (S.ROLLED_BACK, True)
    assert acting.newest().decided.retrain_id == ended.retrain_id


def test_a_policy_promotes_a_canary_that_is_not_bad(ledger: Ledger) -> None:
    promote = {**PAGE, "action": "promote", "match": 'alertname="CanaryFine"'}
    acting = Acting(ledger, [promote])
    ledger.alerts.take(alert(alertname="CanaryFine"), NOON)
    acting.world.outside.answers = {"watch": [CanaryVerdict.WAITING]}
    acting.world.propose()
    acting.world.until(S.CANARY)
    for _ in range(5):
        acting.world.look(MINUTE)
    assert acting.world.newest().state is S.CANARY
    assert acting.look() == 1
    assert acting.world.until_ended().state is S.PROMOTED


def test_a_request_that_cannot_be_made_is_a_decision_too(ledger: Ledger) -> None:
    def refuses(model: str, alert: Alert | None, reason: str, now: datetime) -> dict[str, Any]:
        raise InputError("no spans of model in 30 days")

    acting = Acting(ledger, [AGAIN], request_for=refuses)
    assert acting.look() == 0
    assert acting.decisions() == [("again", "held", "request")]
    assert acting.newest().decided.decision.reason == "no spans of model in 30 days"
    assert acting.messages() == []


def test_two_policies_of_one_look_see_what_the_other_did(ledger: Ledger) -> None:
    acting = Acting(ledger, [AGAIN, {**AGAIN, "name": "too"}], {"cooldown": "0s"})
    assert acting.look() == 1
    assert sorted(acting.decisions()) == [("again", "acted", "all_met"), ("too", "held", "live_retrain")]


def test_a_silenced_alert_starts_nothing_until_the_silence_ends(ledger: Ledger) -> None:
    acting = Acting(ledger, [AGAIN])
    ledger.silences.add(MATCH, NOON, NOON + HOUR, "ada", "deploying", NOON)
    assert acting.look() == 0
    assert acting.newest().decided.decision.reason == "the alert is silenced: by ada: deploying"
    assert acting.look(HOUR) == 1


def test_retraining_in_circles_stops_until_a_person_acts(ledger: Ledger) -> None:
    acting = Acting(ledger, [{**AGAIN, "max_unconfirmed": 2}], {"cooldown": "1h", "confirm_within": "1h"})
    for _ in range(2):
        assert acting.look(2 * HOUR) == 1
        assert acting.world.until_ended().state is S.PROMOTED
        acting.world.look(2 * HOUR)
        assert acting.world.newest().confirmation is Confirmation.NOT_CLEARED
    assert [acting.look(2 * HOUR) for _ in range(3)] == [0, 0, 0]
    assert acting.decisions()[-1] == ("again", "held", "max_unconfirmed")
    retrain_events.confirm(ledger, acting.world.newest().retrain_id, "ada", acting.world.now)
    assert acting.look(2 * HOUR) == 1


def test_a_retrain_whose_effect_is_awaited_holds_the_next_back(ledger: Ledger) -> None:
    acting = Acting(ledger, [AGAIN], {"cooldown": "0s"})
    acting.look()
    acting.world.until(S.PROMOTED)
    assert acting.look(2 * HOUR) == 0
    assert acting.decisions()[-1] == ("again", "held", "confirming")


def test_two_monitors_at_once_begin_one_retrain(ledger: Ledger) -> None:
    acting = Acting(ledger, [AGAIN])
    old = acting.world.lease(MINUTE)
    acting.world.now += HOUR
    other = ledger.leases.acquire(f"model:{MODEL}", "another", acting.world.now, HOUR)
    assert other is not None
    with pytest.raises(StaleClaim):
        acting.actor.tick(MODEL, old, acting.world.now)
    assert ledger.retrains.list() == []
    acting.restart()
    assert acting.actor.tick(MODEL, other, acting.world.now) == 1
    acting.restart()
    assert acting.actor.tick(MODEL, other, acting.world.now) == 0
    assert len(ledger.retrains.list()) == 1


def test_a_clock_that_jumps_back_does_not_let_a_policy_act_twice(ledger: Ledger) -> None:
    acting = Acting(ledger, [PAGE])
    assert acting.look() == 1
    acting.world.now -= timedelta(days=3)
    assert acting.look() == 0
    assert len(acting.messages()) == 1


def test_a_person_asks_for_a_retrain_whatever_policies_say(ledger: Ledger) -> None:
    acting = Acting(ledger, [{**AGAIN, "debounce": "10h"}])
    acting.world.outside.answers = {"poll": [Progress.RUNNING]}
    settings, now = acting.world.settings, acting.world.now
    by_hand = retrain_events.trigger(
        ledger, settings, MODEL, "ada", "new carrier", now, "key", "digest", request_for=request
    )
    assert (by_hand.state, by_hand.policy, by_hand.request["why"]) == (S.APPROVED, "", "new carrier")
    again = retrain_events.trigger(
        ledger, settings, MODEL, "ada", "new carrier", now, "key", "digest", request_for=request
    )
    assert again == by_hand
    for model, says in (("another", "no model 'another'"), (MODEL, "already")):
        with pytest.raises(InputError, match=says):
            retrain_events.trigger(ledger, settings, model, "ada", "x", now, request_for=request)


def test_gpus_that_do_not_answer_hold_nothing_up(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    acting, may_end = Acting(ledger, [{**PAGE, "action": "gpu_check"}]), threading.Event()
    monkeypatch.setattr(actions, "_GPU_SECONDS", 0.01)

    class Silent(MemoryGpus):
        def serving(self) -> Found:
            assert may_end.wait(30)
            return super().serving()

    with ThreadPoolExecutor(1) as executor:
        acting.actor = replace(acting.actor, gpus={"serving": Silent(acting.world.outside)}, executor=executor)
        assert acting.look() == 1
        may_end.set()
    assert "are unknown: they did not answer within 0.01 seconds" in acting.newest().decided.decision.reason
