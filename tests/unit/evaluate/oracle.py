"""What TFMA says of labelled examples, asked as its users do: columns of a RecordBatch through its default extractors."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from google.protobuf import text_format
from google.protobuf.message import Message

from monitor.evaluate.evaluation import Evaluation, SliceKey
from monitor.evaluate.examples import Examples

NATIVE = 1e-6
KERAS = 1e-5
"""How far a value may be from TFMA's, relative where it is larger than 1: Keras computes with 32 bits."""

Values = dict[Any, Any]
"""Metrics, plots and attributions of a slice by TFMA's keys."""

_gathered: dict[int, dict[SliceKey, Values]] = {}
_runs = itertools.count()


def as_written(text: str) -> Any:
    """Return an EvalConfig from its text."""
    from tensorflow_model_analysis.proto import config_pb2

    return text_format.Parse(text, config_pb2.EvalConfig())


def eval_config(text: str) -> Any:
    """Return an EvalConfig from its text, with TFMA's defaults filled in."""
    from tensorflow_model_analysis.utils import config_util

    return config_util.update_eval_config_with_defaults(as_written(text), has_baseline=None)


@cache
def tfma_once(examples: Callable[[], Examples], text: str) -> dict[SliceKey, Values]:
    """Return what `tfma_says` of the examples that a function makes, asked once in this process."""
    return tfma_says(examples(), text)


def tfma_says(examples: Examples, text: str) -> dict[SliceKey, Values]:
    """Return what TFMA computes, by slice; raises what TFMA raises.

    Model specs without keys are given some; those with an `example_weight_key` weigh.
    """
    import apache_beam as beam
    import tensorflow_model_analysis as tfma
    from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
    from tensorflow_model_analysis.api.model_eval_lib import BatchedInputsToExtracts, ExtractAndEvaluate
    from tensorflow_model_analysis.extractors.extractor import Extractor

    config = eval_config(text)
    batch = _record_batch(examples, config)
    extractors = tfma.default_extractors(eval_config=config)
    # The native CategoricalCrossEntropy divides predictions in place, and fails on those that are columns of an Arrow batch.
    extractors.insert(-2, Extractor("Copy", beam.Map(_with_predictions_of_its_own)))
    number = next(_runs)
    _gathered[number] = {}
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        found = (
            pipeline
            | beam.Create([batch])
            | BatchedInputsToExtracts()
            | ExtractAndEvaluate(
                extractors=extractors, evaluators=tfma.default_evaluators(eval_config=config, random_seed_for_testing=0)
            )
        )
        for what in ("metrics", "plots", "attributions"):
            _ = found[what] | f"Gather {what}" >> beam.Map(_gather, number)
    return _gathered.pop(number)


def _with_predictions_of_its_own(extracts: Any) -> Any:
    return {**extracts, "predictions": copy.deepcopy(extracts["predictions"])}


def _gather(found: tuple[SliceKey, Values], number: int) -> None:
    key, values = found
    _gathered[number].setdefault(key, {}).update(values)


def _record_batch(examples: Examples, config: Any) -> pa.RecordBatch:
    """Return examples as columns, and write into the model specs what they are called."""
    columns: dict[str, pa.Array] = {}
    if not config.model_specs:
        config.model_specs.add()
    for spec in config.model_specs:
        model = spec.name if len(config.model_specs) > 1 else ""
        outputs = {output: each for (name, output), each in examples.outcomes.items() if name == model}
        for output, outcomes in outputs.items():
            keys = {kind: f"{kind} {model} {output}" for kind in ("label", "prediction", "weight")}
            columns[keys["label"]] = _lists(outcomes.labels)
            columns[keys["prediction"]] = _lists(outcomes.predictions)
            if outcomes.weights is not None:
                columns[keys["weight"]] = _lists(outcomes.weights)
            if output:
                spec.label_keys[output], spec.prediction_keys[output] = keys["label"], keys["prediction"]
                if spec.example_weight_keys:
                    spec.example_weight_keys[output] = keys["weight"]
            else:
                spec.label_key, spec.prediction_key = keys["label"], keys["prediction"]
                if spec.example_weight_key:
                    spec.example_weight_key = keys["weight"]
    for name, column in examples.features.items():
        lists = pa.types.is_list(column.type)
        columns[name] = column if lists else pa.array([None if each is None else [each] for each in column.to_pylist()])
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _lists(values: Any) -> pa.Array:
    return pa.array(list(values.reshape(len(values), -1)))


def said_by(evaluation: Evaluation) -> dict[SliceKey, Values]:
    """Return an evaluation of ours in the shape of `tfma_says`."""
    parts = (evaluation.metrics, evaluation.plots, evaluation.attributions)
    keys = dict.fromkeys(key for part in parts for key in part)
    return {key: {name: value for part in parts for name, value in part.get(key, {}).items()} for key in keys}


def differences(ours: Mapping[SliceKey, Values], theirs: Mapping[SliceKey, Values], tolerance: float) -> list[str]:
    """Say where ours is not what theirs is, one line for each number: |ours - theirs| / max(1, |theirs|) is too large."""
    found = [f"{key}: {'missing' if key in theirs else 'unknown to TFMA'}" for key in ours.keys() ^ theirs.keys()]
    for key in ours.keys() & theirs.keys():
        names = ours[key].keys() ^ theirs[key].keys()
        found += [f"{key} {name}: {'missing' if name in theirs[key] else 'unknown to TFMA'}" for name in names]
        for name in ours[key].keys() & theirs[key].keys():
            found += [f"{key} {name}{each}" for each in _apart(ours[key][name], theirs[key][name], tolerance)]
    return sorted(found)


def _apart(ours: Any, theirs: Any, tolerance: float) -> Iterator[str]:
    mine, yours = dict(_leaves(ours)), dict(_leaves(theirs))
    if mine.keys() != yours.keys():
        yield f": of another shape, {len(mine)} values against {len(yours)}"
        return
    for path, value in mine.items():
        if not _close(value, yours[path], tolerance):
            yield f"{path}: ours {value!r}, TFMA's {yours[path]!r}"


def _close(ours: Any, theirs: Any, tolerance: float) -> bool:
    if not (isinstance(ours, float) and isinstance(theirs, float)):
        return bool(ours == theirs)
    if not (math.isfinite(ours) and math.isfinite(theirs)):
        return ours == theirs or (math.isnan(ours) and math.isnan(theirs))
    return abs(ours - theirs) <= tolerance * max(1.0, abs(theirs))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each number or text of a metric's value with its place in it."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Message):
        value = {field.name: each for field, each in value.ListFields()}
    elif dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        for name in value:
            yield from _leaves(value[name], f"{path}.{name}")
    elif isinstance(value, list | tuple) or hasattr(value, "add"):
        for place, each in enumerate(value):
            yield from _leaves(each, f"{path}[{place}]")
    else:
        yield path, float(value) if isinstance(value, int | float | np.number) else value
