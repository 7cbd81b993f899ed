"""NDCG: how well the examples of each query are ranked; changes with TFMA's formula.

Here an "example" that is summed and sliced is a query; `Queries` says which examples each has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.errors import InputError
from monitor.evaluate.engine.inputs import NotVectorised, Selection, example_weights
from monitor.evaluate.engine.statistic import Entries, Membership
from monitor.evaluate.examples import Examples, Floats, Places


@dataclass(frozen=True, slots=True)
class Queries:
    """Examples by query.

    Attributes:
        numbers: (n,) number of the query of each example, counted from 0.
        count: how many queries there are.
    """

    numbers: Places
    count: int

    @classmethod
    def by(cls, examples: Examples, key: str) -> Queries:
        """Return the examples grouped by a column; those without a value are one query, as in TFMA."""
        if key not in examples.features:
            raise InputError(f"there is no column {key!r} to group queries by")
        column = examples.features[key]
        if pa.types.is_list(column.type):
            raise NotVectorised("a query key that is a list")
        encoded = column.dictionary_encode(null_encoding="encode")
        indices = encoded.indices
        return cls(np.asarray(indices.to_numpy(zero_copy_only=False), dtype=np.int64), len(encoded.dictionary))

    def memberships(self, of_examples: Sequence[Membership]) -> list[Membership]:
        """Return the slices of the queries: a query is in each slice that any of its examples is in."""
        found = []
        for each in of_examples:
            rows = np.arange(len(each.codes)) if each.rows is None else each.rows
            inside = each.codes >= 0
            pairs = self.numbers[rows[inside]] * max(1, len(each.keys)) + each.codes[inside]
            queries, codes = np.divmod(np.unique(pairs), max(1, len(each.keys)))
            found.append(Membership(each.keys, codes, queries))
        return found


@dataclass(frozen=True, slots=True)
class Ndcg:
    """TFMA's `_NDCGCombiner`."""

    keys: Sequence[Any]
    selection: Selection
    query_key: str
    gain_key: str

    @classmethod
    def of(cls, computation: Any) -> Ndcg:
        """Return the statistic of one of TFMA's computations."""
        combiner = computation.combiner
        key = computation.keys[0]
        return cls(
            computation.keys,
            Selection(key.model_name, key.output_name, weighted=bool(combiner._example_weighted)),
            combiner._query_key,
            combiner._gain_key,
        )

    def entries(self, examples: Examples) -> Entries:
        """Return, of each query, its weight and its weighted NDCG at each top k."""
        queries = Queries.by(examples, self.query_key)
        outcomes = self.selection.outcomes(examples)
        gains, scores = self._gains(examples), outcomes.predictions
        if scores.ndim != 1:
            raise NotVectorised("ranking by several predictions")
        weights = _one_weight(example_weights(outcomes, self.selection), queries)
        best = np.full(queries.count, -np.inf)
        np.maximum.at(best, queries.numbers, gains)
        weights = np.where(best > 0, weights, 0.0)
        values: list[Floats] = [weights]
        # TFMA turns an ascending sort around: the later of two equal scores comes first.
        by_score = np.lexsort((-np.arange(len(scores)), -scores, queries.numbers))
        by_gain = np.lexsort((-gains, queries.numbers))
        for key in self.keys:
            top = key.sub_key.top_k
            found, best_dcg = (_dcg(gains, order, queries, top) for order in (by_score, by_gain))
            with np.errstate(divide="ignore", invalid="ignore"):
                values.append(np.where(best_dcg > 0, found / best_dcg, 0.0) * weights)
        return Entries(values)

    def outputs(self, sums: Floats) -> Mapping[Any, Any]:
        """Return the weighted mean over queries, NaN where no query has a gain."""
        weight, *totals = sums[:, 0]
        means = [float(total / weight) if weight > 0 else float("nan") for total in totals]
        return dict(zip(self.keys, means, strict=True))

    def _gains(self, examples: Examples) -> Floats:
        column = examples.features.get(self.gain_key)
        if column is None:
            raise InputError(f"there is no column {self.gain_key!r} with the gains")
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)) or column.null_count:
            raise InputError(f"column {self.gain_key!r} must hold a number in every row, the gain")
        return np.asarray(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _one_weight(weights: Floats, queries: Queries) -> Floats:
    least, most = np.full(queries.count, np.inf), np.full(queries.count, -np.inf)
    np.minimum.at(least, queries.numbers, weights)
    np.maximum.at(most, queries.numbers, weights)
    if not np.allclose(least, most):
        raise InputError("the examples of one query must all have the same weight")
    return least


def _dcg(gains: Floats, order: Places, queries: Queries, top: int) -> Floats:
    """Return the sum of gain / log2(rank + 1) over the first `top` of each query, in an order that keeps queries together."""
    numbers = queries.numbers[order]
    sizes = np.bincount(numbers, minlength=queries.count)
    ranks = np.arange(len(numbers)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first = ranks < top
    discounted = gains[order][first] / np.log2(ranks[first] + 2)
    return np.asarray(np.bincount(numbers[first], discounted, minlength=queries.count), dtype=np.float64)
