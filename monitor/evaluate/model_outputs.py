"""What a window's outputs look like, whatever they are right about; changes with what tells a broken model from its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.compare.findings import finite
from monitor.evaluate.examples import Floats

EDGE = 1e-6
"""A probability nearer to 0 or 1 is saturated: a float32 sigmoid gives 1 from log-odds of 17 on, and Keras clips at 1e-7."""
_QUANTILES = {"p01": 0.01, "p10": 0.1, "p50": 0.5, "p90": 0.9, "p99": 0.99}
_CELLS = 20


class OutputKind(StrEnum):
    """What an output is."""

    PROBABILITY = "probability"
    NUMBER = "number"
    CLASS = "class"


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of a window's rows; shares are of their weight.

    Attributes:
        rows: how many there are.
        effective: how many independent rows of weight one would tell as much.
        missing: share without any value.
        nan, infinite: shares of values that are no number, or no finite one.
        outside: share below 0 or above 1, of probabilities.
        at_zero, at_one: shares of saturated probabilities.
        common, common_share: the most common valid value and its share of the valid ones; None where there are none.
        positive: share of the valid probabilities above 0.5.
        distinct: number of different valid values.
        distribution: mean, deviation, lowest, highest and quantiles of valid numbers.
        histogram: of valid probabilities, shares in twentieths of [0, 1].
    """

    kind: OutputKind
    rows: int
    effective: float
    missing: float = 0.0
    nan: float = 0.0
    infinite: float = 0.0
    outside: float = 0.0
    at_zero: float = 0.0
    at_one: float = 0.0
    common: float | str | None = None
    common_share: float = 0.0
    positive: float = 0.0
    distinct: int = 0
    distribution: Mapping[str, float] = field(default_factory=dict)
    histogram: tuple[float, ...] = ()

    @property
    def invalid(self) -> float:
        """Share of rows without a usable value."""
        return self.missing + self.nan + self.infinite + self.outside

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "kind": str(self.kind),
            "rows": self.rows,
            "effective": self.effective,
            "missing": self.missing,
            "nan": self.nan,
            "infinite": self.infinite,
            "outside": self.outside,
            "at_zero": self.at_zero,
            "at_one": self.at_one,
            "common": self.common,
            "common_share": self.common_share,
            "positive": self.positive,
            "distinct": self.distinct,
            "distribution": {name: finite(value) for name, value in self.distribution.items()},
            "histogram": list(self.histogram),
        }


def outputs_of(
    values: pa.Array | pa.ChunkedArray, weights: Floats | None, kind: OutputKind, effective: float | None = None
) -> Outputs:
    """Sum up outputs (n,): numbers, text for classes, or lists of a score for each class; a null is missing.

    Args:
        values: one output a row. Of a list of scores only the class with the highest is looked at.
        weights: (n,), or None where every row counts once.
        kind: what they are; lists are always classes.
        effective: how many independent rows they are worth, where that is known better than by weights.
    """
    values = _one_array(values)
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        values, kind = _classes_of_lists(values), OutputKind.CLASS
    each = np.ones(len(values)) if weights is None else weights
    total = float(each.sum())
    if len(values) == 0 or total <= 0.0:
        return Outputs(kind, len(values), 0.0)
    worth = total * total / float(each @ each) if effective is None else effective
    there = values.is_valid().to_numpy(zero_copy_only=False)
    missing = float(each[~there].sum()) / total
    if kind is OutputKind.CLASS:
        return _classes(values.filter(pa.array(there)), each[there], missing, len(values), worth)
    numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)[there]
    return _numbers(numbers, each[there], total, kind, missing, len(values), worth)


def predicted_classes(predictions: Floats) -> pa.Array:
    """Return the class with the highest score of each row (n, K) as text; null where a score is no finite number."""
    valid = np.isfinite(predictions).all(axis=1)
    best = np.argmax(np.where(valid[:, None], predictions, 0.0), axis=1)
    return pa.array(best.astype(str), mask=~valid)


