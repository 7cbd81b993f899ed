"""The monitor's side of the ledger: closing, revisions, one notification, and the audit chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from monitor.config.settings import WindowSettings
from monitor.cuts import Cut, Partition
from monitor.errors import InputError, StaleClaim
from monitor.records import FeatureType, ValueType
from monitor.store.ledger import Ledger
from monitor.store.verdict_ledger import JudgedWindow, Judgement
from monitor.store.window_ledger import PendingWindow
from tests.ledgers import HOUR, NOON, TOPIC, Hand, held, key, window

LIVE = WindowSettings(length=HOUR, allowed_lateness=timedelta(minutes=10))
MINUTE = timedelta(minutes=1)


def advance(ledger: Ledger, settings: WindowSettings = LIVE, now: datetime = NOON) -> datetime | None:
    return ledger.windows.advance("model", "requests", settings, held(ledger, now=now), now)


def pending(ledger: Ledger, now: datetime = NOON) -> list[PendingWindow]:
    return ledger.windows.pending("model", LIVE.restate_for, now)


def judgement(of: PendingWindow, verdict: str = "ok") -> Judgement:
    document: Mapping[str, object] = {"verdict": verdict, "revision": of.revision, "rows_seen": of.rows_seen}
    return Judgement(of, document, {"profile": of.revision}, 1, "hash")


def test_a_window_closes_when_the_watermark_has_passed_its_end(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(5), 10)], newest=window(5).end + 9 * MINUTE))
    advance(ledger)
    assert pending(ledger) == []
    hand.commit(hand.cut([(key(4), 1)], newest=window(5).end + 10 * MINUTE))
    assert advance(ledger) == window(5).end
    assert [(each.key, each.revision, each.rows_seen) for each in pending(ledger)] == [(key(5), 1, 10)]


def test_a_lagging_partition_holds_windows_open(ledger: Ledger) -> None:
    ledger.cuts.expect([TOPIC, Partition("topic-id", 1, "requests")], NOON)
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(5), 10)], newest=NOON))
    assert advance(ledger) is None
    slow = Hand.on(ledger.cuts, Partition("topic-id", 1, "requests"))
    slow.commit(slow.cut([(key(5), 10)], newest=window(3).start))
    assert advance(ledger) == window(3).start - 10 * MINUTE


def test_the_watermark_never_goes_back(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(2), 1)]))
    before = advance(ledger)
    ledger.cuts.expect([TOPIC, Partition("topic-id", 1, "requests")], NOON)
    slow = Hand.on(ledger.cuts, Partition("topic-id", 1, "requests"))
    slow.commit(slow.cut([(key(9), 1)]))
    assert advance(ledger) == before


def test_late_rows_make_a_revision(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(5), 10), (key(3), 1)]))
    advance(ledger)
    (first,) = pending(ledger)
    ledger.verdicts.record(judgement(first, "flagged"), held(ledger), NOON)
    hand.commit(hand.cut([(key(5), 4)]))
    assert ledger.identities()["late"] == 4
    assert pending(ledger) == [], "a restatement waits a little for more late rows"
    later = NOON + MINUTE
    (second,) = pending(ledger, later)
    assert (second.revision, second.rows_seen, len(second.spans)) == (2, 14, 2)
    ledger.verdicts.record(judgement(second, "flagged"), held(ledger, now=later), later)
    assert [found["revision"] for found in ledger.findings("model")] == [2]


def test_rows_later_than_the_restatement_time_are_kept_and_restate_nothing(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(0), 1)]))
    advance(ledger)
    hand.commit(hand.cut([(key(40), 4)]))
    assert ledger.identities()["late"] == 4
    assert pending(ledger) == []


def test_a_version_whose_first_rows_are_late_is_judged(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(0), 1)]))
    advance(ledger)
    hand.commit(hand.cut([(key(5, "2"), 4)]))
    (due,) = pending(ledger)
    ledger.verdicts.record(judgement(due), held(ledger), NOON)
    assert pending(ledger, NOON + HOUR) == []


def test_a_window_whose_rows_were_all_sampled_out_is_still_judged(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(5), 0), (key(3), 1)], sampled_out=9))
    advance(ledger)
    (due,) = pending(ledger)
    assert (due.key, due.spans, due.rows_seen) == (key(5), [], 9)


def test_what_was_seen_is_told_by_stratum_late_rows_included(ledger: Ledger) -> None:
    def cut(rows: int, errors: int) -> Cut:
        made = hand.cut([(key(5), rows), (key(3), 1)], sampled_out=errors)
        (first, second) = made.counts
        mine = replace(first, records=rows, sampled_out=0), replace(first, records=errors, stratum="status=error")
        return replace(made, counts=[*mine, second])

    hand = Hand.on(ledger.cuts)
    hand.commit(cut(10, 2))
    advance(ledger)
    (due,) = pending(ledger)
    assert (due.rows_seen, due.strata) == (12, {"": 10, "status=error": 2})
    ledger.verdicts.record(judgement(due), held(ledger), NOON)
    hand.commit(cut(4, 1))
    assert ledger.windows.spans_of(key(5)).strata == {"": 14, "status=error": 3}


def test_a_revision_is_recorded_once_and_under_a_live_lease_only(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(5), 10), (key(3), 1)]))
    lease = held(ledger)
    advance(ledger)
    (due,) = pending(ledger)
    usurper = ledger.leases.acquire("model:model", "other", NOON + 200 * HOUR, HOUR)
    assert usurper is not None
    assert usurper.token > lease.token
    with pytest.raises(StaleClaim):
        ledger.verdicts.record(judgement(due), lease, NOON)
    assert ledger.findings("model") == []
    ledger.verdicts.record(judgement(due), usurper, NOON)
    with pytest.raises(StaleClaim):
        ledger.verdicts.record(judgement(due), usurper, NOON)
    assert len(ledger.findings("model")) == 1


def test_a_lease_is_one_holders_until_it_runs_out_or_is_given_back(ledger: Ledger) -> None:
    mine = held(ledger)
    assert ledger.leases.acquire("model:model", "other", NOON, MINUTE) is None
    ledger.leases.release(mine)
    assert ledger.leases.acquire("model:model", "other", NOON, MINUTE) is not None


def test_the_previous_profile_is_the_nearest_earlier_one_of_the_same_version(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    rows = [(key(9), 1), (key(6), 1), (key(6, "2"), 1), (key(3), 1)]
    hand.commit(hand.cut(rows))
    advance(ledger)
    for due in pending(ledger):
        ledger.verdicts.record(judgement(due), held(ledger), NOON)
    assert ledger.verdicts.previous(key(4), 1) == JudgedWindow(window(6), {"": {"profile": 1}})
    assert ledger.verdicts.previous(key(6), 1) == JudgedWindow(window(9), {"": {"profile": 1}})
    assert ledger.verdicts.previous(key(4), 2) == JudgedWindow(window(6), {}), "profiled on another baseline"
    assert ledger.verdicts.previous(key(9), 1) is None


def test_baselines_are_numbered_and_the_first_is_active(ledger: Ledger) -> None:
    types = {"a": FeatureType(ValueType.INT), "b": FeatureType(ValueType.BYTES, multivalent=True)}
    for number in (1, 2):
        added = ledger.baselines.add(
            "model", {"n": number}, types, {"source": "x"}, rows=3, actor="me", activate=False, now=NOON
        )
        assert added == number
    assert ledger.baselines.active("model") == (1, {"n": 1})
    ledger.baselines.activate("model", 2, "me", NOON)
    assert ledger.baselines.active_number("model") == 2
    assert ledger.cuts.column_types("model") == types
    assert [(row.number, row.active) for row in ledger.baselines.all_of("model")] == [(1, False), (2, True)]
    with pytest.raises(InputError, match="no baseline 3"):
        ledger.baselines.activate("model", 3, "me", NOON)


@pytest.mark.parametrize(
    ("attack", "found"),
    [
        pytest.param("UPDATE audit_entries SET body = '{}' WHERE sequence = 2", "entry 2 was altered", id="an edit"),
        pytest.param("DELETE FROM audit_entries WHERE sequence = 2", "entry 2 is missing", id="a removal"),
        pytest.param("DELETE FROM audit_entries WHERE sequence = 3", "after 2 are missing", id="a cut at the end"),
        pytest.param("UPDATE audit_entries SET actor = 'you' WHERE sequence = 1", "entry 1 was altered", id="a blame"),
    ],
)
def test_the_audit_chain_shows_tampering(ledger: Ledger, attack: str, found: str) -> None:
    for _ in range(2):
        ledger.baselines.add("model", {}, {}, {}, rows=1, actor="me", activate=False, now=NOON)
    assert ledger.audit_break() is None
    with ledger.database.write() as connection:
        connection.execute(text(attack))
    said = ledger.audit_break()
    assert said is not None
    assert found in said
