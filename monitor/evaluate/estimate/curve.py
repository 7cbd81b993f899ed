"""The chance that a row is positive, as a curve of its score, with its uncertainty; changes with how scores are calibrated.

A logistic regression of the label on the log-odds of the score: a straight line (Platt, 1999, "Probabilistic outputs for support
vector machines") where there are few labels, a restricted cubic spline where there are more (cf. Lucena, 2018, "Spline-based
probability calibration", arXiv:1809.07751). Isotonic regression, which others use, follows the noise of the labels that it
is fitted on, which makes scores look better than they are, and has no standard error to hand on. It is fitted
to counts in cells, so that calibrations of several windows are one of all their rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from monitor.evaluate.estimate.score_counts import ODDS, POSITIVE, SQUARE, WEIGHT, effective_rows
from monitor.evaluate.estimate.splines import knots_at, spline_columns
from monitor.evaluate.examples import Floats

_KNOTS = ((1_000, 7), (300, 5), (100, 3))
"""From how many effective labels of the rarer class on a curve has how many knots: thirty or more for each number fitted."""
_ITERATIONS = 50
_EXPECTED = 5.0
"""Least variance of the number of positives in the cells whose fit is tested together."""
FEWEST_BLOCKS = 5
"""Blocks of time from which on their own variation is reckoned."""
_REACH = 0.001
"""Share of the labelled rows at either end that do not count for how far the curve reaches."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """P(label = 1 | score).

    Attributes:
        knots: (k,) in log-odds of the score; none for a straight line.
        coefficients: (d,) of the columns of the spline.
        covariance: (d, d) of the coefficients.
        shift: variance of the log-odds from one block of time to the next; 0 where too few blocks tell it.
        reach: lowest and highest log-odds of the labelled rows.
    """

    knots: Floats
    coefficients: Floats
    covariance: Floats
    shift: float
    reach: tuple[float, float]

    def columns(self, odds: Floats) -> Floats:
        """Return the columns (n, d) that the coefficients belong to."""
        return spline_columns(odds, self.knots)

    def chances(self, columns: Floats) -> Floats:
        """Return P(label = 1) of rows, given their columns."""
        chances: Floats = special.expit(columns @ self.coefficients)
        return chances


def fit_curve(blocks: Sequence[Floats]) -> Curve:
    """Fit a curve to counts (CELLS, 4) of one or more blocks of time that hold both classes.

    The covariance is that of maximum likelihood with each row's weight taken into account, times Pearson's statistic by its
    degrees of freedom where the curve fits worse than chance explains (McCullagh and Nelder, 1989, 4.5); to it comes
    what the level varies between blocks of time, where there are enough of them.
    """
    whole = np.sum(blocks, axis=0)
    held = whole[:, WEIGHT] > 0.0
    sums = whole[held]
    odds = sums[:, ODDS] / sums[:, WEIGHT]
    weight, square = sums[:, WEIGHT], sums[:, SQUARE]
    target = _targets(sums)
    straight = spline_columns(odds, np.zeros(0))
    level = special.expit(straight @ _fit(straight, target, weight))
    knots = knots_at(odds, weight * level * (1.0 - level), _knot_count(sums))
    columns = spline_columns(odds, knots)
    coefficients = _fit(columns, target, weight)
    chance = special.expit(columns @ coefficients)
    bread = np.linalg.pinv(_information(columns, weight * chance * (1.0 - chance)), hermitian=True)
    filling = _information(columns, square * chance * (1.0 - chance))
    covariance = bread @ filling @ bread * _dispersion(sums, chance, columns.shape[1])
    shift, own = _between([block[held] for block in blocks], chance)
    covariance[0, 0] += shift * own
    return Curve(knots, coefficients, covariance, shift, _reach(odds, weight))


def _targets(sums: Floats) -> Floats:
    """Return the share of positives of each cell, moved inwards as Platt's targets are.

    (n+ + 1) / (n+ + 2) and 1 / (n- + 2) in the stead of 1 and 0: as sure as that many labels can make anybody, so that
    classes which the score separates perfectly still give a finite curve.
    """
    share = sums[:, POSITIVE].sum() / sums[:, WEIGHT].sum()
    effective = effective_rows(sums)
    high = (effective * share + 1.0) / (effective * share + 2.0)
    low = 1.0 / (effective * (1.0 - share) + 2.0)
    targets: Floats = low + (high - low) * sums[:, POSITIVE] / sums[:, WEIGHT]
    return targets


def _knot_count(sums: Floats) -> int:
    share = sums[:, POSITIVE].sum() / sums[:, WEIGHT].sum()
    rarer = effective_rows(sums) * min(share, 1.0 - share)
    return next((knots for least, knots in _KNOTS if rarer >= least), 0)


def _fit(columns: Floats, target: Floats, weight: Floats) -> Floats:
    """Return the coefficients of greatest likelihood, by Newton's method with halved steps."""
    scaled = weight / weight.sum()
    ridge = 1e-9 * np.diag((columns * columns * scaled[:, None]).sum(axis=0))
    base = float(scaled @ target)
    found = np.zeros(columns.shape[1])
    found[0] = special.logit(base)
    worst = _loss(columns, target, scaled, found)
    for _ in range(_ITERATIONS):
        chance = special.expit(columns @ found)
        slope = columns.T @ (scaled * (target - chance))
        step = np.linalg.solve(_information(columns, scaled * chance * (1.0 - chance)) + ridge, slope)
        loss = _loss(columns, target, scaled, found + step)
        while loss > worst + 1e-13:
            step = step / 2.0
            loss = _loss(columns, target, scaled, found + step)
        found = found + step
        if worst - loss <= 1e-13:
            break
        worst = loss
    return found


