"""Counts and sums of labels and predictions: ExampleCount, MeanLabel, MeanPrediction, Calibration, class shares, correlation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.evaluate.engine.inputs import NotVectorised, Selection, example_weights, flat, whole
from monitor.evaluate.engine.statistic import Entries
from monitor.evaluate.examples import Examples, Floats


@dataclass(frozen=True, slots=True)
class ExampleCount:
    """TFMA's `_ExampleCountCombiner`."""

    combiner: Any
    selection: Selection

    @classmethod
    def of(cls, computation: Any) -> ExampleCount:
        """Return the statistic of one of TFMA's computations."""
        return cls(computation.combiner, Selection.of(computation.combiner, computation.keys[0]))

    def entries(self, examples: Examples) -> Entries:
        """Return the weights."""
        return Entries([example_weights(self.selection.outcomes(examples), self.selection)])

    def outputs(self, sums: Floats) -> Mapping[Any, Any]:
        """Return the count under each key."""
        return dict(self.combiner.extract_output(float(sums[0, 0])))


@dataclass(frozen=True, slots=True)
class WeightedSums:
    """TFMA's `_WeightedLabelsPredictionsExamplesCombiner` and `_SquaredPearsonCorrelationCombiner`."""

    combiner: Any
    selection: Selection
    totals: tuple[str, ...]

    @classmethod
    def means(cls, computation: Any) -> WeightedSums:
        """Return the sums of labels, predictions and weights."""
        selection = Selection.of(computation.combiner, computation.keys[0])
        if selection.sub_key is not None and selection.sub_key.top_k is not None:
            raise NotVectorised("means over the top k")
        totals = ("total_weighted_labels", "total_weighted_predictions", "total_weighted_examples")
        return cls(computation.combiner, selection, totals)

    @classmethod
    def correlation(cls, computation: Any) -> WeightedSums:
        """Return the sums of labels, predictions, their squares, their products, and weights."""
        totals = (
            "total_weighted_labels",
            "total_weighted_predictions",
            "total_weighted_examples",
            "total_weighted_squared_labels",
            "total_weighted_squared_predictions",
            "total_weighted_labels_times_predictions",
        )
        return cls(computation.combiner, Selection.of(computation.combiner, computation.keys[0]), totals)

    def entries(self, examples: Examples) -> Entries:
        """Return the products with the weights, in the order of `totals`."""
        inputs = flat(examples, self.selection)
        labels, predictions = inputs.labels, inputs.predictions
        every = (labels, predictions, None, labels**2, predictions**2, labels * predictions)
        values = [
            inputs.weights if each is None else inputs.weights * each
            for each in every[: len(self.totals)]  # what is not asked for is not multiplied
        ]
        return Entries(values)

    def outputs(self, sums: Floats) -> Mapping[Any, Any]:
        """Return what TFMA's combiner makes of the sums."""
        accumulator = self.combiner.create_accumulator()
        for name, total in zip(self.totals, sums[:, 0], strict=True):
            setattr(accumulator, name, float(total))
        return dict(self.combiner.extract_output(accumulator))


@dataclass(frozen=True, slots=True)
class ClassShares:
    """TFMA's `_ClassWeightsFromLabelsCombiner`."""

    combiner: Any
    selection: Selection
    classes: tuple[int, ...]

    @classmethod
    def of(cls, computation: Any) -> ClassShares:
        """Return the statistic of one of TFMA's computations."""
        combiner = computation.combiner
        if not combiner._class_ids:
            raise NotVectorised("shares of no classes")
        return cls(combiner, Selection.of(combiner, computation.keys[0]), tuple(combiner._class_ids))

    def entries(self, examples: Examples) -> Entries:
        """Return the weighted label of each class, a channel each."""
        inputs = whole(examples, self.selection)
        labels, weights = inputs.labels, inputs.weights[:, 0]
        if labels.shape[1] == 1:
            return Entries([np.asarray(labels[:, 0] == number, np.float64) * weights for number in self.classes])
        if max(self.classes) >= labels.shape[1]:
            raise NotVectorised("a class beyond the labels")
        return Entries([labels[:, number] * weights for number in self.classes])

    def outputs(self, sums: Floats) -> Mapping[Any, Any]:
        """Return the shares."""
        return dict(self.combiner.extract_output(dict(zip(self.classes, sums[:, 0].tolist(), strict=True))))
