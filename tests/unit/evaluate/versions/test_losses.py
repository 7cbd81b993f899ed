"""Losses of single examples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monitor.errors import InputError
from monitor.evaluate.examples import Outcomes
from monitor.evaluate.versions.losses import EPSILON, LOSSES, Problem, answered, decisions

SCORES = [[0.2, 0.5, 0.3], [0.8, 0.1, 0.1], [0.4, 0.4, 0.2]]


@pytest.mark.parametrize(
    ("problem", "name", "labels", "predictions", "expected"),
    [
        pytest.param(Problem.BINARY, "log_loss", [1, 0], [0.8, 0.1], [-math.log(0.8), -math.log(0.9)], id="log loss"),
        pytest.param(Problem.BINARY, "log_loss", [1], [0.0], [-math.log(EPSILON)], id="a certain error costs 16 nats"),
        pytest.param(Problem.BINARY, "brier", [1, 0], [0.8, 0.1], [0.04, 0.01], id="Brier score"),
        pytest.param(Problem.BINARY, "error", [1, 0, 1], [0.8, 0.6, 0.5], [0, 1, 1], id="the threshold itself is a 0"),
        pytest.param(
            Problem.MULTICLASS, "log_loss", [1, 2], SCORES[:2], [-math.log(0.5), -math.log(0.1)], id="classes"
        ),
        pytest.param(
            Problem.MULTICLASS, "log_loss", [0], [[1.0, 1.0]], [math.log(2)], id="scores are made to add up to one"
        ),
        pytest.param(
            Problem.MULTICLASS, "log_loss", [0], [[0.0, 0.0]], [-math.log(EPSILON)], id="no score at all is an error"
        ),
        pytest.param(Problem.MULTICLASS, "error", [1, 1, 1], SCORES, [0, 1, 1], id="the first of equal scores wins"),
        pytest.param(Problem.CLASSES, "error", [4, 2], [4, 3], [0, 1], id="names of classes"),
        pytest.param(Problem.REGRESSION, "absolute_error", [1, -2], [3, -2.5], [2, 0.5], id="absolute error"),
        pytest.param(Problem.REGRESSION, "squared_error", [1, -2], [3, -2.5], [4, 0.25], id="squared error"),
    ],
)
def test_a_loss_is(
    problem: Problem, name: str, labels: list[float], predictions: list[float], expected: list[float]
) -> None:
    outcomes = Outcomes(np.array(labels, np.float64), np.array(predictions, np.float64))
    assert LOSSES[problem][name].of(outcomes, 0.5).tolist() == pytest.approx(expected, rel=1e-6)


def test_scores_that_are_no_probabilities_are_told() -> None:
    outcomes = Outcomes(np.array([1.0, 0.0]), np.array([3.2, 0.5]))
    with pytest.raises(InputError, match="1 predictions are no probabilities, such as"):
        LOSSES[Problem.BINARY]["log_loss"].of(outcomes, 0.5)


def test_a_regression_decides_nothing() -> None:
    assert decisions(np.array([1.0]), Problem.REGRESSION, 0.5) is None


def test_a_row_is_answered_where_all_of_its_scores_are_numbers() -> None:
    assert answered(np.array([1.0, np.nan, np.inf])).tolist() == [True, False, False]
    assert answered(np.array([[0.5, 0.5], [np.nan, 1.0]])).tolist() == [True, False]
