"""Metrics of every slice from sums, by TFMA's own derivations; changes with the order of TFMA's steps.

The steps are those of TFMA's evaluator (`metrics_plots_and_validations_evaluator._ComputeMetricsAndPlots`): sums by slice,
derived metrics, cross slices, differences to the baseline model, confidence intervals over resamples, private metrics dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.evaluate.engine.graph import Graph
from monitor.evaluate.engine.ranking import Queries
from monitor.evaluate.engine.statistic import Entries, Membership, Statistic, sums_by_slice
from monitor.evaluate.examples import Examples, Floats, Places

Sliced = dict[Any, dict[Any, Any]]
"""Metrics, plots and attributions by slice."""

Draw = Callable[[int], Floats]
"""From a number of examples to how often each of them counts."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The examples of a model, with their slices.

    Attributes:
        examples: what metrics are computed from.
        slices: the memberships of the examples, or of their queries.
    """

    examples: Examples
    slices: Sequence[Membership]


@dataclass(frozen=True, slots=True)
class Added:
    """What a statistic adds, ready to be summed again and again."""

    leaf: Statistic
    entries: Entries
    slices: Sequence[Membership]
    size: int


def added(graph: Graph, samples: Mapping[str, Sample]) -> list[Added]:
    """Return what each leaf of a graph adds, from the samples by name of the model."""
    found = []
    for leaf in graph.leaves:
        sample = samples.get(leaf.selection.model, samples[""])
        slices, size = sample.slices, len(sample.examples)
        if graph.query_key:
            queries = Queries.by(sample.examples, graph.query_key)
            slices, size = queries.memberships(slices), queries.count
        found.append(Added(leaf, leaf.entries(sample.examples), slices, size))
    return found


def summed(parts: Sequence[Added], times: Sequence[Floats] | None = None) -> Sliced:
    """Return the leaves' metrics by slice; with `times`, of a resample: how often each example counts, by part."""
    found: Sliced = {}
    known: dict[tuple[int, int], Places] = {}
    for number, part in enumerate(parts):
        counted = None if times is None else times[number]
        for membership in part.slices:
            there = known.setdefault((id(membership), id(counted)), membership.sizes(counted))
            for place, sums in sums_by_slice(part.entries, membership, counted):
                if there[place]:
                    found.setdefault(membership.keys[place], {}).update(part.leaf.outputs(sums))
    return found


def derived(found: Sliced, graph: Graph, config: Any) -> Sliced:
    """Return the metrics with all that TFMA derives from them: per slice, between slices, and against the baseline model."""
    everything: Sliced = {}
    for key, metrics in found.items():
        mine = everything[key] = dict(metrics)
        # TFMA divides by zero where there is nothing, and means it.
        with np.errstate(divide="ignore", invalid="ignore"):
            for computation in graph.derived:
                mine.update(_derived(computation, mine))
    everything.update(_crossed(everything, graph.crossed, config))
    baseline = _baseline(config)
    if baseline is not None:
        for metrics in everything.values():
            metrics.update(differences(metrics, baseline))
    return everything


def _derived(computation: Any, metrics: Mapping[Any, Any]) -> Mapping[Any, Any]:
    try:
        found: Mapping[Any, Any] = computation.result(metrics)
    except ZeroDivisionError:
        # TFMA's whole run would fail for a metric that one slice cannot have, such as one whose scores are all equal.
        return dict.fromkeys(computation.keys, float("nan"))
    return found


def differences(metrics: Mapping[Any, Any], baseline: str) -> dict[Any, Any]:
    """Return the metrics of other models less those of the baseline model, where they can be subtracted, as TFMA does."""
    found = {}
    for key, value in metrics.items():
        if is_private(key) or key.is_diff or key.model_name == baseline:
            continue
        other = key.make_baseline_key(baseline)
        if other in metrics and _is_number(value):
            found[key.make_diff_key()] = value - metrics[other]
    return found


def public(found: Sliced) -> Sliced:
    """Return the metrics without TFMA's private ones."""
    return {key: {name: value for name, value in each.items() if not is_private(name)} for key, each in found.items()}


def is_private(key: Any) -> bool:
    """Say whether a metric is only there for others to be derived from."""
    return key.name.startswith("_") and not key.name.startswith("__")


def _crossed(found: Sliced, computations: Sequence[Any], config: Any) -> Sliced:
    from tensorflow_model_analysis.metrics.metric_types import AttributionsKey, PlotKey
    from tensorflow_model_analysis.slicer.slicer_lib import SingleSliceSpec

    crossed: Sliced = {}
    for wanted in config.cross_slicing_specs:
        base = SingleSliceSpec(spec=wanted.baseline_spec)
        others = [SingleSliceSpec(spec=spec) for spec in wanted.slicing_specs]
        for first, second in _slice_pairs(found, base, others):
            mine, theirs = found[first], found[second]
            result = {
                key: mine[key] - value
                for key, value in theirs.items()
                if key in mine and not is_private(key) and not isinstance(key, PlotKey | AttributionsKey)
            }
            for computation in computations:
                result.update(computation.cross_slice_comparison(mine, theirs))
            crossed[first, second] = result
    return crossed


def _slice_pairs(found: Sliced, base: Any, others: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    for first in found:
        if not base.is_slice_applicable(first):
            continue
        for second in found:
            if others:
                wanted = any(each.is_slice_applicable(second) for each in others)
            else:
                wanted = not base.is_slice_applicable(second)
            if wanted:
                yield first, second


def _baseline(config: Any) -> str | None:
    from tensorflow_model_analysis.utils.model_util import get_baseline_model_spec

    spec = get_baseline_model_spec(config)
    return None if spec is None else str(spec.name)


def _is_number(value: Any) -> bool:
    from tensorflow_model_analysis.api.types import StructuredMetricValue

    if isinstance(value, np.ndarray):
        return bool(np.issubdtype(value.dtype, np.number))
    return isinstance(value, int | float | np.number | StructuredMetricValue)
