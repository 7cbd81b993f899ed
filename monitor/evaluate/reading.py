"""Rows of a table as labelled examples; changes with what a column of labels, predictions or weights may hold.

| a cell of labels or predictions | is |
|---|---|
| a number, true or false (1 or 0), text that spells a number | that number |
| a list of numbers, or text that spells one (`[0.2, 0.8]`, as in CSV) | a value for each class; all rows have equally many |
| missing, NaN or an empty list | no label: the row is left out; a labelled row without a prediction is an error |
| other text (the name of a class) | an error: TFMA computes with numbers, so classes are numbers from 0 |
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.errors import InputError
from monitor.evaluate.examples import Examples, Floats, Outcomes, Output
from monitor.records import ValueType
from monitor.window.conform import Origin, commonest_type, conform, origin_of, readable_json
from monitor.window.numerals import read_numbers
from monitor.window.plain import plain_column, plain_feature

_LISTED = 12

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class OutputColumns:
    """The columns that one output of one model is read from."""

    label: str
    prediction: str
    weight: str | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """A table and the outputs that are read from it.

    Attributes:
        table: the rows.
        columns: of each model and output, named as in `Examples`.
        name: what people call the table's files, for messages.
    """

    table: pa.Table
    columns: Mapping[Output, OutputColumns]
    name: str


@dataclass(frozen=True, slots=True)
class Labelled:
    """Examples, the number of rows that they come from, and how many of these were left out because they have no label."""

    examples: Examples
    rows: int
    unlabelled: int


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """The numbers of a column: float64 (n,) or (n, k), and which of the n are missing (there they are 0)."""

    values: Floats
    missing: Mask


def labelled_examples(sides: Sequence[Side], needed: Collection[str], ignored: Collection[str] = ()) -> Labelled:
    """Return the rows that have all labels as examples, in their order.

    Args:
        sides: tables with equally many rows, of which the i-th are one example; features are those of the first.
        needed: columns to slice or group by. They are features whatever else they are.
        ignored: columns that are no features unless they are needed.

    Raises:
        InputError: a column is not there or holds what it must not (see above), or labels and predictions do not go together.
    """
    first = sides[0].table
    labels = {
        output: numbers_of(side, columns.label, "label") for side in sides for output, columns in side.columns.items()
    }
    missing = np.logical_or.reduce([column.missing for column in labels.values()], axis=0)
    places = np.flatnonzero(~missing)
    outcomes = {}
    for side in sides:
        kept = side if len(places) == side.table.num_rows else Side(side.table.take(places), side.columns, side.name)
        for output, columns in side.columns.items():
            outcomes[output] = _outcomes(kept, columns, labels[output].values[places])
    used = {
        name for side in sides for each in side.columns.values() for name in (each.label, each.prediction, each.weight)
    }
    aside = (used | set(ignored)) - set(needed)
    chosen: Any = pa.array(places)
    features = dict(_features(first.take(chosen) if missing.any() else first, aside, needed, sides[0].name))
    return Labelled(Examples(outcomes, features), first.num_rows, int(missing.sum()))


def check_columns(names: Collection[str], wanted: Mapping[str, str], where: str) -> None:
    """Raise InputError for the first of the `wanted` columns (each with what it is for) that is not among `names`."""
    for name, purpose in wanted.items():
        if name not in names:
            raise InputError(
                f"{where}: there is no column {name!r} {purpose}; the columns are: {listed_columns(names)}"
            )


def listed_columns(names: Collection[str]) -> str:
    """Return the names of columns, the first dozen of them."""
    shown = list(names)[:_LISTED]
    return (", ".join(shown) or "none") + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


def _outcomes(side: Side, columns: OutputColumns, labels: Floats) -> Outcomes:
    predictions = numbers_of(side, columns.prediction, "prediction")
    bad = predictions.missing | ~_per_row(np.isfinite(predictions.values))
    if bad.any():
        raise InputError(
            f"{side.name}: {int(bad.sum())} of {len(bad)} labelled rows have no finite number in column {columns.prediction!r} "
            f"of predictions (missing, NaN or infinite), first labelled row {int(np.argmax(bad)) + 1}; remove these rows"
        )
    _check_shapes(side.name, columns, labels, predictions.values)
    weights = None if columns.weight is None else _weights(side, columns.weight)
    return Outcomes(labels, predictions.values, weights)


def _check_shapes(where: str, columns: OutputColumns, labels: Floats, predictions: Floats) -> None:
    bad = ~_per_row(np.isfinite(labels))
    if bad.any():
        raise InputError(
            f"{where}: {int(bad.sum())} labels in column {columns.label!r} are not finite; remove these rows"
        )
    if labels.ndim == 2 and labels.shape != predictions.shape:
        values = f"{predictions.shape[1]} values" if predictions.ndim == 2 else "one value"
        raise InputError(
            f"{where}: labels in column {columns.label!r} have {labels.shape[1]} values a row, "
            f"predictions in column {columns.prediction!r} {values}"
        )


def _weights(side: Side, name: str) -> Floats:
    column = numbers_of(side, name, "weight")
    if column.values.ndim == 2:
        raise InputError(
            f"{side.name}: column {name!r} cannot be the weight: it holds lists, and an example has one weight"
        )
    bad = column.missing | ~np.isfinite(column.values) | (column.values < 0)
    if bad.any():
        raise InputError(
            f"{side.name}: {int(bad.sum())} of {len(bad)} labelled rows have no weight of zero or more in column {name!r}, "
            f"first labelled row {int(np.argmax(bad)) + 1}"
        )
    return column.values


def _per_row(values: Mask) -> Mask:
    return values.all(axis=1) if values.ndim == 2 else values


def numbers_of(side: Side, name: str, role: str) -> NumberColumn:
    """Return the numbers of a column; `role` says what they are, for messages. Raises InputError where it holds other things."""
    if name not in side.table.column_names:
        names = listed_columns(side.table.column_names)
        raise InputError(f"{side.name}: there is no {role} column {name!r}; the columns are: {names}")
    try:
        array = plain_column(name, side.table.column(name))
        if origin_of(side.table.schema.field(name)) is Origin.JSON:
            array = readable_json(array)
        if pa.types.is_string(array.type):
            array = _spelled_lists(array)
        if pa.types.is_list(array.type):
            return _listed(name, role, array)
        numbers = _plain_numbers(name, role, array)
    except InputError as error:
        raise InputError(f"{side.name}: {error}") from error
    missing = np.isnan(numbers)
    return NumberColumn(np.where(missing, 0.0, numbers), missing)


def _plain_numbers(name: str, role: str, array: pa.Array) -> Floats:
    """Return numbers or text that spells them as float64 (n,), NaN where there is none."""
    if pa.types.is_null(array.type):
        return np.full(len(array), np.nan)
    if pa.types.is_string(array.type):
        numbers, bad = read_numbers(array, ValueType.FLOAT)
        if bad is not None:
            advice = (
                "write the numbers of classes, from 0, instead of their names" if role == "label" else "write numbers"
            )
            raise InputError(
                f"column {name!r} cannot be the {role}: {int(bad.sum())} of {len(bad)} values are text that is no number, "
                f"such as {_short(array[int(np.argmax(bad))].as_py())}; {advice}"
            )
        array = numbers
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        raise InputError(f"column {name!r} cannot be the {role}: it is of type {array.type}, not a number")
    plain = pc.fill_null(pc.cast(array, pa.float64(), safe=False), float("nan"))
    return np.asarray(plain.to_numpy(zero_copy_only=False), dtype=np.float64)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"


def _spelled_lists(array: pa.Array) -> pa.Array:
    """Return a column of texts as lists where every text is a JSON list of numbers, else as it is."""
    starts = pc.match_substring_regex(array, r"^\s*\[")
    if not pc.any(starts).as_py() or not pc.all(starts).as_py():
        return array
    try:
        return pa.array(
            [None if text is None else json.loads(text) for text in array.to_pylist()], pa.list_(pa.float64())
        )
    except (ValueError, pa.ArrowInvalid, pa.ArrowTypeError):
        return array


def _listed(name: str, role: str, array: pa.Array) -> NumberColumn:
    """Return lists of one length as float64 (n, k), or (n,) where that length is 1; rows without any value are missing."""
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    missing = lengths == 0
    found, counts = np.unique(lengths[~missing], return_counts=True)
    if len(found) > 1:
        commonest = int(found[np.argmax(counts)])
        other = int(found[found != commonest][0])
        row = int(np.argmax(lengths == other)) + 1
        raise InputError(
            f"column {name!r} cannot be the {role}: its lists are of different lengths, mostly {commonest}, "
            f"but {other} in row {row}; every row needs a value for each class"
        )
    width = int(found[0]) if len(found) else 1
    values = np.zeros((len(array), width))
    flat = _plain_numbers(name, role, pc.list_flatten(array))
    values[~missing] = flat.reshape(-1, width)
    return NumberColumn(values[:, 0] if width == 1 else values, missing)


def _features(
    table: pa.Table, aside: Collection[str | None], needed: Collection[str], where: str
) -> Iterator[tuple[str, pa.Array]]:
    for field in table.schema:
        if field.name in aside:
            continue
        try:
            plain = plain_feature(field.name, table.column(field.name))
        except InputError as error:
            # What nobody asks for may be of any type.
            if field.name in needed:
                raise InputError(f"{where}: {error}") from error
            continue
        yield (
            field.name,
            conform(plain, commonest_type(plain), Origin.JSON)[0] if origin_of(field) is Origin.JSON else plain,
        )


def mentioned(names: Collection[str], words: Collection[str], expressions: Collection[str]) -> set[str]:
    """Return the columns among `names` that are one of `words`, or that stand in one of the SQL `expressions`."""
    found = set(names) & set(words)
    for expression in expressions:
        found |= {name for name in names if name and re.search(rf"\b{re.escape(name)}\b", expression)}
    return found
