"""The simple conditions on one column from which slices are made; changes with what a condition may say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.compare.explain import number, text
from monitor.profile.columns import Column
from monitor.profile.counts import Indices
from monitor.profile.document import Floats

FEW_VALUES = 12
"""Numbers with at most this many distinct values are told apart one by one."""
RANGES = 8
"""Ranges of equal numbers of rows into which other numbers are cut."""
MAX_VALUES = 32
"""Categories that are looked at one by one: the most frequent."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Predicate:
    """A condition on one column: levels `first` to `last`, both inclusive, of those that the search cut it into.

    Attributes:
        column: its name.
        said: the condition in words, such as `origin='EWR'` or `distance from 500 to below 900`.
    """

    column: str
    first: int
    last: int
    said: str


@dataclass(frozen=True, eq=False)  # no slots: `predicates` is asked for in every round, and kept
class Levels:
    """A column cut into L levels.

    Attributes:
        codes: (n,) level of each row.
        size: L.
        names: what conditions on single levels say; None for levels that make none.
        edges: (R + 1,) of the R ordered levels, which come first; a level is [edge, next edge). Empty for categories.
        exact: each ordered level is a single number.
    """

    column: str
    codes: Indices
    size: int
    names: tuple[str | None, ...]
    edges: Floats
    exact: bool

    @cached_property
    def predicates(self) -> tuple[Predicate, ...]:
        """All conditions: single levels, and for numbers every range of neighbouring ones but the whole."""
        ordered = max(0, len(self.edges) - 1)
        ranges = [
            Predicate(self.column, i, j, self._range(i, j))
            for i in range(ordered)
            for j in range(i, ordered)
            if j - i < ordered - 1
        ]
        single = [Predicate(self.column, i, i, n) for i, n in enumerate(self.names) if n is not None]
        return (*ranges, *single)

    def holds(self, predicate: Predicate) -> Mask:
        """Return (n,) which rows meet a condition on this column."""
        return (self.codes >= predicate.first) & (self.codes <= predicate.last)

    def _range(self, first: int, last: int) -> str:
        low, high = float(self.edges[first]), float(self.edges[last + 1])
        if self.exact:
            # An edge above a value stands for it: the next value is the next edge.
            top = float(self.edges[last])
            if first == last:
                return f"{self.column}={number(low)}"
            if first == 0:
                return f"{self.column} up to {number(top)}"
            return f"{self.column} from {number(low)}" + ("" if np.isinf(high) else f" to {number(top)}")
        if first == 0:
            return f"{self.column} below {number(high)}"
        return f"{self.column} from {number(low)}" + ("" if np.isinf(high) else f" to below {number(high)}")


def levels_of(column: str, parts: list[pa.ChunkedArray], min_rows: int) -> Levels | None:
    """Cut a column of several tables, one after the other, into levels; None where lists or mixed types allow none.

    Args:
        column: its name.
        parts: the column in each table.
        min_rows: that a category needs to be looked at.
    """
    types = [part.type for part in parts]
    numeric = [pa.types.is_integer(t) or pa.types.is_floating(t) for t in types]
    if any(pa.types.is_list(t) or pa.types.is_large_list(t) for t in types) or len(set(numeric)) > 1:
        return None
    wanted = pa.float64() if numeric[0] else pa.binary()
    chunks = [chunk for part in parts for chunk in part.cast(wanted).chunks]
    values = Column.of(pa.chunked_array(chunks, wanted))
    if values.numbers is not None:
        return _of_numbers(column, values.rows, values.numbers, values.present)
    if values.codes is None or values.distinct is None:
        return None
    return _of_categories(column, values, min_rows)


def _of_numbers(column: str, rows: int, numbers: Floats, present: Mask | None) -> Levels | None:
    distinct = np.unique(numbers)
    if len(distinct) == 0:
        return None
    exact = len(distinct) <= FEW_VALUES
    starts = distinct if exact else np.unique(np.quantile(numbers, np.arange(RANGES) / RANGES, method="lower"))
    codes = np.full(rows, len(starts))
    codes[slice(None) if present is None else present] = np.searchsorted(starts, numbers, side="right") - 1
    names: list[str | None] = [None] * len(starts)
    if present is not None:
        names.append(f"{column} missing")
    return Levels(column, codes, len(names), tuple(names), np.append(starts, np.inf), exact)


def _of_categories(column: str, values: Column, min_rows: int) -> Levels | None:
    if values.codes is None or values.distinct is None or len(values.distinct) == 0:
        return None
    held = np.bincount(values.codes, minlength=len(values.distinct))
    order = np.argsort(-held, kind="stable")[:MAX_VALUES]
    chosen = order[held[order] >= min_rows]
    place = np.full(len(values.distinct), len(chosen))
    place[chosen] = np.arange(len(chosen))
    codes = np.full(values.rows, len(chosen) + 1)
    codes[slice(None) if values.present is None else values.present] = place[values.codes]
    names = [f"{column}={text(values.distinct[int(i)].as_py())}" for i in chosen]
    missing = None if values.present is None else f"{column} missing"
    return Levels(column, codes, len(chosen) + 2, (*names, None, missing), np.zeros(0), exact=False)