def _one_array(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    if not isinstance(values, pa.ChunkedArray):
        return values
    return pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)


def _classes_of_lists(lists: pa.Array) -> pa.Array:
    """Return the class of each list; null where it is not as long as most, or a score is no finite number."""
    lengths = pc.fill_null(pc.list_value_length(lists), -1).to_numpy(zero_copy_only=False)
    given = lengths[lengths > 0]
    if len(given) == 0:
        return pa.nulls(len(lists), pa.string())
    size = int(np.bincount(given).argmax())
    usual = np.flatnonzero(lengths == size)
    flat = lists.take(pa.array(usual)).flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    places = np.full(len(lists), -1)
    places[usual] = np.arange(len(usual))
    return predicted_classes(flat.reshape(-1, size)).take(pa.array(places, mask=places < 0))


def _classes(values: pa.Array, weights: Floats, missing: float, rows: int, effective: float) -> Outputs:
    encoded = values.cast(pa.string()).dictionary_encode()
    if len(values) == 0:
        return Outputs(OutputKind.CLASS, rows, effective, missing)
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    mass = np.bincount(codes, weights)
    best = int(np.argmax(mass))
    return Outputs(
        OutputKind.CLASS,
        rows,
        effective,
        missing,
        common=encoded.dictionary[best].as_py(),
        common_share=float(mass[best] / mass.sum()),
        distinct=len(encoded.dictionary),
    )


def _numbers(
    numbers: Floats, weights: Floats, total: float, kind: OutputKind, missing: float, rows: int, effective: float
) -> Outputs:
    probable = kind is OutputKind.PROBABILITY
    finite_ones = np.isfinite(numbers)
    beyond = finite_ones & ((numbers < 0.0) | (numbers > 1.0)) & probable
    valid = finite_ones & ~beyond
    values, w = numbers[valid], weights[valid]
    common, share, distinct = _most_common(values, w)

    def part(mask: Any) -> float:
        return float(weights[mask].sum()) / total

    return Outputs(
        kind,
        rows,
        effective,
        missing,
        nan=part(np.isnan(numbers)),
        infinite=part(np.isinf(numbers)),
        outside=part(beyond),
        at_zero=part(valid & (numbers <= EDGE)) if probable else 0.0,
        at_one=part(valid & (numbers >= 1.0 - EDGE)) if probable else 0.0,
        common=common,
        common_share=share,
        positive=float(w[values > 0.5].sum() / w.sum()) if probable and len(w) else 0.0,
        distinct=distinct,
        distribution=_distribution(values, w),
        histogram=_histogram(values, w) if probable else (),
    )


def _most_common(values: Floats, weights: Floats) -> tuple[float | None, float, int]:
    if len(values) == 0:
        return None, 0.0, 0
    distinct, place = np.unique(values, return_inverse=True)
    mass = np.bincount(place, weights)
    best = int(np.argmax(mass))
    return float(distinct[best]), float(mass[best] / mass.sum()), len(distinct)


def _distribution(values: Floats, weights: Floats) -> Mapping[str, float]:
    if len(values) == 0:
        return {}
    order = np.argsort(values, kind="stable")
    ordered, cumulative = values[order], np.cumsum(weights[order])
    places = np.searchsorted(cumulative, np.array(list(_QUANTILES.values())) * cumulative[-1])
    quantiles = ordered[np.minimum(places, len(ordered) - 1)]
    mean = float(np.average(values, weights=weights))
    return {
        "mean": mean,
        "deviation": float(np.average((values - mean) ** 2, weights=weights)) ** 0.5,
        "lowest": float(ordered[0]),
        "highest": float(ordered[-1]),
        **{name: float(value) for name, value in zip(_QUANTILES, quantiles, strict=True)},
    }


def _histogram(values: Floats, weights: Floats) -> tuple[float, ...]:
    if len(values) == 0:
        return (0.0,) * _CELLS
    mass = np.bincount(np.minimum((values * _CELLS).astype(np.int64), _CELLS - 1), weights, _CELLS)
    return tuple(float(each) for each in mass / mass.sum())
