from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from monitor.errors import ConfigError, InputError
from monitor.evaluate.evaluating import evaluate
from monitor.evaluate.evaluation import Engine
from monitor.evaluate.examples import Examples, Outcomes
from monitor.evaluate.extracts import BATCH_ROWS, extracts_of
from tests.unit.evaluate import shapes
from tests.unit.evaluate.oracle import as_written, differences, eval_config, said_by, tfma_once

# TFMA divides by zero where a metric is not defined.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:tensorflow_model_analysis.*")

SLICED = """
slicing_specs {} slicing_specs { feature_keys: ["country"] } slicing_specs { feature_keys: ["region", "age"] }
slicing_specs { feature_keys: ["size"] feature_values { key: "age" value: "1" } } slicing_specs { feature_keys: ["tags"] }
slicing_specs { slice_keys_sql: "SELECT STRUCT(tags) FROM example.tags WHERE tags = b'new'" }
"""
ASKED: dict[str, tuple[Callable[[], Examples], str]] = {
    "weights and slices of all kinds": (
        shapes.binary,
        'model_specs { example_weight_key: "weight" }'
        + SLICED
        + 'metrics_specs { metrics { class_name: "CoefficientOfDiscrimination" } metrics { class_name: "CalibrationPlot" } }',
    ),
    "two models, their difference and crossed slices": (
        shapes.two_models,
        """
        model_specs { name: "candidate" } model_specs { name: "baseline" is_baseline: true }
        slicing_specs {} slicing_specs { feature_keys: "country" }
        cross_slicing_specs { baseline_spec {} slicing_specs { feature_keys: "country" } }
        metrics_specs { metrics { class_name: "MeanLabel" } metrics { class_name: "SymmetricPredictionDifference" } }
        """,
    ),
    "several outputs": (
        shapes.outputs,
        'model_specs {} metrics_specs { output_names: ["click", "buy"] metrics { class_name: "MeanPrediction" } }',
    ),
    "queries": (
        shapes.ranking,
        """
        model_specs { example_weight_key: "weight" } slicing_specs {} slicing_specs { feature_keys: "row" }
        metrics_specs { query_key: "query" metrics { class_name: "MinLabelPosition" } metrics { class_name: "QueryStatistics" } }
        metrics_specs { metrics { class_name: "ExampleCount" } }
        """,
    ),
    "several classes": (
        shapes.class_numbers,
        """
        model_specs {} options { min_slice_size { value: 40 } } slicing_specs {} slicing_specs { feature_keys: "country" }
        metrics_specs { metrics { class_name: "SparseTopKCategoricalAccuracy" config: '"k": 2' } }
        """,
    ),
}


def examples(labels: list[float], **features: pa.Array) -> Examples:
    return Examples({("", ""): Outcomes(np.array(labels), np.full(len(labels), 0.25))}, features)


@pytest.mark.slow
@pytest.mark.parametrize("name", ASKED)
def test_what_is_evaluated_in_process_is_what_tfma_says_of_columns(name: str) -> None:
    from monitor.evaluate import on_tfma

    made, text = ASKED[name]
    found = on_tfma.run(made(), eval_config(text))
    assert differences(said_by(found), tfma_once(made, text), 1e-12) == []
    assert set(found.engines.values()) == {Engine.TFMA}
    assert found.slices[0] == ()
    assert found.examples[()] == len(made())


BOTH = """
model_specs { name: "candidate" } model_specs { name: "baseline" is_baseline: true }
slicing_specs {} slicing_specs { feature_keys: "country" }
cross_slicing_specs { baseline_spec {} slicing_specs { feature_keys: "country" } }
metrics_specs { metrics { class_name: "AUC" } metrics { class_name: "CoefficientOfDiscrimination" } }
metrics_specs { metrics { class_name: "CalibrationPlot" } metrics { class_name: "ScoreDistributionPlot" } }
"""


