"""TFMA's computations of an EvalConfig, split into those that are vectorised and the metrics that TFMA computes itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.evaluate.engine.histogram import MatricesFromHistogram
from monitor.evaluate.engine.inputs import NotVectorised
from monitor.evaluate.engine.ranking import Ndcg
from monitor.evaluate.engine.registry import statistic_of
from monitor.evaluate.engine.statistic import Statistic
from monitor.evaluate.examples import Examples

Place = tuple[int, int]
"""Of a metric in an EvalConfig: number of its metrics_spec, and of the metric in it."""


@dataclass(frozen=True, slots=True)
class Graph:
    """What is computed for metrics specs with one query key.

    Attributes:
        leaves: what is summed.
        derived: TFMA's functions from the metrics of a slice to more of them, in their order.
        crossed: TFMA's computations on two slices.
        after_intervals: TFMA's computations on metrics with confidence intervals.
        query_key: column that groups examples into queries; empty where each example stands for itself.
    """

    leaves: Sequence[Statistic]
    derived: Sequence[Any]
    crossed: Sequence[Any] = ()
    after_intervals: Sequence[Any] = ()
    query_key: str = ""


@dataclass(frozen=True, slots=True)
class Split:
    """An EvalConfig by who computes what.

    Attributes:
        graphs: what is vectorised.
        vectorised: the places of those metrics.
        rest: the places of the others, with the reason.
    """

    graphs: Sequence[Graph]
    vectorised: frozenset[Place]
    rest: Mapping[Place, str]


def split(config: Any, examples_of: Mapping[str, Examples], schema: Any = None) -> Split:
    """Return who computes what of a configuration, for these examples by name of the model (see `of_model`).

    The first example tells whether a metric takes what there is; `split_by_all` asks all of them.

    Raises:
        ValueError: TFMA refuses the configuration.
    """
    first = np.zeros(1, np.int64)
    return _split(config, {name: each.take(first[: len(each)]) for name, each in examples_of.items()}, schema)


def split_by_all(config: Any, examples_of: Mapping[str, Examples], schema: Any = None) -> Split:
    """Return the same where some example, but not the first, is such that only TFMA takes a metric."""
    return _split(config, examples_of, schema)


def _split(config: Any, examples_of: Mapping[str, Examples], schema: Any) -> Split:
    from monitor.evaluate.on_tfma import only

    def graphs_of(metrics: set[Place]) -> Sequence[Graph]:
        return _tried(_graphs(only(config, metrics), schema), examples_of) if metrics else []

    places = {(number, place) for number, spec in enumerate(config.metrics_specs) for place in range(len(spec.metrics))}
    try:
        # TFMA takes long to tell its computations, and most often all of them are vectorised: that is asked first.
        return Split(graphs_of(places), frozenset(places), {})
    except NotVectorised:
        pass
    rest = {}
    for each in sorted(places):
        try:
            graphs_of({each})
        except NotVectorised as reason:
            rest[each] = str(reason)
    vectorised = places - rest.keys()
    return Split(graphs_of(vectorised), frozenset(vectorised), rest)


def of_model(examples_of: Mapping[str, Examples], model: str) -> Examples:
    """Return the examples of a model: those under its name, else those under the empty name, which all others share."""
    return examples_of.get(model, examples_of[""])


def _tried(graphs: Sequence[Graph], examples_of: Mapping[str, Examples]) -> Sequence[Graph]:
    """Return the graphs; raise NotVectorised where the examples are such that a statistic does not take them."""
    for leaf in (leaf for graph in graphs for leaf in graph.leaves):
        leaf.entries(of_model(examples_of, leaf.selection.model))
    return graphs


def _graphs(config: Any, schema: Any) -> list[Graph]:
    from tensorflow_model_analysis.evaluators import metrics_plots_and_validations_evaluator as evaluator
    from tensorflow_model_analysis.metrics import metric_specs

    graphs = []
    for query_key in dict.fromkeys(spec.query_key for spec in config.metrics_specs):
        specs = [spec for spec in config.metrics_specs if spec.query_key == query_key]
        computations = metric_specs.to_computations(specs, eval_config=config, schema=schema)
        parts = evaluator._filter_and_separate_computations(computations)
        leaves = [statistic_of(each) for each in parts.non_derived_computations]
        if query_key and not all(isinstance(leaf, Ndcg) for leaf in leaves):
            raise NotVectorised("a metric of queries")
        derived = [MatricesFromHistogram.instead_of(each) or each for each in parts.derived_computations]
        graphs.append(Graph(leaves, derived, parts.cross_slice_computations, parts.ci_derived_computations, query_key))
    return graphs
