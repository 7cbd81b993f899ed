"""Labels, predictions and weights as a metric sees them, for all examples at once.

The counterpart of TFMA's `metric_util.to_label_prediction_example_weight`, which does the same for one example: it picks classes,
the k-th or the top k predictions, turns class numbers into one-hot labels and spreads weights. Changes when TFMA's does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.errors import InputError
from monitor.evaluate.examples import Examples, Floats, Outcomes, Places


class NotVectorised(Exception):
    """A metric, or the shape of its inputs, that only TFMA itself computes; or refuses, with its own words."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which inputs a metric is computed from.

    Attributes:
        model: name of the model, as in the metric's key.
        output: name of its output.
        sub_key: TFMA's `SubKey` (a class, the k-th prediction, the top k), or None.
        aggregated: whether classes are put together (TFMA's aggregation type is set).
        class_weights: weight of each class, where any is given: others weigh nothing.
        weighted: whether examples count by their weights.
    """

    model: str
    output: str
    sub_key: Any = None
    aggregated: bool = False
    class_weights: Mapping[int, float] | None = None
    weighted: bool = False

    @classmethod
    def of(cls, combiner: Any, key: Any) -> Selection:
        """Return what one of TFMA's combiners selects for a metric's key."""
        weights = getattr(combiner, "_class_weights", None)
        return cls(
            key.model_name,
            key.output_name,
            key.sub_key,
            getattr(combiner, "_aggregation_type", None) is not None,
            dict(weights) if weights else None,
            bool(combiner._example_weighted),
        )

    def outcomes(self, examples: Examples) -> Outcomes:
        """Return the outcomes of the model and output; a model that is alone may go by any name, as in TFMA."""
        known = examples.outcomes
        for name in ((self.model, self.output), ("", self.output), (self.model, ""), ("", "")):
            if name in known:
                return known[name]
        if len(known) == 1:
            return next(iter(known.values()))
        raise NotVectorised(f"there is no output {self.output!r} of model {self.model!r}")


@dataclass(frozen=True, slots=True)
class Inputs:
    """Labels (n, j), predictions (n, k) and weights of n examples: (n, 1), or (n, k) once they are spread over classes."""

    labels: Floats
    predictions: Floats
    weights: Floats


def whole(examples: Examples, selection: Selection) -> Inputs:
    """Return the inputs with all classes of an example together (TFMA: `flatten=False`)."""
    if selection.class_weights:
        raise NotVectorised("weights of classes, for a metric that takes all classes at once")
    found = selection.outcomes(examples)
    labels, predictions = _columns(found.labels), _columns(found.predictions)
    if selection.sub_key is not None:
        labels, predictions = _selected(labels, predictions, selection)
    return Inputs(labels, predictions, example_weights(found, selection)[:, None])


def flat(examples: Examples, selection: Selection) -> Inputs:
    """Return the inputs as one binary decision for each class of each example (TFMA: `flatten=True`): all are (n, k)."""
    found = selection.outcomes(examples)
    labels, predictions = _columns(found.labels), _columns(found.predictions)
    if selection.sub_key is not None:
        labels, predictions = _selected(labels, predictions, selection)
    if labels.shape[1] != predictions.shape[1]:
        labels = one_hot(labels, predictions.shape[1])
    weights = example_weights(found, selection)[:, None]
    if selection.class_weights:
        by_class = [selection.class_weights.get(place, 0.0) for place in range(predictions.shape[1])]
        weights = weights * np.asarray(by_class)
    return Inputs(labels, predictions, np.broadcast_to(weights, predictions.shape))


def example_weights(outcomes: Outcomes, selection: Selection) -> Floats:
    """Return the weight of each example, (n,): ones where the metric is unweighted."""
    if not selection.weighted or outcomes.weights is None:
        return np.ones(len(outcomes.labels))
    return outcomes.weights


def one_hot(labels: Floats, classes: int) -> Floats:
    """Return class numbers (n, 1) as rows (n, classes) with a one; -1, a class that is not known, has none, and neither has k.

    Raises:
        InputError: a label is no class.
        NotVectorised: there are several labels, but not one for each class.
    """
    if labels.shape[1] != 1:
        raise NotVectorised(f"{labels.shape[1]} labels for {classes} predictions")
    numbers = labels[:, 0].astype(np.int64)
    beyond = (numbers > classes) | (numbers < -1)
    if beyond.any():
        raise InputError(f"label {labels[beyond][0, 0]:g} is no class: there are {classes} predictions, from class 0")
    return np.asarray(numbers[:, None] == np.arange(classes), dtype=np.float64)


def fractions(inputs: Inputs) -> Floats:
    """Return the labels as shares of a positive example, which must lie within [0, 1].

    Raises:
        InputError: one does not.
    """
    # NaN is not within either.
    outside = ~((inputs.labels >= 0.0) & (inputs.labels <= 1.0))
    if outside.any():
        raise InputError(
            f"label {inputs.labels[outside][0]:g} is not within [0, 1], as metrics of binary decisions need"
        )
    return inputs.labels


def _columns(values: Floats) -> Floats:
    return values[:, None] if values.ndim == 1 else values


def _selected(labels: Floats, predictions: Floats, selection: Selection) -> tuple[Floats, Floats]:
    sub_key, classes = selection.sub_key, predictions.shape[1]
    if sub_key.k is not None:
        chosen = _kth_largest(predictions, sub_key.k)
        return _at(_dense(labels, classes), chosen), _at(predictions, chosen)
    if sub_key.top_k is not None:
        chosen = _largest(predictions, sub_key.top_k)
        if selection.aggregated:
            labels, predictions = _at(_dense(labels, classes), chosen), _at(predictions, chosen)
        else:
            kept = np.full(predictions.shape, -np.inf)
            np.put_along_axis(kept, chosen, _at(predictions, chosen), axis=1)
            predictions = kept
    if sub_key.class_id is not None:
        if not 0 <= sub_key.class_id < predictions.shape[1]:
            raise InputError(f"class {sub_key.class_id} is asked for; the predictions have {classes} classes, from 0")
        if labels.shape[1] == predictions.shape[1]:
            labels = labels[:, sub_key.class_id, None]
        else:
            labels = np.asarray(labels[:, :1] == sub_key.class_id, dtype=np.float64)
        predictions = predictions[:, sub_key.class_id, None]
    return labels, predictions


def _dense(labels: Floats, classes: int) -> Floats:
    return labels if labels.shape[1] == classes else one_hot(labels, classes)


def _largest(predictions: Floats, k: int) -> Places:
    """Return the columns (n, k) of the largest predictions of each row; TFMA says, by version, which of equal ones."""
    from tensorflow_model_analysis.metrics.metric_util import top_k_indices

    if k > predictions.shape[1]:
        raise InputError(f"the top {k} are asked for; the predictions have {predictions.shape[1]} classes")
    columns = top_k_indices(k, predictions)[1]
    return np.asarray(columns, dtype=np.int64).reshape(len(predictions), k)


def _kth_largest(predictions: Floats, k: int) -> Places:
    """Return the column (n, 1) of the k-th largest prediction of each row: the least of the k largest, of equal ones the last."""
    chosen = _largest(predictions, k)
    last = k - 1 - _at(predictions, chosen)[:, ::-1].argmin(axis=1)
    return np.take_along_axis(chosen, last[:, None], axis=1)


def _at(values: Floats, chosen: Any) -> Floats:
    return np.take_along_axis(values, chosen, axis=1)
