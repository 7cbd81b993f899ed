"""Retrains in the ledger: compare-and-set, one live one a model, keys that ask once, and all of it audited."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from monitor.act.lifecycle import Event, IllegalTransition
from monitor.act.retrain import Confirmation, Retrain, RetrainState
from monitor.alert.notification import Notification, Told, message_id
from monitor.errors import DriftlineError, StaleClaim
from monitor.jobs.retrain import events as retrain_events
from monitor.store import audit
from monitor.store import loop_tables as t
from monitor.store.ledger import Ledger
from monitor.store.retrain_ledger import KeyReused, LiveRetrain
from tests.ledgers import HOUR, NOON, held

CANDIDATE = {"uri": "candidates/7", "version": "7"}


def proposed(ledger: Ledger, model: str = "model", **more: Any) -> Retrain:
    return ledger.retrains.propose(model, created_by="ada", now=NOON, request={"why": "ünïcode"}, **more)


def changed(ledger: Ledger, retrain: Retrain, *events: Event, **fields: Any) -> Retrain:
    for event in events:
        retrain = ledger.retrains.change(retrain, event, "driftline", str(event), NOON + HOUR, **fields)
    return retrain


def running(ledger: Ledger, **more: Any) -> Retrain:
    return changed(ledger, proposed(ledger, **more), Event.APPROVE, Event.SUBMIT, Event.START)


def message(retrain: Retrain) -> Notification:
    return Notification(message_id(retrain.retrain_id), "team", retrain.retrain_id, Told.NEWS, {"title": "x"})


def test_a_retrain_comes_back_as_it_was_written(ledger: Ledger) -> None:
    wish = proposed(
        ledger,
        policy="again",
        fingerprint="f" * 16,
        episode=3,
        due_at=NOON + HOUR,
        deadline_at=NOON + timedelta(microseconds=1),
        reason="quality fell",
    )
    assert ledger.retrains.get(wish.retrain_id) == wish
    assert ledger.retrains.live("model") == wish
    assert ledger.retrains.live_all() == ledger.retrains.list("model") == [wish]
    after = changed(
        ledger,
        wish,
        Event.APPROVE,
        found={"approval": {"by": "ada"}},
        candidate=CANDIDATE,
        confirmation=Confirmation.WAITING,
        confirm_until=NOON,
    )
    assert ledger.retrains.get(wish.retrain_id) == after
    assert after.details["approval"] == {"by": "ada"}
    assert (after.revision, after.state, after.attempts, after.deadline_at) == (2, RetrainState.APPROVED, 0, None)


def test_a_model_has_one_live_retrain_and_another_once_that_has_ended(ledger: Ledger) -> None:
    first = proposed(ledger)
    with pytest.raises(LiveRetrain, match=first.retrain_id):
        proposed(ledger)
    other = proposed(ledger, "another")
    assert ledger.retrains.live_all() == [other, first]
    changed(ledger, first, Event.CANCEL)
    assert ledger.retrains.live("model") is None
    second = proposed(ledger)
    assert {each.retrain_id for each in ledger.retrains.list("model")} == {first.retrain_id, second.retrain_id}
    assert ledger.retrains.list("model", RetrainState.PROPOSED) == [second]
    assert ledger.retrains.counts() == {
        ("another", "proposed"): 1,
        ("model", "cancelled"): 1,
        ("model", "proposed"): 1,
    }


def test_the_same_key_asks_once_even_after_the_end(ledger: Ledger) -> None:
    first = proposed(ledger, idempotency_key="k", digest="d")
    assert proposed(ledger, idempotency_key="k", digest="d") == first
    ended = changed(ledger, first, Event.CANCEL)
    assert proposed(ledger, idempotency_key="k", digest="d") == ended
    with pytest.raises(KeyReused):
        proposed(ledger, idempotency_key="k", digest="e")
    assert proposed(ledger, idempotency_key="l", digest="d").retrain_id != first.retrain_id


def at_once(count: int, do: Callable[[], Any]) -> list[Any]:
    """Do it so many times at once; returns what came of each, errors of ours too."""
    begin = threading.Barrier(count)

    def one(_: int) -> Any:
        begin.wait(30)
        try:
            return do()
        except DriftlineError as error:
            return error

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


def test_of_many_wishes_at_once_one_is_granted(ledger: Ledger) -> None:
    came = at_once(8, lambda: proposed(ledger))
    granted = [each for each in came if isinstance(each, Retrain)]
    assert len(granted) == 1
    assert all(isinstance(each, LiveRetrain) for each in came if each not in granted)
    assert [event.document["event"] for event in ledger.retrains.events(granted[0].retrain_id)] == ["propose"]


def test_the_same_key_at_once_asks_once_and_everybody_is_told_the_same(ledger: Ledger) -> None:
    came = at_once(8, lambda: proposed(ledger, idempotency_key="k", digest="d"))
    assert len({each.retrain_id for each in came}) == 1


def test_of_two_who_read_the_same_one_writes(ledger: Ledger) -> None:
    retrain = proposed(ledger)
    came = at_once(6, lambda: changed(ledger, retrain, Event.APPROVE))
    assert sum(isinstance(each, Retrain) for each in came) == 1
    assert all(isinstance(each, Retrain | StaleClaim) for each in came)
    assert len(ledger.retrains.events(retrain.retrain_id)) == 2
    assert ledger.audit_break() is None


def test_a_change_is_made_whole_or_not_at_all(ledger: Ledger) -> None:
    retrain = proposed(ledger)
    with pytest.raises(ValueError, match="JSON"):
        changed(ledger, retrain, Event.APPROVE, found={"share": float("nan")}, notify=[message(retrain)])
    stale = changed(ledger, retrain, Event.APPROVE)
    with pytest.raises(StaleClaim, match="meanwhile"):
        ledger.retrains.change(retrain, Event.CANCEL, "bob", "", NOON, notify=[message(retrain)])
    assert ledger.retrains.get(retrain.retrain_id) == stale
    assert len(ledger.retrains.events(retrain.retrain_id)) == 2
    with ledger.database.read() as connection:
        assert connection.execute(select(t.outbox.c.message_id)).all() == []


def test_what_cannot_happen_or_cannot_be_set_is_refused(ledger: Ledger) -> None:
    retrain = proposed(ledger)
    with pytest.raises(IllegalTransition, match="proposed cannot promote"):
        changed(ledger, retrain, Event.PROMOTE)
    with pytest.raises(TypeError, match="model"):
        changed(ledger, retrain, Event.APPROVE, model="another")
    assert ledger.retrains.get(retrain.retrain_id) == retrain


def test_changes_under_a_lease_need_that_lease(ledger: Ledger) -> None:
    lease, retrain = held(ledger), proposed(ledger)
    retrain = changed(ledger, retrain, Event.APPROVE, lease=lease)
    assert ledger.leases.acquire("model:model", "another", NOON + 200 * HOUR, HOUR) is not None
    with pytest.raises(StaleClaim, match="another monitor"):
        changed(ledger, retrain, Event.SUBMIT, lease=lease)
    with pytest.raises(StaleClaim, match="another monitor"):
        ledger.retrains.note(retrain, NOON, attempts=1, lease=lease)
    assert ledger.retrains.get(retrain.retrain_id) == retrain


def test_every_event_is_in_the_audit_log_and_a_note_is_not(ledger: Ledger) -> None:
    retrain = changed(ledger, proposed(ledger), Event.APPROVE)
    noted = ledger.retrains.note(retrain, NOON, reason="later", attempts=3)
    assert (noted.revision, noted.attempts, noted.reason) == (3, 3, "later")
    assert ledger.retrains.get(retrain.retrain_id) == noted
    with ledger.database.read() as connection:
        entries = [entry for entry in audit.entries(connection, ledger.team) if entry.action == "retrain_changed"]
    assert [json.loads(entry.body)["event"] for entry in entries] == ["propose", "approve"]
    assert [(event.from_state, str(event.to_state)) for event in ledger.retrains.events(retrain.retrain_id)] == [
        ("", "proposed"),
        ("proposed", "approved"),
    ]


def test_messages_are_put_with_the_change_and_once(ledger: Ledger) -> None:
    retrain = proposed(ledger)
    changed(ledger, retrain, Event.APPROVE, notify=[message(retrain), message(retrain)])
    with ledger.database.read() as connection:
        assert len(connection.execute(select(t.outbox.c.message_id)).all()) == 1


def test_retrains_are_a_teams_own(ledger: Ledger, ledger_url: str) -> None:
    mine = proposed(ledger, idempotency_key="k", digest="d")
    another = Ledger.open(ledger_url, "another")
    try:
        assert another.retrains.get(mine.retrain_id) is None
        assert another.retrains.live_all() == []
        theirs = proposed(another, idempotency_key="k", digest="e")
        assert theirs.retrain_id != mine.retrain_id
        with pytest.raises(retrain_events.UnknownRetrain):
            retrain_events.cancel(another, mine.retrain_id, "eve", NOON)
    finally:
        another.close()


def test_callbacks_that_come_again_change_nothing(ledger: Ledger) -> None:
    retrain = running(ledger)
    done = retrain_events.complete(ledger, retrain.retrain_id, "trainer", CANDIDATE, NOON)
    assert (done.state, done.candidate) == (RetrainState.EVALUATING, CANDIDATE)
    assert retrain_events.complete(ledger, retrain.retrain_id, "trainer", dict(CANDIDATE), NOON) == done
    assert retrain_events.heartbeat(ledger, retrain.retrain_id, "trainer", NOON) == done
    with pytest.raises(retrain_events.NotAllowed, match="another candidate"):
        retrain_events.complete(ledger, retrain.retrain_id, "trainer", {"uri": "elsewhere"}, NOON)
    with pytest.raises(retrain_events.NotAllowed, match="no run of it is awaited"):
        retrain_events.fail(ledger, retrain.retrain_id, "trainer", "late", NOON)
    rejected = changed(ledger, done, Event.REJECT)
    assert retrain_events.complete(ledger, retrain.retrain_id, "trainer", CANDIDATE, NOON) == rejected


def test_a_failure_that_comes_again_changes_nothing_and_a_completion_after_it_is_refused(ledger: Ledger) -> None:
    retrain = running(ledger)
    failed = retrain_events.fail(ledger, retrain.retrain_id, "trainer", "out of memory", NOON)
    assert retrain_events.fail(ledger, retrain.retrain_id, "trainer", "out of memory", NOON) == failed
    says: list[Callable[[], Retrain]] = [
        lambda: retrain_events.fail(ledger, retrain.retrain_id, "trainer", "something else", NOON),
        lambda: retrain_events.complete(ledger, retrain.retrain_id, "trainer", CANDIDATE, NOON),
        lambda: retrain_events.heartbeat(ledger, retrain.retrain_id, "trainer", NOON),
        lambda: retrain_events.cancel(ledger, retrain.retrain_id, "ada", NOON),
    ]
    for say in says:
        with pytest.raises(retrain_events.NotAllowed):
            say()
    assert ledger.retrains.get(retrain.retrain_id) == failed


def test_callbacks_that_come_too_early_or_for_nothing_are_refused(ledger: Ledger) -> None:
    wish = proposed(ledger)
    with pytest.raises(retrain_events.NotAllowed, match="is proposed: no run"):
        retrain_events.complete(ledger, wish.retrain_id, "trainer", CANDIDATE, NOON)
    says: list[Callable[[], Retrain]] = [
        lambda: retrain_events.complete(ledger, "r0", "trainer", CANDIDATE, NOON),
        lambda: retrain_events.fail(ledger, "r0", "trainer", "", NOON),
        lambda: retrain_events.heartbeat(ledger, "r0", "trainer", NOON),
        lambda: retrain_events.approve(ledger, "r0", "ada", NOON),
        lambda: retrain_events.cancel(ledger, "r0", "ada", NOON),
        lambda: retrain_events.confirm(ledger, "r0", "ada", NOON),
    ]
    for say in says:
        with pytest.raises(retrain_events.UnknownRetrain, match="r0"):
            say()
    assert ledger.retrains.get(wish.retrain_id) == wish


def test_a_trainer_that_is_faster_than_our_own_note_of_its_answer_is_taken_at_its_word(ledger: Ledger) -> None:
    submitted = changed(ledger, proposed(ledger), Event.APPROVE, Event.SUBMIT)
    heard = retrain_events.heartbeat(ledger, submitted.retrain_id, "trainer", NOON)
    assert (heard.state, heard.details["heard_from"]) == (RetrainState.SUBMITTED, "trainer")
    assert retrain_events.complete(ledger, submitted.retrain_id, "trainer", CANDIDATE, NOON).state == "evaluating"
    with pytest.raises(StaleClaim):
        changed(ledger, submitted, Event.START)


def test_approving_and_cancelling_again_change_nothing(ledger: Ledger) -> None:
    wish = proposed(ledger)
    approved = retrain_events.approve(ledger, wish.retrain_id, "ada", NOON)
    assert retrain_events.approve(ledger, wish.retrain_id, "bob", NOON) == approved
    cancelled = retrain_events.cancel(ledger, wish.retrain_id, "ada", NOON, "a mistake")
    assert cancelled.reason == "cancelled by ada: a mistake"
    assert retrain_events.cancel(ledger, wish.retrain_id, "bob", NOON) == cancelled
    assert retrain_events.approve(ledger, wish.retrain_id, "ada", NOON) == cancelled, "it was approved before"


def test_callbacks_at_once_happen_once(ledger: Ledger) -> None:
    retrain = running(ledger)
    came = at_once(4, lambda: retrain_events.complete(ledger, retrain.retrain_id, "trainer", CANDIDATE, NOON))
    assert {type(each) for each in came} == {Retrain}
    events = [event.document["event"] for event in ledger.retrains.events(retrain.retrain_id)]
    assert events.count("complete") == 1


def test_what_an_ended_retrain_leaves_to_do(ledger: Ledger) -> None:
    ended = changed(ledger, running(ledger), Event.CANCEL, deadline_at=NOON)
    assert ledger.retrains.to_look_after("model") == [ended]
    changed(ledger, ended, Event.STOP, deadline_at=None)
    assert ledger.retrains.to_look_after("model") == []
