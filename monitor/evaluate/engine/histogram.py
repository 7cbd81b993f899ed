"""Predictions in 10,000 buckets, from which AUC and all metrics over many thresholds are made; changes with TFMA's histogram.

TFMA's `_CalibrationHistogramCombiner`, and the derivation of confusion matrices from it (`binary_confusion_matrices` with
`use_histogram`), which in TFMA walks over the buckets in Python, once for each slice.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.errors import InputError
from monitor.evaluate.engine.inputs import Selection, flat, fractions
from monitor.evaluate.engine.statistic import Entries
from monitor.evaluate.examples import Examples, Floats

_EPSILON = 1e-7
"""TFMA's, by which thresholds are moved."""
_DEFAULT_BUCKETS = 10_000


class Buckets(Sequence[Any]):
    """The buckets with anything in them, as TFMA's list of `Bucket`, made only where somebody looks."""

    def __init__(self, sums: Floats) -> None:
        """Hold the sums (3, buckets) of labels, predictions and weights."""
        self.sums = sums
        self._made: list[Any] | None = None

    def _list(self) -> list[Any]:
        if self._made is None:
            from tensorflow_model_analysis.metrics.calibration_histogram import Bucket

            self._made = [
                Bucket(int(place), *(float(value) for value in self.sums[:3, place]))
                for place in np.flatnonzero(self.sums[3])
            ]
        return self._made

    def __len__(self) -> int:
        """Return how many buckets are not empty."""
        return len(self._list())

    def __getitem__(self, place: Any) -> Any:
        """Return a bucket."""
        return self._list()[place]

    def __iter__(self) -> Iterator[Any]:
        """Yield the buckets in order."""
        return iter(self._list())


@dataclass(frozen=True, slots=True)
class Histogram:
    """TFMA's `_CalibrationHistogramCombiner`."""

    key: Any
    selection: Selection
    buckets: int
    left: float
    width: float
    fractional: bool
    by_prediction: bool

    @classmethod
    def of(cls, computation: Any) -> Histogram:
        """Return the statistic of one of TFMA's computations."""
        combiner, key = computation.combiner, computation.keys[0]
        return cls(
            key,
            Selection.of(combiner, key),
            combiner._num_buckets,
            combiner._left,
            combiner._range,
            combiner._fractional_labels,
            combiner._prediction_based_bucketing,
        )

    def entries(self, examples: Examples) -> Entries:
        """Return weighted labels, weighted predictions, weights and the number of entries, by bucket.

        Splitting a label of 0.3 into 0.3 of a positive and 0.7 of a negative example, as TFMA does, adds the same.
        """
        inputs = flat(examples, self.selection)
        labels = fractions(inputs) if self.fractional else inputs.labels
        weights = inputs.weights
        place = (inputs.predictions if self.by_prediction else labels) - self.left
        if np.isnan(place).any():
            raise InputError(
                f"{int(np.isnan(place).sum()):,} predictions are not a number (NaN), which this metric cannot take"
            )
        place = place / self.width * self.buckets + 1
        # What TFMA truncates is at least 0 by then.
        cell = np.clip(place, 0, self.buckets + 1).astype(np.int64)
        some = weights != 0 if self.fractional else np.ones(weights.shape, bool)
        # The predictions that top_k leaves out are minus infinity, which nothing times is not a number.
        predicted = np.where(some, inputs.predictions, 0.0) * weights
        return Entries([labels * weights, predicted, weights, some.astype(np.float64)], cell, self.buckets + 2)

    def outputs(self, sums: Floats) -> Mapping[Any, Any]:
        """Return the histogram."""
        return {self.key: Buckets(sums)}


@dataclass(frozen=True, slots=True)
class MatricesFromHistogram:
    """TFMA's derivation of confusion matrices from a histogram, over arrays."""

    histogram_key: Any
    matrices_key: Any
    thresholds: Sequence[float]
    places: Any
    rebinned: int
    offset: int

    @classmethod
    def instead_of(cls, derived: Any) -> MatricesFromHistogram | None:
        """Return the same as one of TFMA's derived computations, None where it is another, or TFMA has changed."""
        found = inspect.getclosurevars(derived.result).nonlocals
        named = ("use_histogram", "thresholds", "input_metric_key", "matrices_key")
        if any(name not in found for name in named) or not found["use_histogram"]:
            return None
        thresholds = list(found["thresholds"])
        if len(thresholds) == 1 and thresholds[0] < 0:
            return None  # a handful of buckets, of which it matters which are empty
        bounds = [threshold + _EPSILON if threshold != 0 else threshold for threshold in thresholds]
        if thresholds[0] >= 0:
            bounds = [-_EPSILON, *bounds]
        if thresholds[-1] < 1.0:
            bounds = [*bounds, 1.0 + _EPSILON]
        starts = np.arange(_DEFAULT_BUCKETS + 2, dtype=np.float64)
        starts = (starts - 1) / _DEFAULT_BUCKETS
        starts[0], starts[-1] = -np.inf, np.inf
        places = np.searchsorted(np.asarray(bounds[1:]), starts, side="right")
        offset = int((thresholds[0] >= 0 or len(thresholds) == 1) and len(bounds) > 1)
        return cls(found["input_metric_key"], found["matrices_key"], thresholds, places, len(bounds), offset)

    def result(self, metrics: Mapping[Any, Any]) -> Mapping[Any, Any]:
        """Return the matrices at all thresholds, from the metrics of one slice."""
        from tensorflow_model_analysis.metrics.binary_confusion_matrices import Matrices

        labels, _, weights, _ = metrics[self.histogram_key].sums
        positive = np.bincount(self.places, labels, self.rebinned)
        negative = np.bincount(self.places, weights - labels, self.rebinned)
        wanted = slice(self.offset, self.offset + len(self.thresholds))
        tp, fp = (np.cumsum(each[::-1])[::-1][wanted].copy() for each in (positive, negative))
        fn, tn = ((np.cumsum(each) - each)[wanted] for each in (positive, negative))
        for place in np.flatnonzero(np.asarray(self.thresholds) >= 1.0 + _EPSILON):
            tp[place] = fp[place] = 0.0
            fn[place], tn[place] = tp[0], fp[0]
        return {self.matrices_key: Matrices(self.thresholds, tp, tn, fp, fn)}
