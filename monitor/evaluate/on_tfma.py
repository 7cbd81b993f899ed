"""Evaluations by TFMA itself, over Apache Beam; changes when TFMA or Beam does.

It computes what the vectorised engine leaves: any metric that TFMA knows, at TFMA's own speed, in this process or on any runner
that Beam has. Importing this module imports TFMA, which takes seconds: do so where an evaluation runs.
"""

from __future__ import annotations

import base64
import logging
import re
import uuid
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.transforms.combiners import Count
from tensorflow_model_analysis.evaluators import metrics_plots_and_validations_evaluator
from tensorflow_model_analysis.extractors import (
    features_extractor,
    slice_key_extractor,
    sql_slice_key_extractor,
    unbatch_extractor,
)
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import config_util

from monitor.errors import ConfigError, InputError
from monitor.evaluate.evaluation import Engine, Evaluation
from monitor.evaluate.examples import Examples
from monitor.evaluate.extracts import extracts_of

Result = tuple[str, Any, Any]
"""What was found (`metrics`, `plots`, `attributions` or `examples`), of which slice, and its values."""

_EXAMPLES = re.compile(
    r"( \[while running |[:,]? (labels?|prediction|tensor|inputs|values|StandardMetricInputs)=|, but the values are |: \[).*"
)
"""Where a message of TFMA's goes on with values of examples, which belong in no error text."""

_gathered: dict[str, list[Result]] = {}
"""What the runs of this process have found so far, by run: Beam copies whatever its steps hold, but not what a module does."""


def only(eval_config: Any, metrics: Collection[tuple[int, int]]) -> Any:
    """Return a configuration with some of the metrics alone, and no thresholds.

    Args:
        eval_config: TFMA's EvalConfig; it stays as it is.
        metrics: the place of a metric's `metrics_spec`, and that of the metric in it.
    """
    chosen = _without_thresholds(eval_config)
    del chosen.metrics_specs[:]
    for place, spec in enumerate(_without_thresholds(eval_config).metrics_specs):
        kept = [metric for number, metric in enumerate(spec.metrics) if (place, number) in metrics]
        if kept:
            del spec.metrics[:]
            spec.metrics.extend(kept)
            chosen.metrics_specs.append(spec)
    return chosen


def run(examples: Examples, eval_config: Any, pipeline_options: Sequence[str] = ()) -> Evaluation:
    """Compute metrics, plots and attributions of every slice, as `tfma.analyze_raw_data` would; thresholds are not judged.

    Args:
        examples: outcomes by the names of the configuration's models and outputs; slices and queries are of their features.
        eval_config: TFMA's EvalConfig.
        pipeline_options: Beam's, such as `--runner=FlinkRunner`. Where there are none, this process computes. Where there are,
            results come back through files at `--temp_location`, which all workers must be able to write to.

    Raises:
        InputError: TFMA cannot compute this of these examples; with the reason that it gives.
        ConfigError: the pipeline options lack a `--temp_location`.
    """
    found = _run_elsewhere if pipeline_options else _run_here
    try:
        config = config_util.update_eval_config_with_defaults(_without_thresholds(eval_config), has_baseline=None)
        config_util.verify_eval_config(config)
        with _quiet():
            results = list(found(examples, config, pipeline_options))
    except ConfigError:
        raise
    except Exception as error:
        raise InputError(f"TFMA cannot evaluate this: {_innermost(error)}") from error
    parts: dict[str, dict[Any, Any]] = {what: {} for what in ("metrics", "plots", "attributions", "examples")}
    for what, key, values in sorted(results, key=_overall_first):
        if what == "examples":
            parts[what][key] = values
        elif values or what == "metrics":
            parts[what].setdefault(key, {}).update(values)
    names = [metric.class_name for spec in config.metrics_specs for metric in spec.metrics]
    return Evaluation(engines=dict.fromkeys(names, Engine.TFMA), **parts)


def _run_here(examples: Examples, config: Any, _: Sequence[str]) -> Iterator[Result]:
    name = uuid.uuid4().hex
    _gathered[name] = []
    try:
        # By its class, since what Beam runs in process by default differs between its versions, and may be a program to download.
        with beam.Pipeline(runner=FnApiRunner()) as pipeline:
            _ = _results(pipeline, examples, config) | "Gather" >> beam.Map(_gather, name)
        yield from _gathered[name]
    finally:
        del _gathered[name]


