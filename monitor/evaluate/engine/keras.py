"""Keras' metrics that TFMA runs through Keras itself, in float32 and batch by batch; changes with Keras' formulas.

Sources: `tf_keras/metrics` and `tf_keras/backend.py`. Keras adds in float32; here it is float64, so that the numbers agree to
about 1e-6 of their size. Values near 0 and 1 are clipped in float32, as there: 1 - 1e-7 is 0.99999988.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.evaluate.engine.inputs import Inputs, NotVectorised, Selection, flat, whole
from monitor.evaluate.engine.means import absolute, percentage, squared
from monitor.evaluate.engine.statistic import Entries
from monitor.evaluate.examples import Examples, Floats, Places

_EPSILON = np.float32(1e-7)
"""`tf_keras.backend.epsilon()`: probabilities are kept this far from 0 and 1."""

Config = Mapping[str, Any]
Loss = Callable[[Floats, Floats, Config], Floats]
"""From labels (n, j), predictions (n, k) and the metric's configuration to a value for each example (n,)."""


def _mean_of(error: Callable[[Floats, Floats], Floats]) -> Loss:
    return lambda labels, predictions, _: np.asarray(error(labels, predictions).mean(axis=1), dtype=np.float64)


def _percentage(labels: Floats, predictions: Floats, _: Config) -> Floats:
    # Keras divides by at least epsilon, and leaves no label out.
    safe = np.where(labels == 0, _EPSILON, np.maximum(np.abs(labels), _EPSILON))
    each = np.where(labels == 0, 100 * np.abs(predictions) / safe, percentage(labels, predictions))
    return np.asarray(each.mean(axis=1), dtype=np.float64)


def _binary_crossentropy(labels: Floats, predictions: Floats, config: Config) -> Floats:
    smoothing = config.get("label_smoothing", 0.0)
    labels = labels * (1.0 - smoothing) + 0.5 * smoothing
    if config.get("from_logits"):
        each = np.maximum(predictions, 0) - predictions * labels + np.log1p(np.exp(-np.abs(predictions)))
    else:
        shares = _clipped(predictions)
        each = -labels * np.log(shares + _EPSILON) - (1 - labels) * np.log(np.float32(1.0) - shares + _EPSILON)
    return np.asarray(each.mean(axis=1), dtype=np.float64)


def _log_shares(predictions: Floats, config: Config) -> Floats:
    if config.get("from_logits"):
        moved = predictions - predictions.max(axis=1, keepdims=True)
        return np.asarray(moved - np.log(np.exp(moved).sum(axis=1, keepdims=True)), dtype=np.float64)
    return np.asarray(np.log(_clipped(predictions / predictions.sum(axis=1, keepdims=True))), dtype=np.float64)


def _clipped(shares: Floats) -> Any:
    return np.clip(shares.astype(np.float32), _EPSILON, np.float32(1.0) - _EPSILON)


def _categorical_crossentropy(labels: Floats, predictions: Floats, config: Config) -> Floats:
    smoothing = config.get("label_smoothing", 0.0)
    labels = labels * (1.0 - smoothing) + smoothing / predictions.shape[1]
    return np.asarray(-(labels * _log_shares(predictions, config)).sum(axis=1), dtype=np.float64)


def _sparse_categorical_crossentropy(labels: Floats, predictions: Floats, config: Config) -> Floats:
    if not config.get("from_logits"):
        # Keras clips first, and lets the softmax of the logarithms bring the sum to 1.
        predictions = _clipped(predictions).astype(np.float64)
    logs = _log_shares(predictions, config)
    return np.asarray(-np.take_along_axis(logs, _classes(labels, predictions), axis=1)[:, 0], dtype=np.float64)


def _categorical_accuracy(labels: Floats, predictions: Floats, _: Config) -> Floats:
    return _hits(labels.astype(np.float32).argmax(axis=1), predictions)


def _sparse_categorical_accuracy(labels: Floats, predictions: Floats, _: Config) -> Floats:
    return _hits(_classes(labels, predictions)[:, 0], predictions)


def _accuracy(labels: Floats, predictions: Floats, _: Config) -> Floats:
    same = labels.astype(np.float32) == predictions.astype(np.float32)
    return np.asarray(same.mean(axis=1), dtype=np.float64)


