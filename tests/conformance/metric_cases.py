"""TFMA's own tests of metrics, taken from its wheel as cases: examples, a configuration, and its check of the numbers.

A test of TFMA's makes the computations of a metric, runs them over Beam on its examples, and hands what comes out to a check of
its own. Here nothing runs: the test is given a pipeline that only takes note of the examples and of the check.
"""

from __future__ import annotations

import importlib
import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, Self

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.testing import util as beam_testing
from tensorflow_model_analysis.metrics import metric_specs, metric_types, metric_util, tf_metric_wrapper
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import config_util
from tensorflow_model_analysis.utils import util as tfma_util

from monitor.evaluate.examples import Examples, Outcomes, Output


class NotOpen(Exception):
    """A case cannot be asked by an EvalConfig about labelled examples; says why."""


@dataclass(slots=True)
class Noted:
    """What one test method did.

    Attributes:
        asked: metrics, with the arguments of the computations that were made of them.
        elements: what it made a PCollection of.
        checks: functions that take a list of slice key and metrics, and raise an AssertionError.
    """

    name: str
    asked: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    elements: list[Any] = field(default_factory=list)
    checks: list[Callable[[Any], None]] = field(default_factory=list)


class _Pipeline:
    """What stands for pipelines and PCollections while a test runs."""

    def __init__(self, noted: Noted) -> None:
        self.noted = noted

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __or__(self, transform: Any) -> _Pipeline:
        transform = getattr(transform, "transform", transform)
        if isinstance(transform, beam.Create):
            self.noted.elements.extend(transform.values)
        return self


def noted(module: str) -> Iterator[Noted]:
    """Yield what each test method of a module of TFMA's metrics does."""
    theirs = importlib.import_module(f"tensorflow_model_analysis.metrics.{module}")
    suites = [each for each in vars(theirs).values() if isinstance(each, type) and issubclass(each, unittest.TestCase)]
    for suite in suites:
        for method in unittest.defaultTestLoader.getTestCaseNames(suite):
            yield _noted(suite(method), f"{module}.{method}")


