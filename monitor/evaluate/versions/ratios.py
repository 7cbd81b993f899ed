"""Metrics that are no means of losses: AUC, precision, recall, F1, RMSE, with the influence of each example; changes with these.

An estimate's error is nearly the sum of its examples' influences (the delta method; for AUC, the structural components of
DeLong, DeLong and Clarke-Pearson 1988). So its variance follows from their sum of squares, added up by request first
(Obuchowski 1997), and that of a difference on the same requests from the influences' differences, covariance included.
This holds at one look only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.evaluate.examples import Floats, Outcomes
from monitor.evaluate.versions.losses import Problem

Clusters = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric and what each example adds to its error.

    Attributes:
        value: the metric; NaN where it is undefined.
        influence: (n,), of sum zero.
        support: how many examples the metric rests on: the rarer class, or those that its denominator counts.
    """

    value: float
    influence: Floats
    support: int

    def variance(self, clusters: Clusters | None) -> float:
        """Return the variance of the value, where rows of one cluster are of one request."""
        if clusters is None:
            return float(self.influence @ self.influence)
        _, request = np.unique(clusters, return_inverse=True)
        sums = np.bincount(request, self.influence)
        return float(sums @ sums)

    def less(self, other: Estimate) -> Estimate:
        """Return this less another on the same examples."""
        support = min(self.support, other.support)
        return Estimate(self.value - other.value, self.influence - other.influence, support)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A metric that is no mean.

    Attributes:
        of: outcomes that have labels and predictions, and the threshold (exclusive), to the estimate.
        higher_is_better: whether a larger value is the better one.
    """

    of: Callable[[Outcomes, float], Estimate]
    higher_is_better: bool


def _auc(outcomes: Outcomes, _threshold: float) -> Estimate:
    """Return the area under the ROC curve, pairs of equal scores counting half; with DeLong's variance."""
    weights, positive = _weights(outcomes), outcomes.labels == 1.0
    if positive.all() or not positive.any():
        return _undefined(outcomes)
    levels, level = np.unique(outcomes.predictions, return_inverse=True)
    beaten = np.empty(len(weights))
    for of, against, sign in ((positive, ~positive, 1.0), (~positive, positive, -1.0)):
        mass = np.bincount(level[against], weights[against], len(levels)) / weights[against].sum()
        below = np.cumsum(mass) - mass / 2.0
        # Of a negative, the share of positives above it.
        beaten[of] = (below if sign > 0 else 1.0 - below)[level[of]]
    value = float(np.average(beaten[positive], weights=weights[positive]))
    influence = np.empty(len(weights))
    for of in (positive, ~positive):
        influence[of] = _of_mean(beaten[of] - value, weights[of])
    return Estimate(value, influence, min(int(positive.sum()), int((~positive).sum())))


def _precision(outcomes: Outcomes, threshold: float) -> Estimate:
    said = outcomes.predictions > threshold
    return _share(outcomes, outcomes.labels == 1.0, said)


def _recall(outcomes: Outcomes, threshold: float) -> Estimate:
    return _share(outcomes, outcomes.predictions > threshold, outcomes.labels == 1.0)


def _f1(outcomes: Outcomes, threshold: float) -> Estimate:
    """Return F1: true positives over the mean of the numbers of predicted and of true ones."""
    said, true = outcomes.predictions > threshold, outcomes.labels == 1.0
    counted = (said.astype(np.float64) + true) / 2.0
    return _quotient(outcomes, (said & true).astype(np.float64), counted)


def _rmse(outcomes: Outcomes, _threshold: float) -> Estimate:
    squares = np.square(outcomes.predictions - outcomes.labels)
    mean = _quotient(outcomes, squares, np.ones(len(squares)))
    root = float(np.sqrt(mean.value))
    return Estimate(root, mean.influence / (2.0 * root) if root else mean.influence, mean.support)


def _share(outcomes: Outcomes, hits: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> Estimate:
    return _quotient(outcomes, (hits & among).astype(np.float64), among.astype(np.float64))


def _quotient(outcomes: Outcomes, upper: Floats, lower: Floats) -> Estimate:
    weights = _weights(outcomes)
    whole = float(weights @ lower)
    if whole == 0.0:
        return _undefined(outcomes)
    value = float(weights @ upper) / whole
    counted = int(np.count_nonzero(lower))
    return Estimate(value, weights * (upper - value * lower) / whole * _correction(counted), counted)


def _of_mean(deviations: Floats, weights: Floats) -> Floats:
    return np.asarray(weights * deviations / weights.sum() * _correction(len(weights)), np.float64)


def _correction(count: int) -> float:
    """Return the root of n / (n - 1), so that squares add up to the unbiased variance."""
    return float(np.sqrt(count / max(count - 1, 1)))


def _weights(outcomes: Outcomes) -> Floats:
    return np.ones(len(outcomes.labels)) if outcomes.weights is None else outcomes.weights


def _undefined(outcomes: Outcomes) -> Estimate:
    return Estimate(float("nan"), np.zeros(len(outcomes.labels)), 0)


RATIOS: Mapping[Problem, Mapping[str, Ratio]] = {
    Problem.BINARY: {
        "auc": Ratio(_auc, higher_is_better=True),
        "precision": Ratio(_precision, higher_is_better=True),
        "recall": Ratio(_recall, higher_is_better=True),
        "f1": Ratio(_f1, higher_is_better=True),
    },
    Problem.MULTICLASS: {},
    Problem.CLASSES: {},
    Problem.REGRESSION: {"rmse": Ratio(_rmse, higher_is_better=False)},
}
"""By kind of problem and name."""
