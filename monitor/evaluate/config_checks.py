"""What can be wrong with an EvalConfig before any row is looked at; changes with what TFMA can compute and judge.

Importing this module imports TFMA, which takes seconds: do so where an evaluation runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from tensorflow_model_analysis.metrics import metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import config_util
from tensorflow_model_analysis.utils.keras_lib import tf_keras

from monitor.errors import ConfigError
from monitor.evaluate.eval_config import Source, tfma_errors
from monitor.evaluate.model_specs import model_problems
from monitor.evaluate.proto_yaml import close_to

_NO_DIRECTION = config_pb2.MetricDirection.Value("UNKNOWN")
_PAIRED_METRICS = frozenset(
    {
        *("BooleanFlipRates", "NegToNegFlipRate", "NegToPosFlipRate", "PosToNegFlipRate", "PosToPosFlipRate"),
        *("SymmetricFlipRate", "ModelCosineSimilarity", "SymmetricPredictionDifference"),
    }
)
"""Metrics of two models that are computed from both predictions of one example."""


def check_as_written(config: Any, source: Source) -> None:
    """Check a configuration before anything is filled in or left out: models, thresholds, slices.

    Raises:
        ConfigError: a line for each thing that is wrong.
    """
    _refuse(
        [
            *model_problems(config, source),
            *_threshold_problems(config, source),
            *_slicing_problems(config, source),
        ]
    )


def check_settled(config: Any, source: Source) -> None:
    """Check the metrics of a settled configuration (see `monitor.evaluate.model_specs`), by making them.

    Raises:
        ConfigError: a line for each thing that is wrong; of what only TFMA notices, the first.
    """
    _refuse(list(_metric_problems(config, source)))
    with tfma_errors(source.name):
        config_util.verify_eval_config(config)
        metric_specs.to_computations(list(config.metrics_specs), eval_config=config)


def _refuse(problems: list[str]) -> None:
    if problems:
        raise ConfigError("\n".join(problems))


def slicing_columns(config: Any) -> dict[str, str]:
    """Return the columns that slices and queries are made by, each with what it is for."""
    found: dict[str, str] = {}
    for spec in config.slicing_specs:
        for name in (*spec.feature_keys, *spec.feature_values):
            found.setdefault(name, "to slice by (slicing_specs)")
    for spec in config.cross_slicing_specs:
        for each in (spec.baseline_spec, *spec.slicing_specs):
            for name in (*each.feature_keys, *each.feature_values):
                found.setdefault(name, "to slice by (cross_slicing_specs)")
    for metrics in config.metrics_specs:
        if metrics.query_key:
            found.setdefault(metrics.query_key, "to group queries by (query_key)")
    return found


def mentioned_words(config: Any) -> set[str]:
    """Return every text in the settings of metrics: among them may be columns (the gains of NDCG)."""
    found: set[str] = set()
    for spec in config.metrics_specs:
        for metric in spec.metrics:
            with tfma_errors(metric.class_name):
                found.update(_texts(_settings(metric.config)))
    return found


def paired_metrics(config: Any) -> list[str]:
    """Return the metrics that need both models' predictions of the same examples."""
    return sorted({metric.class_name for spec in config.metrics_specs for metric in spec.metrics} & _PAIRED_METRICS)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _settings(config: str) -> Any:
    """Return the settings of a metric, whose braces may be left out."""
    text = config.strip()
    return json.loads(text if text.startswith("{") else f"{{{text}}}")


def _metric_problems(config: Any, source: Source) -> Iterator[str]:
    if not any(spec.metrics for spec in config.metrics_specs):
        yield source.at("metrics_specs: there are no metrics to compute; add metrics { class_name: ... }")
        return
    models = {spec.name for spec in config.model_specs}
    outputs = {output for spec in config.model_specs for output in (*spec.prediction_keys, *spec.label_keys)}
    registered = metric_types.registered_metrics()
    for place, spec in enumerate(config.metrics_specs):
        field = f"metrics_specs[{place}]"
        for name in sorted(set(spec.model_names) - models):
            what = f"there is no model {name!r}{close_to(name, sorted(models))}"
            yield source.at(f"{field}.model_names: {what}", name)
        for name in sorted({*spec.output_names, *spec.output_weights} - outputs):
            known = close_to(name, sorted(outputs)) or "; outputs are the names in prediction_keys"
            yield source.at(f"{field}.output_names: there is no output {name!r}{known}", name)
        yield from _binarize_problems(spec, source, field)
        for number, metric in enumerate(spec.metrics):
            yield from _class_problems(metric, registered, source, f"{field}.metrics[{number}]")


def _binarize_problems(spec: Any, source: Source, field: str) -> Iterator[str]:
    for name, values, least in (
        ("binarize.class_ids", spec.binarize.class_ids.values, 0),
        ("binarize.k_list", spec.binarize.k_list.values, 1),
        ("binarize.top_k_list", spec.binarize.top_k_list.values, 1),
        ("aggregate.top_k_list", spec.aggregate.top_k_list.values, 1),
    ):
        for value in values:
            if value < least:
                yield source.at(f"{field}.{name}: {value} is below {least}")


def _class_problems(metric: Any, registered: Any, source: Source, field: str) -> Iterator[str]:
    name = metric.class_name
    keras = _keras_names()
    if not name:
        yield source.at(f"{field}.class_name: a metric needs the name of its class")
        return
    if not metric.module and name not in registered and name not in keras:
        yield source.at(f"{field}.class_name: there is no metric {name!r}{_suggested(name, registered, keras)}", name)
        return
    try:
        _settings(metric.config)
    except ValueError as error:
        yield source.at(f"{field}.config: the settings of {name} are not valid JSON: {error}")
        return
    try:
        with tfma_errors(source.at(f"{field}: {name}")):
            metric_specs.metric_instance(metric, registered)
    except ConfigError as error:
        yield str(error)


