"""Binary and multi-class confusion matrices at given thresholds; changes with TFMA's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.errors import InputError
from monitor.evaluate.engine.inputs import NotVectorised, Selection, flat, fractions, whole
from monitor.evaluate.engine.statistic import Entries
from monitor.evaluate.examples import Examples, Floats


@dataclass(frozen=True, slots=True)
class BinaryMatrices:
    """TFMA's `_BinaryConfusionMatrixCombiner`: a decision is positive where the prediction is above the threshold."""

    key: Any
    selection: Selection
    thresholds: tuple[float, ...]

    @classmethod
    def of(cls, computation: Any) -> BinaryMatrices:
        """Return the statistic of one of TFMA's computations."""
        combiner, key = computation.combiner, computation.keys[0]
        if computation.preprocessors or combiner._example_id_key or not combiner._enable_fractional_labels:
            raise NotVectorised("examples of each kind, or labels that are compared with the thresholds")
        _insist_on_usual_inputs(combiner)
        matrices = combiner._binary_confusion_matrices
        return cls(key, Selection.of(combiner, key), tuple(matrices._thresholds))

    def entries(self, examples: Examples) -> Entries:
        """Return weights of positives and of negatives, by how many of the thresholds the prediction is above."""
        inputs = flat(examples, self.selection)
        labels = fractions(inputs)
        cell = np.searchsorted(np.sort(self.thresholds), inputs.predictions, side="left")
        cell = np.where(np.isnan(inputs.predictions), 0, cell)  # NaN is above nothing
        positive = labels * inputs.weights
        return Entries([positive, inputs.weights - positive], cell, len(self.thresholds) + 1)

    def outputs(self, sums: Floats) -> Mapping[Any, Any]:
        """Return TFMA's entry of each threshold."""
        from tensorflow_model_analysis.contrib.aggregates import binary_confusion_matrices as theirs

        below = np.cumsum(sums, axis=1)
        found = {}
        for place, threshold in enumerate(sorted(self.thresholds)):
            fn, tn = (float(value) for value in below[:, place])
            tp, fp = (float(value) for value in below[:, -1] - below[:, place])
            found[threshold] = theirs._ThresholdEntry(theirs.Matrix(tp=tp, tn=tn, fp=fp, fn=fn), [], [], [], [])
        return {self.key: found}


@dataclass(frozen=True, slots=True)
class ClassMatrices:
    """TFMA's `_MultiClassConfusionMatrixCombiner`: how often examples of one class were taken for another.

    A top score that is not above the threshold is no prediction (-1).
    """

    key: Any
    selection: Selection
    thresholds: tuple[float, ...]

    @classmethod
    def of(cls, computation: Any) -> ClassMatrices:
        """Return the statistic of one of TFMA's computations."""
        combiner, key = computation.combiner, computation.keys[0]
        _insist_on_usual_inputs(combiner)
        return cls(key, Selection.of(combiner, key), tuple(combiner._thresholds))

    def entries(self, examples: Examples) -> Entries:
        """Return weights and numbers of examples, by threshold, class and predicted class."""
        inputs = whole(examples, self.selection)
        labels, predictions = inputs.labels, inputs.predictions
        classes = predictions.shape[1]
        if classes == 1:
            raise InputError(
                "a confusion matrix of classes needs several predictions for each example, one for each class"
            )
        actual = labels.argmax(axis=1) if labels.shape[1] > 1 else labels[:, 0].astype(np.int64)
        if len(actual) and not (actual.min() >= 0 and actual.max() < classes):
            raise NotVectorised("labels that are no class")
        predicted = predictions.argmax(axis=1)
        cells = []
        for number, threshold in enumerate(self.thresholds):
            # As TFMA does: one that is no prediction at a threshold is looked up, by -1, as the last class at the next.
            score = np.take_along_axis(predictions, predicted[:, None], axis=1)[:, 0]
            predicted = np.where(score <= threshold, -1, predicted)
            cells.append((number * classes + actual) * (classes + 1) + predicted + 1)
        cell = np.stack(cells, axis=1)
        weights = np.broadcast_to(inputs.weights, cell.shape)
        return Entries([weights, np.ones(cell.shape)], cell, len(self.thresholds) * classes * (classes + 1))

    def outputs(self, sums: Floats) -> Mapping[Any, Any]:
        """Return TFMA's matrices, with the entries that occur."""
        from tensorflow_model_analysis.metrics import multi_class_confusion_matrix_metrics as theirs

        classes = int(np.sqrt(sums.shape[1] / len(self.thresholds)))
        found = theirs.Matrices({threshold: {} for threshold in self.thresholds})
        for cell in np.flatnonzero(sums[1]):
            rest, predicted = divmod(int(cell), classes + 1)
            number, actual = divmod(rest, classes)
            found[self.thresholds[number]][theirs.MatrixEntryKey(actual, predicted - 1)] = float(sums[0, cell])
        return {self.key: found}


def _insist_on_usual_inputs(combiner: Any) -> None:
    """Raise NotVectorised for a metric that makes labels and predictions of its own, such as the plot of a score distribution."""
    from tensorflow_model_analysis.metrics.metric_util import to_label_prediction_example_weight

    if combiner._extract_label_prediction_and_weight is not to_label_prediction_example_weight:
        raise NotVectorised("inputs of its own")