def _gather(result: Result, name: str) -> None:
    _gathered[name].append(result)


def _run_elsewhere(examples: Examples, config: Any, pipeline_options: Sequence[str]) -> Iterator[Result]:
    """Let results pass through files, in the way in which Beam itself passes values between its workers."""
    options = PipelineOptions(list(pipeline_options))
    shared = options.view_as(GoogleCloudOptions).temp_location
    if not shared:
        raise ConfigError(
            "pipeline options: --temp_location is missing: a folder that all workers of the runner can write to"
        )
    folder = FileSystems.join(shared, f"driftline-{uuid.uuid4().hex}")
    FileSystems.mkdirs(folder)
    files: list[str] = []
    coder = beam.coders.FastPrimitivesCoder()
    try:
        with beam.Pipeline(options=options) as pipeline:
            _ = (
                _results(pipeline, examples, config)
                | "Encode" >> beam.Map(lambda result: base64.b64encode(coder.encode(result)).decode())
                | "Write" >> beam.io.WriteToText(FileSystems.join(folder, "results"))
            )
        [written] = FileSystems.match([FileSystems.join(folder, "results*")])
        files.extend(file.path for file in written.metadata_list)
        for file in files:
            with FileSystems.open(file) as lines:
                yield from (coder.decode(base64.b64decode(line)) for line in lines)
    finally:
        # Object stores have files but no folders, disks have both.
        FileSystems.delete([*files, folder])


def _results(pipeline: Any, examples: Examples, config: Any) -> Any:
    """Return what TFMA's own extractors and evaluator find, as a PCollection of Result."""
    extracts = pipeline | "Examples" >> beam.Create(list(extracts_of(examples)))
    steps = [features_extractor.FeaturesExtractor(config)]
    if any(spec.slice_keys_sql for spec in config.slicing_specs):
        steps.append(sql_slice_key_extractor.SqlSliceKeyExtractor(config))
    steps += [
        unbatch_extractor.UnbatchExtractor(),
        slice_key_extractor.SliceKeyExtractor(eval_config=config, materialize=False),
    ]
    for step in steps:
        extracts = extracts | step.stage_name >> step.ptransform
    evaluator = metrics_plots_and_validations_evaluator.MetricsPlotsAndValidationsEvaluator(config)
    found = extracts | evaluator.stage_name >> evaluator.ptransform
    found["examples"] = (
        extracts
        | "SliceKeys" >> beam.FlatMap(lambda extract: list(extract["_slice_key_types"]))
        | "Count" >> Count.PerElement()
    )
    named = [
        found[what] | f"Name {what}" >> beam.MapTuple(lambda key, values, what=what: (what, key, values))
        for what in ("metrics", "plots", "attributions", "examples")
    ]
    return named | "All" >> beam.Flatten()


def _without_thresholds(eval_config: Any) -> Any:
    """Return a configuration that computes the same and judges nothing."""
    config = config_pb2.EvalConfig()
    config.CopyFrom(eval_config)
    for spec in config.metrics_specs:
        for each in (spec, *spec.metrics):
            for field in ("threshold", "thresholds", "per_slice_thresholds", "cross_slice_thresholds"):
                if field in each.DESCRIPTOR.fields_by_name:
                    each.ClearField(field)
    return config


def _overall_first(result: Result) -> tuple[bool, bool, str]:
    """Sort the overall slice first, then slices by their names, and pairs of slices last."""
    _, key, _ = result
    pair = any(not part or not isinstance(part[0], str) for part in key)
    return pair, bool(key), repr(key)


def _innermost(error: BaseException) -> str:
    """Return in one line what TFMA said first: Beam wraps what its workers said, and TFMA appends the examples it was given."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    [line, *_] = str(error).strip().splitlines() or [type(error).__name__]
    return _EXAMPLES.sub("", line)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Beam and TFMA say to ourselves: they tell of steps that work, and repeat whole examples where one fails."""
    loggers = [logging.getLogger(name) for name in ("apache_beam", "absl")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            # TFMA divides by zero where a metric is not defined, and says so with a NaN.
            warnings.filterwarnings("ignore", category=RuntimeWarning, module="tensorflow_model_analysis")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
