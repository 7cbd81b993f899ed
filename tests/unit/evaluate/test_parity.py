"""Every vectorised metric against TFMA itself on random data: the same keys, the same numbers, and nothing left to TFMA."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from monitor.evaluate.evaluating import evaluate
from monitor.evaluate.evaluation import Engine
from monitor.evaluate.examples import Examples
from tests.unit.evaluate import shapes
from tests.unit.evaluate.oracle import KERAS, NATIVE, differences, eval_config, said_by, tfma_once

# TFMA divides by zero where a metric is not defined.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:tensorflow_model_analysis.*")

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as an EvalConfig asks for it, and how far its values may be from TFMA's."""

    class_name: str
    config: Config = field(default_factory=dict)
    tolerance: float = NATIVE

    @property
    def text(self) -> str:
        config = f" config: {json.dumps(json.dumps(self.config))}" if self.config else ""
        return f'metrics {{ class_name: "{self.class_name}"{config} }}'

    def __str__(self) -> str:
        return " ".join(
            [self.class_name, *(f"{name}={value}" for name, value in self.config.items() if name != "name")]
        )


@dataclass(frozen=True, slots=True)
class Spec:
    """A metrics_spec: what is asked of the metrics besides their own settings, and the metrics."""

    options: str
    metrics: Sequence[Metric]

    @property
    def text(self) -> str:
        return f"metrics_specs {{ {self.options} {' '.join(metric.text for metric in self.metrics)} }}"


@dataclass(frozen=True, slots=True)
class Case:
    """Examples of one shape, with everything that is asked of them."""

    name: str
    examples: Callable[[], Examples]
    frame: str
    specs: Sequence[Spec]

    @property
    def text(self) -> str:
        return " ".join([self.frame, *(spec.text for spec in self.specs)])


def keras(class_name: str, **config: Any) -> Metric:
    return Metric(class_name, config, KERAS)


def native(class_name: str, **config: Any) -> Metric:
    return Metric(class_name, config)


RATES = (
    *("Precision", "PPV", "Recall", "TPR", "Specificity", "TNR", "FallOut", "FPR", "MissRate", "FNR"),
    *("NegativePredictiveValue", "NPV", "FalseDiscoveryRate", "FalseOmissionRate", "Prevalence", "PrevalenceThreshold"),
    *("ThreatScore", "BalancedAccuracy", "F1Score", "MatthewsCorrelationCoefficient", "FowlkesMallowsIndex"),
    *("Informedness", "Markedness", "PositiveLikelihoodRatio", "NegativeLikelihoodRatio", "DiagnosticOddsRatio"),
    *(
        "PredictedPositiveRate",
        "TruePositives",
        "TP",
        "FalsePositives",
        "FP",
        "TrueNegatives",
        "TN",
        "FalseNegatives",
        "FN",
    ),
)

BINARY = (
    native("ExampleCount"),
    native("WeightedExampleCount"),
    *(native(name) for name in RATES),
    *(
        native(name, thresholds=[0.25, 0.5, 0.75], name=f"{name} at three")
        for name in ("Precision", "Recall", "FPR", "FN")
    ),
    native("Specificity", thresholds=0.3, name="specificity at one"),
    native("BinaryAccuracy"),
    native("BinaryAccuracy", threshold=0.3, name="accuracy at 0.3"),
    native("ConfusionMatrixAtThresholds", thresholds=[0.0, 0.25, 0.5, 1.0]),
    native("AUC"),
    native("AUC", curve="PR", name="PR"),
    native("AUC", summation_method="majoring", name="majoring"),
    native("AUC", summation_method="minoring", name="minoring"),
    native("AUC", num_thresholds=7, name="seven"),
    native("AUC", thresholds=[0.2, 0.4, 0.6], name="some"),
    native("AUC", curve="PR", summation_method="majoring", num_thresholds=50, name="PR, majoring"),
    native("AUC", curve="PR", summation_method="minoring", num_thresholds=50, name="PR, minoring"),
    native("AUCPrecisionRecall"),
    native("AUCPrecisionRecall", summation_method="minoring", num_thresholds=100, name="AUCPR of 100"),
    native("PrecisionAtRecall", recall=0.7),
    native("PrecisionAtRecall", recall=[0.2, 0.8], name="two", num_thresholds=200),
    native("RecallAtPrecision", precision=0.4),
    native("RecallAtFalsePositiveRate", false_positive_rate=0.3),
    native("SensitivityAtSpecificity", specificity=0.6),
    native("SpecificityAtSensitivity", sensitivity=0.6),
    native("ThresholdAtRecall", recall=0.6),
    native("MaxRecall"),
    native("BinaryCrossEntropy"),
    native("BinaryCrossEntropy", label_smoothing=0.1, name="smooth"),
    native("BinaryCrossEntropy", from_logits=True, name="of logits"),
    native("Calibration"),
    native("MeanLabel"),
    native("MeanPrediction"),
    native("CalibrationPlot"),
    native("CalibrationPlot", num_buckets=10, left=0.2, right=0.8, name="ten buckets"),
    native("ConfusionMatrixPlot"),
    native("ConfusionMatrixPlot", num_thresholds=9, name="nine"),
    native("MeanSquaredError"),
    native("MeanAbsoluteError"),
    native("SquaredPearsonCorrelation"),
    keras("BinaryCrossentropy", name="keras entropy"),
    keras("RootMeanSquaredError"),
)

