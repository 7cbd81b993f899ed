"""What the ledger keeps of judged windows and their slices."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta

import pytest
from sqlalchemy import text

from collectors.memory import MemoryStorage
from monitor.config.settings import WindowSettings
from monitor.records import Window
from monitor.store.housekeeping import Housekeeping
from monitor.store.ledger import Ledger
from monitor.store.verdict_ledger import JudgedWindow, Judgement, SliceJudgement
from monitor.store.window_ledger import PendingWindow
from tests.ledgers import HOUR, NOON, Hand, held, key, window

LIVE = WindowSettings(length=HOUR, allowed_lateness=timedelta(minutes=10))
EAST, WEST = '{"side":"east"}', '{"side":"west"}'


def close(ledger: Ledger, *hours: int, version: str = "1") -> None:
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(hour, version), 1) for hour in hours], newest=NOON))
    ledger.windows.advance("model", "requests", LIVE, held(ledger), NOON)


def judge(ledger: Ledger, verdict: str = "ok", slices: Mapping[str, str] | None = None, baseline: int = 1) -> None:
    """Judge what is due, all alike."""
    now = NOON + 6 * HOUR
    due_at = now + HOUR  # a restatement waits a little for more late rows
    for due in ledger.windows.pending("model", 100 * HOUR, due_at):
        ledger.verdicts.record(judgement(due, verdict, slices or {}, baseline), held(ledger), now)


def judgement(of: PendingWindow, verdict: str, slices: Mapping[str, str], baseline: int) -> Judgement:
    parts = {name: SliceJudgement(document(of, each, name), {"of": name}) for name, each in slices.items()}
    return Judgement(of, document(of, verdict, ""), {"of": "", "revision": of.revision}, baseline, "hash", parts)


def document(of: PendingWindow, verdict: str, name: str) -> dict[str, object]:
    return {"verdict": verdict, "revision": of.revision, "slice": name}


def test_findings_of_a_window_come_together_all_rows_first(ledger: Ledger) -> None:
    close(ledger, 5, 4)
    judge(ledger, slices={WEST: "ok", EAST: "ok"})
    assert [found["slice"] for found in ledger.verdicts.findings("model")] == ["", EAST, WEST] * 2


def test_a_slice_that_a_later_revision_lacks_is_found_no_more(ledger: Ledger) -> None:
    close(ledger, 5, 3)
    judge(ledger, slices={EAST: "ok", WEST: "ok"})
    close(ledger, 5)
    judge(ledger, slices={EAST: "flagged"})
    found = [(each["revision"], each["slice"], each["verdict"]) for each in ledger.verdicts.findings("model")]
    assert found == [(2, "", "ok"), (2, EAST, "flagged"), (1, "", "ok"), (1, EAST, "ok"), (1, WEST, "ok")]


def test_one_flagged_slice_flags_the_window(ledger: Ledger) -> None:
    close(ledger, 5)
    judge(ledger, "insufficient_evidence", {EAST: "ok", WEST: "flagged"})
    assert ledger.verdicts.counts() == {("model", "flagged"): 1}


def test_windows_are_counted_by_the_verdict_of_the_window(ledger: Ledger) -> None:
    close(ledger, 5)
    judge(ledger, "ok", {EAST: "insufficient_evidence"})
    close(ledger, 4)
    judge(ledger, "insufficient_evidence", {EAST: "ok"})
    close(ledger, 3)
    judge(ledger, "flagged")
    close(ledger, 2)
    judge(ledger, "ok", {EAST: "flagged", WEST: "flagged"})
    assert ledger.verdicts.counts() == {
        ("model", "ok"): 1,
        ("model", "insufficient_evidence"): 1,
        ("model", "flagged"): 2,
    }


def test_profiles_are_kept_by_slice(ledger: Ledger) -> None:
    close(ledger, 5)
    judge(ledger, slices={EAST: "ok", WEST: "ok"})
    found = ledger.verdicts.previous(key(1), 1)
    assert found == JudgedWindow(window(5), {"": {"of": "", "revision": 1}, EAST: {"of": EAST}, WEST: {"of": WEST}})


def test_windows_are_found_by_start_and_within_a_span_each_in_its_newest_revision(ledger: Ledger) -> None:
    close(ledger, 9, 8, 6, 5)
    close(ledger, 7, version="2")
    judge(ledger)
    close(ledger, 8)
    judge(ledger)
    profile = {number: {"": {"of": "", "revision": number}} for number in (1, 2)}
    at = ledger.verdicts.at(key(1), [window(6).start, window(7).start, window(9).start], 1)
    assert at == [JudgedWindow(window(9), profile[1]), JudgedWindow(window(6), profile[1])]
    assert ledger.verdicts.at(key(1), [window(8).start], 2) == [JudgedWindow(window(8), {})], "on another baseline"
    span = Window(window(8).start, window(6).end)
    within = ledger.verdicts.within(key(1), span, 1)
    assert within == [JudgedWindow(window(8), profile[2]), JudgedWindow(window(6), profile[1])]
    assert [revision for _, revision in ledger.verdicts.revisions_within(key(1), span)] == [2, 1]
    assert ledger.verdicts.within(key(1), Window(window(4).start, NOON), 1) == []


def test_a_window_whose_spans_are_gone_says_so(ledger: Ledger) -> None:
    close(ledger, 5)
    judge(ledger)
    assert ledger.windows.spans_of(key(5)).deleted == 0
    Housekeeping(ledger.database, "default", MemoryStorage()).clean(timedelta(hours=1), NOON + timedelta(days=1))
    assert (ledger.windows.spans_of(key(5)).deleted, ledger.windows.spans_of(key(5)).spans) == (1, [])


@pytest.mark.parametrize("slices", [{}, {EAST: "ok"}])
def test_the_audit_log_vouches_for_the_findings_of_all_slices(ledger: Ledger, slices: dict[str, str]) -> None:
    close(ledger, 5)
    judge(ledger, slices=slices)
    with ledger.database.read() as connection:
        stored = connection.execute(text("SELECT document FROM findings ORDER BY slice")).scalars().all()
        body = connection.execute(text("SELECT body FROM audit_entries WHERE action = 'window_judged'")).scalar_one()
    assert hashlib.sha256("\n".join(stored).encode()).hexdigest() in body
