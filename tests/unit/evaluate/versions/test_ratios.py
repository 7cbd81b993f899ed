"""Metrics that are no means, against what they are defined to be, DeLong's own formula, and bootstraps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monitor.evaluate.examples import Floats, Outcomes
from monitor.evaluate.versions.losses import Problem
from monitor.evaluate.versions.ratios import RATIOS, Estimate

BINARY = RATIOS[Problem.BINARY]


def binary(n: int, seed: int, noise: float = 1.0) -> Outcomes:
    """Return labels and scores with ties."""
    random = np.random.default_rng(seed)
    labels = (random.random(n) < 0.3).astype(np.float64)
    scores = 1.0 / (1.0 + np.exp(-(labels * 1.2 - 0.8 + noise * random.normal(size=n))))
    return Outcomes(labels, np.round(scores, 2))


def kernel(outcomes: Outcomes) -> Floats:
    """Return, of each positive and negative, whether the positive has the higher score."""
    positive, negative = (outcomes.predictions[outcomes.labels == label][:, None] for label in (1.0, 0.0))
    return np.asarray((positive > negative.T) + 0.5 * (positive == negative.T))


def delong(one: Outcomes, two: Outcomes) -> float:
    """Return the variance of the difference of two AUCs on the same rows, as DeLong et al. (1988) write it."""
    kernels = [kernel(each) for each in (one, two)]
    positives, negatives = kernels[0].shape
    s10 = np.cov([each.mean(axis=1) for each in kernels])
    s01 = np.cov([each.mean(axis=0) for each in kernels])
    contrast = np.array([-1.0, 1.0])
    return float(contrast @ (s10 / positives + s01 / negatives) @ contrast)


def auc(outcomes: Outcomes) -> Estimate:
    return BINARY["auc"].of(outcomes, 0.5)


def test_auc_and_its_variance_are_delongs() -> None:
    outcomes = binary(300, 0)
    pairs = kernel(outcomes)
    found = auc(outcomes)
    assert found.value == pytest.approx(pairs.mean())
    expected = pairs.mean(axis=1).var(ddof=1) / len(pairs) + pairs.mean(axis=0).var(ddof=1) / pairs.shape[1]
    assert found.variance(None) == pytest.approx(expected)
    assert found.influence.sum() == pytest.approx(0.0, abs=1e-12)


def test_the_difference_of_two_aucs_on_the_same_rows_is_delongs() -> None:
    one = binary(400, 1)
    random = np.random.default_rng(2)
    two = Outcomes(one.labels, np.round(np.clip(one.predictions + random.normal(0, 0.1, 400), 0, 1), 2))
    assert auc(two).less(auc(one)).variance(None) == pytest.approx(delong(one, two))


@pytest.mark.parametrize("name", ["auc", "precision", "recall", "f1"])
def test_a_variance_is_that_of_a_bootstrap(name: str) -> None:
    outcomes = binary(500, 3)
    random = np.random.default_rng(4)
    values = [BINARY[name].of(outcomes.take(random.integers(0, 500, 500)), 0.5).value for _ in range(600)]
    assert BINARY[name].of(outcomes, 0.5).variance(None) == pytest.approx(np.var(values), rel=0.15)


@pytest.mark.parametrize("name", ["auc", "precision", "recall", "f1"])
def test_copies_of_rows_in_their_request_tell_nothing_new(name: str) -> None:
    outcomes, rows = binary(200, 5), np.repeat(np.arange(200), 3)
    once, copied = BINARY[name].of(outcomes, 0.5), BINARY[name].of(outcomes.take(rows), 0.5)
    assert copied.value == pytest.approx(once.value)
    assert copied.variance(rows.astype(np.uint64)) == pytest.approx(once.variance(None), rel=0.03)


@pytest.mark.parametrize("name", ["auc", "precision", "recall", "f1"])
def test_a_row_of_weight_two_counts_as_two(name: str) -> None:
    outcomes = binary(100, 6)
    weights = np.where(np.arange(100) % 2, 2.0, 1.0)
    weighted = BINARY[name].of(Outcomes(outcomes.labels, outcomes.predictions, weights), 0.5)
    repeated = outcomes.take(np.repeat(np.arange(100), weights.astype(int)))
    assert weighted.value == pytest.approx(BINARY[name].of(repeated, 0.5).value)


@pytest.mark.parametrize(
    ("name", "expected"), [("precision", 2 / 3), ("recall", 2 / 4), ("f1", 4 / 7)], ids=["precision", "recall", "F1"]
)
def test_decisions_are_counted(name: str, expected: float) -> None:
    outcomes = Outcomes(np.array([1.0, 1, 1, 1, 0, 0]), np.array([0.9, 0.8, 0.5, 0.1, 0.7, 0.2]))
    assert BINARY[name].of(outcomes, 0.5).value == pytest.approx(expected)


def test_rmse_is_the_root_of_the_mean_square() -> None:
    random = np.random.default_rng(7)
    errors = random.normal(0, 2, 400)
    rmse = RATIOS[Problem.REGRESSION]["rmse"]
    found = rmse.of(Outcomes(np.zeros(400), errors), 0.5)
    values = [math.sqrt(np.square(random.choice(errors, 400)).mean()) for _ in range(600)]
    assert found.value == pytest.approx(math.sqrt(np.square(errors).mean()))
    assert found.variance(None) == pytest.approx(np.var(values), rel=0.15)


@pytest.mark.parametrize(
    ("name", "labels", "scores"),
    [("auc", [1.0, 1.0], [0.3, 0.4]), ("precision", [1.0, 0.0], [0.1, 0.2]), ("recall", [0.0, 0.0], [0.9, 0.2])],
    ids=["one class", "no positive prediction", "no positive label"],
)
def test_what_is_undefined_is_not_a_number(name: str, labels: list[float], scores: list[float]) -> None:
    assert math.isnan(BINARY[name].of(Outcomes(np.array(labels), np.array(scores)), 0.5).value)