def _suggested(name: str, *known: Iterable[str]) -> str:
    # A list of all the hundred would help nobody.
    suggestion = close_to(name, sorted({each for names in known for each in names}))
    return suggestion if "did you mean" in suggestion else "; docs/evaluation.md lists those there are"


def _keras_names() -> set[str]:
    """Return the classes of Keras that TFMA can make from a name alone; losses need their module."""
    bases = (tf_keras.metrics.Metric, tf_keras.losses.Loss)
    found = {name: getattr(tf_keras.metrics, name) for name in dir(tf_keras.metrics) if name[0].isupper()}
    return {name for name, kind in found.items() if isinstance(kind, type) and issubclass(kind, bases)}


def _threshold_problems(config: Any, source: Source) -> Iterator[str]:
    for place, spec in enumerate(config.metrics_specs):
        field = f"metrics_specs[{place}]"
        yield from _named_threshold_problems(spec, source, field)
        for number, metric in enumerate(spec.metrics):
            for inner, threshold in _thresholds(metric):
                yield from _range_problems(
                    threshold, source, f"{field}.metrics[{number}] ({metric.class_name}).{inner}"
                )
            for inner, specs in _slices_of_thresholds(metric):
                if not specs:
                    yield source.at(f"{field}.metrics[{number}] ({metric.class_name}).{inner}: no slice is named")


def _named_threshold_problems(spec: Any, source: Source, field: str) -> Iterator[str]:
    """Thresholds by name judge what a model computes of itself, and a table of predictions has no such metrics."""
    for kind in ("thresholds", "per_slice_thresholds", "cross_slice_thresholds"):
        for name in sorted(getattr(spec, kind)):
            inner = kind.removesuffix("s") if kind == "thresholds" else kind
            yield source.at(
                f"{field}.{kind}: {name!r} is not computed: TFMA looks there for metrics that are saved in a model; "
                f"put the threshold into the metric's own {inner}, as in metrics {{ class_name: ... {inner} {{ ... }} }}",
                name,
            )


def _thresholds(metric: Any) -> Iterator[tuple[str, Any]]:
    if metric.HasField("threshold"):
        yield "threshold", metric.threshold
    for kind in ("per_slice_thresholds", "cross_slice_thresholds"):
        for number, each in enumerate(getattr(metric, kind)):
            yield f"{kind}[{number}].threshold", each.threshold


def _slices_of_thresholds(metric: Any) -> Iterator[tuple[str, Collection[Any]]]:
    for number, each in enumerate(metric.per_slice_thresholds):
        yield f"per_slice_thresholds[{number}].slicing_specs", each.slicing_specs
    for number, each in enumerate(metric.cross_slice_thresholds):
        yield f"cross_slice_thresholds[{number}].cross_slicing_specs", each.cross_slicing_specs


def _range_problems(threshold: Any, source: Source, field: str) -> Iterator[str]:
    value, change = threshold.value_threshold, threshold.change_threshold
    bounds = [
        (name, getattr(of, name).value)
        for of, names in ((value, ("lower_bound", "upper_bound")), (change, ("absolute", "relative")))
        for name in names
        if of.HasField(name)
    ]
    for name, bound in bounds:
        if math.isnan(bound):
            yield source.at(f"{field}.{name}: NaN is no bound")
    if (
        value.HasField("lower_bound")
        and value.HasField("upper_bound")
        and value.lower_bound.value > value.upper_bound.value
    ):
        lower, upper = value.lower_bound.value, value.upper_bound.value
        yield source.at(f"{field}.value_threshold: no value is at least {lower:g} and at most {upper:g}")
    moves = change.HasField("absolute") or change.HasField("relative")
    if moves and change.direction == _NO_DIRECTION:
        yield source.at(f"{field}.change_threshold: direction is missing; say HIGHER_IS_BETTER or LOWER_IS_BETTER")


def _slicing_problems(config: Any, source: Source) -> Iterator[str]:
    for place, spec in enumerate(config.slicing_specs):
        field = f"slicing_specs[{place}]"
        if spec.slice_keys_sql and (spec.feature_keys or spec.feature_values):
            yield source.at(f"{field}: slice_keys_sql goes with neither feature_keys nor feature_values")
        yield from _overlap_problems(spec, source, field)
    for place, cross in enumerate(config.cross_slicing_specs):
        for inner, spec in _within(cross):
            yield from _overlap_problems(spec, source, f"cross_slicing_specs[{place}].{inner}")
    for place, metrics in enumerate(config.metrics_specs):
        for number, metric in enumerate(metrics.metrics):
            for inner, specs in _slices_of_thresholds(metric):
                field = f"metrics_specs[{place}].metrics[{number}] ({metric.class_name}).{inner}"
                for each in specs:
                    for _, spec in _within(each) if hasattr(each, "baseline_spec") else [("", each)]:
                        yield from _overlap_problems(spec, source, field)


def _within(cross: Any) -> Iterator[tuple[str, Any]]:
    yield "baseline_spec", cross.baseline_spec
    for number, spec in enumerate(cross.slicing_specs):
        yield f"slicing_specs[{number}]", spec


def _overlap_problems(spec: Any, source: Source, field: str) -> Iterator[str]:
    for name in sorted(set(spec.feature_keys) & set(spec.feature_values)):
        yield source.at(f"{field}: {name!r} is both in feature_keys and in feature_values; one of them is enough", name)
