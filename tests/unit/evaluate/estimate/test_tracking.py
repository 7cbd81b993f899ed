"""Estimates held against labels: chance is no suspicion, concept drift is, and what does not matter is none."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from monitor.evaluate.estimate.classification import ScoreCalibration
from monitor.evaluate.estimate.estimates import Measure
from monitor.evaluate.estimate.estimating import track
from monitor.evaluate.estimate.tracking import REMEMBERED, Tracked, tracking
from monitor.evaluate.examples import Outcomes
from tests.unit.evaluate.estimate.worlds import Random, scored

History = list[list[Tracked]]


def of(
    estimated: float,
    realised: float,
    *,
    own: float = 0.01,
    shared: float = 0.0,
    measure: Measure = Measure.MEAN_LABEL,
    epoch: int = 0,
    skewness: float = 0.0,
) -> list[Tracked]:
    total = float(np.hypot(own, shared))
    return [Tracked(measure, estimated, total, shared, realised, epoch=epoch, skewness=skewness)]


def started(count: int, random: Random, *, level: float = -0.3) -> ScoreCalibration:
    """Return a calibration on labelled rows in five windows."""
    calibration = ScoreCalibration()
    for _ in range(5):
        calibration = calibration.updated(scored(count // 5, random, level=level))
    return calibration


def followed(
    windows: int, draw: Callable[[Random], Outcomes], calibration: ScoreCalibration, history: History, random: Random
) -> tuple[ScoreCalibration, list[bool]]:
    """Track windows as they come, learning from each after it was tracked; return who was suspected after each."""
    suspected = []
    for _ in range(windows):
        window = draw(random)
        history.append(track(calibration, window))
        suspected.append(tracking(history, calibration.epoch).suspicion is not None)
        calibration = calibration.updated(window)
    return calibration, suspected


def test_without_drift_suspicion_is_as_rare_as_stated() -> None:
    random = np.random.default_rng(1)
    suspected: list[bool] = []
    for _ in range(25):
        start = started(2_000, random)
        suspected += followed(16, lambda rng: scored(400, rng, mean=rng.normal(0.0, 0.5)), start, [], random)[1]
    assert np.mean(suspected) <= 0.02  # 0.01 is stated; 400 windows, which come in runs


@pytest.mark.parametrize(
    ("rows", "drifted", "within"),
    [
        (1_000, lambda rng: scored(1_000, rng, level=-0.8), 2),
        (1_000, lambda rng: scored(1_000, rng, slope=0.2), 2),
        (300, lambda rng: scored(300, rng, level=-0.8), 6),
    ],
    ids=["the level falls", "scores tell less", "few labels a window"],
)
def test_concept_drift_is_suspected_within_a_few_labelled_windows(
    rows: int, drifted: Callable[[Random], Outcomes], within: int
) -> None:
    random = np.random.default_rng(2)
    found = 0
    for _ in range(10):
        history: History = []
        start = started(5_000, random)
        calibration, _ = followed(8, lambda rng: scored(rows, rng), start, history, random)
        found += any(followed(within, drifted, calibration, history, random)[1])
    assert found >= 9


def test_a_calibration_made_anew_on_the_windows_that_differ_is_right_again() -> None:
    random = np.random.default_rng(3)
    history: History = []
    calibration = started(20_000, random)
    calibration, _ = followed(4, lambda rng: scored(2_000, rng), calibration, history, random)
    calibration, suspected = followed(3, lambda rng: scored(2_000, rng, level=-1.5), calibration, history, random)
    assert suspected[-1]
    renewed = calibration.renewed(tracking(history, calibration.epoch).since)
    assert tracking(history, renewed.epoch).suspicion is None
    _, after = followed(6, lambda rng: scored(2_000, rng, level=-1.5), renewed, history, random)
    assert not any(after)


def test_labels_of_nothing_but_rare_positives_are_not_taken_for_normal() -> None:
    random = np.random.default_rng(4)
    suspected: list[bool] = []
    for _ in range(10):
        start = started(30_000, random, level=-5.0)
        suspected += followed(16, lambda rng: scored(500, rng, level=-5.0), start, [], random)[1]
    assert np.mean(suspected) <= 0.03


@pytest.mark.parametrize(
    ("history", "since"),
    [
        ([of(0.3, 0.31)] * 8, 0),
        ([of(0.3, 0.30), of(0.3, 0.30), of(0.3, 0.38)], 1),
        ([of(0.3, 0.325)] * 8, 8),
        ([of(0.3, 0.325)], 0),
        ([of(0.3, 0.325, shared=0.02)] * 8, 0),
        ([of(0.3, 0.309, own=0.0001)] * 8, 0),
        ([of(0.3, 0.39, skewness=1.0)], 0),
        ([of(0.3, 0.5, measure=Measure.PRECISION)] * 8, 0),
        ([of(0.3, 0.5, epoch=3)] * 8, 0),
        ([], 0),
    ],
    ids=[
        "within chance",
        "one window far off",
        "many windows a little off",
        "too few of those",
        "no more than the calibration's own doubt",
        "sure, and too small to matter",
        "too skewed for a normal tail",
        "a measure that follows from others",
        "another epoch",
        "no labels yet",
    ],
)
def test_what_is_suspected(history: Sequence[Sequence[Tracked]], since: int) -> None:
    found = tracking(history)
    assert found.since == since
    assert (found.suspicion is not None) == (since > 0)


def test_a_suspicion_says_what_differed_by_how_much() -> None:
    said = tracking([of(0.3, 0.38)]).suspicion
    assert said is not None
    assert said.startswith(
        "concept drift is suspected: over the last labelled window mean_label was 0.08 higher than estimated, with a "
        "standard error of 0.01 (p = "
    )


def test_a_calibration_of_few_windows_cannot_tell_drift_from_what_days_are_like() -> None:
    far = Tracked(Measure.MEAN_LABEL, 0.3, 0.01, 0.0, 0.5, windows=4)
    found = tracking([[far]] * 3)
    assert found.suspicion is None
    assert found.errors[far.key].mean_absolute == pytest.approx(0.2)


def test_days_that_differ_by_themselves_are_no_drift() -> None:
    random = np.random.default_rng(6)
    suspected: list[bool] = []

    def day(rng: Random) -> Outcomes:
        return scored(800, rng, level=float(rng.normal(-0.3, 0.3)))

    for _ in range(8):
        calibration, _ = followed(12, day, ScoreCalibration(), [], random)
        suspected += followed(25, day, calibration, [], random)[1]
    assert np.mean(suspected) <= 0.03


def test_errors_are_those_of_the_last_windows() -> None:
    old, new = [of(0.3, 0.9, own=1.0)] * 10, [of(0.3, 0.32), of(0.3, 0.26)] * (REMEMBERED // 2)
    error = tracking([*old, *new]).errors[Measure.MEAN_LABEL, None]
    assert error.mean_absolute == pytest.approx(0.03)
    assert error.bias == pytest.approx(-0.01)
    assert error.windows == REMEMBERED


def test_the_error_of_a_realised_value_of_other_rows_counts() -> None:
    sure = Tracked(Measure.MEAN_LABEL, 0.3, 0.01, 0.0, 0.38)
    unsure = Tracked(Measure.MEAN_LABEL, 0.3, 0.01, 0.0, 0.38, realised_error=0.05)
    assert tracking([[sure]]).suspicion is not None
    assert tracking([[unsure]]).suspicion is None


def test_what_was_tracked_comes_back_from_json() -> None:
    random = np.random.default_rng(5)
    calibration = ScoreCalibration().updated(scored(500, random))
    for each in track(calibration, scored(100, random)):
        assert Tracked.from_document(json.loads(json.dumps(each.to_document()))) == each
