"""Means of an error or loss over examples: TFMA's regression errors and cross entropies; changes with TFMA's formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.evaluate.engine.inputs import Selection, flat, whole
from monitor.evaluate.engine.statistic import Entries
from monitor.evaluate.examples import Examples, Floats

Error = Callable[[Floats, Floats], Floats]
"""From labels and predictions, both (n, k), to errors (n, k); NaN where there is none."""


def absolute(labels: Floats, predictions: Floats) -> Floats:
    """Return |label - prediction|."""
    return np.asarray(np.abs(labels - predictions), dtype=np.float64)


def squared(labels: Floats, predictions: Floats) -> Floats:
    """Return (label - prediction)^2."""
    return np.asarray(np.square(labels - predictions), dtype=np.float64)


def percentage(labels: Floats, predictions: Floats) -> Floats:
    """Return 100 |label - prediction| / |label|, none for a label of 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(labels == 0, np.nan, 100 * np.abs((labels - predictions) / labels))


def squared_logarithmic(labels: Floats, predictions: Floats) -> Floats:
    """Return (log(label + 1) - log(prediction + 1))^2."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.square(np.log(labels + 1) - np.log(predictions + 1)), dtype=np.float64)


ERRORS: Mapping[str, Error] = {
    "_MeanAbsoluteErrorCombiner": absolute,
    "_MeanSquaredErrorCombiner": squared,
    "_MeanAbsolutePercentageErrorCombiner": percentage,
    "_MeanSquaredLogarithmicErrorCombiner": squared_logarithmic,
}


@dataclass(frozen=True, slots=True)
class MeanError:
    """TFMA's `_MeanRegressionErrorCombiner`, in its kinds."""

    combiner: Any
    selection: Selection
    error: Error

    @classmethod
    def of(cls, computation: Any) -> MeanError:
        """Return the statistic of one of TFMA's computations."""
        combiner = computation.combiner
        selection = Selection.of(combiner, computation.keys[0])
        return cls(combiner, selection, ERRORS[type(combiner).__name__])

    def entries(self, examples: Examples) -> Entries:
        """Return weighted errors and weights, of the entries that have an error."""
        inputs = flat(examples, self.selection)
        errors = self.error(inputs.labels, inputs.predictions)
        known = ~np.isnan(errors)
        return Entries([np.where(known, errors, 0.0) * inputs.weights, known * inputs.weights])

    def outputs(self, sums: Floats) -> Mapping[Any, Any]:
        """Return the mean."""
        accumulator = self.combiner.create_accumulator()
        accumulator.total_regression_error, accumulator.total_example_weights = (float(total) for total in sums[:, 0])
        return dict(self.combiner.extract_output(accumulator))


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """TFMA's `_BinaryCrossEntropyCombiner` and `_CategoricalCrossEntropyCombiner`."""

    combiner: Any
    selection: Selection
    loss: Callable[[Floats, Floats, bool, float], Floats]

    @classmethod
    def binary(cls, computation: Any) -> CrossEntropy:
        """Return the statistic of a binary cross entropy."""
        return cls(computation.combiner, Selection.of(computation.combiner, computation.keys[0]), _binary)

    @classmethod
    def categorical(cls, computation: Any) -> CrossEntropy:
        """Return the statistic of a categorical cross entropy."""
        return cls(computation.combiner, Selection.of(computation.combiner, computation.keys[0]), _categorical)

    def entries(self, examples: Examples) -> Entries:
        """Return weighted losses and weights."""
        inputs = whole(examples, self.selection)
        logits, smoothing = self.combiner._from_logits, self.combiner._label_smoothing
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            losses = self.loss(inputs.labels, inputs.predictions, logits, smoothing)
        weights = inputs.weights[:, 0]
        return Entries([losses * weights, weights])

    def outputs(self, sums: Floats) -> Mapping[Any, Any]:
        """Return the mean."""
        accumulator = self.combiner.create_accumulator()
        accumulator.total_cross_entropy, accumulator.total_example_weights = (float(total) for total in sums[:, 0])
        with np.errstate(divide="ignore", invalid="ignore"):
            return dict(self.combiner.extract_output(accumulator))


def _binary(labels: Floats, predictions: Floats, logits: bool, smoothing: float) -> Floats:
    labels = labels * (1.0 - smoothing) + 0.5 * smoothing
    if logits:
        each = np.maximum(predictions, 0) - predictions * labels + np.log(1 + np.exp(-np.abs(predictions)))
    else:
        each = -labels * np.log(predictions) - (1 - labels) * np.log(1 - predictions)
    return np.asarray(each.mean(axis=1), dtype=np.float64)


def _categorical(labels: Floats, predictions: Floats, logits: bool, smoothing: float) -> Floats:
    labels = labels * (1.0 - smoothing) + smoothing / predictions.shape[1]
    shares = np.exp(predictions) if logits else predictions
    shares = shares / shares.sum(axis=1, keepdims=True)
    # TFMA takes logarithms of what is above 0, and leaves the rest out of the sum.
    logs = np.where(shares > 0, np.log(shares), 0.0)
    return np.asarray(-(labels * logs).sum(axis=1), dtype=np.float64)