def _loss(columns: Floats, target: Floats, weight: Floats, coefficients: Floats) -> float:
    odds = columns @ coefficients
    return float(weight @ (np.logaddexp(0.0, odds) - target * odds))


def _information(columns: Floats, weight: Floats) -> Floats:
    information: Floats = columns.T @ (columns * weight[:, None])
    return information


def _dispersion(sums: Floats, chance: Floats, parameters: int) -> float:
    """Return Pearson's statistic by its degrees of freedom over groups of neighbouring cells, at least 1."""
    spread = sums[:, SQUARE] * chance * (1.0 - chance)
    enough = (sums[:, WEIGHT] * chance * (1.0 - chance)) ** 2 / np.maximum(spread, 1e-300)
    group = np.floor(np.cumsum(enough) / _EXPECTED).astype(np.int64)
    _, group = np.unique(group, return_inverse=True)
    missed = np.bincount(group, sums[:, POSITIVE] - sums[:, WEIGHT] * chance)
    variance = np.bincount(group, spread)
    freedom = len(missed) - parameters
    if freedom < 3:
        return 1.0
    return max(1.0, float((missed**2 / np.maximum(variance, 1e-300)).sum()) / freedom)


def _between(blocks: Sequence[Floats], chance: Floats) -> tuple[float, float]:
    """Return how much the log-odds vary between blocks of time, and how much of that stays in the mean of all blocks.

    By moments: what a block's number of positives misses its expectation by is chance plus a common shift of its log-odds. Few
    blocks tell that badly, so it is taken for larger, as the variance of Student's t is by that of a normal deviate.
    """
    if len(blocks) < FEWEST_BLOCKS:
        return 0.0, 0.0
    spread = chance * (1.0 - chance)
    missed = np.array([block[:, POSITIVE].sum() - block[:, WEIGHT] @ chance for block in blocks])
    by_chance = np.array([block[:, SQUARE] @ spread for block in blocks])
    slope = np.array([block[:, WEIGHT] @ spread for block in blocks])
    squared = float(slope @ slope)
    if squared <= 0.0:
        return 0.0, 0.0
    count = len(blocks)
    variance = max(0.0, float(missed @ missed) * count / (count - 1.0) - float(by_chance.sum())) / squared
    return variance * (count - 1.0) / (count - 3.0), squared / float(slope.sum()) ** 2


def _reach(odds: Floats, weight: Floats) -> tuple[float, float]:
    order = np.argsort(odds, kind="stable")
    cumulative = np.cumsum(weight[order]) / weight.sum()
    inside = odds[order][(cumulative > _REACH) & (cumulative - weight[order] / weight.sum() < 1.0 - _REACH)]
    return float(inside[0]), float(inside[-1])
