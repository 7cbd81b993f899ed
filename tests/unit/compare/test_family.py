"""All rows and their slices share one budget of false alarms."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitor.compare.calibrated import corrected_level
from monitor.compare.family import judge_window, window_verdict
from monitor.compare.findings import Kind, Outcome, Subject, Verdict, WindowFindings
from monitor.compare.judge import judge
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import Baseline
from monitor.records import Window
from tests.slicing import baseline_of, by, rows, window_of

SETTINGS = DetectionSettings(references=["training"])
START = datetime(2026, 3, 1, tzinfo=UTC)
SUBJECT = Subject("m", "3", Window(START, START + timedelta(hours=1)), 2)
EAST, WEST = (("side", "east"),), (("side", "west"),)
SIDES = (("side",),)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return baseline_of(rows(6000, 1), by(["side"]), None)


def verdicts(findings: tuple[WindowFindings, ...]) -> dict[str, Verdict]:
    return {"/".join(found.slice.values()): found.verdict for found in findings}


def thresholds(found: WindowFindings) -> dict[tuple[str | None, str], float]:
    return {(each.feature, each.measure): each.threshold for each in found.findings if each.threshold is not None}


def test_all_rows_come_first_and_heads_say_whose_findings_these_are(baseline: Baseline) -> None:
    found = judge_window(window_of(rows(3000, 2), baseline), baseline, {}, SETTINGS, SUBJECT, SIDES)
    assert [dict(each.slice) for each in found] == [{}, {"side": "east"}, {"side": "west"}]
    assert {(each.model, each.version, each.window, each.revision) for each in found} == {("m", "3", SUBJECT.window, 2)}
    assert found[0].rows == found[1].rows + found[2].rows == 3000
    assert verdicts(found) == {"": Verdict.OK, "east": Verdict.OK, "west": Verdict.OK}


def test_without_slices_a_window_is_judged_as_ever(baseline: Baseline) -> None:
    current = window_of(rows(3000, 2), baseline)
    (found,) = judge_window(replace(current, slices={}), baseline, {}, SETTINGS, SUBJECT)
    alone = judge(current.overall, baseline, {}, SETTINGS, subject=SUBJECT)
    assert found.to_json() == alone.to_json()


def test_all_rows_get_half_of_the_budget_and_slices_share_the_other_half(baseline: Baseline) -> None:
    current = window_of(rows(3000, 2), baseline)
    overall, east, west = judge_window(current, baseline, {}, SETTINGS, SUBJECT, SIDES)
    half = judge(current.overall, baseline, {}, SETTINGS, share=0.5)
    assert thresholds(overall) == thresholds(half)
    for key, found in ((EAST, east), (WEST, west)):
        quarter = judge(current.slices[key], baseline.of_slice(key), {}, SETTINGS, share=0.25)
        assert thresholds(found) == thresholds(quarter)


def test_what_all_rows_reject_is_passed_on_to_the_slices(baseline: Baseline) -> None:
    current = window_of(rows(3000, 2, moved=["east", "west"]), baseline)
    overall, east, _ = judge_window(current, baseline, {}, SETTINGS, SUBJECT, SIDES)
    calibrated = [each for each in overall.findings if each.p_value is not None]
    rejected = [each for each in calibrated if each.flagged]
    assert 0 < len(rejected) < len(calibrated)
    share = (0.5 + 0.5 * len(rejected) / len(calibrated)) / 2
    passed_on = judge(current.slices[EAST], baseline.of_slice(EAST), {}, SETTINGS, share=share)
    assert thresholds(east) == thresholds(passed_on)


def test_the_levels_of_a_window_never_add_up_to_more_than_its_budget() -> None:
    """Whatever is rejected: the parts of what is not, and what the slices get, stay within the budget."""
    comparisons, budget = 10, SETTINGS.false_alarm_rate
    for rejected in range(comparisons + 1):
        overall = (comparisons - rejected) * corrected_level(0.5 * budget, comparisons)
        slices = 0.5 + 0.5 * rejected / comparisons
        assert overall + corrected_level(slices * budget, 1) <= corrected_level(budget, 1) * (1 + 1e-12)


def test_a_change_in_one_small_slice_is_found_there_though_all_rows_hide_it(baseline: Baseline) -> None:
    small = baseline_of(rows(20_000, 3), by(["side", "colour", "month"]), None)
    now = rows(20_000, 4)
    key = (("colour", "blue"), ("month", "1"), ("side", "west"))
    changed = window_of(now, small)
    shifted = window_of(rows(20_000, 4, moved=["west"], by=1.0), small)
    mixed = replace(changed, slices={**changed.slices, key: shifted.slices[key]})
    found = judge_window(mixed, small, {}, SETTINGS, SUBJECT)
    flagged = [tuple(each.slice.items()) for each in found if each.verdict is Verdict.FLAGGED]
    assert flagged == [key]
    assert window_verdict(found) is Verdict.FLAGGED


def test_the_windows_verdict_is_that_of_all_rows_unless_something_is_flagged(baseline: Baseline) -> None:
    few = window_of(rows(40, 2), baseline)
    found = judge_window(few, baseline, {}, SETTINGS, SUBJECT)
    assert {each.verdict for each in found} == {Verdict.INSUFFICIENT}
    assert window_verdict(found) is Verdict.INSUFFICIENT
    scarce = replace(window_of(rows(3000, 2), baseline), slices={WEST: few.slices[WEST]})
    assert window_verdict(judge_window(scarce, baseline, {}, SETTINGS, SUBJECT)) is Verdict.OK


def test_a_slice_is_compared_with_the_same_slice_of_earlier_windows(baseline: Baseline) -> None:
    settings = DetectionSettings(references=["previous", "seasonal"])
    before, lacking = window_of(rows(3000, 2), baseline), window_of(rows(3000, 3, sides=["east"]), baseline)
    now = window_of(rows(3000, 4, moved=["west"]), baseline)
    earlier = {"previous": before, "seasonal": lacking}
    overall, east, west = judge_window(now, baseline, earlier, settings, SUBJECT)
    assert {each.reference for each in overall.findings} == {"previous", "seasonal"}
    assert {each.reference for each in east.findings} == {"previous", "seasonal"}
    assert {each.reference for each in west.findings} == {"previous"}, "that season had no rows of this slice"
    assert (east.verdict, west.verdict) == (Verdict.OK, Verdict.FLAGGED)


def test_what_is_left_out_of_the_slices_is_said() -> None:
    baseline = baseline_of(rows(900, 1), by(["side"], ["colour"], ["month"], min_rows=200, limit=4), None)
    found = judge_window(
        window_of(rows(500, 2), baseline),
        baseline,
        {},
        SETTINGS,
        SUBJECT,
        (*baseline.slices.specs, ("carrier", "side")),
    )
    (note,) = [each for each in found[0].findings if each.kind is Kind.BASELINE]
    assert note.explanation == (
        "slices that are not compared: all by carrier, side, which the baseline was made without; "
        "1 with too few rows in the baseline; 3 beyond the 4 largest"
    )
    assert (note.flagged, note.outcome, note.reason) == (
        False,
        Outcome.INFORMATIVE,
        "make a new baseline to compare them",
    )
    assert not any(each.kind is Kind.BASELINE for part in found[1:] for each in part.findings)


@pytest.mark.parametrize(("days", "said"), [(0, True), (1, False)])
def test_a_pinned_range_that_holds_no_window_of_the_version_is_said(baseline: Baseline, days: int, said: bool) -> None:
    end = START + timedelta(days=days)
    settings = DetectionSettings.model_validate(
        {"references": ["training", "pinned"], "pinned": {"start": START - timedelta(days=7), "end": end}}
    )
    (found,) = judge_window(replace(window_of(rows(500, 2), baseline), slices={}), baseline, {}, settings, SUBJECT)
    notes = [each.explanation for each in found.findings if each.reference == "pinned"]
    assert notes == (["no judged window of version 3 lies within the pinned range"] if said else [])
