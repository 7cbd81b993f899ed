"""TFMA's own result files, and ours beside them; changes with what TFMA reads.

Importing this module imports TFMA, which takes seconds: do so where an evaluation runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from tensorflow_model_analysis.post_export_metrics.metric_keys import ERROR_METRIC
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.version import VERSION
from tensorflow_model_analysis.writers import metrics_plots_and_validations_writer as tfma_writer

from monitor.evaluate.evaluation import Evaluation, Metrics

METRICS = "metrics-00000-of-00001.tfrecord"
PLOTS = "plots-00000-of-00001.tfrecord"
ATTRIBUTIONS = "attributions-00000-of-00001.tfrecord"
VALIDATIONS = "validations.tfrecord"
_UNKNOWN = "<unknown>"


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """Files that `tfma.load_eval_result`, `load_metrics`, `load_plots`, `load_attributions` and `load_validation_result` read.

    Attributes:
        records: the records of each TFRecord file, by its name.
        eval_config: text of `eval_config.json`; None where the configuration disables it.
    """

    records: Mapping[str, Sequence[bytes]]
    eval_config: str | None


def result_files(
    evaluation: Evaluation, config: Any, validation: Any, data_location: str, file_format: str
) -> ResultFiles:
    """Return what TFMA would have written of an evaluation, made by TFMA's own writer functions.

    Args:
        evaluation: metrics, plots and attributions.
        config: the EvalConfig that they were computed by.
        validation: TFMA's ValidationResult.
        data_location: where the rows are, for TFMA's views to show.
        file_format: of the rows.
    """
    metrics = [
        tfma_writer.convert_slice_metrics_to_proto((key, _with_message(values)), [])
        for key, values in evaluation.metrics.items()
    ]
    # As by TFMA: a slice without plots or attributions has an empty record, which its views pass over.
    keys = list(evaluation.metrics)
    plots = [tfma_writer.convert_slice_plots_to_proto((key, dict(evaluation.plots.get(key, {}))), []) for key in keys]
    attributions = [
        tfma_writer.convert_slice_attributions_to_proto((key, dict(evaluation.attributions.get(key, {}))))
        for key in keys
    ]
    records = {METRICS: metrics, PLOTS: plots, ATTRIBUTIONS: attributions, VALIDATIONS: [validation]}
    return ResultFiles(
        {name: [each.SerializeToString() for each in messages] for name, messages in records.items()},
        _eval_run(config, data_location, file_format),
    )


def _with_message(metrics: Metrics) -> dict[Any, Any]:
    """Return a slice's metrics, where they are only a message of TFMA's (too few examples) by the name that its writer knows."""
    messages = [value for key, value in metrics.items() if getattr(key, "name", key) == ERROR_METRIC]
    return {ERROR_METRIC: messages[0]} if messages else dict(metrics)


def _eval_run(config: Any, data_location: str, file_format: str) -> str | None:
    """Return TFMA's record of the run (`eval_config_writer._serialize_eval_run`)."""
    if "eval_config" in config.options.disabled_outputs.values:
        return None
    models = {spec.name: _UNKNOWN for spec in config.model_specs}
    run = config_pb2.EvalRun(
        eval_config=config,
        version=VERSION,
        data_location=data_location,
        file_format=file_format or _UNKNOWN,
        model_locations=models,
    )
    return str(json_format.MessageToJson(run)) + "\n"
