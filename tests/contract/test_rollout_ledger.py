"""What the ledger remembers of rollouts: how it was before, and how far they came."""

from __future__ import annotations

from dataclasses import replace

from monitor.store import audit
from monitor.store.ledger import Ledger
from monitor.store.verdict_ledger import Judgement
from tests.ledgers import HOUR, NOON, Hand, held, key
from tests.unit.jobs.label_world import settings

PLAN = {"stable": "41", "candidate": "42", "entry": "{ ü }", "was_there": False}


def test_a_plan_is_written_once_and_what_was_before_stays(ledger: Ledger) -> None:
    assert ledger.rollouts.get("r1") is None
    first = ledger.rollouts.begin("r1", "model", PLAN, NOON)
    assert (first.model, first.began_at, first.serving_at, first.since) == ("model", NOON, None, None)
    assert ledger.rollouts.begin("r1", "model", PLAN | {"stable": "42"}, NOON + HOUR) == first
    assert first.document == PLAN
    with ledger.database.read() as connection:
        told = [entry for entry in audit.entries(connection, ledger.team) if entry.action == "rollout_planned"]
    assert len(told) == 1


def test_the_moment_at_which_it_served_is_written_once(ledger: Ledger) -> None:
    ledger.rollouts.begin("r1", "model", PLAN, NOON)
    ledger.rollouts.begin("r2", "model", PLAN, NOON)
    ledger.rollouts.serves("r1", NOON - 9 * HOUR, NOON + HOUR)
    ledger.rollouts.serves("r1", NOON, NOON + 2 * HOUR)
    ledger.rollouts.serves("r2", None, NOON + HOUR)
    one, two = ledger.rollouts.get("r1"), ledger.rollouts.get("r2")
    assert one is not None
    assert (one.serving_at, one.since) == (NOON + HOUR, NOON - 9 * HOUR)
    assert two == replace(one, retrain_id="r2", since=None)


def test_notes_are_added_to_what_was_planned(ledger: Ledger) -> None:
    ledger.rollouts.begin("r1", "model", PLAN, NOON)
    ledger.rollouts.note("r1", baseline=7)
    found = ledger.rollouts.get("r1")
    assert found is not None
    assert found.document == PLAN | {"baseline": 7}


def test_only_the_newest_findings_of_all_rows_count_from_a_time_on(ledger: Ledger) -> None:
    hand, lease = Hand.on(ledger.cuts), held(ledger)
    hand.commit(hand.cut([(key(5), 2), (key(4), 3), (key(4, "2"), 1)], newest=NOON))
    ledger.windows.advance("model", "requests", settings().windows, lease, NOON + HOUR)
    for pending in ledger.windows.pending("model", 100 * HOUR, NOON + HOUR):
        document = {"verdict": "ok", "version": pending.key.version, "start": pending.key.window.start.isoformat()}
        ledger.verdicts.record(Judgement(pending, document, None, None, "hash"), lease, NOON)
    every = ledger.rollouts.findings("model", None)
    assert [one["version"] for one in every] == ["1", "1", "2"]
    late = ledger.rollouts.findings("model", NOON - 4 * HOUR)
    assert late == every[1:]
    assert ledger.rollouts.findings("other", None) == []
