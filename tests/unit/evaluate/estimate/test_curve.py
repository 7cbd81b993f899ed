"""Curves from score to chance: they recover known ones, and know how uncertain they are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, special

from monitor.evaluate.estimate.curve import Curve, fit_curve
from monitor.evaluate.estimate.score_counts import ScoreCounts, log_odds
from monitor.evaluate.estimate.splines import knots_at, spline_columns
from monitor.evaluate.examples import Floats, Outcomes
from tests.unit.evaluate.estimate.worlds import scored


def curve_of(*windows: Outcomes) -> Curve:
    return fit_curve([ScoreCounts.of(window).sums[0] for window in windows])


def chances(curve: Curve, odds: Floats) -> Floats:
    return curve.chances(curve.columns(odds))


def test_a_spline_is_straight_beyond_its_knots_and_smooth_at_them() -> None:
    knots = np.array([-1.0, 0.0, 2.0])
    far = spline_columns(np.array([3.0, 4.0, 5.0]), knots)
    assert_allclose(far[2] - far[1], far[1] - far[0])
    near = spline_columns(np.array([-3.0, -2.0]), knots)
    assert_allclose(near[:, 2], 0.0)
    for knot in knots:
        slopes = [np.diff(spline_columns(knot + np.array(step), knots), axis=0) for step in ((-1e-5, 0.0), (0.0, 1e-5))]
        assert_allclose(slopes[0], slopes[1], atol=1e-9)


def test_values_that_fill_all_quantiles_leave_a_straight_line() -> None:
    assert len(knots_at(np.array([1.0, 2.0]), np.array([100.0, 100.0]), 5)) == 0
    assert spline_columns(np.array([1.0, 2.0]), np.zeros(0)).shape == (2, 2)


def test_with_few_labels_it_is_platts_line() -> None:
    outcomes = scored(200, np.random.default_rng(1))
    curve = curve_of(outcomes)
    odds, positives = log_odds(outcomes.predictions), outcomes.labels.sum()
    targets = np.where(
        outcomes.labels == 1.0, (positives + 1.0) / (positives + 2.0), 1.0 / (len(odds) - positives + 2.0)
    )

    def loss(line: Floats) -> float:
        fitted = line[0] + line[1] * odds
        return float((np.logaddexp(0.0, fitted) - targets * fitted).sum())

    assert len(curve.knots) == 0
    best = optimize.minimize(loss, np.zeros(2), tol=1e-10).x
    assert_allclose(curve.coefficients, best, atol=0.02)  # the rows of a cell share the mean of its labels


def test_with_many_labels_it_follows_a_bend() -> None:
    random = np.random.default_rng(2)
    odds = random.normal(0.0, 1.5, 60_000)
    truth = special.expit(np.where(odds < 0.0, 0.3 * odds, 1.2 * odds))
    labels = (random.random(len(odds)) < truth).astype(np.float64)
    curve = curve_of(Outcomes(labels, special.expit(odds)))
    at = np.linspace(-3.0, 3.0, 13)
    assert_allclose(chances(curve, at), special.expit(np.where(at < 0.0, 0.3 * at, 1.2 * at)), atol=0.03)


def test_classes_that_the_score_separates_give_a_finite_curve_that_is_unsure() -> None:
    outcomes = Outcomes(np.repeat([0.0, 1.0], 100), np.repeat([0.1, 0.9], 100))
    curve = curve_of(outcomes)
    low, high = chances(curve, log_odds(np.array([0.1, 0.9])))
    assert 0.0 < low < 0.03
    assert 0.97 < high < 1.0
    assert np.diag(curve.covariance).min() > 0.01


@pytest.mark.parametrize("weighted", [False, True])
def test_its_covariance_is_how_much_fits_vary(weighted: bool) -> None:
    random = np.random.default_rng(3)
    fits = []
    for _ in range(200):
        outcomes = scored(400, random, mean=0.5)
        weights = random.choice([1.0, 4.0], 400) if weighted else None
        fits.append(curve_of(Outcomes(outcomes.labels, outcomes.predictions, weights)))
    levels = np.array([float(special.logit(chances(fit, np.array([0.5]))[0])) for fit in fits])
    said = np.mean([_variance_at(fit, 0.5) for fit in fits])
    assert said == pytest.approx(levels.var(), rel=0.3)


def _variance_at(curve: Curve, odds: float) -> float:
    columns = curve.columns(np.array([odds]))[0]
    return float(columns @ curve.covariance @ columns)


def test_a_level_that_differs_from_day_to_day_is_told_from_chance() -> None:
    random = np.random.default_rng(4)
    levels = random.normal(-0.3, 0.4, 20)
    varied = curve_of(*(scored(2_000, random, level=level) for level in levels))
    steady = curve_of(*(scored(2_000, random) for _ in levels))
    assert varied.shift**0.5 == pytest.approx(levels.std(), rel=0.35)
    assert steady.shift**0.5 < 0.1
    assert _variance_at(varied, 0.5) > 10.0 * _variance_at(steady, 0.5)


def test_it_is_less_sure_where_it_does_not_fit() -> None:
    random = np.random.default_rng(5)
    odds = random.normal(0.0, 1.5, 200_000)
    waves = special.expit(odds + 0.8 * np.sin(8.0 * odds))
    smooth = special.expit(odds)
    made = [
        curve_of(Outcomes((random.random(len(odds)) < truth).astype(np.float64), special.expit(odds)))
        for truth in (waves, smooth)
    ]
    assert _variance_at(made[0], 0.0) > 5.0 * _variance_at(made[1], 0.0)


def test_it_reaches_as_far_as_nearly_all_labelled_rows() -> None:
    scores = np.concatenate([np.linspace(0.2, 0.8, 10_000), [0.0001]])
    curve = curve_of(Outcomes(np.tile([0.0, 1.0], 5_001)[: len(scores)], scores))
    assert special.expit(np.array(curve.reach)) == pytest.approx([0.2, 0.8], abs=0.03)
