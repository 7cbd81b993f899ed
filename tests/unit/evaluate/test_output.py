"""TFMA reads what is written, and reads the numbers that were computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_model_analysis.api.types import ValueWithTDistribution
from tensorflow_model_analysis.metrics.metric_types import AttributionsKey, MetricKey, PlotKey, SubKey
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2, validation_result_pb2

from monitor.evaluate.evaluation import Evaluation, SliceKey
from monitor.evaluate.output import result_files
from monitor.jobs.evaluating_files import framed

OVERALL: SliceKey = ()
C: SliceKey = (("c", "ä"), ("n", 7))
CALIBRATION = metrics_for_slice_pb2.CalibrationHistogramBuckets()
CALIBRATION.buckets.add(lower_threshold_inclusive=0.0, upper_threshold_exclusive=0.5)
CONFIG = 'model_specs { label_key: "y" } slicing_specs {} metrics_specs { metrics { class_name: "AUC" } }'


def config(text: str = CONFIG) -> Any:
    return text_format.Parse(text, config_pb2.EvalConfig())


def written(folder: Path, evaluation: Evaluation, eval_config: Any = None) -> str:
    """Write an evaluation as the job does; return the folder as TFMA takes it."""
    validation = validation_result_pb2.ValidationResult(validation_ok=True)
    files = result_files(evaluation, eval_config or config(), validation, "d.parquet", "parquet")
    for name, records in files.records.items():
        (folder / name).write_bytes(framed(records))
    if files.eval_config is not None:
        (folder / "eval_config.json").write_text(files.eval_config)
    return str(folder)


@pytest.fixture
def evaluation() -> Evaluation:
    return Evaluation(
        metrics={
            OVERALL: {
                MetricKey("auc"): 0.1 + 0.2,
                MetricKey("none"): float("nan"),
                MetricKey("precision", sub_key=SubKey(class_id=2)): ValueWithTDistribution(0.5, 0.1, 19, 0.25),
                MetricKey("vector"): np.array([1.5, 2.5]),
            },
            C: {MetricKey("auc"): 1.0},
            (OVERALL, C): {MetricKey("auc"): -0.7},
        },
        plots={OVERALL: {PlotKey("calibration_plot"): CALIBRATION}},
        attributions={OVERALL: {AttributionsKey("mean_attributions"): {"x": 0.25, "y": 0.5}}},
    )


def test_metrics_come_back_to_the_last_digit(tmp_path: Path, evaluation: Evaluation) -> None:
    folder = written(tmp_path, evaluation)
    overall, sliced, pair = tfma.load_metrics(folder)
    values = {each.key.name: each.value for each in overall.metric_keys_and_values}
    assert values["auc"].double_value.value == 0.1 + 0.2
    assert np.isnan(values["none"].double_value.value)
    assert list(values["vector"].array_value.float64_values) == [1.5, 2.5]
    assert values["precision"].double_value.value == 0.25
    assert [each.column for each in sliced.slice_key.single_slice_keys] == ["c", "n"]
    assert pair.HasField("cross_slice_key")
    result = tfma.load_eval_result(folder)
    assert result.get_metrics_for_slice(C) == {"auc": {"doubleValue": 1.0}}
    interval = result.get_metrics_for_slice(class_id=2)["precision"]["boundedValue"]
    assert interval["value"] == 0.25
    assert interval["lowerBound"] < 0.5 < interval["upperBound"]
    assert result.config == config()
    assert (result.data_location, result.file_format) == ("d.parquet", "parquet")


def test_plots_attributions_and_the_validation_come_back(tmp_path: Path, evaluation: Evaluation) -> None:
    folder = written(tmp_path, evaluation)
    plots, *others = tfma.load_plots(folder)
    assert plots.plot_keys_and_values[0].value.calibration_histogram_buckets == CALIBRATION
    assert not any(each.plot_keys_and_values for each in others)
    (attributions, *_) = tfma.load_attributions(folder)
    assert {
        name: value.double_value.value for name, value in attributions.attributions_keys_and_values[0].values.items()
    } == {
        "x": 0.25,
        "y": 0.5,
    }
    assert tfma.load_validation_result(folder).validation_ok
    assert tfma.load_eval_result(folder).plots[0][1][""][""]["calibrationHistogramBuckets"]


def test_two_models_come_back_each_by_its_name(tmp_path: Path) -> None:
    metrics = {
        OVERALL: {
            MetricKey("auc", "new"): 0.8,
            MetricKey("auc", "old"): 0.7,
            MetricKey("auc", "new", is_diff=True): 0.1,
        }
    }
    models = config('model_specs { name: "new" } model_specs { name: "old" is_baseline: true }')
    folder = written(tmp_path, Evaluation(metrics), models)
    loaded = {name: tfma.load_eval_result(folder, model_name=name) for name in ("new", "old")}
    assert loaded["new"].get_metrics_for_slice() == {"auc": {"doubleValue": 0.8}, "auc_diff": {"doubleValue": 0.1}}
    assert loaded["old"].get_metrics_for_slice() == {"auc": {"doubleValue": 0.7}}
    assert len(tfma.load_eval_results(folder).get_results()) == 2


def test_a_slice_with_too_few_examples_has_tfmas_message(tmp_path: Path) -> None:
    folder = written(tmp_path, Evaluation({C: {MetricKey("__ERROR__"): "too few"}}))
    assert tfma.load_eval_result(folder).get_metrics_for_slice(C) == {"__ERROR__": {"debugMessage": "too few"}}


def test_the_configuration_is_not_written_where_it_says_so(tmp_path: Path, evaluation: Evaluation) -> None:
    quiet = config(CONFIG + ' options { disabled_outputs { values: "eval_config" } }')
    written(tmp_path, evaluation, quiet)
    assert not (tmp_path / "eval_config.json").exists()


def test_nothing_computed_is_read_as_nothing(tmp_path: Path) -> None:
    folder = written(tmp_path, Evaluation({}))
    assert tfma.load_eval_result(folder).slicing_metrics == []
