"""An EvalConfig on labelled examples: vectorised where it can be, else by TFMA; changes with how the two are put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monitor.errors import InputError
from monitor.evaluate.engine import intervals
from monitor.evaluate.engine.graph import Place, Split, split, split_by_all
from monitor.evaluate.engine.inputs import NotVectorised
from monitor.evaluate.engine.metrics import Sample, Sliced, added, derived, differences, public, summed
from monitor.evaluate.evaluation import Engine, Evaluation
from monitor.evaluate.examples import Examples
from monitor.evaluate.slicing import memberships

_TOO_SMALL = (
    "Example count for this slice key is lower than the minimum required value: %d. "
    "No data is aggregated for this slice."
)
"""TFMA's words (`slicer_lib.FilterOutSlices`)."""


def evaluate(
    examples: Examples,
    config: Any,
    *,
    baseline: Examples | None = None,
    schema: Any = None,
    pipeline_options: Sequence[str] = (),
) -> Evaluation:
    """Return the metrics and plots of a configuration, of every slice that occurs.

    Args:
        examples: labelled examples, with the outcomes of all models.
        config: TFMA's EvalConfig, with its defaults filled in.
        baseline: examples of the baseline model, where those are others; then differences are between the two sets.
        schema: TFMD schema for metrics that look at the label's domain.
        pipeline_options: Beam's, for what TFMA computes.

    Raises:
        InputError: the configuration or the examples do not fit a metric; says which.
    """
    examples_of = {"": examples} if baseline is None else {"": examples, _baseline_name(config): baseline}
    try:
        parts = split(config, examples_of, schema)
        samples = {name: Sample(each, memberships(each, config)) for name, each in examples_of.items()}
        try:
            found = _vectorised(config, parts, samples)
        except NotVectorised:
            parts = split_by_all(config, examples_of, schema)
            found = _vectorised(config, parts, samples)
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise InputError(f"the configuration does not fit: {_first_line(error)}") from error
    sizes = _sizes(samples[""])
    if parts.rest:
        for theirs in _by_tfma(config, parts, examples_of, pipeline_options):
            for key, values in _together(theirs).items():
                found.setdefault(key, {}).update(values)
        if baseline is not None:
            for values in found.values():
                values.update(differences(values, _baseline_name(config)))
    return _evaluation(_ordered(_without_small(found, sizes, config)), parts, config, sizes)


def _vectorised(config: Any, parts: Split, samples: Mapping[str, Sample]) -> Sliced:
    found: Sliced = {}
    for graph in parts.graphs:
        entries = added(graph, samples)
        metrics = public(derived(summed(entries), graph, config))
        if intervals.wanted(config):
            specs = [spec for spec in config.metrics_specs if spec.query_key == graph.query_key]
            metrics = intervals.with_intervals(metrics, entries, graph, config, specs)
        for key, values in metrics.items():
            for computation in graph.after_intervals:
                values.update(computation.result(values))
            found.setdefault(key, {}).update(values)
    return public(found)


def _by_tfma(
    config: Any, parts: Split, examples_of: Mapping[str, Examples], pipeline_options: Sequence[str]
) -> list[Evaluation]:
    from monitor.evaluate import on_tfma

    rest = on_tfma.only(config, set(parts.rest))
    if len(examples_of) == 1:
        return [on_tfma.run(examples_of[""], rest, pipeline_options)]
    name = _baseline_name(config)
    others = [spec.name for spec in config.model_specs if spec.name != name]
    return [
        on_tfma.run(examples_of[""], _of_models(rest, others), pipeline_options),
        on_tfma.run(examples_of[name], _of_models(rest, [name]), pipeline_options),
    ]


def _of_models(config: Any, names: Sequence[str]) -> Any:
    """Return the configuration with these models only, none of them the baseline."""
    kept = type(config)()
    kept.CopyFrom(config)
    del kept.model_specs[:]
    for spec in config.model_specs:
        if spec.name in names:
            kept.model_specs.add().CopyFrom(spec)
            kept.model_specs[-1].is_baseline = False
    for spec in kept.metrics_specs:
        spec.model_names[:] = [name for name in spec.model_names if name in names]
    return kept


def _together(evaluation: Evaluation) -> Sliced:
    found: Sliced = {}
    for each in (evaluation.metrics, evaluation.plots, evaluation.attributions):
        for key, values in each.items():
            found.setdefault(key, {}).update(values)
    return found


def _without_small(found: Sliced, sizes: Mapping[Any, int], config: Any) -> Sliced:
    """Return what TFMA lets be seen: slices of fewer examples than asked for hold a message only; the overall slice stays."""
    least = config.options.min_slice_size.value
    if least <= 1:
        return found
    from tensorflow_model_analysis.metrics.metric_types import MetricKey

    message = {MetricKey("__ERROR__"): _TOO_SMALL % least}
    return {key: values if not key or sizes.get(key, least) >= least else message for key, values in found.items()}


def _evaluation(found: Sliced, parts: Split, config: Any, sizes: Mapping[Any, int]) -> Evaluation:
    from tensorflow_model_analysis.metrics.metric_types import AttributionsKey, PlotKey

    metrics: Sliced = {}
    plots: Sliced = {}
    attributions: Sliced = {}
    for key, values in found.items():
        metrics[key] = {}
        for name, value in values.items():
            if isinstance(name, PlotKey):
                plots.setdefault(key, {})[name] = value
            elif isinstance(name, AttributionsKey):
                attributions.setdefault(key, {})[name] = value
            else:
                metrics[key][name] = value
    return Evaluation(metrics, plots, attributions, _engines(config, parts), sizes)


def _engines(config: Any, parts: Split) -> dict[str, Engine]:
    def name(place: Place) -> str:
        return str(config.metrics_specs[place[0]].metrics[place[1]].class_name)

    engines = {name(place): Engine.VECTORISED for place in sorted(parts.vectorised)}
    return engines | {name(place): Engine.TFMA for place in sorted(parts.rest)}


def _sizes(sample: Sample) -> dict[Any, int]:
    sizes: dict[Any, int] = {}
    for membership in sample.slices:
        sizes.update(zip(membership.keys, membership.sizes().tolist(), strict=True))
    return sizes


def _ordered(found: Sliced) -> Sliced:
    """Return the slices in order: the overall one, single slices, crossed ones."""

    def rank(key: Any) -> tuple[int, str]:
        crossed = bool(key) and isinstance(key[0], tuple) and (not key[0] or isinstance(key[0][0], tuple))
        return (0 if not key else 1 + crossed, str(key))

    return {key: found[key] for key in sorted(found, key=rank)}


def _baseline_name(config: Any) -> str:
    named = [spec.name for spec in config.model_specs if spec.is_baseline]
    if not named:
        raise InputError("there are rows of a baseline model, but no model_spec says is_baseline: true")
    return str(named[0])


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
