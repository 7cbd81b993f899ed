"""Estimates of classifiers: they cover what labels say later, survive JSON, and stay silent where labels are too few."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pytest

from monitor.errors import InputError
from monitor.evaluate.estimate.classification import ScoreCalibration
from monitor.evaluate.estimate.estimates import Measure, Raw, interval
from monitor.evaluate.estimate.questions import MOST_CLASSES, questions
from monitor.evaluate.examples import Outcomes
from tests.unit.evaluate.estimate.worlds import classed, scored

Key = tuple[Measure, int | None]


def raws(calibration: ScoreCalibration, outcomes: Outcomes) -> dict[Key, Raw]:
    return {(raw.measure, raw.class_id): raw for raw in calibration.raw(outcomes)}


def realised(outcomes: Outcomes) -> dict[Key, float | None]:
    return {(raw.measure, raw.class_id): raw.value for raw in ScoreCalibration().realised(outcomes)}


def value(raw: Raw) -> float:
    assert raw.value is not None
    return raw.value


@pytest.mark.parametrize("labels", [400, 10_000])
def test_intervals_hold_what_labels_say_of_shifted_rows(labels: int) -> None:
    random = np.random.default_rng(labels)
    held: dict[Key, list[bool]] = defaultdict(list)
    for _ in range(60):
        calibration = ScoreCalibration().updated(scored(labels, random))
        for _ in range(3):
            window = scored(500, random, mean=0.8)
            real = realised(window)
            for key, raw in raws(calibration, window).items():
                low, high = interval(raw, 0.9)
                found = real[key]
                assert low is not None
                assert high is not None
                assert found is not None
                held[key].append(low <= found <= high)
    for key, each in held.items():
        assert 0.83 <= np.mean(each) <= 0.98, key


def test_a_shift_of_the_scores_moves_the_estimate_to_where_labels_put_it() -> None:
    random = np.random.default_rng(1)
    calibration = ScoreCalibration().updated(scored(20_000, random))
    usual, shifted = scored(20_000, random), scored(20_000, random, mean=2.0)
    before, after, real = raws(calibration, usual), raws(calibration, shifted), realised(shifted)
    for key in real:
        assert value(after[key]) == pytest.approx(real[key], abs=0.03)
    assert abs(value(after[Measure.MEAN_LABEL, None]) - value(before[Measure.MEAN_LABEL, None])) > 0.2


def test_weights_count() -> None:
    random = np.random.default_rng(2)
    calibration = ScoreCalibration().updated(scored(5_000, random))
    window = scored(400, random)
    twice = Outcomes(window.labels, window.predictions, np.where(window.predictions > 0.5, 2.0, 1.0))
    repeated = window.take(np.repeat(np.arange(400), np.where(window.predictions > 0.5, 2, 1)))
    weighted, copied = raws(calibration, twice), raws(calibration, repeated)
    for key, raw in weighted.items():
        assert value(raw) == pytest.approx(value(copied[key]), abs=1e-3)
        # A row of weight two is one label, and two copies of it are two.
        assert raw.standard_error >= copied[key].standard_error


def test_the_shared_part_of_the_error_falls_with_labels_and_the_rest_with_rows() -> None:
    random = np.random.default_rng(3)
    key = (Measure.BINARY_ACCURACY, None)
    few, many = (ScoreCalibration().updated(scored(count, random)) for count in (500, 50_000))
    small, large = scored(300, random), scored(30_000, random)
    assert raws(few, large)[key].shared_error > 5.0 * raws(many, large)[key].shared_error
    assert raws(many, small)[key].standard_error > 5.0 * raws(many, large)[key].standard_error
    assert raws(few, large)[key].standard_error == pytest.approx(raws(few, large)[key].shared_error, rel=0.1)


def test_three_classes_are_covered_each_and_together() -> None:
    random = np.random.default_rng(4)
    calibration = ScoreCalibration().updated(classed(5_000, random))
    off = []
    for _ in range(40):
        window = classed(500, random, mean=1.0)
        real = realised(window)
        found = raws(calibration, window)
        assert found.keys() == real.keys()
        off.append({key: (value(found[key]) - (real[key] or 0.0)) / found[key].standard_error for key in real})
    for key in off[0]:
        z = np.array([each[key] for each in off])
        assert np.mean(np.abs(z) < 2.0) >= 0.8, key
    assert (Measure.ACCURACY, None) in off[0]
    assert (Measure.PRECISION, 2) in off[0]


def test_one_hot_labels_are_class_numbers() -> None:
    outcomes = classed(50, np.random.default_rng(5))
    hot = Outcomes(np.eye(3)[outcomes.labels.astype(int)], outcomes.predictions)
    assert realised(hot) == realised(outcomes)


def test_of_many_classes_only_the_accuracy_is_estimated() -> None:
    assert len(list(questions(np.zeros((2, MOST_CLASSES + 1)), None))) == 1
    assert len(list(questions(np.zeros((2, MOST_CLASSES)), None))) == 1 + MOST_CLASSES


def test_a_row_with_a_missing_score_is_left_out() -> None:
    outcomes = classed(50, np.random.default_rng(6))
    broken = outcomes.predictions.copy()
    broken[0, 1] = np.nan
    asked = next(questions(broken, outcomes.labels))
    assert np.isnan(asked.scores[0])
    assert np.isfinite(asked.scores[1:]).all()


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([], "no row has a label yet"),
        ([0.0, 1.0] * 20, "too few labelled rows: 40 effective, 100 are needed"),
        ([0.0] * 200, "the labelled rows hold one class only"),
        ([0.0] * 200 + [1.0] * 5, "too few labelled rows of one class: 5 effective, 20 are needed"),
    ],
)
def test_too_few_labels_are_no_estimate(labels: list[float], said: str) -> None:
    outcomes = Outcomes(np.array(labels), np.linspace(0.1, 0.9, len(labels)))
    for raw in ScoreCalibration().updated(outcomes).raw(outcomes):
        assert raw.value is None
        assert raw.undefined == said


def test_a_calibration_comes_back_from_json_and_says_the_same() -> None:
    random = np.random.default_rng(7)
    calibration = ScoreCalibration(threshold=0.3).updated(scored(500, random)).updated(scored(3_000, random)).renewed(1)
    read = ScoreCalibration.from_document(json.loads(json.dumps(calibration.to_document())))
    window = scored(100, random)
    assert list(read.raw(window)) == list(calibration.raw(window))
    assert (read.epoch, read.threshold) == (1, 0.3)


def test_another_number_of_classes_is_refused() -> None:
    random = np.random.default_rng(11)
    calibration = ScoreCalibration().updated(scored(50, random))
    with pytest.raises(InputError, match="of another number of classes than those that were calibrated"):
        calibration.updated(classed(50, random))


def test_labels_that_come_make_it_surer() -> None:
    random = np.random.default_rng(8)
    window = scored(300, random)
    calibration = ScoreCalibration().updated(scored(300, random))
    more = calibration.updated(scored(5_000, random))
    key = (Measure.AUC, None)
    assert raws(more, window)[key].shared_error < 0.5 * raws(calibration, window)[key].shared_error


def test_a_renewed_calibration_forgets_what_was_before() -> None:
    random = np.random.default_rng(9)
    old = ScoreCalibration().updated(scored(10_000, random, level=-2.0))
    new = old.updated(scored(10_000, random, level=1.0)).renewed(1)
    window = scored(2_000, random, level=1.0)
    key = (Measure.MEAN_LABEL, None)
    assert value(raws(new, window)[key]) == pytest.approx(realised(window)[key], abs=0.04)
    assert new.epoch == old.epoch + 1


@pytest.mark.parametrize(
    ("scores", "outside"),
    [([0.3, 0.5], 0.0), ([0.3, np.nan], 0.5), ([1.7, 0.5], 0.5), ([0.0, 0.00001], 1.0), ([], 0.0)],
)
def test_it_knows_which_scores_it_never_saw(scores: list[float], outside: float) -> None:
    random = np.random.default_rng(10)
    calibration = ScoreCalibration().updated(scored(2_000, random))
    window = Outcomes(np.zeros(len(scores)), np.array(scores))
    assert calibration.outside(window) == pytest.approx(outside)
