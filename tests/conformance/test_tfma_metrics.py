"""TFMA's own tests of metrics, read from its wheel and answered by `evaluate`: its checks of the numbers must hold for ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from monitor.evaluate.evaluating import evaluate
from monitor.evaluate.evaluation import Engine, Evaluation

# TFMA divides by zero where a metric is not defined.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:tensorflow_model_analysis.*")

LEFT_OUT: Mapping[str, str] = {
    "confusion_matrix_metrics_test.testConfusionMatrixFeatureSamplersfalse_negatives": "samples text as bytes, as from any file",
    "confusion_matrix_metrics_test.testConfusionMatrixFeatureSamplersfalse_positives": "samples text as bytes, as from any file",
    "tf_metric_wrapper_test.testCustomTFMetricWithPaddingacross_examples": "labels of different numbers, padded",
    "tf_metric_wrapper_test.testCustomTFMetricWithPaddingwithin_example": "labels of different numbers, padded",
}
"""Cases that an EvalConfig can ask for, and that labelled examples or columns of a file cannot hold as they are."""

VECTORISED: Mapping[str, int] = {
    "calibration_plot_test": 1,
    "calibration_test": 6,
    "confusion_matrix_metrics_test": 108,
    "confusion_matrix_plot_test": 1,
    "cross_entropy_metrics_test": 7,
    "example_count_test": 5,
    "mean_regression_error_test": 4,
    "multi_class_confusion_matrix_metrics_test": 2,
    "multi_class_confusion_matrix_plot_test": 3,
    "ndcg_test": 2,
    "squared_pearson_correlation_test": 3,
    "tf_metric_wrapper_test": 39,
}
"""Of each module, how many cases there are at least that the vectorised engine answers alone."""
BY_TFMA = {"min_label_position_test": 3, "tf_metric_wrapper_test": 4}
"""The same for cases that need TFMA."""


def answered(evaluation: Evaluation) -> list[tuple[Any, dict[Any, Any]]]:
    """Return an evaluation as TFMA's checks take it: pairs of a slice key and all that was computed."""
    return [(key, {**values, **evaluation.plots.get(key, {})}) for key, values in evaluation.metrics.items()]


@pytest.mark.parametrize("module", sorted(VECTORISED.keys() | BY_TFMA.keys()))
def test_tfmas_checks_of_its_numbers_hold_for_ours(module: str) -> None:
    from tests.conformance.metric_cases import NotOpen, config_of, examples_of, noted

    failed, engines = {}, Counter[Engine]()
    for case in noted(module):
        if case.name in LEFT_OUT:
            continue
        try:
            config = config_of(case)
            examples = examples_of(case, config)
        except NotOpen:
            continue
        evaluation = evaluate(examples, config)
        engines[max(evaluation.engines.values(), key=lambda engine: engine is Engine.TFMA)] += 1
        try:
            for check in case.checks:
                check(answered(evaluation))
        except Exception as error:  # noqa: BLE001, TFMA's checks raise what they like
            failed[case.name] = str(error)
    assert failed == {}
    assert engines[Engine.VECTORISED] >= VECTORISED.get(module, 0)
    assert engines[Engine.TFMA] >= BY_TFMA.get(module, 0)


def test_a_check_of_tfmas_notices_a_wrong_number() -> None:
    from tests.conformance.metric_cases import config_of, examples_of, noted

    case = next(each for each in noted("calibration_test") if "mean_label" in each.name)
    config = config_of(case)
    [(key, values)] = answered(evaluate(examples_of(case, config), config))
    for check in case.checks:
        check([(key, values)])
        with pytest.raises(Exception, match="mean_label"):
            check([(key, {name: value + 0.001 for name, value in values.items()})])
