"""What is shown of windows, findings and the audit log, a page at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta

import pytest

from monitor.config.settings import WindowSettings
from monitor.store.ledger import Ledger
from monitor.store.page_ledger import Page, ShownWindow
from monitor.store.verdict_ledger import Judgement, SliceJudgement
from tests.ledgers import HOUR, NOON, Hand, held, key, window

LIVE = WindowSettings(length=HOUR, allowed_lateness=timedelta(minutes=10))


def close(ledger: Ledger, *hours: int, version: str = "1") -> None:
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(hour, version), 1) for hour in hours], newest=NOON))
    ledger.windows.advance("model", "requests", LIVE, held(ledger), NOON)


def judge(ledger: Ledger, verdict: str = "ok", slices: Mapping[str, str] | None = None) -> None:
    """Judge what is due, all alike."""
    for due in ledger.windows.pending("model", 100 * HOUR, NOON + 7 * HOUR):
        said = {"revision": due.revision, "version": due.key.version, "start": due.key.window.start.hour}
        parts = {
            name: SliceJudgement(said | {"verdict": each, "slice": name}, {}) for name, each in (slices or {}).items()
        }
        whole = said | {"verdict": verdict, "slice": ""}
        ledger.verdicts.record(Judgement(due, whole, None, 3, "hash", parts), held(ledger), NOON + 6 * HOUR)


def starts(ledger: Ledger, page: Page) -> list[int]:
    shown = [each.start.hour for each in ledger.pages.windows("model", page)]
    found = [json.loads(text)["start"] for text in ledger.pages.findings(None, page)]
    assert found == shown, "windows and findings are leafed through alike"
    return shown


@pytest.mark.parametrize(
    ("page", "hours"),
    [
        (Page(), [7, 8, 9, 10]),
        (Page(limit=2), [9, 10]),
        (Page(until=window(3).start), [7, 8]),
        (Page(since=window(4).start), [8, 9, 10]),
        (Page(since=window(4).start, until=window(2).start, limit=1), [9]),
        (Page(since=NOON), []),
    ],
    ids=["all", "the newest two", "before a time", "from a time on", "the newest between two times", "none"],
)
def test_a_page_is_of_the_newest_windows_oldest_first(ledger: Ledger, page: Page, hours: list[int]) -> None:
    close(ledger, 5, 4, 3, 2)
    judge(ledger)
    assert starts(ledger, page) == hours


def test_a_window_is_shown_before_it_is_judged(ledger: Ledger) -> None:
    close(ledger, 5)
    [shown] = ledger.pages.windows("model", Page())
    assert shown == ShownWindow("1", window(5).start, window(5).end, 0, NOON, None, None, None)
    assert ledger.pages.findings("model", Page()) == []


@pytest.mark.parametrize(
    ("whole", "slices", "verdict"),
    [
        ("ok", {}, "ok"),
        ("ok", {"a": "flagged", "b": "ok"}, "flagged"),
        ("insufficient_evidence", {"a": "ok"}, "insufficient_evidence"),
        ("ok", {"a": "insufficient_evidence"}, "ok"),
        ("flagged", {"a": "ok"}, "flagged"),
    ],
    ids=["no slices", "a flagged slice", "too little of all", "too little of a slice", "all flagged"],
)
def test_a_window_is_flagged_where_a_slice_is(
    ledger: Ledger, whole: str, slices: Mapping[str, str], verdict: str
) -> None:
    close(ledger, 5)
    judge(ledger, whole, slices)
    [shown] = ledger.pages.windows("model", Page())
    assert (shown.verdict, shown.revision, shown.baseline) == (verdict, 1, 3)


def test_the_newest_revision_is_shown_alone(ledger: Ledger) -> None:
    close(ledger, 5)
    judge(ledger, "flagged", {"a": "flagged"})
    close(ledger, 5)
    judge(ledger, "ok", {"a": "ok"})
    [shown] = ledger.pages.windows("model", Page())
    assert (shown.verdict, shown.revision) == ("ok", 2)
    found = [json.loads(text) for text in ledger.pages.findings("model", Page())]
    assert [(each["slice"], each["revision"], each["verdict"]) for each in found] == [("", 2, "ok"), ("a", 2, "ok")]


def test_versions_of_one_window_count_one_each(ledger: Ledger) -> None:
    close(ledger, 5, version="1")
    close(ledger, 5, version="2")
    judge(ledger, "ok", {"a": "ok"})
    assert [each.version for each in ledger.pages.windows("model", Page(limit=1))] == ["2"]
    assert len(ledger.pages.findings("model", Page(limit=1))) == 2, "all slices of the one"
    assert len(ledger.pages.findings("model", Page())) == 4


def test_models_and_teams_are_shown_their_own(ledger: Ledger, ledger_url: str) -> None:
    close(ledger, 5)
    judge(ledger)
    assert ledger.pages.windows("another", Page()) == []
    assert ledger.pages.findings("another", Page()) == []
    another = Ledger.open(ledger_url, "another")
    assert another.pages.windows("model", Page()) == []
    assert another.pages.findings(None, Page()) == []
    assert another.pages.audit(0, 10) == []
    another.close()


def test_the_audit_log_is_leafed_through_by_its_numbers(ledger: Ledger) -> None:
    for number in range(5):
        ledger.approvals.issue(f"r{number}", NOON, NOON + HOUR)
    first = ledger.pages.audit(0, 2)
    rest = ledger.pages.audit(first[-1].sequence, 100)
    assert [entry.sequence for entry in (*first, *rest)] == [1, 2, 3, 4, 5]
    assert [b.previous_hash for b in (*first, *rest)][1:] == [a.hash for a in (*first, *rest)][:-1]
    assert ledger.pages.audit(5, 100) == []