REGRESSION = (
    native("ExampleCount"),
    native("MeanSquaredError"),
    native("MeanAbsoluteError"),
    native("MeanAbsolutePercentageError"),
    native("MeanSquaredLogarithmicError"),
    native("SquaredPearsonCorrelation"),
    native("Calibration"),
    native("MeanLabel"),
    native("MeanPrediction"),
    native("CalibrationPlot", left=-5.0, right=5.0),
    keras("RootMeanSquaredError"),
)

FEW = (
    native("AUC"),
    native("AUCPrecisionRecall"),
    native("Precision"),
    native("Recall"),
    native("F1Score"),
    native("BinaryAccuracy"),
    native("BinaryCrossEntropy"),
    native("Calibration"),
    native("MeanPrediction"),
    native("MeanLabel"),
    native("MeanSquaredError"),
    native("ExampleCount"),
    native("ConfusionMatrixAtThresholds", thresholds=[0.3, 0.6]),
    native("CalibrationPlot"),
    native("ConfusionMatrixPlot", num_thresholds=100),
)

BY_CLASS = (
    native("AUC"),
    native("Precision"),
    native("Recall"),
    native("BinaryAccuracy"),
    native("BinaryCrossEntropy"),
    native("MeanLabel"),
    native("MeanPrediction"),
    native("Calibration"),
    native("MeanSquaredError"),
)


WEIGHTED = 'model_specs { example_weight_key: "weight" }'
PLAIN = "model_specs {}"
PAIR = """
model_specs { name: "candidate" example_weight_key: "weight" }
model_specs { name: "baseline" example_weight_key: "weight" is_baseline: true }
"""
TWO_OUTPUTS = """
model_specs { example_weight_keys { key: "click" value: "weight" } example_weight_keys { key: "buy" value: "weight" } }
"""
SLICED = """
slicing_specs {} slicing_specs { feature_keys: ["country"] } slicing_specs { feature_keys: ["region", "age"] }
slicing_specs { feature_keys: ["size"] feature_values { key: "age" value: "1" } } slicing_specs { feature_keys: ["tags"] }
slicing_specs { feature_values { key: "country" value: "nowhere" } }
slicing_specs { slice_keys_sql: "SELECT STRUCT(age) FROM example.age WHERE age = 0" }
"""
CROSSED = """
cross_slicing_specs { baseline_spec {} slicing_specs { feature_keys: ["age"] } }
cross_slicing_specs { baseline_spec { feature_values { key: "country" value: "at" } } }
"""


def by(column: str) -> str:
    return f'slicing_specs {{}} slicing_specs {{ feature_keys: ["{column}"] }}'


def binarised(how: str, *metrics: Metric) -> Spec:
    return Spec(f"binarize {{ {how} }}", metrics)


def aggregated(how: str, *metrics: Metric) -> Spec:
    return Spec(f"aggregate {{ {how} }}", metrics)


CLASS_WEIGHTS = " ".join(f"class_weights {{ key: {key} value: {weight} }}" for key, weight in enumerate((1, 2, 0.5)))
AVERAGED = native("AUC"), native("Precision"), native("MeanPrediction"), native("BinaryCrossEntropy")

