"""Which of TFMA's combiners have a vectorised counterpart; changes when one more does.

TFMA names its combiners nowhere but in their classes, and keeps their settings private: both are read here and in the statistics.
Where a name or an attribute is not as expected, the metric is TFMA's to compute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from monitor.evaluate.engine.counts import ClassShares, ExampleCount, WeightedSums
from monitor.evaluate.engine.histogram import Histogram
from monitor.evaluate.engine.inputs import NotVectorised
from monitor.evaluate.engine.keras import KerasMetrics
from monitor.evaluate.engine.matrices import BinaryMatrices, ClassMatrices
from monitor.evaluate.engine.means import ERRORS, CrossEntropy, MeanError
from monitor.evaluate.engine.ranking import Ndcg
from monitor.evaluate.engine.statistic import Statistic

_COUNTERPARTS: Mapping[str, Callable[[Any], Statistic]] = {
    "_ExampleCountCombiner": ExampleCount.of,
    "_WeightedLabelsPredictionsExamplesCombiner": WeightedSums.means,
    "_SquaredPearsonCorrelationCombiner": WeightedSums.correlation,
    "_ClassWeightsFromLabelsCombiner": ClassShares.of,
    "_CalibrationHistogramCombiner": Histogram.of,
    "_BinaryConfusionMatrixCombiner": BinaryMatrices.of,
    "_MultiClassConfusionMatrixCombiner": ClassMatrices.of,
    "_BinaryCrossEntropyCombiner": CrossEntropy.binary,
    "_CategoricalCrossEntropyCombiner": CrossEntropy.categorical,
    "_CompilableMetricsCombiner": KerasMetrics.of,
    "_NDCGCombiner": Ndcg.of,
    **dict.fromkeys(ERRORS, MeanError.of),
}


def statistic_of(computation: Any) -> Statistic:
    """Return the counterpart of one of TFMA's `MetricComputation`s; raises NotVectorised where there is none."""
    combiner = type(computation.combiner)
    make = _COUNTERPARTS.get(combiner.__name__)
    if make is None or not combiner.__module__.startswith("tensorflow_model_analysis."):
        raise NotVectorised(combiner.__name__)
    try:
        return make(computation)
    except AttributeError as error:  # TFMA has renamed a setting
        raise NotVectorised(f"{combiner.__name__}: {error}") from error
