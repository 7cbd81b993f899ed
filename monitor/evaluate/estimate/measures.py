"""Measures of a binary classifier from the chance of each row to be positive; changes with which measures are estimated.

Confidence-based performance estimation: a row with chance p that is predicted positive is p of a true positive and 1 - p of a
false one, and so on; the measures follow from the expected counts. Sources: NannyML's documentation, "How it works: performance
estimation"; Bialek, Kuberski, Perrakis and Bifet, 2024, "Estimating model performance under covariate shift without
labels", arXiv:2401.08348. With labels in the stead of chances each function gives the measure itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from monitor.evaluate.estimate.estimates import Measure
from monitor.evaluate.estimate.score_counts import log_odds
from monitor.evaluate.examples import Floats

THRESHOLD = 0.5
"""A score above it is a positive prediction, as in TFMA's default."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One measure of n rows.

    Attributes:
        value: None where it is undefined; `undefined` then says why.
        slopes: (n,) its derivative by each row's label, from which the errors come (delta method).
    """

    measure: Measure
    value: float | None
    slopes: Floats | None = None
    undefined: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Expected:
    """The expected confusion matrix of n rows, and what it is made from."""

    scores: Floats
    chances: Floats
    weights: Floats
    predicted: Floats
    total: float
    positives: float
    called: float
    hits: float

    @classmethod
    def of(cls, scores: Floats, chances: Floats, weights: Floats, threshold: float) -> _Expected:
        predicted = (scores > threshold).astype(np.float64)
        held = weights * chances
        called, hits = float(weights @ predicted), float(held @ predicted)
        return cls(scores, chances, weights, predicted, float(weights.sum()), float(held.sum()), called, hits)

    @property
    def negatives(self) -> float:
        return self.total - self.positives

    @property
    def rejected(self) -> float:
        """Negatives that are predicted to be negative."""
        return self.negatives - (self.called - self.hits)


def binary_measures(
    wanted: Collection[Measure], scores: Floats, chances: Floats, weights: Floats, threshold: float = THRESHOLD
) -> Iterator[Measured]:
    """Yield measures of a binary classifier.

    Args:
        wanted: which.
        scores: (n,) in [0, 1], as the model gave them.
        chances: (n,) P(label = 1) of each row; or its label.
        weights: (n,).
        threshold: scores above it are predicted positive.
    """
    expected = _Expected.of(scores, chances, weights, threshold)
    for measure in wanted:
        if expected.total <= 0.0:
            yield Measured(measure, None, undefined="there are no rows")
        else:
            yield _MEASURES[measure](measure, expected)


def _mean(measure: Measure, of: _Expected) -> Measured:
    return Measured(measure, of.positives / of.total, of.weights / of.total)


def _accuracy(measure: Measure, of: _Expected) -> Measured:
    return Measured(measure, (of.hits + of.rejected) / of.total, of.weights * (2.0 * of.predicted - 1.0) / of.total)


def _precision(measure: Measure, of: _Expected) -> Measured:
    if of.called <= 0.0:
        return Measured(measure, None, undefined="no row is predicted positive")
    return Measured(measure, of.hits / of.called, of.weights * of.predicted / of.called)


def _recall(measure: Measure, of: _Expected) -> Measured:
    if of.positives <= 0.0:
        return Measured(measure, None, undefined="no row is positive")
    value = of.hits / of.positives
    return Measured(measure, value, of.weights * (of.predicted - value) / of.positives)


def _specificity(measure: Measure, of: _Expected) -> Measured:
    if of.negatives <= 0.0:
        return Measured(measure, None, undefined="no row is negative")
    value = of.rejected / of.negatives
    return Measured(measure, value, of.weights * (of.predicted - 1.0 + value) / of.negatives)


def _f1_score(measure: Measure, of: _Expected) -> Measured:
    both = of.called + of.positives
    if both <= 0.0:
        return Measured(measure, None, undefined="no row is positive, or predicted to be")
    value = 2.0 * of.hits / both
    return Measured(measure, value, of.weights * (2.0 * of.predicted - value) / both)


def _crossentropy(measure: Measure, of: _Expected) -> Measured:
    """Return the log loss; scores nearer to 0 or 1 than 1e-7 count as that far off, as in Keras."""
    odds = log_odds(of.scores)
    value = float(of.weights @ (np.logaddexp(0.0, odds) - of.chances * odds)) / of.total
    return Measured(measure, value, -of.weights * odds / of.total)


def _auc(measure: Measure, of: _Expected) -> Measured:
    """Return the area under the ROC curve: of two rows, one positive and one not, the share where it scores higher.

    A row is not paired with itself: the expected numbers of pairs, and of pairs in order, leave that out.
    """
    itself = float((of.weights * of.weights) @ (of.chances * (1.0 - of.chances)))
    pairs = of.positives * of.negatives - itself
    if pairs <= 1e-12 * of.total * of.total:
        return Measured(measure, None, undefined="there are rows of one class only")
    _, place = np.unique(of.scores, return_inverse=True)
    held = of.weights * of.chances
    positive, negative = np.bincount(place, held), np.bincount(place, of.weights - held)
    lower = np.cumsum(negative) - negative / 2.0
    higher = float(positive.sum()) - np.cumsum(positive) + positive / 2.0
    value = (float(positive @ lower) - itself / 2.0) / pairs
    slopes = of.weights * ((lower - higher)[place] - value * (of.negatives - of.positives))
    return Measured(measure, value, slopes / pairs)


_MEASURES: Mapping[Measure, Callable[[Measure, _Expected], Measured]] = {
    Measure.MEAN_LABEL: _mean,
    Measure.ACCURACY: _mean,
    Measure.BINARY_ACCURACY: _accuracy,
    Measure.PRECISION: _precision,
    Measure.RECALL: _recall,
    Measure.SPECIFICITY: _specificity,
    Measure.F1_SCORE: _f1_score,
    Measure.BINARY_CROSSENTROPY: _crossentropy,
    Measure.AUC: _auc,
}
"""`ACCURACY` is how often "the model is right" is true."""