def test_metrics_of_both_engines_are_put_together() -> None:
    found = evaluate(shapes.two_models(), eval_config(BOTH))
    assert differences(said_by(found), tfma_once(shapes.two_models, BOTH), 1e-6) == []
    assert found.engines == {
        "AUC": Engine.VECTORISED,
        "CoefficientOfDiscrimination": Engine.TFMA,
        "CalibrationPlot": Engine.VECTORISED,
        "ScoreDistributionPlot": Engine.TFMA,
    }


JUDGED = """
metrics_specs {
  metrics { class_name: "MeanLabel" threshold { change_threshold { absolute { value: 0 } direction: HIGHER_IS_BETTER } } }
  metrics {
    class_name: "ExampleCount"
    per_slice_thresholds { slicing_specs {} threshold { value_threshold { lower_bound { value: 9 } } } }
  }
  metrics { class_name: "MeanPrediction" }
}
metrics_specs { thresholds { key: "auc" value { value_threshold { lower_bound { value: 1 } } } } metrics { class_name: "AUC" } }
"""


def test_thresholds_are_left_to_those_who_judge() -> None:
    from monitor.evaluate import on_tfma

    found = on_tfma.run(examples([0.0, 1.0]), as_written(JUDGED))
    assert {key.name: value for key, value in found.metrics[()].items()} == {
        "mean_label": 0.5,
        "example_count": 2.0,
        "mean_prediction": 0.25,
        "auc": 0.5,
    }


def test_some_metrics_of_a_configuration_are_chosen_by_their_places() -> None:
    from monitor.evaluate import on_tfma

    config = as_written("slicing_specs {} " + JUDGED)
    before = config.SerializeToString()
    chosen = on_tfma.only(config, {(0, 1), (0, 2)})
    assert chosen == as_written(
        'slicing_specs {} metrics_specs { metrics { class_name: "ExampleCount" } metrics { class_name: "MeanPrediction" } }'
    )
    assert on_tfma.only(config, {(1, 0)}) == as_written(
        'slicing_specs {} metrics_specs { metrics { class_name: "AUC" } }'
    )
    assert on_tfma.only(config, set()) == as_written("slicing_specs {}")
    assert config.SerializeToString() == before


