from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from monitor.compare.family import judge_window
from monitor.compare.findings import Subject, Verdict, WindowFindings
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import Baseline, create_baseline
from monitor.profile.profile import Profile, count_rows
from monitor.profile.sliced import WindowProfile
from monitor.records import Rows

SETTINGS = DetectionSettings()
RANDOM = np.random.default_rng(5)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return create_baseline(_rows(20_000, 0.0))


def _rows(count: int, shift: float) -> Rows:
    return Rows(pa.table({"a": RANDOM.normal(shift, 1.0, count), "b": RANDOM.choice(["x", "y", "z"], count)}))


def _judged(baseline: Baseline, windows: list[Profile]) -> WindowFindings:
    *before, last = windows
    found = judge_window(WindowProfile(last), baseline, {}, SETTINGS, Subject(), recent=lambda: before)
    return found[0]


def _small(baseline: Baseline, count: int, shift: float) -> list[Profile]:
    return [count_rows(_rows(40, shift), baseline) for _ in range(count)]


def test_a_window_alone_has_too_few_rows(baseline: Baseline) -> None:
    assert _judged(baseline, _small(baseline, 1, 0.5)).verdict is Verdict.INSUFFICIENT


def test_together_with_those_before_it_a_change_is_found(baseline: Baseline) -> None:
    found = _judged(baseline, _small(baseline, 20, 0.8))
    assert found.verdict is Verdict.FLAGGED
    assert found.rows == 40
    flagged = [finding for finding in found.findings if finding.flagged]
    assert {finding.feature for finding in flagged} == {"a"}
    assert all("windows before" in (finding.reason or "") for finding in flagged)


def test_together_nothing_that_is_not_there_is_found(baseline: Baseline) -> None:
    verdicts = [_judged(baseline, _small(baseline, 20, 0.0)).verdict for _ in range(20)]
    assert verdicts == [Verdict.OK] * 20


def test_with_few_windows_before_it_evidence_still_lacks(baseline: Baseline) -> None:
    assert _judged(baseline, _small(baseline, 2, 0.8)).verdict is Verdict.INSUFFICIENT


def test_windows_before_are_not_asked_for_where_one_has_enough(baseline: Baseline) -> None:
    def never() -> list[Profile]:
        raise AssertionError

    window = WindowProfile(count_rows(_rows(1_000, 0.0), baseline))
    assert judge_window(window, baseline, {}, SETTINGS, Subject(), recent=never)[0].verdict is Verdict.OK
