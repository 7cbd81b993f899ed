"""Examples that are not as they should be, against TFMA: the same numbers where it gives any, one clear line where it refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from monitor.errors import DriftlineError
from monitor.evaluate.evaluating import evaluate
from monitor.evaluate.examples import Examples, Outcomes
from tests.unit.evaluate.oracle import KERAS, differences, eval_config, said_by, tfma_once, tfma_says

pytestmark = [
    # TFMA divides by zero where a metric is not defined.
    pytest.mark.filterwarnings("ignore::RuntimeWarning:tensorflow_model_analysis.*"),
    # A run of TFMA for each: minutes in all.
    pytest.mark.slow,
]

NAN, INF = float("nan"), float("inf")
BINARY = ("AUC", "Precision", "BinaryCrossEntropy", "Calibration", "MeanLabel", "MeanSquaredError", "CalibrationPlot")
SCORES = ((0.2, 0.5, 0.3), (0.1, 0.1, 0.8), (0.6, 0.3, 0.1))


def made(labels: Any, scores: Any, weights: Sequence[float] | None = None) -> Examples:
    by_weight = None if weights is None else np.array(weights)
    return Examples({("", ""): Outcomes(np.array(labels, float), np.array(scores, float), by_weight)})


def asked(*names: str, weighted: bool = False, options: str = "") -> str:
    metrics = " ".join(
        f'metrics {{ class_name: "{name}" {"config: " if setting else ""}{setting} }}'
        for name, _, setting in (name.partition(" ") for name in names)
    )
    weight = 'model_specs { example_weight_key: "weight" } ' if weighted else ""
    return f"{weight}metrics_specs {{ {options} {metrics} }}"


MATRIX = """ConfusionMatrixAtThresholds '"thresholds": [0.25, 0.5]'"""
ANSWERED: dict[str, tuple[Callable[[], Examples], str]] = {
    "a score that is not a number is above no threshold": (
        partial(made, [0, 1, 1, 0], [0.2, NAN, 0.7, 0.6]),
        asked("Precision", "Recall", "BinaryAccuracy", MATRIX),
    ),
    "infinite scores": (
        partial(made, [0, 1, 1, 0], [0.2, INF, -INF, 0.6]),
        asked("AUC", "Precision", MATRIX, "MeanPrediction", "CalibrationPlot"),
    ),
    "weights below zero": (
        partial(made, [0, 1, 1, 0], [0.2, 0.3, 0.7, 0.6], [1.0, -1.0, 2.0, 0.5]),
        asked(*BINARY, weighted=True),
    ),
    "no weight at all": (
        partial(made, [0, 1, 1, 0], [0.2, 0.3, 0.7, 0.6], [0.0] * 4),
        asked(*BINARY, "RootMeanSquaredError", weighted=True),
    ),
    "labels beyond 0 and 1 where no decision is asked for": (
        partial(made, [0, 2, -1, NAN], [0.2, 0.3, 0.7, 0.6]),
        asked("MeanSquaredError", "MeanLabel", "Calibration"),
    ),
    "a class that is not known": (
        partial(made, [0, -1, 2], SCORES),
        asked("AUC", "Precision", "MeanLabel", options="aggregate { micro_average: true }"),
    ),
    "a class that is not known, by class": (
        partial(made, [0, -1, 2], SCORES),
        asked("Precision", "MeanLabel", options="binarize { class_ids { values: [0, 2] } }"),
    ),
    "a class that is not known, in a matrix of classes": (
        partial(made, [0, -1, 2], SCORES),
        asked("MultiClassConfusionMatrixAtThresholds", "SparseCategoricalAccuracy"),
    ),
    "scores of classes that are equal": (
        partial(made, [0, 1, 2], [[0.5, 0.5, 0.0], [0.3, 0.4, 0.4], [0.3, 0.3, 0.3]]),
        asked("MultiClassConfusionMatrixAtThresholds", "SparseCategoricalAccuracy"),
    ),
    "scores of classes that do not add up to 1": (
        partial(made, np.eye(3), np.array(SCORES) * 3),
        asked("CategoricalCrossEntropy", """CategoricalCrossentropy '"name": "keras"'"""),
    ),
    "an average of the top k weighted by the labels": (
        partial(made, [0, 1, 2], SCORES),
        asked("AUC", "MeanLabel", options="aggregate { weighted_macro_average: true top_k_list { values: 2 } }"),
    ),
}

REFUSED: dict[str, tuple[Callable[[], Examples], str, str]] = {
    "a score that is not a number in a histogram": (
        partial(made, [0, 1], [0.2, NAN]),
        asked("AUC"),
        "number",
    ),
    "a label that is not a number": (partial(made, [0, NAN], [0.2, 0.3]), asked("AUC"), "label nan"),
    "a label above 1 of a decision": (partial(made, [0, 2], [0.2, 0.3]), asked("AUC"), "label 2"),
    "a label below 0 of a decision": (partial(made, [0, -1], [0.2, 0.3]), asked("Precision"), "label -1"),
    "a label that is no class": (
        partial(made, [0, 7], SCORES[:2]),
        asked("Precision", options="aggregate { micro_average: true }"),
        "label 7",
    ),
    "a class that has no score": (
        partial(made, [0, 1], SCORES[:2]),
        asked("Precision", options="binarize { class_ids { values: 5 } }"),
        "class 5",
    ),
    "more than there are classes": (
        partial(made, [0, 1], SCORES[:2]),
        asked("Precision", options="binarize { top_k_list { values: 4 } }"),
        "top 4",
    ),
    "an average of classes without weights of classes": (
        partial(made, [0, 1], SCORES[:2]),
        asked("Precision", options="aggregate { macro_average: true }"),
        "class_weights are required",
    ),
    "a matrix of classes of one score": (
        partial(made, [0, 1], [0.2, 0.3]),
        asked("MultiClassConfusionMatrixAtThresholds"),
        "classes",
    ),
    "a metric that is not known": (partial(made, [0, 1], [0.2, 0.3]), asked("Precison"), "Precison"),
    "a setting that is not known": (partial(made, [0, 1], [0.2, 0.3]), asked("""AUC '"bend": 1'"""), "bend"),
    "a ranking without queries": (partial(made, [0, 1], [0.2, 0.3]), asked("""NDCG '"gain_key": "x"'"""), "query_key"),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_what_tfma_answers_has_the_same_answer(name: str) -> None:
    examples, text = ANSWERED[name]
    ours = said_by(evaluate(examples(), eval_config(text)))
    assert differences(ours, tfma_once(examples, text), KERAS) == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_tfma_refuses_is_refused_in_a_line_that_says_why(name: str) -> None:
    examples, text, said = REFUSED[name]
    with pytest.raises(Exception):  # noqa: B017, PT011, TFMA raises what it likes
        tfma_says(examples(), text)
    with pytest.raises(DriftlineError) as refused:
        evaluate(examples(), eval_config(text))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_metric_on_which_tfma_fails_with_all_that_is_asked_is_not_a_number() -> None:
    text = asked("PrevalenceThreshold", "AUC")
    equal_scores = made([0, 1], [0.7, 0.7])
    with pytest.raises(ZeroDivisionError):
        tfma_says(equal_scores, text)
    found = {key.name: value for key, value in evaluate(equal_scores, eval_config(text)).metrics[()].items()}
    assert found == {"prevalence_threshold": pytest.approx(NAN, nan_ok=True), "auc": 0.5}


def test_no_examples_are_no_slices() -> None:
    assert evaluate(made([], []), eval_config(asked("AUC", "ExampleCount"))).slices == ()
