"""Decisions in the ledger: each is there, a repeated one once, and what comes of one with it or not at all."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sqlalchemy import Connection

from monitor.act.decision import Decided, Decision, Outcome, Rule
from monitor.errors import StaleClaim
from monitor.store import audit
from monitor.store.labelled_rows import labelled_rows
from monitor.store.ledger import Ledger
from monitor.window.label_due import Look
from tests.ledgers import EVALUATION, HOUR, NOON, held, window

HELD = Decided("again", "f1", 1, "model", Decision(Outcome.HELD, Rule.DEBOUNCE, "not yet", "retrain"))
QUIET = replace(HELD, decision=Decision(Outcome.HELD, Rule.QUIET_HOURS, "night", "retrain"))
ACTED = replace(HELD, decision=Decision(Outcome.ACTED, Rule.ALL_MET, "go", "retrain"), retrain_id="r1")


def told(ledger: Ledger) -> list[tuple[str, int, int]]:
    """Return rule, number and times of all decisions, in the order in which they were first made."""
    return [(each.decided.decision.rule.value, each.number, each.times) for each in ledger.decisions.list()][::-1]


def test_a_decision_comes_back_as_it_was_made(ledger: Ledger) -> None:
    ledger.decisions.record([ACTED], NOON)
    (found,) = ledger.decisions.list()
    assert (found.decided, found.number, found.first_at, found.last_at, found.times) == (ACTED, 1, NOON, NOON, 1)


def test_one_that_is_made_again_for_the_same_rule_is_counted_on(ledger: Ledger) -> None:
    again = replace(HELD, decision=replace(HELD.decision, reason="not yet: 2 minutes left"))
    for hours, each in enumerate((HELD, again, HELD, QUIET, HELD)):
        ledger.decisions.record([each], NOON + hours * HOUR)
    assert told(ledger) == [("debounce", 1, 3), ("quiet_hours", 2, 1), ("debounce", 3, 1)]
    first = ledger.decisions.list()[-1]
    assert (first.first_at, first.last_at) == (NOON, NOON + 2 * HOUR)
    with ledger.database.read() as connection:
        entries = [entry for entry in audit.entries(connection, ledger.team) if entry.action == "policy_decided"]
    assert [json.loads(entry.body)["rule"] for entry in entries] == ["debounce", "quiet_hours", "debounce"]


def test_one_that_acts_stands_by_itself(ledger: Ledger) -> None:
    for hours in range(3):
        ledger.decisions.record([ACTED], NOON + hours * HOUR)
    assert [each[1:] for each in told(ledger)] == [(1, 1), (2, 1), (3, 1)]
    assert ledger.decisions.actions("model") == {"again": (NOON + 2 * HOUR, NOON + HOUR, NOON)}
    assert ledger.decisions.actions("another") == {}


def test_being_asked_is_an_action_too(ledger: Ledger) -> None:
    asked = replace(ACTED, decision=Decision(Outcome.ASKED, Rule.APPROVAL, "ask", "retrain"))
    ledger.decisions.record([asked, HELD], NOON)
    assert ledger.decisions.actions("model") == {"again": (NOON,)}
    assert ledger.decisions.counts() == {("again", "asked"): 1, ("again", "held"): 1}


def test_episodes_policies_and_alerts_are_told_apart(ledger: Ledger) -> None:
    others = [replace(HELD, episode=2), replace(HELD, policy="other"), replace(HELD, fingerprint="f2")]
    ledger.decisions.record([HELD, *others], NOON)
    assert {each.number for each in ledger.decisions.list()} == {1}
    assert len(ledger.decisions.list(policy="other")) == 1
    assert len(ledger.decisions.list(fingerprint="f2")) == 1
    assert len(ledger.decisions.list(model="model")) == 4
    assert ledger.decisions.list(model="another") == []


def test_what_comes_of_it_is_written_with_it_or_not_at_all(ledger: Ledger) -> None:
    def fails(_: Connection) -> None:
        raise RuntimeError("a crash")

    with pytest.raises(RuntimeError, match="a crash"):
        ledger.decisions.record([ACTED], NOON, also=fails)
    assert ledger.decisions.list() == []
    assert ledger.audit_break() is None


def test_a_lost_lease_decides_nothing(ledger: Ledger) -> None:
    lease = held(ledger)
    ledger.decisions.record([HELD], NOON, lease=lease)
    assert ledger.leases.acquire("model:model", "another", NOON + 200 * HOUR, HOUR) is not None
    with pytest.raises(StaleClaim):
        ledger.decisions.record([ACTED], NOON, lease=lease)
    assert told(ledger) == [("debounce", 1, 1)]


def test_decisions_are_a_teams_own(ledger: Ledger, ledger_url: str) -> None:
    ledger.decisions.record([ACTED], NOON)
    another = Ledger.open(ledger_url, "another")
    try:
        assert another.decisions.list() == []
        assert another.decisions.counts() == {}
    finally:
        another.close()


def test_labelled_rows_are_those_of_the_newest_evaluation_of_recent_windows(ledger: Ledger) -> None:
    lease = held(ledger)
    for revision, labelled in ((1, 5), (2, 8)):
        evaluation = replace(EVALUATION, revision=revision, labelled=labelled)
        ledger.evaluations.record(evaluation, Look(1, 7, revision, NOON, NOON), lease, NOON)

    def rows(since_hours_before_noon: int) -> int:
        return labelled_rows(ledger.database, ledger.team, "model", window(since_hours_before_noon).start)

    assert (rows(5), rows(24), rows(4)) == (8, 8, 0)
    assert labelled_rows(ledger.database, ledger.team, "another", window(24).start) == 0
