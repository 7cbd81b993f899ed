"""Which way a metric gets worse; changes when a metric is added that has a direction.

Importing this module imports TFMA, which takes seconds: do so where an evaluation runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from tensorflow_model_analysis.metrics import metric_specs


class Worse(StrEnum):
    """What is a loss of quality: less, more, or any move away from what was usual."""

    LOWER = "lower"
    HIGHER = "higher"
    EITHER = "either"


_LOWER = (
    "AUC",
    "AUCPrecisionRecall",
    "Accuracy",
    "AveragePrecision",
    "BalancedAccuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "F1Score",
    "FowlkesMallowsIndex",
    "Informedness",
    "Markedness",
    "MatthewsCorrelationCoefficient",
    "MaxRecall",
    "NDCG",
    "NPV",
    "NegativePredictiveValue",
    "PPV",
    "Precision",
    "PrecisionAtRecall",
    "Recall",
    "RecallAtFalsePositiveRate",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "Specificity",
    "SpecificityAtSensitivity",
    "SquaredPearsonCorrelation",
    "TNR",
    "TPR",
    "ThreatScore",
    "TjurDiscrimination",
    "TopKCategoricalAccuracy",
)
_HIGHER = (
    "BinaryCrossEntropy",
    "BinaryCrossentropy",
    "CategoricalCrossEntropy",
    "CategoricalCrossentropy",
    "FNR",
    "FPR",
    "FallOut",
    "FalseDiscoveryRate",
    "FalseOmissionRate",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "MissRate",
    "RootMeanSquaredError",
    "SparseCategoricalCrossentropy",
)
_EITHER = ("Calibration",)
_OF_CLASS: Mapping[str, Worse] = {
    **dict.fromkeys(_LOWER, Worse.LOWER),
    **dict.fromkeys(_HIGHER, Worse.HIGHER),
    **dict.fromkeys(_EITHER, Worse.EITHER),
}


def directions(config: Any) -> dict[Any, Worse | None]:
    """Return, by TFMA's key, which way each metric of a configuration gets worse; None for one that says nothing of quality.

    Counts and means of labels and predictions change with the traffic, and are no loss by themselves.
    """
    found = metric_specs.keys_and_metrics_from_specs(config, config.metrics_specs)
    return {key: _OF_CLASS.get(metric.class_name) for key, metric, _ in found}
