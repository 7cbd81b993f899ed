"""What the judge makes of data breaks: they stand first, and the comparisons that show them say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from monitor.compare.case import PREVIOUS
from monitor.compare.feedback import NO_FEEDBACK, FalseAlarm, Feedback
from monitor.compare.findings import Finding, Kind, Verdict, WindowFindings
from monitor.compare.judge import judge
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import Baseline, create_baseline
from monitor.profile.profile import build_profile
from monitor.records import Misfits, Rows
from tests.unit.compare.samples import drawn, flights, of_months

SETTINGS = DetectionSettings()
EXPLAINS = "the data break of this feature explains it"
JANUARY = of_months(flights(), 1)
ORDER = np.random.default_rng(1).permutation(JANUARY.num_rows)
WINDOW, EARLIER = drawn(JANUARY, ORDER[20_000:21_500]), drawn(JANUARY, ORDER[22_000:23_500])


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return create_baseline(drawn(JANUARY, ORDER[:20_000]))


def changed(**changes: Callable[[pa.Array], pa.Array]) -> Rows:
    """Return the window with columns changed."""
    table = WINDOW.features
    for name, change in changes.items():
        table = table.set_column(table.column_names.index(name), name, change(table[name]))
    return replace(WINDOW, features=table)


def judged(
    rows: Rows, baseline: Baseline, settings: DetectionSettings = SETTINGS, feedback: Feedback = NO_FEEDBACK
) -> WindowFindings:
    return judge(build_profile(rows, baseline), baseline, {}, settings, feedback=feedback)


def kilometres(distance: pa.Array) -> pa.Array:
    # A schema of whole numbers takes no fractions, so the unit that was meant was rounded to them.
    return pc.cast(pc.round(pc.multiply(distance, 1.609)), pa.int64())


def breaks(found: WindowFindings) -> list[Finding]:
    return [each for each in found.findings if each.kind is Kind.DATA_BREAK]


def test_a_new_unit_stands_first_and_the_comparisons_that_show_it_say_so(baseline: Baseline) -> None:
    found = judged(changed(distance=kilometres), baseline)
    first, *others = found.findings
    assert (first.kind, first.feature, first.measure, first.flagged) == (Kind.DATA_BREAK, "distance", "new_unit", True)
    assert first.reference == "training"
    assert first.value is not None
    assert first.value > 0.9
    assert "miles became kilometres" in first.explanation
    assert found.verdict is Verdict.FLAGGED
    shown = [each for each in others if each.flagged and each.feature == "distance"]
    assert {"cohens_w", "cohens_d"} <= {each.measure for each in shown}
    assert {each.reason for each in shown} == {EXPLAINS}
    assert not any(each.flagged for each in others if each.feature != "distance")
    json.dumps(found.to_json(), allow_nan=False)


def test_drift_alone_is_no_break(baseline: Baseline) -> None:
    july = of_months(flights(), 7)
    window = drawn(july, np.random.default_rng(2).choice(july.num_rows, 1_500, replace=False))
    found = judged(window, baseline)
    assert found.verdict is Verdict.FLAGGED
    assert breaks(found) == []
    assert not any(each.reason == EXPLAINS for each in found.findings)


def test_a_window_like_its_baseline_has_neither(baseline: Baseline) -> None:
    found = judged(WINDOW, baseline)
    assert (found.verdict, breaks(found)) == (Verdict.OK, [])


def test_breaks_come_before_drift_however_strong_that_is(baseline: Baseline) -> None:
    def all_to_one(values: pa.Array) -> pa.Array:
        # Nearly all flights of one carrier: drift that is as far from training as it can be.
        return pa.array(np.where(np.arange(len(values)) % 10 < 9, "UA", "AA"))

    found = judged(changed(distance=kilometres, carrier=all_to_one), baseline)
    kinds = [each.kind for each in found.findings if each.flagged]
    assert kinds[0] is Kind.DATA_BREAK
    assert kinds.count(Kind.DATA_BREAK) == 1
    assert {each.reason for each in found.findings if each.flagged and each.feature == "carrier"} == {None}


def test_breaks_come_before_broken_rules(baseline: Baseline) -> None:
    rule = Finding(
        kind=Kind.CUSTOM_VALIDATION,
        feature=None,
        reference="training",
        measure="positive",
        value=None,
        threshold=None,
        p_value=None,
        flagged=True,
        reason=None,
        explanation="it is broken",
    )
    profile = build_profile(changed(distance=kilometres), baseline)
    found = judge(profile, baseline, {}, SETTINGS, beside=[rule])
    assert [each.kind for each in found.findings[:2]] == [Kind.DATA_BREAK, Kind.CUSTOM_VALIDATION]


def test_several_breaks_stand_first_together(baseline: Baseline) -> None:
    found = judged(changed(distance=kilometres, carrier=pc.utf8_lower, dep_delay=pc.negate), baseline)
    assert {each.feature: each.measure for each in found.findings[:3]} == {
        "distance": "new_unit",
        "carrier": "recoded",
        "dep_delay": "sign_flipped",
    }
    assert len(breaks(found)) == 3
    marked = {each.feature for each in found.findings if each.reason == EXPLAINS}
    assert marked == {"distance", "carrier", "dep_delay"}


def test_comparisons_with_an_earlier_window_say_so_too(baseline: Baseline) -> None:
    profile, before = (build_profile(rows, baseline) for rows in (changed(distance=kilometres), EARLIER))
    found = judge(profile, baseline, {PREVIOUS: before}, SETTINGS)
    drift = [each for each in found.findings if each.flagged and each.reference == PREVIOUS]
    assert {each.feature for each in drift} == {"distance"}
    assert {each.reason for each in drift} == {EXPLAINS}
    assert len(breaks(found)) == 1


def test_a_break_that_lasts_is_no_drift_from_the_window_before(baseline: Baseline) -> None:
    broken = build_profile(changed(distance=kilometres), baseline)
    found = judge(broken, baseline, {PREVIOUS: broken}, SETTINGS)
    assert [each.feature for each in breaks(found)] == ["distance"]
    assert not any(each.flagged for each in found.findings if each.reference == PREVIOUS)


def test_a_change_of_type_needs_no_comparison(baseline: Baseline) -> None:
    misfits = {"distance": Misfits(1_500, ('"1400"',))}
    rows = changed(distance=lambda column: pa.nulls(len(column), pa.int64()))
    found = judged(replace(rows, misfits=misfits), baseline)
    assert (found.findings[0].measure, found.findings[0].feature) == ("type_changed", "distance")
    (misfit,) = [each for each in found.findings if each.measure == "type_mismatch"]
    assert (misfit.flagged, misfit.reason) == (True, EXPLAINS)


@pytest.mark.parametrize(
    "said",
    [{"ignore": True}, {"thresholds": {"psi": 90.0}}],
    ids=["an ignored feature", "one that is below a person's threshold"],
)
def test_no_break_is_looked_for_where_nothing_is_flagged(baseline: Baseline, said: dict[str, object]) -> None:
    settings = DetectionSettings.model_validate({"features": {"distance": said}})
    found = judged(changed(distance=kilometres), baseline, settings)
    assert (found.verdict, breaks(found)) == (Verdict.OK, [])


@pytest.mark.parametrize("gone", [True, False], ids=["its column is gone", "its values are of another type"])
def test_nothing_is_said_of_an_ignored_feature(baseline: Baseline, gone: bool) -> None:
    settings = DetectionSettings.model_validate({"features": {"distance": {"ignore": True}}})
    nothing = changed(distance=lambda column: pa.nulls(len(column), pa.int64()))
    mistyped = replace(nothing, misfits={"distance": Misfits(1_500, ('"1400"',))})
    without = replace(WINDOW, features=WINDOW.features.drop(["distance"]))
    found = judged(without if gone else mistyped, baseline, settings)
    assert [each for each in found.findings if each.feature == "distance"] == []
    assert found.verdict is Verdict.OK


def test_a_false_alarm_takes_the_break_with_it(baseline: Baseline) -> None:
    plain = judged(changed(distance=kilometres), baseline)
    alarms = {
        (str(each.feature), each.reference, each.measure): FalseAlarm(each.value, "called a false alarm")
        for each in plain.findings
        if each.flagged and each.value is not None
    }
    found = judged(changed(distance=kilometres), baseline, feedback=Feedback(alarms))
    assert (found.verdict, breaks(found)) == (Verdict.OK, [])
