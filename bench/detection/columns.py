"""What can be said about the columns of a reference, so that a change fits them; changes with what a change asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

FEW_VALUES = 12
"""Whole numbers with at most this many values are codes of categories, and no measurement."""
COMMON_SHARE = 0.15
USUAL_SHARE = 0.01
STRONG = 0.7
"""Least dependence of a pair: Spearman's correlation of two numbers, else Cramér's V on at most eight cells a side."""
_CELLS = 8
_SAMPLE = 5_000


@dataclass(frozen=True, slots=True)
class Traits:
    """One column of the reference.

    Attributes:
        measured: numbers with more than FEW_VALUES distinct values.
        text: strings.
        identifying: nearly every value stands once.
        mean, deviation, ninetieth, above_ninetieth: of numbers; the last is the share of values above the 90th percentile.
        shows_unit: a factor would be seen, since most values are not 0.
        common: categories that hold COMMON_SHARE of the rows or more; `usual`: USUAL_SHARE or more.
        missing: share of rows without a value.
    """

    kind: pa.DataType
    missing: float
    measured: bool = False
    text: bool = False
    identifying: bool = False
    mean: float = 0.0
    deviation: float = 0.0
    ninetieth: float = 0.0
    above_ninetieth: float = 0.0
    shows_unit: bool = False
    common: tuple[Any, ...] = field(default=())
    usual: tuple[Any, ...] = field(default=())

    def value(self, value: Any) -> pa.Scalar:
        """Return a category as a scalar of this column's type."""
        return pa.scalar(value.item() if isinstance(value, np.generic) else value, self.kind)


def traits_of(table: pa.Table, names: list[str]) -> Mapping[str, Traits]:
    """Describe columns."""
    return {name: _traits(table.column(name)) for name in names}


def _traits(column: pa.ChunkedArray) -> Traits:
    missing = column.null_count / len(column)
    values = column.drop_null()
    if missing == 1.0:
        return Traits(column.type, missing)
    text = pa.types.is_string(column.type)
    distinct = len(values.unique())
    common, usual = ((), ()) if not text and distinct > FEW_VALUES else _categories(values, len(column))
    if text:
        identifying = distinct > 0.5 * len(values)
        return Traits(column.type, missing, text=True, identifying=identifying, common=common, usual=usual)
    numbers = values.to_numpy().astype(np.float64)
    ninetieth = float(np.quantile(numbers, 0.9, method="lower"))
    return Traits(
        column.type,
        missing,
        measured=distinct > FEW_VALUES,
        mean=float(numbers.mean()),
        deviation=float(numbers.std()),
        ninetieth=ninetieth,
        above_ninetieth=float((numbers > ninetieth).mean()),
        shows_unit=float((numbers != 0.0).mean()) >= 0.5,
        common=common,
        usual=usual,
    )


def _categories(values: pa.ChunkedArray, rows: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    counted = sorted(((pair["counts"], pair["values"]) for pair in values.value_counts().to_pylist()), reverse=True)
    common = tuple(value for count, value in counted if count >= COMMON_SHARE * rows)
    return common, tuple(value for count, value in counted if count >= USUAL_SHARE * rows)


def dependent_pairs(table: pa.Table, names: list[str]) -> list[tuple[str, str]]:
    """Return the pairs of columns that depend strongly on each other, judged on a sample of the rows."""
    places = np.random.default_rng(0).choice(table.num_rows, min(_SAMPLE, table.num_rows), replace=False)
    sample = table.take(pa.array(np.sort(places)))
    codes = {name: _cells(sample.column(name)) for name in names}
    told = [name for name in names if len(np.unique(codes[name])) > 1]
    numbers = {name for name in told if not pa.types.is_string(sample.schema.field(name).type)}
    return [
        (one, other)
        for index, one in enumerate(told)
        for other in told[index + 1 :]
        if _cramers_v(codes[one], codes[other]) >= STRONG
        or ({one, other} <= numbers and _spearman(sample, one, other) >= STRONG)
    ]


def _cells(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return a cell for each row: an eighth of the numbers, or one of the seven most frequent categories; 0 is missing."""
    there = column.is_valid().to_numpy()
    cells = np.zeros(len(column), np.int64)
    if not there.any():
        return cells
    if pa.types.is_string(column.type):
        encoded = column.drop_null().combine_chunks().dictionary_encode().indices.to_numpy()
        order = np.argsort(np.argsort(-np.bincount(encoded), kind="stable"), kind="stable")
        cells[there] = 1 + np.minimum(order[encoded], _CELLS - 1)
        return cells
    numbers = column.drop_null().to_numpy().astype(np.float64)
    edges = np.unique(np.quantile(numbers, np.arange(1, _CELLS) / _CELLS))
    cells[there] = 1 + np.searchsorted(edges, numbers, side="right")
    return cells


def _cramers_v(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> float:
    """Return Cramér's V with Bergsma's correction of its bias (2013, Journal of the Korean Statistical Society 42)."""
    _, rows = np.unique(one, return_inverse=True)
    _, columns = np.unique(other, return_inverse=True)
    height, width, count = rows.max() + 1, columns.max() + 1, len(one)
    table = np.bincount(rows * width + columns, minlength=height * width).reshape(height, width)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / count
    squared = float(((table - expected) ** 2 / expected).sum()) / count
    corrected = max(0.0, squared - (height - 1) * (width - 1) / (count - 1))
    smaller = min(height - (height - 1) ** 2 / (count - 1), width - (width - 1) ** 2 / (count - 1))
    return float(np.sqrt(corrected / max(smaller - 1.0, 1e-12)))


def _spearman(sample: pa.Table, one: str, other: str) -> float:
    both = pc.and_(sample.column(one).is_valid(), sample.column(other).is_valid())
    kept = sample.select([one, other]).filter(both)
    if kept.num_rows < 100:
        return 0.0
    from scipy import stats

    return abs(float(stats.spearmanr(kept.column(one).to_numpy(), kept.column(other).to_numpy()).statistic))
