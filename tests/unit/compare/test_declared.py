"""Declared changes of the schema: what they explain informs; and a budget of false alarms for a whole day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from monitor.compare.declared import with_declared
from monitor.compare.family import judge_window
from monitor.compare.findings import Finding, Kind, Outcome, Subject, Verdict, WindowFindings
from monitor.compare.judge import judge
from monitor.config.detection import DetectionSettings, SchemaChange
from monitor.profile.baseline import Baseline
from monitor.profile.profile import Profile, count_rows
from monitor.profile.sliced import WindowProfile
from monitor.records import Misfits, Rows, Window
from tests import slicing
from tests.slicing import baseline_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOTE = "distance in kilometres from now on"
SAID = f"declared: the schema changed at 2026-03-01T12:00:00Z: {NOTE}"


def finding(kind: Kind = Kind.SKEW, feature: str | None = "distance", *, flagged: bool = True) -> Finding:
    return Finding(
        kind=kind,
        feature=feature,
        reference="training",
        measure="cohens_w",
        value=0.7,
        threshold=0.1,
        p_value=1e-9,
        flagged=flagged,
        reason=None,
        explanation="it moved",
    )


def change(*features: str, note: str = NOTE, at: datetime = NOON) -> SchemaChange:
    return SchemaChange(at=at, features=list(features), note=note)


def declared(found: Finding, *changes: SchemaChange, end: datetime | None = NOON + HOUR) -> Finding:
    (after,) = with_declared([found], changes, None if end is None else Window(end - HOUR, end))
    return after


@pytest.mark.parametrize("kind", list(Kind))
def test_it_covers_what_a_schema_can_change_and_nothing_else(kind: Kind) -> None:
    covered = {Kind.DATA_BREAK, Kind.SCHEMA_ANOMALY, Kind.SKEW, Kind.DRIFT, Kind.MISSING_VALUES}
    found = finding(kind)
    expected = replace(found, flagged=False, reason=SAID, outcome=Outcome.INFORMATIVE) if kind in covered else found
    assert declared(found, change()) == expected


@pytest.mark.parametrize(
    ("end", "informs"),
    [
        pytest.param(NOON - HOUR, False, id="a window before it"),
        pytest.param(NOON, False, id="a window that ends with it"),
        pytest.param(NOON + timedelta(minutes=1), True, id="one that reaches beyond it"),
        pytest.param(NOON + timedelta(days=99), True, id="one long after it"),
        pytest.param(None, True, id="rows of no known time"),
    ],
)
def test_it_counts_from_its_time_on(end: datetime | None, informs: bool) -> None:
    assert declared(finding(), change(), end=end).flagged is not informs


@pytest.mark.parametrize(
    ("features", "about", "informs"),
    [
        pytest.param([], "distance", True, id="none is named: all"),
        pytest.param([], None, True, id="none is named: the data set too"),
        pytest.param(["origin", "distance"], "distance", True, id="it is named"),
        pytest.param(["origin"], "distance", False, id="another is named"),
        pytest.param(["origin"], None, False, id="the data set is no feature"),
    ],
)
def test_it_covers_the_features_that_it_names(features: list[str], about: str | None, informs: bool) -> None:
    assert declared(finding(feature=about), change(*features)).flagged is not informs


def test_a_finding_that_is_not_flagged_stays_as_it_is() -> None:
    quiet = replace(finding(flagged=False), reason="too few rows", outcome=Outcome.INSUFFICIENT)
    assert declared(quiet, change()) is quiet


def test_the_first_change_that_covers_it_is_named() -> None:
    others = (change("origin", note="no"), change("distance", note=""), change(note="late"))
    assert declared(finding(), *others).reason == "declared: the schema changed at 2026-03-01T12:00:00Z"


def test_times_are_told_in_utc() -> None:
    at = datetime(2026, 3, 1, 14, tzinfo=UTC).astimezone(tz=None)
    reason = declared(finding(), change(note="", at=at), end=NOON + timedelta(days=1)).reason
    assert reason == "declared: the schema changed at 2026-03-01T14:00:00Z"


def rows(seed: int, shift: float = 0.0, missing: int = 0) -> Rows:
    random = np.random.default_rng(seed)
    distance = random.normal(shift, 1.0, 2_000)
    distance[:missing] = np.nan
    return Rows(pa.table({"distance": distance, "fare": random.normal(shift, 1.0, 2_000)}))


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return baseline_of(rows(1))


def judged(profile: Profile, baseline: Baseline, *changes: SchemaChange, before_noon: int = 0) -> WindowFindings:
    window = Window(NOON - before_noon * HOUR, NOON - before_noon * HOUR + HOUR)
    settings = DetectionSettings(schema_changes=list(changes))
    return judge(
        profile, baseline, {"previous": count_rows(rows(2), baseline)}, settings, subject=Subject(window=window)
    )


def test_a_window_in_which_only_declared_features_moved_is_ok(baseline: Baseline) -> None:
    current = replace(count_rows(rows(3, shift=2.0, missing=200), baseline), misfits={"distance": Misfits(3, ('"x"',))})
    plain = judged(current, baseline)
    both = judged(current, baseline, change("distance", "fare"))
    one = judged(current, baseline, change("distance"))
    earlier = judged(current, baseline, change(), before_noon=1)
    assert (plain.verdict, both.verdict, one.verdict) == (Verdict.FLAGGED, Verdict.OK, Verdict.FLAGGED)
    assert earlier == replace(plain, window=earlier.window)
    assert {each.feature for each in one.findings if each.flagged} == {"fare"}
    covered = [each for each in both.findings if each.reason == SAID]
    assert {(each.kind, each.reference) for each in covered} == {
        (Kind.SKEW, "training"),
        (Kind.DRIFT, "previous"),
        (Kind.MISSING_VALUES, "training"),
        (Kind.MISSING_VALUES, "previous"),
        (Kind.SCHEMA_ANOMALY, "training"),
    }
    values = {(each.measure, each.reference): each.value for each in plain.findings if each.feature == "fare"}
    assert {(each.measure, each.reference): each.value for each in both.findings if each.feature == "fare"} == values


def test_what_beside_it_was_judged_by_other_means_still_flags(baseline: Baseline) -> None:
    rule = finding(Kind.CUSTOM_VALIDATION, None)
    settings = DetectionSettings(schema_changes=[change()])
    found = judge(count_rows(rows(3, shift=2.0), baseline), baseline, {}, settings, beside=[rule])
    assert found.verdict is Verdict.FLAGGED
    assert [each for each in found.findings if each.flagged] == [rule]


def test_slices_and_their_budget_follow_the_declaration() -> None:
    sliced = baseline_of(slicing.rows(6_000, 1), slicing.by(["side"]), None)
    current = slicing.window_of(slicing.rows(3_000, 2, moved=["east", "west"]), sliced)
    subject = Subject("m", "1", Window(NOON, NOON + HOUR))
    settings = DetectionSettings(schema_changes=[change("x")])
    found = judge_window(current, sliced, {}, settings, subject)
    assert {each.verdict for each in found} == {Verdict.OK}
    quarter = judge(current.slices[("side", "east"),], sliced.of_slice((("side", "east"),)), {}, settings, share=0.25)
    assert limits(found[1]) == limits(quarter), "what is declared rejects nothing that would be passed on"


def limits(found: WindowFindings) -> dict[tuple[str | None, str, str], float | None]:
    return {(each.feature, each.reference, each.measure): each.threshold for each in found.findings}


@pytest.mark.parametrize(
    ("length", "per_day", "share"),
    [
        pytest.param(HOUR, None, 1.0, id="none is set"),
        pytest.param(HOUR, 0.12, 0.5, id="half of the hour's own budget"),
        pytest.param(HOUR, 0.024, 0.1, id="a tenth of it"),
        pytest.param(HOUR, 5.0, 1.0, id="never more than the window's own"),
        pytest.param(timedelta(days=1), 0.005, 0.5, id="a day against itself"),
        pytest.param(timedelta(days=7), 0.005, 1.0, id="a week may spend more than a day"),
        pytest.param(timedelta(minutes=1), 1.44, 0.1, id="a minute"),
    ],
)
def test_windows_share_the_budget_of_a_day_by_their_length(
    baseline: Baseline, length: timedelta, per_day: float | None, share: float
) -> None:
    settings = DetectionSettings(min_effect=0.0, false_alarms_per_day=per_day)
    current = WindowProfile(count_rows(rows(3), baseline))
    (found,) = judge_window(current, baseline, {}, settings, Subject(window=Window(NOON, NOON + length)))
    alone = judge(current.overall, baseline, {}, DetectionSettings(min_effect=0.0), share=share)
    assert [each for each in limits(found).values() if each] == pytest.approx(
        [each for each in limits(alone).values() if each], rel=1e-6
    )
    if share < 1.0:
        whole = judge(current.overall, baseline, {}, DetectionSettings(min_effect=0.0))
        place = ("fare", "training", "cohens_w")
        strict, lenient = limits(found)[place], limits(whole)[place]
        assert strict is not None
        assert lenient is not None
        assert strict > lenient


def test_rows_of_no_known_time_have_the_budget_of_a_window(baseline: Baseline) -> None:
    current = WindowProfile(count_rows(rows(3), baseline))
    daily, plain = (DetectionSettings(false_alarms_per_day=each) for each in (0.01, None))
    assert judge_window(current, baseline, {}, daily, Subject()) == judge_window(
        current, baseline, {}, plain, Subject()
    )


def test_an_hour_is_flagged_no_more_often_than_its_part_of_the_day_allows(baseline: Baseline) -> None:
    per_day, runs, random = 0.5, 400, np.random.default_rng(4)
    settings = DetectionSettings(min_effect=0.0, false_alarms_per_day=per_day, false_alarm_rate=0.2)
    subject = Subject(window=Window(NOON, NOON + HOUR))
    flagged = 0
    for _ in range(runs):
        drawn = Rows(pa.table({"distance": random.normal(size=400), "fare": random.normal(size=400)}))
        (found,) = judge_window(WindowProfile(count_rows(drawn, baseline)), baseline, {}, settings, subject)
        flagged += found.verdict is Verdict.FLAGGED
    # An hour may spend 0.5 / 24, of which comparisons get half: 4 of 400 are expected, 13 have probability 0.0003.
    assert flagged <= 12
