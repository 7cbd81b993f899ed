"""Estimates of quality in the ledger: which windows wait for one, and that each is said once."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from monitor.errors import StaleClaim
from monitor.records import WindowKey
from monitor.store import tables as t
from monitor.store.evaluation_ledger import EvaluationRecord
from monitor.store.ledger import Ledger
from monitor.store.verdict_ledger import Judgement
from monitor.store.window_ledger import PendingWindow
from monitor.window.label_due import Look, Stage
from tests.ledgers import HOUR, NOON, Hand, held, key


def judged(ledger: Ledger, *hours: int) -> None:
    """Have windows with rows closed and judged."""
    hand = Hand.on(ledger.cuts)
    for each in hours:
        hand.commit(hand.cut([(key(each), 10)], newest=key(each).window.end))
        pending = PendingWindow(key(each), 1, ledger.windows.spans_of(key(each)).spans, 10)
        ledger.verdicts.record(Judgement(pending, {"verdict": "ok"}, None, None, "hash"), held(ledger), NOON)


def evaluated(ledger: Ledger, of: WindowKey, stage: Stage) -> None:
    record = EvaluationRecord(of, 1, stage, 1, "ok", None, 5, 10, "d" * 32, "hash", {})
    ledger.evaluations.record(record, Look(1, 7, 1, NOON, NOON), held(ledger), NOON)


def test_judged_windows_wait_oldest_first_until_they_are_estimated_or_their_labels_are_in(ledger: Ledger) -> None:
    judged(ledger, 9, 8, 7, 6)
    assert ledger.estimates.waiting("model") == [key(9), key(8), key(7), key(6)]
    ledger.estimates.record(key(9), 1, {}, held(ledger), NOON)
    evaluated(ledger, key(8), Stage.FINAL)
    evaluated(ledger, key(7), Stage.PROVISIONAL)
    assert ledger.estimates.waiting("model") == [key(7), key(6)]


def test_a_new_revision_of_a_window_waits_again(ledger: Ledger) -> None:
    judged(ledger, 9)
    ledger.estimates.record(key(9), 1, {"said": 1}, held(ledger), NOON)
    assert ledger.estimates.waiting("model") == []
    with ledger.database.write() as connection:
        connection.execute(t.windows.update().values(revision=2))
    assert ledger.estimates.waiting("model") == [key(9)]
    ledger.estimates.record(key(9), 2, {"said": 2}, held(ledger), NOON)
    assert ledger.estimates.estimates("model") == {key(9): {"said": 2}}


def test_an_estimate_is_said_once_under_the_lease_and_audited(ledger: Ledger) -> None:
    lease = held(ledger)
    ledger.estimates.record(key(9), 1, {"said": 1}, lease, NOON)
    with pytest.raises(StaleClaim, match="estimated by another monitor"):
        ledger.estimates.record(key(9), 1, {"said": 2}, lease, NOON)
    assert ledger.leases.acquire("model:model", "another", NOON + 200 * HOUR, HOUR) is not None
    with pytest.raises(StaleClaim):
        ledger.estimates.record(key(8), 1, {}, lease, NOON)
    assert ledger.estimates.estimates("model") == {key(9): {"said": 1}}
    with ledger.database.read() as connection:
        actions = list(connection.scalars(select(t.audit_entries.c.action)))
    assert actions == ["quality_estimated"]


def test_ten_calibrations_of_a_version_are_kept(ledger: Ledger) -> None:
    for number in range(13):
        assert ledger.calibrations.add("model", "1", {"number": number}, held(ledger), NOON) == number + 1
    with ledger.database.read() as connection:
        kept = sorted(connection.scalars(select(t.calibrations.c.number)))
    assert kept == list(range(4, 14))
    assert ledger.calibrations.newest("model", "1") == (13, {"number": 12})
