"""What people said of findings: a false alarm raises a limit, a normal window is one more way to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from monitor.compare.case import PREVIOUS, TRAINING
from monitor.compare.family import judge_window
from monitor.compare.feedback import FalseAlarm, Feedback, Normal
from monitor.compare.findings import Finding, Subject, Verdict, WindowFindings
from monitor.compare.judge import judge
from monitor.config.detection import DetectionSettings
from monitor.profile.attributions import attribution_summary
from monitor.profile.baseline import Baseline
from monitor.profile.extras import BaselineExtras
from monitor.profile.profile import Profile, count_rows
from monitor.records import Rows
from tests import slicing
from tests.slicing import HOUR, baseline_of

SETTINGS = DetectionSettings()
HOLIDAY = "called a false alarm at 2026-03-01T00:00:00Z by ada: a holiday"
ACCEPTED = "taken for normal at 2026-03-01T00:00:00Z by ada"


def rows(seed: int, *, shift: float = 0.0, y: float = 0.0, missing: float = 0.0, count: int = 2_000) -> Rows:
    random = np.random.default_rng(seed)
    x = np.where(random.random(count) < missing, np.nan, random.normal(shift, 1.0, count))
    times = np.sort(random.integers(0, 12 * HOUR, count))
    return Rows(pa.table({"x": x, "y": random.normal(y, 1.0, count)}), event_times=times)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return baseline_of(rows(1, count=10_000))


def window(baseline: Baseline, seed: int, *, shift: float = 0.0, y: float = 0.0, missing: float = 0.0) -> Profile:
    return count_rows(rows(seed, shift=shift, y=y, missing=missing), baseline)


def of(findings: WindowFindings, measure: str, feature: str = "x", reference: str = TRAINING) -> Finding:
    (found,) = [
        each
        for each in findings.findings
        if (each.feature, each.reference, each.measure) == (feature, reference, measure)
    ]
    return found


def flagged(findings: WindowFindings) -> set[tuple[str | None, str]]:
    return {(each.feature, each.measure) for each in findings.findings if each.flagged}


def alarms(findings: WindowFindings) -> Feedback:
    """Call all that is flagged a false alarm."""
    return Feedback(
        {
            (str(each.feature), each.reference, each.measure): FalseAlarm(each.value, HOLIDAY)
            for each in findings.findings
            if each.flagged and each.value is not None
        }
    )


def normal(profile: Profile, *features: str) -> Feedback:
    return Feedback(normal={name: [Normal(profile.counts[name], profile.blocks, ACCEPTED)] for name in features})


def test_a_false_alarm_is_the_limit_of_the_same_comparison_later(baseline: Baseline) -> None:
    before = judge(window(baseline, 2, shift=0.8), baseline, {}, SETTINGS)
    assert {("x", "cohens_w"), ("x", "cohens_d")} <= flagged(before)
    later = window(baseline, 3, shift=0.6)
    assert judge(later, baseline, {}, SETTINGS).verdict is Verdict.FLAGGED
    heeded = judge(later, baseline, {}, SETTINGS, feedback=alarms(before))
    assert heeded.verdict is Verdict.OK
    finding = of(heeded, "cohens_w")
    plain, said = of(judge(later, baseline, {}, SETTINGS), "cohens_w"), of(before, "cohens_w").value
    assert plain.threshold is not None
    assert said is not None
    assert (finding.flagged, finding.threshold, finding.reason) == (False, said + plain.threshold, HOLIDAY)
    assert finding.value == of(judge(later, baseline, {}, SETTINGS), "cohens_w").value


@pytest.mark.parametrize(("more", "is_flagged"), [(1e-9, False), (-1e-9, True)], ids=["not quite", "just"])
def test_only_what_is_above_the_false_alarm_by_a_whole_threshold_flags_again(
    baseline: Baseline, more: float, is_flagged: bool
) -> None:
    current = window(baseline, 2, shift=0.8)
    found = of(judge(current, baseline, {}, SETTINGS), "cohens_w")
    assert found.value is not None
    assert found.threshold is not None
    said = found.value - found.threshold + more
    alarm = Feedback({("x", TRAINING, "cohens_w"): FalseAlarm(said, HOLIDAY)})
    heeded = of(judge(current, baseline, {}, SETTINGS, feedback=alarm), "cohens_w")
    assert heeded.flagged is is_flagged
    assert (heeded.reason is None) is is_flagged
    assert heeded.threshold == (found.threshold if is_flagged else pytest.approx(said + found.threshold))


@pytest.mark.parametrize(
    "place",
    [("y", TRAINING, "cohens_w"), ("x", PREVIOUS, "cohens_w"), ("x", TRAINING, "missing_rate")],
    ids=["of another feature", "against another reference", "by another measure"],
)
def test_a_false_alarm_says_nothing_of_other_comparisons(baseline: Baseline, place: tuple[str, str, str]) -> None:
    current = window(baseline, 2, shift=0.8)
    plain = judge(current, baseline, {}, SETTINGS)
    heeded = judge(current, baseline, {}, SETTINGS, feedback=Feedback({place: FalseAlarm(9.0, HOLIDAY)}))
    assert heeded == plain


def test_what_was_not_flagged_stays_as_it_is(baseline: Baseline) -> None:
    current = window(baseline, 2)
    names = ("cohens_w", "cohens_d", "missing_rate", "out_of_range_share")
    said = Feedback({("x", TRAINING, name): FalseAlarm(9.0, HOLIDAY) for name in names})
    both = replace(said, normal=normal(current, "x", "y").normal)
    assert judge(current, baseline, {}, SETTINGS, feedback=both) == judge(current, baseline, {}, SETTINGS)


def test_a_window_like_a_normal_one_is_not_flagged_and_says_why(baseline: Baseline) -> None:
    accepted = window(baseline, 2, shift=0.8)
    later = window(baseline, 3, shift=0.8)
    plain = judge(later, baseline, {}, SETTINGS)
    heeded = judge(later, baseline, {}, SETTINGS, feedback=normal(accepted, "x"))
    assert plain.verdict is Verdict.FLAGGED
    assert heeded.verdict is Verdict.OK
    finding, before = of(heeded, "cohens_w"), of(plain, "cohens_w")
    assert (finding.reason, finding.value, finding.threshold) == (ACCEPTED, before.value, before.threshold)


@pytest.mark.parametrize(
    ("shift", "y", "expected"),
    [
        pytest.param(1.6, 0.0, "x", id="further on the same way"),
        pytest.param(-0.8, 0.0, "x", id="the other way"),
        pytest.param(0.8, 0.8, "y", id="another feature too"),
    ],
)
def test_what_differs_from_training_and_from_what_is_normal_is_flagged(
    baseline: Baseline, shift: float, y: float, expected: str
) -> None:
    accepted = normal(window(baseline, 2, shift=0.8), "x")
    found = judge(window(baseline, 3, shift=shift, y=y), baseline, {}, SETTINGS, feedback=accepted)
    assert {feature for feature, _ in flagged(found)} == {expected}


def test_training_itself_stays_normal(baseline: Baseline) -> None:
    accepted = normal(window(baseline, 2, shift=0.8), "x")
    assert judge(window(baseline, 3), baseline, {}, SETTINGS, feedback=accepted).verdict is Verdict.OK


def test_one_of_several_normal_windows_is_enough(baseline: Baseline) -> None:
    windows = [window(baseline, seed, shift=shift) for seed, shift in ((2, -0.8), (3, 0.8))]
    accepted = Feedback(
        normal={"x": [Normal(each.counts["x"], each.blocks, f"window {n}") for n, each in enumerate(windows)]}
    )
    found = judge(window(baseline, 4, shift=0.8), baseline, {}, SETTINGS, feedback=accepted)
    assert found.verdict is Verdict.OK
    assert of(found, "cohens_w").reason == "window 1"


def test_missing_values_that_are_normal_are_not_flagged_up_to_as_many(baseline: Baseline) -> None:
    accepted = normal(window(baseline, 2, missing=0.2), "x")
    like, more = (window(baseline, 3, missing=missing) for missing in (0.2, 0.4))
    assert judge(like, baseline, {}, SETTINGS).verdict is Verdict.FLAGGED
    assert judge(like, baseline, {}, SETTINGS, feedback=accepted).verdict is Verdict.OK
    assert flagged(judge(more, baseline, {}, SETTINGS, feedback=accepted)) == {("x", "missing_rate")}


def test_a_window_all_of_whose_values_are_missing_is_not_like_one_that_has_some(baseline: Baseline) -> None:
    none = normal(window(baseline, 2, missing=1.0), "x")
    shifted = judge(window(baseline, 3, shift=0.8), baseline, {}, SETTINGS, feedback=none)
    assert ("x", "cohens_w") in flagged(shifted), "there is nothing to be no different from"


def test_a_normal_window_of_few_rows_excuses_nothing_that_it_cannot_tell(baseline: Baseline) -> None:
    few = count_rows(rows(2, missing=0.9, count=60), baseline)
    assert flagged(judge(few, baseline, {}, SETTINGS)) == {("x", "missing_rate")}, "an exact test needs few rows"
    found = judge(window(baseline, 3, shift=0.8), baseline, {}, SETTINGS, feedback=normal(few, "x"))
    assert ("x", "cohens_w") in flagged(found)


@pytest.mark.parametrize("timed", [True, False], ids=["blocks of time are known", "they are not"])
def test_a_normal_window_is_taken_with_the_variation_that_blocks_of_time_have(timed: bool) -> None:
    random = np.random.default_rng(5)
    swing = np.repeat(random.normal(scale=0.5, size=60), 200)
    times = np.repeat(np.arange(60), 200) * HOUR + random.integers(0, HOUR, 12_000)
    training = Rows(pa.table({"x": random.normal(swing)}), event_times=times)
    varying = baseline_of(training if timed else replace(training, event_times=None))

    def hour(mean: float, seed: int) -> Profile:
        drawn = np.random.default_rng(seed)
        at = 100 * HOUR + drawn.integers(0, HOUR, 200)
        return count_rows(Rows(pa.table({"x": drawn.normal(mean, 1.0, 200)}), event_times=at), varying)

    accepted, later = normal(hour(3.0, 1), "x"), hour(2.5, 2)
    assert flagged(judge(later, varying, {}, SETTINGS)) != set()
    # Hours differ by half a deviation as it is, so an hour half a deviation off the accepted one may be like it.
    assert (flagged(judge(later, varying, {}, SETTINGS, feedback=accepted)) == set()) is timed
    assert flagged(judge(hour(9.0, 3), varying, {}, SETTINGS, feedback=accepted)) != set()


def test_a_persons_threshold_is_above_what_was_said() -> None:
    baseline = baseline_of(rows(1))
    settings = DetectionSettings.model_validate({"features": {"x": {"thresholds": {"psi": 0.1}}}})
    current = window(baseline, 2, shift=0.8)
    plain = judge(current, baseline, {}, settings)
    feedback = Feedback({("x", TRAINING, "psi"): FalseAlarm(9.0, HOLIDAY)}, normal(current, "x").normal)
    assert judge(current, baseline, {}, settings, feedback=feedback) == plain
    assert of(plain, "psi").flagged


def test_a_false_alarm_about_attributions_is_heeded() -> None:
    def attributed(seed: int, x: float) -> Rows:
        random = np.random.default_rng(seed)
        table = {"x": random.normal(size=2_000), "attribution.x": random.normal(scale=x, size=2_000)}
        return Rows(pa.table(table | {"attribution.y": random.normal(size=2_000)}))

    training = attributed(1, 1.0)
    plain = baseline_of(Rows(training.features.select(["x"])))
    baseline = replace(plain, extras=BaselineExtras(attributions=attribution_summary(training)))
    found = judge(count_rows(attributed(2, 2.5), baseline), baseline, {}, SETTINGS)
    assert {each.measure for each in found.findings if each.flagged} == {"attribution_share"}
    later = count_rows(attributed(3, 2.0), baseline)
    assert judge(later, baseline, {}, SETTINGS).verdict is Verdict.FLAGGED
    assert judge(later, baseline, {}, SETTINGS, feedback=alarms(found)).verdict is Verdict.OK
    ignoring = DetectionSettings.model_validate({"features": {name: {"ignore": True} for name in ("x", "y")}})
    assert judge(later, baseline, {}, ignoring).verdict is Verdict.OK, "nothing is said of what the settings ignore"


def test_feedback_on_a_slice_counts_for_that_slice_alone() -> None:
    baseline = baseline_of(slicing.rows(6_000, 1), slicing.by(["side"]), None)
    current = slicing.window_of(slicing.rows(3_000, 2, moved=["east", "west"]), baseline)
    name = '{"side":"west"}'
    west = current.slices[("side", "west"),]
    found = judge_window(current, baseline, {}, SETTINGS, Subject(), feedback={name: normal(west, "x")})
    assert [each.verdict for each in found] == [Verdict.FLAGGED, Verdict.FLAGGED, Verdict.OK]
