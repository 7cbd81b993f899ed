"""The mean loss of a row by its columns, with its uncertainty; changes with how losses are learned.

A regression with logarithmic link whose variance rises with the squared mean (quasi-likelihood of the gamma family: McCullagh and
Nelder, 1989, Generalized Linear Models, 8 and 9): losses cannot be negative, what scales them multiplies, and large ones are less
certain in proportion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.evaluate.examples import Floats

_ITERATIONS = 50
_RIDGE = 1.0
"""Rows of average loss that hold each column back, so that one which few rows differ in is not taken at its word."""
_FURTHEST = 50.0
"""Logarithm of a loss, either way, beyond which it is taken as that."""


@dataclass(frozen=True, slots=True, eq=False)
class LossModel:
    """E[loss | columns] = exp(columns @ coefficients).

    Attributes:
        covariance: (d, d) of the coefficients; of sandwich form, so that it holds whatever the variance is, with the leverage
            of each row taken into account (HC3: MacKinnon and White, 1985, Journal of Econometrics 29:305).
        dispersion, third: variance and third central moment of loss / mean loss.
        shift: variance of the level between blocks of time, relative to it; 0 where too few blocks tell it.
        settled: how much of that stays in the mean of all blocks.
    """

    coefficients: Floats
    covariance: Floats
    dispersion: float
    third: float
    shift: float
    settled: float

    def means(self, columns: Floats) -> Floats:
        """Return the mean loss of rows (n, d)."""
        means: Floats = np.exp(np.clip(columns @ self.coefficients, -_FURTHEST, _FURTHEST))
        return means


def fit_losses(columns: Floats, losses: Floats, weights: Floats, blocks: Floats, fewest_blocks: int) -> LossModel:
    """Fit losses (n,), at least one of them above 0, to columns (n, d) whose first is constant.

    Args:
        columns: (n, d).
        losses: (n,) at least 0.
        weights: (n,).
        blocks: (n,) the block of time of each row.
        fewest_blocks: from how many blocks on their own variation is reckoned.
    """
    scaled = weights * (weights.sum() / (weights @ weights))
    ridge = np.diag(np.full(columns.shape[1], _RIDGE)) * np.maximum((columns * columns).mean(axis=0), 1e-12)
    ridge[0, 0] = 0.0
    coefficients = _fit(columns, losses, scaled, ridge)
    means = np.exp(np.clip(columns @ coefficients, -_FURTHEST, _FURTHEST))
    off = losses / means - 1.0
    bread = np.linalg.pinv(columns.T @ (columns * scaled[:, None]) + ridge, hermitian=True)
    freedom = max(float(scaled.sum()) - columns.shape[1], 1.0) / float(scaled.sum())
    leverage = scaled * ((columns @ bread) * columns).sum(axis=1)
    far = scaled * off / np.maximum(1.0 - leverage, 0.1)
    filling = columns.T @ (columns * (far * far)[:, None])
    dispersion = float(weights @ (off * off)) / float(weights.sum()) / freedom
    third = float(weights @ off**3) / float(weights.sum())
    shift, settled = _between(losses, means, weights, blocks, dispersion, fewest_blocks)
    return LossModel(coefficients, bread @ filling @ bread, dispersion, third, shift, settled)


def _fit(columns: Floats, losses: Floats, weights: Floats, ridge: Floats) -> Floats:
    """Return the coefficients of greatest quasi-likelihood, by scoring with halved steps."""
    found = np.zeros(columns.shape[1])
    found[0] = np.log(float(weights @ losses) / float(weights.sum()))
    information = columns.T @ (columns * weights[:, None]) + ridge + 1e-9 * np.eye(len(found))
    worst = _deviance(columns, losses, weights, ridge, found)
    for _ in range(_ITERATIONS):
        means = np.exp(np.clip(columns @ found, -_FURTHEST, _FURTHEST))
        step = np.linalg.solve(information, columns.T @ (weights * (losses / means - 1.0)) - ridge @ found)
        deviance = _deviance(columns, losses, weights, ridge, found + step)
        while deviance > worst + 1e-10 * abs(worst):
            step = step / 2.0
            deviance = _deviance(columns, losses, weights, ridge, found + step)
        found = found + step
        if worst - deviance <= 1e-10 * abs(worst):
            break
        worst = deviance
    return found


def _deviance(columns: Floats, losses: Floats, weights: Floats, ridge: Floats, coefficients: Floats) -> float:
    logs = np.clip(columns @ coefficients, -_FURTHEST, _FURTHEST)
    return float(weights @ (losses * np.exp(-logs) + logs)) + 0.5 * float(coefficients @ ridge @ coefficients)


def _between(
    losses: Floats, means: Floats, weights: Floats, blocks: Floats, dispersion: float, fewest_blocks: int
) -> tuple[float, float]:
    """Return the variance of the level between blocks, and what stays of it in the mean; see `curve`."""
    _, number = np.unique(blocks, return_inverse=True)
    count = int(number.max()) + 1
    if count < fewest_blocks:
        return 0.0, 0.0
    expected = np.bincount(number, weights * means)
    missed = np.bincount(number, weights * losses) - expected
    by_chance = dispersion * float(((weights * means) ** 2).sum())
    squared = float(expected @ expected)
    variance = max(0.0, float(missed @ missed) * count / (count - 1.0) - by_chance) / squared
    return variance * (count - 1.0) / (count - 3.0), squared / float(expected.sum()) ** 2
