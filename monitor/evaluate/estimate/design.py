"""Rows as columns of numbers that a loss may depend on; changes with the types of columns that it may look at.

Numbers enter as restricted cubic splines of asinh((x - median) / scale), which is like x near the median and like its
logarithm far out; frequent values of text enter each with a number of its own, and so does "missing".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.errors import InputError
from monitor.evaluate.estimate.splines import knots_at, spline_columns
from monitor.evaluate.examples import Floats

PREDICTION = "prediction"
_FEWEST_ROWS = 30.0
"""Rows that a value of a text column, or missing values, need to get a number of their own."""
_MOST_VALUES = 12
_SMOOTH = ((1_000, 7), (300, 5), (100, 3))
"""From how many rows on the prediction has how many knots."""


@dataclass(frozen=True, slots=True, eq=False)
class NumberTerm:
    """How a column of numbers enters.

    Attributes:
        knots: (k,) in transformed units.
        missing: missing values have a number of their own.
    """

    name: str
    centre: float
    scale: float
    knots: Floats
    missing: bool

    def columns(self, values: Floats) -> Floats:
        """Return the columns (n, d) of values (n,), NaN where missing; without the constant."""
        there = np.isfinite(values)
        moved = np.arcsinh((np.where(there, values, self.centre) - self.centre) / self.scale)
        columns = spline_columns(moved, self.knots)[:, 1:] * there[:, None]
        return np.column_stack([columns, ~there]) if self.missing else columns


@dataclass(frozen=True, slots=True)
class TextTerm:
    """How a column of text enters: one number for each of its frequent values, none for all the others."""

    name: str
    values: tuple[str, ...]

    def columns(self, column: pa.Array) -> Floats:
        """Return the columns (n, values)."""
        if not self.values:
            return np.zeros((len(column), 0))
        place = pc.index_in(text_of(column), value_set=pa.array(self.values, pa.string()))
        found = place.fill_null(-1).to_numpy(zero_copy_only=False)
        columns: Floats = (found[:, None] == np.arange(len(self.values))).astype(np.float64)
        return columns


@dataclass(frozen=True, slots=True)
class Design:
    """All columns, the constant first, then the prediction's."""

    terms: tuple[NumberTerm | TextTerm, ...]

    def columns(self, predictions: Floats, features: Mapping[str, pa.Array]) -> Floats:
        """Return (n, d) columns of rows.

        Raises:
            InputError: a column is not there, or is of another type than it was.
        """
        parts = [np.ones((len(predictions), 1))]
        for number, term in enumerate(self.terms):
            if number == 0 and isinstance(term, NumberTerm):
                parts.append(term.columns(predictions))
            elif isinstance(term, NumberTerm):
                parts.append(term.columns(numbers_of(term.name, _found(term.name, features))))
            else:
                parts.append(term.columns(_found(term.name, features)))
        return np.concatenate(parts, axis=1)


def design_of(predictions: Floats, features: Mapping[str, pa.Array], weights: Floats) -> Design:
    """Lay columns out on rows: finite predictions (n,), and features (n,) of numbers or text.

    Raises:
        InputError: a feature holds neither numbers nor text.
    """
    rows = float(weights.sum()) ** 2 / float(weights @ weights)
    knots = next((count for least, count in _SMOOTH if rows >= least), 0)
    terms: list[NumberTerm | TextTerm] = [_number_term(PREDICTION, predictions, weights, knots)]
    for name, column in features.items():
        if is_number(column):
            terms.append(_number_term(name, numbers_of(name, column), weights, min(knots, 3)))
        else:
            terms.append(_text_term(name, column, weights))
    return Design(tuple(terms))


def is_number(column: pa.Array) -> bool:
    """Say whether a column holds numbers."""
    kind = column.type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def numbers_of(name: str, column: pa.Array) -> Floats:
    """Return a column of numbers, NaN where missing; raises InputError where it holds others."""
    if not is_number(column):
        raise InputError(f"losses were learned by numbers in column {name!r}, which holds {column.type} now")
    numbers: Floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers


def text_of(column: pa.Array) -> pa.Array:
    """Return a column of text as strings; raises InputError where it is none."""
    if pa.types.is_string(column.type):
        return column
    if pa.types.is_binary(column.type) or pa.types.is_large_string(column.type):
        return column.cast(pa.string())
    raise InputError(f"losses cannot be learned by a column of type {column.type}: it must hold numbers or text")


def _found(name: str, features: Mapping[str, pa.Array]) -> pa.Array:
    if name not in features:
        raise InputError(f"losses were learned by column {name!r}, which the rows lack")
    return features[name]


def _number_term(name: str, values: Floats, weights: Floats, knots: int) -> NumberTerm:
    there = np.isfinite(values)
    if not there.any():
        return NumberTerm(name, 0.0, 1.0, np.zeros(0), missing=False)
    centre, low, high = (float(each) for each in np.quantile(values[there], (0.5, 0.25, 0.75)))
    scale = (high - low) / 1.349 or float(np.std(values[there])) or 1.0
    moved = np.arcsinh((values[there] - centre) / scale)
    missing = float(weights[~there].sum()) >= _FEWEST_ROWS
    return NumberTerm(name, centre, scale, knots_at(moved, weights[there], knots), missing)


def _text_term(name: str, column: pa.Array, weights: Floats) -> TextTerm:
    encoded = text_of(column).dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64) + 1
    mass = np.bincount(codes, weights, len(encoded.dictionary) + 1)[1:]
    pairs = sorted(zip((-mass).tolist(), encoded.dictionary.to_pylist(), strict=True))
    return TextTerm(name, tuple(value for less, value in pairs[:_MOST_VALUES] if -less >= _FEWEST_ROWS))