def _noted(test: unittest.TestCase, name: str) -> Noted:
    note = Noted(name)
    computations, wrapped = metric_types.Metric.computations, tf_metric_wrapper.tf_metric_computations

    def of_metric(metric: Any, *args: Any, **kwargs: Any) -> Any:
        note.asked.append((metric, _arguments(computations, (metric, *args), kwargs)))
        return computations(metric, *args, **kwargs)

    def of_keras(*args: Any, **kwargs: Any) -> Any:
        given = _arguments(wrapped, args, kwargs)
        note.asked.append((given.pop("metrics"), given))
        return wrapped(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(metric_types.Metric, "computations", of_metric)
        patched.setattr(tf_metric_wrapper, "tf_metric_computations", of_keras)
        patched.setattr(beam, "Pipeline", lambda *_, **__: _Pipeline(note))
        patched.setattr(beam_testing, "assert_that", lambda _, check, **__: note.checks.append(check))
        test.run(unittest.TestResult())
    return note


def _arguments(function: Callable[..., Any], args: Any, kwargs: Any) -> dict[str, Any]:
    return {
        name: value for name, value in signature(function).bind(*args, **kwargs).arguments.items() if name != "self"
    }


def config_of(note: Noted) -> Any:
    """Return the EvalConfig that asks for what a test computes; raises NotOpen where none does."""
    if not note.asked or not note.checks:
        raise NotOpen("computes no metric of examples")
    if len(note.asked) != 1:
        raise NotOpen("puts several computations together by hand")
    [(metrics, given)] = note.asked
    config = config_pb2.EvalConfig()
    if given.get("eval_config") is not None:
        config.CopyFrom(given["eval_config"])
    models = given.get("model_names") or [given.get("model_name", "")]
    if not config.model_specs:
        # A model keeps its name only beside another one.
        for name in models if models in ([""], []) or len(models) > 1 else [*models, "another"]:
            config.model_specs.add(name=name)
    for spec in config.model_specs:
        spec.example_weight_key = "weight" if given.get("example_weighted") else ""
    binarize, aggregate = _options(given)
    try:
        specs = metric_specs.specs_from_metrics(
            metrics if isinstance(metrics, dict | list) else [metrics],
            model_names=models,
            output_names=given.get("output_names"),
            binarize=binarize,
            aggregate=aggregate,
            query_key=given.get("query_key"),
            include_example_count=False,
            include_weighted_example_count=False,
        )
    except TypeError as error:
        raise NotOpen("settings of a metric that no configuration can hold") from error
    config.metrics_specs.extend(specs)
    return config_util.update_eval_config_with_defaults(config, has_baseline=None)


def _options(given: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return binarization and aggregation options for the sub keys that computations are made for."""
    sub_keys = given.get("sub_keys") or [given.get("sub_key")]
    aggregation, class_weights = given.get("aggregation_type"), given.get("class_weights")
    binarize = aggregate = None
    if aggregation is not None:
        aggregate = config_pb2.AggregationOptions(micro_average=True, class_weights=class_weights)
        for each in sub_keys:
            if each is not None:
                aggregate.top_k_list.values.append(each.top_k)
    elif any(each is not None for each in sub_keys):
        binarize = config_pb2.BinarizationOptions()
        for each in sub_keys:
            if each is not None:
                if each.class_id is not None and each.top_k is not None:
                    raise NotOpen("a class among the top k, which no configuration can ask for")
                for name, values in (("class_id", "class_ids"), ("k", "k_list"), ("top_k", "top_k_list")):
                    number = getattr(each, name)
                    getattr(binarize, values).values.extend([] if number is None else [number])
    return binarize, aggregate


def examples_of(note: Noted, config: Any) -> Examples:
    """Return the examples of a test; raises NotOpen where they are not what Driftline takes for labelled examples."""
    elements = [row for each in note.elements for row in _rows(each, config)]
    if len({np.shape(each["labels"]) for each in elements}) > 1:
        elements = [pair for each in elements for pair in _pairs(each)]
    outputs = sorted({name for spec in config.metrics_specs for name in spec.output_names}) or [""]
    counted = {metric.class_name for spec in config.metrics_specs for metric in spec.metrics} == {"ExampleCount"}
    outcomes: dict[Output, Outcomes] = {}
    for model in {name for spec in config.metrics_specs for name in spec.model_names}:
        for output in outputs:
            labels, predictions, weights = (
                _stacked([_of(each, kind, model, output) for each in elements])
                for kind in ("labels", "predictions", "example_weights")
            )
            if (labels is None or predictions is None) and counted:
                labels = predictions = np.zeros(len(elements))
            if labels is None or predictions is None:
                raise NotOpen("labels or predictions are missing")
            outcomes[model, output] = Outcomes(labels, predictions, weights)
    return Examples(outcomes, _features(elements))


def _rows(element: Any, config: Any) -> Sequence[Any]:
    """Return the examples of a query, where TFMA has put those together."""
    if any(spec.query_key for spec in config.metrics_specs):
        return list(tfma_util.split_extracts(element))
    return [element]


def _pairs(element: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield an example for each label and prediction of one, which is how TFMA takes those that are not all of one shape."""
    kinds = ("labels", "predictions", "example_weights")
    for values in zip(*np.broadcast_arrays(*(element[kind] for kind in kinds)), strict=True):
        yield dict(zip(kinds, values, strict=True))


def _of(element: Mapping[str, Any], kind: str, model: str, output: str) -> Any:
    """Return a value as TFMA looks it up: by model and output, each only where it is a key."""
    value = element.get(kind)
    for name in (model, output):
        if isinstance(value, Mapping) and name and name in value:
            value = value[name]
    if isinstance(value, Mapping):
        _, value = metric_util.prepare_labels_and_predictions(None, value)
    if kind == "example_weights":
        return 1.0 if value is None else np.unique(value)
    return value


def _stacked(values: Sequence[Any]) -> Any:
    if any(value is None for value in values):
        return None
    arrays = [np.atleast_1d(value) for value in values]
    if any(each.dtype.kind not in "bif" for each in arrays):
        raise NotOpen("values that are no numbers")
    if len({each.shape for each in arrays}) != 1 or arrays[0].ndim > 1:
        raise NotOpen("examples of different shapes")
    stacked = np.stack(arrays).astype(np.float64)
    return stacked[:, 0] if stacked.ndim == 2 and stacked.shape[1] == 1 else stacked


def _features(elements: Sequence[Mapping[str, Any]]) -> dict[str, pa.Array]:
    rows = [{**each.get("features", {}), **each.get("transformed_features", {})} for each in elements]
    names = sorted({name for row in rows for name in row})
    return {name: pa.array([np.ravel(row[name])[0] if name in row else None for row in rows]) for name in names}