# TFMA gives some of what it computes on the way the same name, though their settings differ: both matrices of classes, macro and
# weighted macro averages, top k with and without an average. The last to be computed is then taken for all, so each case has one.
CASES = (
    Case("weighted", shapes.binary, WEIGHTED + by("tags"), [Spec("", BINARY)]),
    Case("unweighted", shapes.binary, PLAIN + SLICED, [Spec("", FEW)]),
    Case(
        "edges",
        shapes.edges,
        WEIGHTED + by("window"),
        # TFMA fails on PrevalenceThreshold where recall and specificity add up to 1.
        [Spec("", [metric for metric in BINARY if metric.class_name != "PrevalenceThreshold"])],
    ),
    Case("outside", shapes.outside, PLAIN + by("window"), [Spec("", BINARY)]),
    Case(
        "models",
        shapes.two_models,
        PAIR + by("country") + CROSSED,
        [
            Spec("", (*FEW, keras("RootMeanSquaredError"))),
            Spec(
                "example_weights { weighted: true unweighted: true }",
                (native("AUC", name="both ways"), native("WeightedExampleCount", name="both counts")),
            ),
            Spec('model_names: ["candidate"]', (native("MeanAbsoluteError"),)),
        ],
    ),
    Case(
        "class numbers",
        shapes.class_numbers,
        WEIGHTED + by("country"),
        [
            Spec(
                "",
                (
                    native("ExampleCount"),
                    native("MultiClassConfusionMatrixAtThresholds"),
                    native("Precision", top_k=2, name="precision of the top 2"),
                    native("AUC", class_id=1, name="AUC of class 1"),
                    keras("SparseCategoricalAccuracy"),
                    keras("SparseCategoricalCrossentropy"),
                ),
            ),
            binarised("class_ids { values: [0, 2] }", *BY_CLASS, keras("RootMeanSquaredError")),
            binarised("k_list { values: [1, 2] }", *BY_CLASS[:5]),
            aggregated("micro_average: true", *AVERAGED, native("CalibrationPlot")),
            aggregated(f"macro_average: true {CLASS_WEIGHTS}", *AVERAGED),
            aggregated("macro_average: true top_k_list { values: [2] }", native("Precision"), native("Recall")),
        ],
    ),
    Case(
        "one-hot classes",
        shapes.one_hot_classes,
        WEIGHTED + by("country"),
        [
            Spec(
                "",
                (
                    native("WeightedExampleCount"),
                    native("MultiClassConfusionMatrixPlot", num_thresholds=3),
                    native("Precision", class_id=2, name="precision of class 2"),
                    native("CategoricalCrossEntropy"),
                    native("CategoricalCrossEntropy", label_smoothing=0.1, name="smooth"),
                    native("CategoricalCrossEntropy", from_logits=True, name="of logits"),
                    keras("CategoricalAccuracy"),
                    keras("CategoricalCrossentropy", name="keras entropy"),
                ),
            ),
            binarised("top_k_list { values: [1, 3] }", native("Precision"), native("Recall"), native("AUC")),
            aggregated(f"weighted_macro_average: true {CLASS_WEIGHTS}", *AVERAGED),
            aggregated(f"micro_average: true {CLASS_WEIGHTS}", native("Precision"), native("BinaryAccuracy")),
            Spec(
                f"binarize {{ class_ids {{ values: [1] }} }} aggregate {{ macro_average: true {CLASS_WEIGHTS} }}",
                (native("F1Score"), native("Calibration")),
            ),
        ],
    ),
    Case(
        "several labels",
        shapes.several_labels,
        PLAIN + by("country"),
        [
            Spec(
                "",
                (
                    native("MultiClassConfusionMatrixAtThresholds", thresholds=[0.2, 0.5]),
                    native("BinaryCrossEntropy"),
                    keras("BinaryCrossentropy", name="keras entropy"),
                    keras("RootMeanSquaredError"),
                ),
            ),
            binarised("class_ids { values: [0, 2] }", *BY_CLASS),
            aggregated("micro_average: true", native("AUC"), native("MeanLabel")),
            aggregated("micro_average: true top_k_list { values: [2] }", native("Precision"), native("Recall")),
        ],
    ),
    Case("plot of classes", shapes.class_numbers, PLAIN, [Spec("", [native("MultiClassConfusionMatrixPlot")])]),
    Case("regression", shapes.regression, WEIGHTED + SLICED, [Spec("", REGRESSION)]),
    Case("constants", shapes.constants, PLAIN + by("window"), [Spec("", REGRESSION)]),
    Case(
        "ranking",
        shapes.ranking,
        WEIGHTED + by("country") + 'slicing_specs { feature_keys: "row" }',
        [
            Spec('query_key: "query"', [native("NDCG", gain_key="gain", top_k_list=[1, 3, 100])]),
            Spec(
                'query_key: "query" binarize { top_k_list { values: [2] } }',
                [native("NDCG", gain_key="gain", name="binarised")],
            ),
            Spec("", (native("AUC"), native("ExampleCount"))),
        ],
    ),
    Case(
        "outputs",
        shapes.outputs,
        TWO_OUTPUTS + by("country"),
        [
            Spec('output_names: ["click", "buy"]', FEW),
            Spec(
                'output_names: ["click", "buy"] output_weights { key: "click" value: 1 } output_weights { key: "buy" value: 3 }',
                [native("MeanAbsoluteError")],
            ),
        ],
    ),
)


def _one_by_one() -> list[Any]:
    return [
        pytest.param(case, spec, metric, id=f"{case.name}-{number}-{metric}")
        for case in CASES
        for number, spec in enumerate(case.specs)
        for metric in spec.metrics
    ]


@pytest.mark.parametrize(("case", "spec", "metric"), _one_by_one())
def test_a_metric_is_vectorised_and_equals_tfmas(case: Case, spec: Spec, metric: Metric) -> None:
    alone = Case(case.name, case.examples, case.frame, [Spec(spec.options, [metric])])
    ours = evaluate(case.examples(), eval_config(alone.text))
    theirs = tfma_once(case.examples, case.text)
    said = said_by(ours)
    # The oracle was asked for everything at once: of that, what this metric says.
    names = {name for values in said.values() for name in values}
    of_metric = {
        key: {name: value for name, value in values.items() if name in names} for key, values in theirs.items()
    }
    assert names
    assert differences(said, of_metric, metric.tolerance) == []
    assert set(ours.engines.values()) == {Engine.VECTORISED}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_all_metrics_together_say_all_that_tfma_says(case: Case) -> None:
    ours = evaluate(case.examples(), eval_config(case.text))
    assert differences(said_by(ours), tfma_once(case.examples, case.text), KERAS) == []
