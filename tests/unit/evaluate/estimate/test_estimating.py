"""The entry: what is told of an estimate, and when it is not to be believed."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from monitor.compare.findings import Kind, Outcome
from monitor.errors import InputError
from monitor.evaluate.estimate.classification import ScoreCalibration
from monitor.evaluate.estimate.estimates import Estimate, Measure, Raw, interval
from monitor.evaluate.estimate.estimating import calibrate, calibration_from_document, estimate, track
from monitor.evaluate.estimate.findings import estimate_findings
from monitor.evaluate.estimate.regression import LossCalibration
from monitor.evaluate.examples import Floats, Outcomes
from tests.unit.evaluate.estimate.worlds import classed, measured, scored

RANDOM = np.random.default_rng(1)
BINARY = calibrate(scored(1_000, RANDOM))
for _ in range(4):
    BINARY = BINARY.updated(scored(1_000, RANDOM))


def named(estimates: list[Estimate]) -> dict[str, Estimate]:
    return {each.name: each for each in estimates}


@pytest.mark.parametrize(
    ("outcomes", "kind"),
    [
        (scored(200, RANDOM), ScoreCalibration),
        (classed(200, RANDOM), ScoreCalibration),
        (Outcomes(np.array([0.0, 1.0, np.nan]), np.array([0.2, 0.4, 0.6])), ScoreCalibration),
        (Outcomes(np.array([0.0, 1.0, 2.0]), np.array([0.2, 0.4, 0.6])), LossCalibration),
        (Outcomes(np.array([0.0, 0.5]), np.array([0.2, 0.4])), LossCalibration),
    ],
    ids=["two classes", "three classes", "an unknown label", "numbers", "numbers within [0, 1]"],
)
def test_what_a_model_is_follows_from_its_predictions_and_labels(outcomes: Outcomes, kind: type) -> None:
    assert isinstance(calibrate(outcomes), kind)


def test_scores_that_are_no_probabilities_are_refused() -> None:
    outcomes = Outcomes(np.array([0.0, 1.0]), np.array([-3.2, 1.4]))
    with pytest.raises(
        InputError, match=r"scores range from -3\.2 to 1\.4, and quality is estimated from probabilities"
    ):
        calibrate(outcomes)


def test_an_estimate_tells_value_interval_assumption_and_past_error() -> None:
    random = np.random.default_rng(2)
    window = scored(1_000, random)
    history = [track(BINARY, scored(1_000, random)) for _ in range(3)]
    found = named(estimate(window.predictions, None, BINARY, history))["auc"]
    assert found.estimable
    assert found.reason is None
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert found.tracking_error is not None
    assert found.tracking_error.windows == 3
    assert found.explanation == (
        f"auc is estimated at {found.value:.4g} ({found.low:.4g} to {found.high:.4g} with 95% confidence), assuming that "
        "labels depend on the score as they did when it was calibrated (no concept drift); over 3 labelled windows estimates "
        f"were off by {found.tracking_error.mean_absolute:.4g} on average"
    )


def test_measures_are_named_as_tfma_names_them() -> None:
    window = scored(100, np.random.default_rng(3))
    assert set(named(estimate(window.predictions, None, BINARY))) == {
        *("auc", "binary_accuracy", "precision", "recall", "specificity", "f1_score", "binary_crossentropy"),
        "mean_label",
    }
    outcomes, features = measured(500, np.random.default_rng(4))
    found = named(estimate(outcomes.predictions, None, calibrate(outcomes, features), features=features))
    assert set(found) == {"mean_absolute_error", "mean_squared_error", "root_mean_squared_error", "mean_error"}
    classes = classed(500, np.random.default_rng(5))
    several = named(estimate(classes.predictions, None, calibrate(classes)))
    assert {"accuracy", "precision of class 0", "auc of class 2"} <= set(several)


def test_without_labels_it_says_that_nothing_checked_it_yet() -> None:
    found = estimate(scored(100, np.random.default_rng(6)).predictions, None, BINARY)
    assert all(each.tracking_error is None for each in found)
    assert all(each.explanation.endswith("no labels have come yet to check that") for each in found)


def test_where_concept_drift_is_suspected_nothing_is_estimable_and_numbers_stay() -> None:
    random = np.random.default_rng(7)
    history = [track(BINARY, scored(2_000, random, level=1.0)) for _ in range(2)]
    found = estimate(scored(500, random).predictions, None, BINARY, history)
    assert not any(each.estimable for each in found)
    assert all(
        each.value is not None and (each.reason or "").startswith("concept drift is suspected") for each in found
    )
    assert ". Not to be relied on: concept drift is suspected" in found[0].explanation


@pytest.mark.parametrize("sort", ["scores", "losses"])
def test_a_calibration_made_anew_is_tried_for_five_windows_first(sort: str) -> None:
    random = np.random.default_rng(12)

    def window() -> Outcomes:
        return scored(400, random) if sort == "scores" else measured(400, random)[0]

    calibration = calibrate(window()).updated(window()).renewed(1)
    for learned in range(5):
        reasons = {each.reason for each in estimate(window().predictions, None, calibration) if each.value is not None}
        said = "concept drift was suspected, and the calibration was made anew: it has learned "
        assert reasons == {f"{said}{learned} labelled windows since, and 5 are needed"}
        unlabelled = Outcomes(np.full(3, np.nan), np.full(3, 0.5))
        calibration = calibration.updated(window()).updated(unlabelled)
    assert any(each.estimable for each in estimate(window().predictions, None, calibration))


def test_where_scores_left_the_calibrated_range_nothing_is_estimable() -> None:
    scores = np.concatenate([np.full(90, 0.5), np.full(10, 0.999999)])
    found = estimate(scores, None, BINARY)
    assert not any(each.estimable for each in found)
    assert found[0].reason == (
        "the predictions have left the calibrated range: 10.0% lie where no labelled row did, or are no valid prediction"
    )
    assert all(each.estimable for each in estimate(scores[:94], None, BINARY))


def test_what_is_undefined_is_not_estimable_and_has_no_number() -> None:
    found = named(estimate(np.linspace(0.1, 0.4, 50), None, BINARY))["precision"]
    unknown = dict.fromkeys(("class_id", "value", "standard_error", "shared_error", "low", "high", "tracking_error"))
    assert found.to_json() == unknown | {
        "measure": "precision",
        "level": 0.95,
        "assumption": BINARY.assumption,
        "estimable": False,
        "reason": "no row is predicted positive",
        "explanation": "precision is not estimable: no row is predicted positive",
    }


def test_json_holds_finite_numbers_only() -> None:
    random = np.random.default_rng(8)
    scores = np.array([0.0, 1.0, 0.5, np.nan])
    history = [track(BINARY, scored(300, random))]
    for each in (*estimate(scores, None, BINARY, history), *estimate(np.zeros(0), None, BINARY)):
        json.dumps(each.to_json(), allow_nan=False)


def test_calibrations_of_both_sorts_come_back_from_json() -> None:
    outcomes, features = measured(500, np.random.default_rng(9))
    for calibration in (BINARY, calibrate(outcomes, features)):
        read = calibration_from_document(json.loads(json.dumps(calibration.to_document())))
        assert read.to_document() == calibration.to_document()


@pytest.mark.parametrize("labels", [np.zeros(0), np.full(3, np.nan)], ids=["no rows", "no labels"])
def test_without_labels_nothing_is_tracked(labels: Floats) -> None:
    assert track(BINARY, Outcomes(labels, np.full(len(labels), 0.5))) == []
    assert BINARY.updated(Outcomes(labels, np.full(len(labels), 0.5))) == BINARY


def test_only_labelled_rows_are_tracked() -> None:
    outcomes, features = measured(600, np.random.default_rng(10))
    calibration = calibrate(*measured(600, np.random.default_rng(11)))
    places = np.arange(0, 600, 2)
    labels = outcomes.labels.copy()
    labels[1::2] = np.nan
    half = {name: column.take(pa.array(places)) for name, column in features.items()}
    assert track(calibration, Outcomes(labels, outcomes.predictions), features) == track(
        calibration, outcomes.take(places), half
    )


def test_findings_inform_and_never_flag() -> None:
    found = list(estimate_findings(estimate(np.linspace(0.1, 0.4, 50), None, BINARY)))
    assert all(each.kind is Kind.ESTIMATED_QUALITY and each.outcome is Outcome.INFORMATIVE for each in found)
    assert not any(each.flagged for each in found)
    reasons = {each.measure: each.reason for each in found}
    assert reasons["precision"] == "no row is predicted positive"
    assert reasons["auc"] is None


@pytest.mark.parametrize(
    ("measure", "value", "error", "expected"),
    [
        (Measure.MEAN_LABEL, 0.5, 0.05, (0.397, 0.603)),
        (Measure.MEAN_LABEL, 0.001, 0.001, (0.0, 0.00346)),
        (Measure.PRECISION, 0.4, 0.35, (0.0, 1.0)),
        (Measure.PRECISION, 1.0, 0.0, (1.0, 1.0)),
        (Measure.BINARY_CROSSENTROPY, 0.1, 0.1, (0.0, 0.296)),
    ],
    ids=["a share", "one row of a thousand", "a share of two rows", "a certain share", "a loss is at least 0"],
)
def test_intervals(measure: Measure, value: float, error: float, expected: tuple[float, float]) -> None:
    assert interval(Raw(measure, value, error), 0.95) == pytest.approx(expected, abs=5e-4)
