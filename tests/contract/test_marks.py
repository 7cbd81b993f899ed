"""What the ledger remembers of what people said of findings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.store import audit
from monitor.store.ledger import Ledger
from monitor.store.marks import Mark, MarkSort
from tests.ledgers import HOUR, NOON, window

WEST = '{"side":"west"}'
MARK = Mark(
    model="model",
    version="1",
    window_start=window(5).start,
    slice="",
    feature="x",
    reference="training",
    measure="cohens_w",
    sort=MarkSort.FALSE_ALARM,
    value=0.1 + 0.2,
    baseline=1,
    actor="ada",
    note="a holiday",
    created_at=NOON,
)


@pytest.fixture
def another_team(ledger: Ledger, ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger.open(ledger_url, "another")
    yield opened
    opened.close()


def entries(ledger: Ledger) -> list[audit.Entry]:
    with ledger.database.read() as connection:
        return [entry for entry in audit.entries(connection, ledger.team) if entry.action == "finding_marked"]


def test_nothing_is_said_at_first(ledger: Ledger) -> None:
    assert ledger.marks.of("model", 1) == []


def test_a_mark_comes_back_as_it_was_said(ledger: Ledger) -> None:
    odd = replace(MARK, slice=WEST, feature="ünïcode 'quoted'", note="", value=5e-324, sort=MarkSort.NORMAL)
    ledger.marks.add([MARK, odd], NOON)
    assert set(ledger.marks.of("model", 1)) == {MARK, odd}


def test_marks_come_oldest_first(ledger: Ledger) -> None:
    later, last = (replace(MARK, feature=name, created_at=NOON + hours * HOUR) for name, hours in (("b", 1), ("a", 2)))
    ledger.marks.add([last, later], NOON + 3 * HOUR)
    ledger.marks.add([MARK], NOON + 4 * HOUR)
    assert ledger.marks.of("model", 1) == [MARK, later, last]


def test_what_is_said_of_the_same_finding_again_replaces_what_was_said(ledger: Ledger) -> None:
    again = replace(MARK, sort=MarkSort.NORMAL, value=0.9, actor="bob", note="", created_at=NOON + HOUR)
    ledger.marks.add([MARK], NOON)
    ledger.marks.add([again], NOON + HOUR)
    assert ledger.marks.of("model", 1) == [again]
    ledger.marks.add([again, MARK], NOON + 2 * HOUR)
    assert ledger.marks.of("model", 1) == [MARK], "the last word counts, in one breath too"


@pytest.mark.parametrize(
    "other",
    [
        replace(MARK, version="2"),
        replace(MARK, window_start=MARK.window_start + timedelta(hours=1)),
        replace(MARK, slice=WEST),
        replace(MARK, feature="y"),
        replace(MARK, reference="previous"),
        replace(MARK, measure="cohens_d"),
    ],
    ids=["version", "window", "slice", "feature", "reference", "measure"],
)
def test_another_finding_is_marked_beside_it(ledger: Ledger, other: Mark) -> None:
    ledger.marks.add([MARK], NOON)
    ledger.marks.add([other], NOON)
    assert set(ledger.marks.of("model", 1)) == {MARK, other}


def test_marks_count_for_their_model_and_baseline_alone(ledger: Ledger) -> None:
    elsewhere = [replace(MARK, model="another"), replace(MARK, baseline=2)]
    ledger.marks.add([MARK, *elsewhere], NOON)
    assert ledger.marks.of("model", 1) == [MARK]
    assert ledger.marks.of("model", 2) == [elsewhere[1]]
    assert ledger.marks.of("another", 1) == [elsewhere[0]]


def test_marks_are_a_teams_own(ledger: Ledger, another_team: Ledger) -> None:
    ledger.marks.add([MARK], NOON)
    assert another_team.marks.of("model", 1) == []
    theirs = replace(MARK, value=0.7)
    another_team.marks.add([theirs], NOON)
    assert ledger.marks.of("model", 1) == [MARK]
    assert another_team.marks.of("model", 1) == [theirs]


def test_every_mark_is_in_the_audit_log_replaced_ones_too(ledger: Ledger) -> None:
    again = replace(MARK, sort=MarkSort.NORMAL, actor="bob", note="moved for good")
    ledger.marks.add([MARK, replace(MARK, feature="y")], NOON)
    ledger.marks.add([again], NOON + HOUR)
    found = entries(ledger)
    assert [(entry.actor, entry.recorded_at) for entry in found] == [("ada", NOON), ("ada", NOON), ("bob", NOON + HOUR)]
    body = json.loads(found[0].body)
    assert body == {
        "model": "model",
        "version": "1",
        "window_start": "2026-03-01T07:00:00Z",
        "slice": "",
        "feature": "x",
        "reference": "training",
        "measure": "cohens_w",
        "sort": "false_alarm",
        "value": 0.1 + 0.2,
        "baseline": 1,
        "actor": "ada",
        "note": "a holiday",
        "created_at": "2026-03-01T12:00:00Z",
    }
    assert (json.loads(found[2].body)["sort"], json.loads(found[2].body)["note"]) == ("normal", "moved for good")
    assert ledger.audit_break() is None


def test_marks_are_remembered_together_or_not_at_all(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="JSON"):
        ledger.marks.add([MARK, replace(MARK, feature="y", value=float("inf"))], NOON)
    assert ledger.marks.of("model", 1) == []
    assert entries(ledger) == []


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        (MARK, "called a false alarm at 2026-03-01T07:00:00Z by ada: a holiday"),
        (replace(MARK, sort=MarkSort.NORMAL, note=""), "taken for normal at 2026-03-01T07:00:00Z by ada"),
    ],
    ids=["a false alarm with a note", "normal without one"],
)
def test_what_a_later_finding_says_of_it(mark: Mark, said: str) -> None:
    assert mark.said == said
