"""Estimates of regression models: they cover what labels say later, and learn from columns what the prediction does not tell."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest

from monitor.errors import InputError
from monitor.evaluate.estimate.estimates import Measure, Raw, interval
from monitor.evaluate.estimate.loss_sample import MOST_ROWS, LossSample
from monitor.evaluate.estimate.regression import LossCalibration
from monitor.evaluate.examples import Outcomes
from tests.unit.evaluate.estimate.worlds import measured


def raws(calibration: LossCalibration, outcomes: Outcomes, features: dict[str, pa.Array]) -> dict[Measure, Raw]:
    return {raw.measure: raw for raw in calibration.raw(outcomes, features)}


def realised(outcomes: Outcomes) -> dict[Measure, float]:
    calibration = LossCalibration.of(outcomes)
    return {raw.measure: raw.value for raw in calibration.realised(outcomes) if raw.value is not None}


def value(raw: Raw) -> float:
    assert raw.value is not None
    return raw.value


def test_intervals_hold_what_labels_say_of_shifted_rows() -> None:
    random = np.random.default_rng(1)
    held: dict[Measure, list[bool]] = defaultdict(list)
    for _ in range(40):
        calibration = LossCalibration.of(*measured(1_500, random))
        for _ in range(3):
            window, features = measured(500, random, mean=0.7)
            real = realised(window)
            for measure, raw in raws(calibration, window, features).items():
                low, high = interval(raw, 0.9)
                if low is not None and high is not None:
                    held[measure].append(low <= real[measure] <= high)
    assert 0.85 <= np.mean(held[Measure.MEAN_ABSOLUTE_ERROR]) <= 0.97
    # Squares have heavier tails than a normal interval knows.
    assert np.mean(held[Measure.MEAN_SQUARED_ERROR]) >= 0.78
    assert np.mean(held[Measure.ROOT_MEAN_SQUARED_ERROR]) >= 0.78


def test_a_shift_of_the_rows_moves_the_estimate_to_where_labels_put_it() -> None:
    random = np.random.default_rng(2)
    calibration = LossCalibration.of(*measured(5_000, random))
    usual, shifted = measured(5_000, random), measured(5_000, random, mean=1.0)
    before = value(raws(calibration, *usual)[Measure.MEAN_ABSOLUTE_ERROR])
    after = value(raws(calibration, *shifted)[Measure.MEAN_ABSOLUTE_ERROR])
    assert after == pytest.approx(realised(shifted[0])[Measure.MEAN_ABSOLUTE_ERROR], rel=0.06)
    assert after > 1.4 * before


def test_a_column_tells_what_the_prediction_does_not() -> None:
    random = np.random.default_rng(3)
    outcomes, features = measured(5_000, random)
    window, columns = measured(5_000, random)
    places = np.flatnonzero(columns["kind"].to_numpy(zero_copy_only=False) == "b")
    hard = window.take(places)
    real = realised(hard)[Measure.MEAN_ABSOLUTE_ERROR]
    chosen = {name: column.take(pa.array(places)) for name, column in columns.items()}
    with_columns = LossCalibration.of(outcomes, features)
    without = LossCalibration.of(outcomes)
    assert value(raws(with_columns, hard, chosen)[Measure.MEAN_ABSOLUTE_ERROR]) == pytest.approx(real, rel=0.08)
    assert value(raws(without, hard, {})[Measure.MEAN_ABSOLUTE_ERROR]) < 0.85 * real
    assert "kind, noise" in with_columns.assumption


def test_the_mean_error_is_never_estimable_and_says_why() -> None:
    calibration = LossCalibration.of(*measured(500, np.random.default_rng(4)))
    raw = raws(calibration, *measured(50, np.random.default_rng(5)))[Measure.MEAN_ERROR]
    assert raw.value is None
    assert "not their sign" in raw.undefined


def test_weights_count() -> None:
    random = np.random.default_rng(6)
    calibration = LossCalibration.of(*measured(2_000, random))
    window, features = measured(300, random)
    often = window.predictions > 0.0
    copies = np.repeat(np.arange(300), np.where(often, 2, 1))
    weighted = raws(calibration, Outcomes(window.labels, window.predictions, np.where(often, 2.0, 1.0)), features)
    copied = raws(
        calibration, window.take(copies), {name: column.take(pa.array(copies)) for name, column in features.items()}
    )
    for measure in (Measure.MEAN_ABSOLUTE_ERROR, Measure.MEAN_SQUARED_ERROR, Measure.ROOT_MEAN_SQUARED_ERROR):
        assert value(weighted[measure]) == pytest.approx(value(copied[measure]))
        assert weighted[measure].standard_error >= copied[measure].standard_error


@pytest.mark.parametrize(
    ("rows", "said"),
    [(0, "no row has a label yet"), (40, "too few labelled rows: 40 effective, 100 are needed")],
)
def test_too_few_labels_are_no_estimate(rows: int, said: str) -> None:
    calibration = LossCalibration.of(*measured(rows, np.random.default_rng(7)))
    for raw in calibration.raw(*measured(50, np.random.default_rng(8))):
        assert raw.value is None
        assert raw.undefined == said


def test_a_model_that_is_always_right_teaches_nothing() -> None:
    numbers = np.arange(200.0)
    calibration = LossCalibration.of(Outcomes(numbers, numbers))
    assert [raw.value for raw in calibration.raw(Outcomes(numbers, numbers))] == [None] * 3


def test_a_calibration_comes_back_from_json_and_says_the_same() -> None:
    random = np.random.default_rng(9)
    outcomes, features = measured(400, random)
    gaps = {**features, "gaps": pa.array([None if i % 3 == 0 else float(i) for i in range(400)])}
    calibration = LossCalibration.of(outcomes, gaps).updated(outcomes, gaps).renewed(1)
    read = LossCalibration.from_document(json.loads(json.dumps(calibration.to_document(), allow_nan=False)))
    assert list(read.raw(outcomes, gaps)) == list(calibration.raw(outcomes, gaps))
    assert read.epoch == 1


def test_old_windows_are_forgotten_when_newer_ones_suffice() -> None:
    random = np.random.default_rng(10)
    calibration = LossCalibration.of(*measured(20_000, random))
    assert len(calibration.sample) == MOST_ROWS
    assert calibration.sample.weights.sum() == pytest.approx(20_000)
    for _ in range(12):
        calibration = calibration.updated(*measured(3_000, random, factor=3.0))
    assert MOST_ROWS <= len(calibration.sample) <= 1.5 * MOST_ROWS
    window = measured(1_000, random, factor=3.0)
    real = realised(window[0])[Measure.MEAN_ABSOLUTE_ERROR]
    assert value(raws(calibration, *window)[Measure.MEAN_ABSOLUTE_ERROR]) == pytest.approx(real, rel=0.15)


def test_a_level_that_differs_from_day_to_day_widens_the_error() -> None:
    random = np.random.default_rng(11)
    varied, steady = (LossCalibration.of(*measured(800, random)) for _ in range(2))
    for factor in np.exp(random.normal(0.0, 0.4, 12)):
        varied = varied.updated(*measured(800, random, factor=float(factor)))
        steady = steady.updated(*measured(800, random))
    window = measured(20_000, random)
    key = Measure.MEAN_ABSOLUTE_ERROR
    assert raws(varied, *window)[key].standard_error > 5.0 * raws(steady, *window)[key].standard_error


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ({}, "learned by column 'kind', which the rows lack"),
        ({"kind": pa.array([1.0] * 50), "noise": pa.array([1.0] * 50)}, "type double: it must hold numbers or text"),
        ({"kind": pa.array(["a"] * 50), "noise": pa.array(["x"] * 50)}, "by numbers in column 'noise'"),
    ],
)
def test_columns_that_are_missing_or_changed_are_told(features: dict[str, pa.Array], said: str) -> None:
    calibration = LossCalibration.of(*measured(500, np.random.default_rng(12)))
    window, _ = measured(50, np.random.default_rng(13))
    with pytest.raises(InputError, match=said):
        list(calibration.raw(window, features))
    with pytest.raises(InputError, match="losses"):
        calibration.updated(window, features)


def test_a_column_of_lists_cannot_be_learned_from() -> None:
    outcomes, _ = measured(3, np.random.default_rng(14))
    with pytest.raises(InputError, match="must hold numbers or text"):
        LossSample.of(outcomes, {"words": pa.array([["a"], ["b"], []])}, 10)


@pytest.mark.parametrize(
    ("predictions", "outside"), [([0.0, 1.0], 0.0), ([0.0, 1e6], 0.5), ([np.nan, 0.0], 0.5), ([], 0.0)]
)
def test_it_knows_which_predictions_it_never_saw(predictions: list[float], outside: float) -> None:
    calibration = LossCalibration.of(*measured(500, np.random.default_rng(15)))
    window = Outcomes(np.zeros(len(predictions)), np.array(predictions))
    assert calibration.outside(window) == pytest.approx(outside)