@pytest.mark.parametrize(
    ("asked", "labels", "said"),
    [
        ('metrics { class_name: "Precison" }', [0.0, 1.0], "Unknown metric function: 'Precison'"),
        ('metrics { class_name: "AUC" config: \'"bend": "ROC"\' }', [0.0, 1.0], "unexpected keyword argument 'bend'"),
        ('metrics { class_name: "NDCG" config: \'"gain_key": "gain"\' }', [0.0, 1.0], "a query_key is required"),
        ('metrics { class_name: "AUC" }', [0.0, 4711.0], "label must be within [0, 1]"),
        (
            'metrics { class_name: "AUC" } binarize { top_k_list { values: 9 } }',
            [0.0],
            "The requested value for k is 9",
        ),
        ('metrics { class_name: "MultiLabelConfusionMatrixPlot" }', [0.0], "Predictions shape must be > 1"),
        ('model_names: "nobody" metrics { class_name: "MeanLabel" }', [0.0], "nobody"),
    ],
)
def test_what_tfma_refuses_is_one_line_without_examples(
    asked: str, labels: list[float], said: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    from monitor.evaluate import on_tfma

    config = as_written(f'model_specs {{ name: "a" }} model_specs {{ name: "b" }} metrics_specs {{ {asked} }}')
    if "nobody" not in asked:
        config = as_written(f"metrics_specs {{ {asked} }}")
    caplog.set_level(logging.INFO)
    with pytest.raises(InputError) as refused:
        on_tfma.run(examples(labels), config)
    line = str(refused.value)
    assert line.startswith("TFMA cannot evaluate this: ")
    assert said in line
    assert "\n" not in line
    for text in (line, caplog.text, *capfd.readouterr()):
        assert "4711" not in text
        assert "0.25" not in text


def test_examples_of_several_batches_are_all_counted() -> None:
    from monitor.evaluate import on_tfma

    count = 2 * BATCH_ROWS + 1
    parity = pa.array(["odd" if number % 2 else "even" for number in range(count)])
    found = on_tfma.run(
        examples([1.0] * count, parity=parity),
        as_written(
            'slicing_specs {} slicing_specs { feature_keys: "parity" } metrics_specs { metrics { class_name: "ExampleCount" } }'
        ),
    )
    assert found.examples == {(): count, (("parity", "even"),): BATCH_ROWS + 1, (("parity", "odd"),): BATCH_ROWS}
    assert {key: list(values.values()) for key, values in found.metrics.items()} == {
        key: [float(number)] for key, number in found.examples.items()
    }


COLUMNS = {
    "text": (pa.array(["a", None, "b"]), [["a"], [], ["b"]]),
    "categories": (pa.array(["a", None, "b"]).dictionary_encode(), [["a"], [], ["b"]]),
    "bytes": (pa.array([b"a", b"", None]), [[b"a"], [b""], []]),
    "whole numbers": (pa.array([1, 2, None], pa.int8()), [[1], [2], []]),
    "floats": (pa.array([0.5, None, 1.5]), [[0.5], [], [1.5]]),
    "truths": (pa.array([True, False, None]), [[1], [0], []]),
    "lists": (pa.array([["a", None, "b"], None, []]), [["a", "b"], [], []]),
    "lists of numbers": (pa.array([[1, 2], [3], None], pa.large_list(pa.int64())), [[1, 2], [3], []]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_feature_becomes_lists_of_what_a_tf_example_may_hold(name: str) -> None:
    column, expected = COLUMNS[name]
    [extracts] = extracts_of(examples([0.0, 0.0, 1.0], feature=column))
    assert extracts["arrow_record_batch"].column(0).to_pylist() == expected


@pytest.mark.parametrize(
    "column",
    [pa.array([0, 1, 2], pa.timestamp("s")), pa.nulls(3), pa.array([{"a": 1}] * 3)],
    ids=["times", "nulls", "records"],
)
def test_a_feature_that_tfma_has_no_type_for_is_left_out(column: pa.Array) -> None:
    [extracts] = extracts_of(examples([0.0, 0.0, 1.0], feature=column))
    assert "arrow_record_batch" not in extracts


def test_weights_of_some_models_leave_the_others_unweighted() -> None:
    ones = np.ones(2)
    outcomes = {
        ("a", ""): Outcomes(ones, ones, ones * 3),
        ("b", "x"): Outcomes(ones, ones),
        ("b", "y"): Outcomes(ones, ones),
    }
    [extracts] = extracts_of(Examples(outcomes))
    assert extracts["example_weights"]["a"].tolist() == [[3.0], [3.0]]
    assert extracts["example_weights"]["b"] == {"x": None, "y": None}
    assert extracts["labels"].keys() == {"a", "b"}
    assert extracts["predictions"]["b"].keys() == {"x", "y"}


def test_no_examples_give_no_slices() -> None:
    from monitor.evaluate import on_tfma

    found = on_tfma.run(examples([]), as_written('metrics_specs { metrics { class_name: "AUC" } }'))
    assert found.slices == ()


def test_pipeline_options_bring_results_back_through_files_that_are_gone_afterwards(tmp_path: Path) -> None:
    from monitor.evaluate import on_tfma

    made, text = ASKED["two models, their difference and crossed slices"]
    found = on_tfma.run(made(), eval_config(text), [f"--temp_location={tmp_path}", "--direct_num_workers=1"])
    assert differences(said_by(found), tfma_once(made, text), 1e-12) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workers_may_be_other_processes(tmp_path: Path) -> None:
    from monitor.evaluate import on_tfma

    made, text = ASKED["queries"]
    options = [f"--temp_location={tmp_path}", "--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    found = on_tfma.run(made(), eval_config(text), options)
    assert differences(said_by(found), tfma_once(made, text), 1e-12) == []


def test_pipeline_options_without_a_shared_folder_are_refused() -> None:
    from monitor.evaluate import on_tfma

    with pytest.raises(ConfigError, match="--temp_location is missing"):
        on_tfma.run(examples([0.0]), as_written("model_specs {}"), ["--runner=FlinkRunner"])