def _hits(classes: Any, predictions: Floats) -> Floats:
    return np.asarray(classes == predictions.astype(np.float32).argmax(axis=1), dtype=np.float64)


def _classes(labels: Floats, predictions: Floats) -> Places:
    if labels.shape[1] != 1 or predictions.shape[1] == 1:
        raise NotVectorised("a sparse metric needs one label, the number of a class, and a prediction for each class")
    if len(labels) and not (labels.min() >= 0 and labels.max() < predictions.shape[1]):
        raise NotVectorised("labels that are no class")
    return np.asarray(labels, dtype=np.int64)


_LOSSES: Mapping[str, Loss] = {
    "Accuracy": _accuracy,
    "BinaryCrossentropy": _binary_crossentropy,
    "CategoricalAccuracy": _categorical_accuracy,
    "CategoricalCrossentropy": _categorical_crossentropy,
    "MeanAbsoluteError": _mean_of(absolute),
    "MeanAbsolutePercentageError": _percentage,
    "MeanSquaredError": _mean_of(squared),
    "RootMeanSquaredError": _mean_of(squared),
    "SparseCategoricalAccuracy": _sparse_categorical_accuracy,
    "SparseCategoricalCrossentropy": _sparse_categorical_crossentropy,
}
_SPARSE = frozenset({"SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"})
_DENSE = frozenset({"CategoricalAccuracy", "CategoricalCrossentropy"})


@dataclass(frozen=True, slots=True)
class KerasMetrics:
    """TFMA's `_CompilableMetricsCombiner`, where all its metrics are known here.

    Attributes:
        keys: TFMA's, one for each metric.
        names: class of each metric.
        configs: configuration of each.
    """

    keys: Sequence[Any]
    names: Sequence[str]
    configs: Sequence[Config]
    selection: Selection
    micro: bool

    @classmethod
    def of(cls, computation: Any) -> KerasMetrics:
        """Return the statistic of one of TFMA's computations."""
        combiner = computation.combiner
        listed = [config for configs in combiner._metric_configs for config in configs]
        if (
            len(combiner._output_names) != 1
            or any(combiner._loss_configs)
            or combiner._sub_key_in_config
            or any(config["class_name"] not in _LOSSES for config in listed)
        ):
            raise NotVectorised("a metric that only Keras knows, or several outputs at once")
        aggregation = combiner._aggregation_type
        return cls(
            [key._replace(aggregation_type=None) for key in computation.keys],
            [config["class_name"] for config in listed],
            [config["config"] for config in listed],
            Selection.of(combiner, computation.keys[0]),
            bool(aggregation and aggregation.micro_average),
        )

    def entries(self, examples: Examples) -> Entries:
        """Return weights, and the weighted value of each metric."""
        inputs = flat(examples, self.selection) if self.micro else whole(examples, self.selection)
        if self.micro and inputs.labels.shape[1] > 1:
            one = inputs.labels.size, 1
            shape = inputs.labels.shape
            inputs = Inputs(inputs.labels.reshape(one), inputs.predictions.reshape(one), inputs.weights.reshape(one))
            values = self._values(inputs)
            return Entries([np.broadcast_to(each.reshape(shape), shape) for each in values])
        return Entries(self._values(inputs))

    def _values(self, inputs: Inputs) -> list[Floats]:
        weights = inputs.weights[:, 0]
        values = [weights]
        for name, config in zip(self.names, self.configs, strict=True):
            labels = inputs.labels
            if name not in _SPARSE and labels.shape[1] != inputs.predictions.shape[1]:
                raise NotVectorised("labels and predictions of different shapes, which Keras spreads or refuses")
            if name in _DENSE and labels.shape[1] == 1:
                raise NotVectorised("a metric of classes on one value")
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                values.append(_LOSSES[name](labels, inputs.predictions, config) * weights)
        return values

    def outputs(self, sums: Floats) -> Mapping[Any, Any]:
        """Return the mean of each metric, 0 where there is no weight, as Keras says."""
        weight, *totals = sums[:, 0]
        found = {}
        for key, name, total in zip(self.keys, self.names, totals, strict=True):
            mean = total / weight if weight != 0 else 0.0
            found[key] = np.float32(np.sqrt(mean) if name == "RootMeanSquaredError" else mean)
        return found
