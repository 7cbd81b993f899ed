"""From findings of a window to marks, and from marks to what the judge heeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.compare.feedback import FalseAlarm, Normal
from monitor.compare.findings import Verdict
from monitor.compare.judge import judge
from monitor.config.detection import DetectionSettings
from monitor.config.settings import WindowSettings
from monitor.errors import InputError
from monitor.jobs.marking import feedback_of, marks_of_window
from monitor.profile.baseline import Baseline
from monitor.profile.profile import Profile
from monitor.records import Rows
from monitor.store.ledger import Ledger
from monitor.store.marks import Mark, MarkSort
from monitor.store.verdict_ledger import Judgement, SliceJudgement
from monitor.window.slicing import slice_name
from tests.ledgers import HOUR, NOON, Hand, key, window
from tests.slicing import baseline_of, by, rows, window_of

START = window(5).start
WEST = '{"side":"west"}'


def finding(feature: str | None = "x", measure: str = "cohens_w", **other: Any) -> dict[str, Any]:
    told = {"reference": "training", "value": 0.5, "p_value": 1e-9, "flagged": True}
    return {"feature": feature, "measure": measure, **told, **other}


def document(*findings: Mapping[str, Any], hours: int = 5, version: str = "1", **other: Any) -> dict[str, Any]:
    start = window(hours).start.isoformat().replace("+00:00", "Z")
    head = {"model": "model", "version": version, "window_start": start, "slice": {}, "baseline": 3}
    return {**head, "findings": list(findings), **other}


def marks(
    documents: Sequence[Mapping[str, Any]], *features: str, version: str | None = None, sort: MarkSort = MarkSort.NORMAL
) -> list[Mark]:
    return marks_of_window(
        documents, START, version=version, features=features, sort=sort, actor="ada", note="a holiday", now=NOON
    )


def test_a_flagged_calibrated_finding_becomes_a_mark_of_its_comparison() -> None:
    found = marks([document(finding(value=0.31, reference="previous"))], sort=MarkSort.FALSE_ALARM)
    assert found == [
        Mark(
            model="model",
            version="1",
            window_start=START,
            slice="",
            feature="x",
            reference="previous",
            measure="cohens_w",
            sort=MarkSort.FALSE_ALARM,
            value=0.31,
            baseline=3,
            actor="ada",
            note="a holiday",
            created_at=NOON,
        )
    ]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(finding("y", flagged=False), id="not flagged"),
        pytest.param(finding("y", "psi", p_value=None), id="by a person's own threshold"),
        pytest.param(finding("y", "SCHEMA_MISSING_COLUMN", p_value=None, value=None), id="a broken schema"),
        pytest.param(finding(None), id="about no feature"),
    ],
)
def test_other_findings_are_not_marked(other: dict[str, Any]) -> None:
    assert [mark.feature for mark in marks([document(finding("x"), other)])] == ["x"]


def test_the_findings_of_slices_are_marked_as_theirs() -> None:
    found = marks([document(finding()), document(finding("y"), slice={"side": "west"})])
    assert [(mark.slice, mark.feature) for mark in found] == [("", "x"), (WEST, "y")]


def test_only_the_window_that_starts_then_is_marked() -> None:
    found = marks([document(finding("x")), document(finding("y"), hours=4)])
    assert [mark.feature for mark in found] == ["x"]


def test_only_the_features_that_are_named_are_marked() -> None:
    one = document(finding("x"), finding("x", "cohens_d"), finding("y"), finding("z"))
    assert [(mark.feature, mark.measure) for mark in marks([one], "x", "z")] == [
        *(("x", "cohens_w"), ("x", "cohens_d"), ("z", "cohens_w"))
    ]


def test_a_version_can_be_chosen_where_several_were_judged() -> None:
    both = [document(finding("x")), document(finding("y"), version="2")]
    assert [(mark.version, mark.feature) for mark in marks(both, version="2")] == [("2", "y")]


@pytest.mark.parametrize(
    ("documents", "features", "version", "message"),
    [
        pytest.param(
            [document(finding(), hours=4)],
            [],
            None,
            "no window that starts at 2026-03-01T07:00:00Z has been judged",
            id="no such window",
        ),
        pytest.param([document(finding())], [], "2", "no window that starts at", id="no such version"),
        pytest.param(
            [document(finding()), document(finding(), version="10")],
            [],
            None,
            "versions 1, 10 were judged in this window; name one with --version",
            id="several versions",
        ),
        pytest.param(
            [document(finding(flagged=False))],
            [],
            None,
            "no calibrated finding is flagged in the window of 2026-03-01T07:00:00Z",
            id="nothing flagged",
        ),
        pytest.param(
            [document(finding("x"))],
            ["y", "z"],
            None,
            "no calibrated finding about y, z is flagged",
            id="nothing flagged about the features",
        ),
    ],
)
def test_what_cannot_be_marked_is_said(
    documents: list[dict[str, Any]], features: list[str], version: str | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        marks(documents, *features, version=version)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return replace(baseline_of(rows(6_000, 1), by(["side"]), None), number=1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", "default")
    yield opened
    opened.close()


def served(seed: int) -> Rows:
    return rows(2_000, seed, moved=["east", "west"])


def judged(ledger: Ledger, baseline: Baseline, hours: int, seed: int, version: str = "1") -> Profile:
    """Close an hour in which `x` is shifted, keep its profiles, and return that of all rows."""
    current = window_of(served(seed), baseline)
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(hours, version), 2_000)], newest=NOON))
    lease = ledger.leases.acquire("model:model", "monitor", NOON, HOUR)
    assert lease is not None
    live = WindowSettings(length=HOUR, allowed_lateness=timedelta(minutes=10))
    ledger.windows.advance("model", "requests", live, lease, NOON)
    told = {"verdict": "flagged"}
    slices = {slice_name(of): SliceJudgement(told, each.to_document()) for of, each in current.slices.items()}
    for due in ledger.windows.pending("model", 100 * HOUR, NOON + HOUR):
        judgement = Judgement(due, told, current.overall.to_document(), baseline.number, "hash", slices)
        ledger.verdicts.record(judgement, lease, NOON)
    return current.overall


MARK = marks([document(finding(), baseline=1)], sort=MarkSort.FALSE_ALARM)[0]


def test_without_marks_there_is_no_feedback(ledger: Ledger) -> None:
    assert feedback_of(ledger, key(1), 1) == {}


def test_the_largest_of_several_false_alarms_is_the_limit_of_a_comparison(ledger: Ledger) -> None:
    larger = replace(MARK, window_start=window(4).start, value=0.9, note="")
    ledger.marks.add([MARK, larger, replace(MARK, window_start=window(3).start, value=0.7)], NOON)
    ledger.marks.add([replace(MARK, measure="cohens_d", value=0.2)], NOON)
    assert feedback_of(ledger, key(1), 1)[""].false_alarms == {
        ("x", "training", "cohens_w"): FalseAlarm(0.9, "called a false alarm at 2026-03-01T08:00:00Z by ada"),
        ("x", "training", "cohens_d"): FalseAlarm(0.2, MARK.said),
    }


def test_feedback_is_of_each_slice_and_of_the_active_baseline(ledger: Ledger) -> None:
    ledger.marks.add([MARK, replace(MARK, slice=WEST, value=0.9), replace(MARK, baseline=2, value=2.0)], NOON)
    found = feedback_of(ledger, key(1), 1)
    assert {name: each.false_alarms["x", "training", "cohens_w"].value for name, each in found.items()} == {
        "": 0.5,
        WEST: 0.9,
    }


def test_a_normal_windows_counts_come_from_its_profile(ledger: Ledger, baseline: Baseline) -> None:
    profile = judged(ledger, baseline, 5, 2)
    normal = replace(MARK, sort=MarkSort.NORMAL)
    ledger.marks.add([normal, replace(normal, measure="cohens_d"), replace(normal, slice=WEST)], NOON)
    found = feedback_of(ledger, key(1), 1)
    assert found[""].false_alarms == {}
    assert found[""].normal == {"x": [Normal(profile.counts["x"], profile.blocks, normal.said)]}, "once, by one measure"
    west = window_of(served(2), baseline).slices[("side", "west"),]
    assert found[WEST].normal["x"][0].counts == west.counts["x"]


def test_what_is_said_of_one_version_counts_for_the_next(ledger: Ledger, baseline: Baseline) -> None:
    judged(ledger, baseline, 5, 2)
    ledger.marks.add([replace(MARK, sort=MarkSort.NORMAL), replace(MARK, measure="cohens_d")], NOON)
    found = feedback_of(ledger, key(1, "2"), 1)[""]
    assert (list(found.normal), list(found.false_alarms)) == (["x"], [("x", "training", "cohens_d")])


@pytest.mark.parametrize("feature", ["x", "gone"], ids=["the window is not known", "it lacks the feature"])
def test_a_normal_window_that_tells_nothing_more_excuses_nothing(
    ledger: Ledger, baseline: Baseline, feature: str
) -> None:
    judged(ledger, baseline, 4, 2)
    start = window(5 if feature == "x" else 4).start
    ledger.marks.add([replace(MARK, sort=MarkSort.NORMAL, feature=feature, window_start=start)], NOON)
    assert feedback_of(ledger, key(1), 1)[""].normal == {}


def test_a_normal_window_is_normal_for_the_judge(ledger: Ledger, baseline: Baseline) -> None:
    judged(ledger, baseline, 5, 2)
    later = window_of(served(3), baseline).overall
    settings = DetectionSettings()
    assert judge(later, baseline, {}, settings).verdict is Verdict.FLAGGED
    ledger.marks.add([replace(MARK, sort=MarkSort.NORMAL)], NOON)
    feedback = feedback_of(ledger, key(4), 1)[""]
    assert judge(later, baseline, {}, settings, feedback=feedback).verdict is Verdict.OK
