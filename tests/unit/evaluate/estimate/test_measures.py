"""Measures from chances against brute force: all label vectors, each with its probability."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.evaluate.estimate.estimates import Measure
from monitor.evaluate.estimate.measures import Measured, binary_measures
from monitor.evaluate.estimate.questions import OF_TWO_CLASSES
from monitor.evaluate.estimate.score_counts import EPSILON
from monitor.evaluate.examples import Floats

ROW = st.tuples(st.sampled_from([0.0, 0.1, 0.4, 0.5, 0.6, 0.9, 1.0]), st.floats(0.05, 0.95), st.floats(0.2, 5.0))


def all_of(scores: Floats, chances: Floats, weights: Floats) -> dict[Measure, Measured]:
    return {each.measure: each for each in binary_measures(OF_TWO_CLASSES, scores, chances, weights)}


def pairs(scores: Floats, labels: Floats, weights: Floats) -> tuple[float, float]:
    """Return the weight of pairs of one positive and one negative row, and of those in order, ties counting half."""
    ordered = total = 0.0
    for i, j in itertools.product(range(len(scores)), repeat=2):
        pair = weights[i] * weights[j] * labels[i] * (1.0 - labels[j])
        total += pair
        ordered += pair * (1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0)
    return ordered, total


@given(st.lists(ROW, min_size=2, max_size=6))
@settings(max_examples=40, deadline=None)
def test_they_are_ratios_of_exact_expectations(rows: list[tuple[float, float, float]]) -> None:
    scores, chances, weights = (np.array(column) for column in zip(*rows, strict=True))
    predicted = scores > 0.5
    tp = fp = tn = fn = ordered = total = loss = 0.0
    for labels in itertools.product((0.0, 1.0), repeat=len(rows)):
        y = np.array(labels)
        p = float(np.prod(np.where(y == 1.0, chances, 1.0 - chances)))
        tp += p * float(weights @ (predicted * y))
        fp += p * float(weights @ (predicted * (1.0 - y)))
        fn += p * float(weights @ (~predicted * y))
        tn += p * float(weights @ (~predicted * (1.0 - y)))
        in_order, of_all = pairs(scores, y, weights)
        ordered, total = ordered + p * in_order, total + p * of_all
        clipped = np.clip(scores, EPSILON, 1.0 - EPSILON)
        loss -= p * float(weights @ np.where(y == 1.0, np.log(clipped), np.log1p(-clipped)))
    found = all_of(scores, chances, weights)
    everything = tp + fp + tn + fn
    expected = {
        Measure.MEAN_LABEL: (tp + fn) / everything,
        Measure.BINARY_ACCURACY: (tp + tn) / everything,
        Measure.PRECISION: tp / (tp + fp) if predicted.any() else None,
        Measure.RECALL: tp / (tp + fn),
        Measure.SPECIFICITY: tn / (tn + fp),
        Measure.F1_SCORE: 2.0 * tp / (2.0 * tp + fp + fn),
        Measure.BINARY_CROSSENTROPY: loss / everything,
        Measure.AUC: ordered / total,
    }
    for measure, value in expected.items():
        assert found[measure].value == (None if value is None else pytest.approx(value, rel=1e-9)), measure


@given(st.lists(ROW, min_size=4, max_size=8))
@settings(max_examples=40, deadline=None)
def test_slopes_are_derivatives_by_each_label(rows: list[tuple[float, float, float]]) -> None:
    scores, chances, weights = (np.array(column) for column in zip(*rows, strict=True))
    step = 1e-6
    for measure, found in all_of(scores, chances, weights).items():
        if found.value is None or found.slopes is None:
            continue
        # Pairs of a row with itself are left out of the expectation, which a derivative by its label must not see.
        if measure is Measure.AUC:
            continue
        for place, slope in enumerate(found.slopes):
            moved = [chances.copy(), chances.copy()]
            moved[0][place] += step
            moved[1][place] -= step
            up, down = (all_of(scores, each, weights)[measure].value for each in moved)
            assert up is not None
            assert down is not None
            assert slope == pytest.approx((up - down) / (2.0 * step), abs=1e-5)


def test_the_error_of_auc_by_its_slopes_is_that_of_simulated_labels() -> None:
    random = np.random.default_rng(1)
    scores = random.random(300)
    chances = 0.2 + 0.6 * scores
    weights = random.choice([1.0, 2.0], 300)
    found = all_of(scores, chances, weights)[Measure.AUC]
    assert found.slopes is not None
    said = float(np.sqrt((found.slopes**2 * chances * (1.0 - chances)).sum()))
    drawn = []
    for _ in range(400):
        value = all_of(scores, (random.random(300) < chances).astype(np.float64), weights)[Measure.AUC].value
        assert value is not None
        drawn.append(value)
    assert said == pytest.approx(np.std(drawn), rel=0.12)
    assert found.value == pytest.approx(np.mean(drawn), abs=4.0 * said / 20.0)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.6, 0.8]), st.booleans()), min_size=2, max_size=12))
@settings(max_examples=40, deadline=None)
def test_with_labels_in_the_stead_of_chances_they_are_the_measures_themselves(rows: list[tuple[float, bool]]) -> None:
    scores, labels = np.array([row[0] for row in rows]), np.array([float(row[1]) for row in rows])
    found = all_of(scores, labels, np.ones(len(rows)))
    ordered, total = pairs(scores, labels, np.ones(len(rows)))
    assert found[Measure.AUC].value == (pytest.approx(ordered / total) if total else None)
    assert found[Measure.BINARY_ACCURACY].value == pytest.approx(np.mean((scores > 0.5) == labels))


@pytest.mark.parametrize(
    ("scores", "chances", "measure", "said"),
    [
        ([0.1, 0.2], [0.5, 0.5], Measure.PRECISION, "no row is predicted positive"),
        ([0.1, 0.9], [0.0, 0.0], Measure.RECALL, "no row is positive"),
        ([0.1, 0.9], [1.0, 1.0], Measure.SPECIFICITY, "no row is negative"),
        ([0.1, 0.2], [0.0, 0.0], Measure.F1_SCORE, "no row is positive, or predicted to be"),
        ([0.1, 0.9], [1.0, 1.0], Measure.AUC, "there are rows of one class only"),
        ([], [], Measure.MEAN_LABEL, "there are no rows"),
    ],
)
def test_what_is_undefined_says_why(scores: list[float], chances: list[float], measure: Measure, said: str) -> None:
    found = all_of(np.array(scores), np.array(chances), np.ones(len(scores)))[measure]
    assert found.value is None
    assert found.undefined == said
