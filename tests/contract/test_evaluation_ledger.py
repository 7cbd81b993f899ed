"""Evaluations in the ledger: which windows wait for one, and that none is ever overwritten."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from collectors.memory import MemoryStorage
from monitor.config.settings import WindowSettings
from monitor.cuts import Partition
from monitor.errors import StaleClaim
from monitor.records import SpanKind
from monitor.store.evaluation_ledger import EvaluationRecord
from monitor.store.housekeeping import Housekeeping
from monitor.store.ledger import Ledger
from monitor.store.verdict_ledger import Judgement
from monitor.window.label_due import Candidate, Evaluated, Look, Stage
from monitor.window.label_reach import Reach
from tests.ledgers import EVALUATION, HOUR, NOON, Hand, held, key, window

SETTINGS = WindowSettings(length=HOUR, allowed_lateness=timedelta(0))
LABELS = Partition("labels-id", 0, "labels")
REACH = Reach(4 * HOUR)
LOOK = Look(1, 7, 1, NOON, NOON)


def judge(ledger: Ledger, *hours: int, version: str = "1") -> None:
    """Commit rows of these hours, close them, and judge them."""
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(hour, version), 10) for hour in hours], newest=NOON))
    ledger.windows.advance("model", "requests", SETTINGS, held(ledger), NOON)
    for due in ledger.windows.pending("model", 100 * HOUR, NOON + HOUR):
        ledger.verdicts.record(Judgement(due, {"verdict": "ok"}, None, None, "hash"), held(ledger), NOON)


def labels(ledger: Ledger, *hours: int) -> None:
    """Commit a span of labels of each of these hours."""
    hand = Hand.on(ledger.cuts, LABELS)
    for hour in hours:
        hand.commit(hand.cut([(key(hour, ""), 1)], kind=SpanKind.LABELS))


def record(ledger: Ledger, *evaluations: EvaluationRecord, look: Look = LOOK) -> None:
    for evaluation in evaluations:
        ledger.evaluations.record(evaluation, look, held(ledger), NOON)


def candidates(ledger: Ledger, mark: datetime | None = NOON, restate_for: timedelta = 2 * HOUR) -> list[Candidate]:
    return ledger.evaluations.candidates("model", REACH, mark, restate_for)


def test_judged_windows_wait_for_an_evaluation_with_the_labels_that_may_be_theirs(ledger: Ledger) -> None:
    judge(ledger, 9, 5)
    judge(ledger, 5, version="2")
    labels(ledger, *[14] * 64, 13, 9, 7)
    labels(ledger, *[5, 4] * 8, *[0] * 32)
    found = [(each.key, each.traffic_revision, each.arrived) for each in candidates(ledger)]
    assert found == [(key(9), 1, 11), (key(5), 1, 18), (key(5, "2"), 1, 18)]
    assert candidates(ledger, mark=None) == candidates(ledger)


def test_what_is_known_of_a_window_is_its_newest_evaluation_and_its_last_look(ledger: Ledger) -> None:
    judge(ledger, 5)
    assert candidates(ledger) == [Candidate(key(5), 1, 0)]
    ledger.evaluations.looked(key(5), LOOK, held(ledger))
    assert candidates(ledger) == [Candidate(key(5), 1, 0, LOOK)]
    second = replace(LOOK, number=2, arrived=9, mark=None, at=NOON + HOUR)
    record(ledger, EVALUATION, replace(EVALUATION, revision=2, labelled=9, labels_digest="e" * 32), look=second)
    newest = Evaluated(Stage.PROVISIONAL, 2, 1, 9, 10, "e" * 32)
    assert candidates(ledger) == [Candidate(key(5), 1, 0, second, newest)]


def test_a_final_window_is_done_with_when_restating_is_over(ledger: Ledger) -> None:
    judge(ledger, 9, 5)
    record(ledger, replace(EVALUATION, stage=Stage.FINAL), replace(EVALUATION, key=key(9), stage=Stage.PROVISIONAL))
    assert [each.key for each in candidates(ledger, window(5).end + 6 * HOUR)] == [key(9), key(5)]
    assert [each.key for each in candidates(ledger, window(5).end + 6.1 * HOUR)] == [key(9)]
    assert [each.key for each in candidates(ledger, mark=None)] == [key(9)]


def test_a_window_is_no_candidate_before_it_is_judged_nor_when_its_rows_are_gone(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(5), 10)], newest=NOON))
    ledger.windows.advance("model", "requests", SETTINGS, held(ledger), NOON)
    assert candidates(ledger) == []
    judge(ledger)
    assert len(candidates(ledger)) == 1
    Housekeeping(ledger.database, "default", MemoryStorage()).clean(HOUR, NOON + 3 * HOUR)
    assert candidates(ledger) == []


def test_labels_that_are_gone_have_arrived_nevertheless(ledger: Ledger) -> None:
    labels(ledger, 5, 5, 4)
    Housekeeping(ledger.database, "default", MemoryStorage()).clean(HOUR, NOON + 3 * HOUR)
    judge(ledger, 5)
    assert [each.arrived for each in candidates(ledger)] == [3]


def test_every_revision_is_kept_and_the_newest_is_shown(ledger: Ledger) -> None:
    judge(ledger, 9, 5)
    final = replace(EVALUATION, revision=2, stage=Stage.FINAL, blessing="NOT_BLESSED", verdict="flagged")
    other = replace(EVALUATION, key=key(9))
    record(ledger, EVALUATION, other, final)
    assert [each.evaluation for each in ledger.evaluations.history(key(5))] == [EVALUATION, final]
    shown = ledger.evaluations.evaluations("model")
    assert [each.evaluation for each in shown] == [other, final]
    assert {each.recorded_at for each in shown} == {NOON}
    assert ledger.evaluations.counts() == {("model", "provisional", "ok"): 1, ("model", "final", "flagged"): 1}
    assert ledger.evaluations.evaluations("another") == []
    assert ledger.evaluations.history(key(4)) == []


@pytest.mark.parametrize("revision", [1, 3])
def test_a_revision_is_recorded_once_and_in_turn(ledger: Ledger, revision: int) -> None:
    record(ledger, EVALUATION)
    with pytest.raises(StaleClaim, match="by another monitor"):
        record(ledger, replace(EVALUATION, revision=revision, verdict="flagged"))
    assert [each.evaluation for each in ledger.evaluations.history(key(5))] == [EVALUATION]


def test_nothing_is_recorded_without_the_lease(ledger: Ledger) -> None:
    mine = held(ledger)
    usurper = held(ledger, "other", NOON + 200 * HOUR)
    with pytest.raises(StaleClaim):
        ledger.evaluations.record(EVALUATION, LOOK, mine, NOON)
    with pytest.raises(StaleClaim):
        ledger.evaluations.looked(key(5), LOOK, mine)
    with pytest.raises(StaleClaim):
        ledger.calibrations.add("model", "1", {}, mine, NOON)
    assert ledger.evaluations.history(key(5)) == []
    ledger.evaluations.record(EVALUATION, LOOK, usurper, NOON)
    assert ledger.audit_break() is None


def test_the_audit_log_says_what_was_evaluated(ledger: Ledger) -> None:
    record(ledger, EVALUATION)
    with ledger.database.read() as connection:
        action, body = connection.execute(text("SELECT action, body FROM audit_entries")).one()
    assert action == "window_evaluated"
    assert '"stage":"provisional"' in body
    assert '"evaluation_sha256":"' in body
    assert ledger.audit_break() is None


def test_a_document_without_numbers_is_refused(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="JSON"):
        record(ledger, replace(EVALUATION, document={"auc": float("nan")}))
    assert ledger.evaluations.history(key(5)) == []


def test_the_newest_calibration_of_a_version_counts(ledger: Ledger) -> None:
    calibrations = ledger.calibrations
    assert calibrations.newest("model", "1") is None
    for value in (0.1, 0.2):
        calibrations.add("model", "1", {"slope": value}, held(ledger), NOON)
    assert calibrations.add("model", "2", {"slope": 0.9}, held(ledger), NOON) == 1
    assert calibrations.newest("model", "1") == (2, {"slope": 0.2})
    assert ledger.audit_break() is None
