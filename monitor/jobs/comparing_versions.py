"""Two versions of a model compared from files: `driftline versions`; changes with where the two versions' answers can be.

Versions that served live traffic are compared by `monitor.jobs.versions_served`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import pyarrow as pa

from collectors.files import read_table
from monitor.errors import InputError
from monitor.evaluate.examples import Floats, Outcomes
from monitor.evaluate.versions.answers import Answers, Pairs
from monitor.evaluate.versions.asked import Asked
from monitor.evaluate.versions.comparison import compare_answers, compare_pairs
from monitor.evaluate.versions.kinds import Column, column_of, problem_of, typed
from monitor.evaluate.versions.losses import Problem
from monitor.evaluate.versions.result import Comparison
from monitor.jobs.version_rows import (
    Columns,
    Told,
    check_columns,
    matched,
    read_columns,
    rows_of_version,
    told,
)
from monitor.window.plain import plain_feature

Predict = Callable[[pa.Table], Floats]
"""Rows to predictions: (n,), or (n, k) for the scores of k classes."""

Asking = Callable[[Problem], Asked]
"""What is asked once the kind of problem is known."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How answers are read, and what is asked of them.

    Attributes:
        columns: names of columns.
        asking: what is asked, given the kind of problem; the length of an hour and the slices are those below.
        problem: its kind; None where it is to be told from the data.
        every: length of an hour.
        slices: columns to look at paired predictions by.
    """

    columns: Columns
    asking: Asking
    problem: Problem | None = None
    every: timedelta = timedelta(hours=1)
    slices: Sequence[tuple[str, ...]] = ()

    def asked(self, problem: Problem) -> Asked:
        """Return what is asked of a kind of problem."""
        return replace(self.asking(problem), every=self.every, slices=self.slices)

    def sliced(self) -> list[str]:
        """Return the columns of the slices."""
        return list(dict.fromkeys(name for spec in self.slices for name in spec))


def tables_of_files(stable: str, candidate: str, reading: Reading) -> tuple[pa.Table, pa.Table]:
    """Return the rows of either version, each from files of its own.

    Raises:
        InputError: files cannot be read, hold no rows, or lack a column.
    """
    return read_columns(stable, reading.columns), read_columns(candidate, reading.columns, reading.sliced())


def tables_of_versions(
    data: str, column: str, stable: str, candidate: str, reading: Reading
) -> tuple[pa.Table, pa.Table]:
    """Return the rows of either version out of the same files, told apart by a column.

    Raises:
        InputError: files cannot be read, lack a column, or have no rows of a version.
    """
    table = read_columns(data, reading.columns, [column, *reading.sliced()])
    return rows_of_version(table, column, stable), rows_of_version(table, column, candidate)


def compare_unpaired(stable: pa.Table, candidate: pa.Table, reading: Reading) -> Comparison:
    """Compare versions that answered different requests.

    Raises:
        InputError: there is no column of labels or predictions, or a value is none of the problem's.
    """
    columns = reading.columns
    if columns.label is None or columns.prediction is None:
        raise InputError(
            "versions that answered different requests are compared by --label-column and --prediction-column"
        )
    sides = [stable, candidate]
    predictions = [_column(side, columns.prediction) for side in sides]
    asked, scores, labels, _ = _typed(predictions, [_column(side, columns.label) for side in sides], reading)
    one, two = (
        _answers(score, label, told(side, columns, reading.every))
        for score, label, side in zip(scores, labels, sides, strict=True)
    )
    return compare_answers(one, two, asked)


def compare_paired(stable: pa.Table, candidate: pa.Table, reading: Reading) -> Comparison:
    """Compare versions that answered the same requests, joined by their ids.

    Labels, weights and times are those of the stable version's rows; features to slice by are the candidate's.

    Raises:
        InputError: there is no column of ids or predictions, nothing can be joined, or a value is none of the problem's.
    """
    columns = reading.columns
    if columns.prediction is None:
        raise InputError("there is nothing to compare: name the predictions by --prediction-column")
    pairs = matched(stable, candidate, columns)
    one, two = stable.take(pa.array(pairs.stable)), candidate.take(pa.array(pairs.candidate))
    features = two.select(reading.sliced())
    found = _paired(one, features, (_column(one, columns.prediction), _column(two, columns.prediction)), reading)
    return replace(found, warnings=[*pairs.warnings(), *found.warnings])


def compare_columns(data: str, stable: str, candidate: str, reading: Reading) -> Comparison:
    """Compare two columns of predictions of the same rows.

    Raises:
        InputError: files cannot be read, lack a column, or a value is none of the problem's.
    """
    table = read_columns(data, reading.columns, [stable, candidate, *reading.sliced()])
    return _paired(table, table.select(reading.sliced()), (_column(table, stable), _column(table, candidate)), reading)


def compare_models(data: str, stable: Predict, candidate: Predict, reading: Reading) -> Comparison:
    """Compare what two models answer to the same rows; columns with a role are no features.

    Raises:
        InputError: files cannot be read, lack a column or feature, or a value is none of the problem's.
    """
    table = read_table(data)
    if not table.num_rows:
        raise InputError(f"{data}: there are no rows")
    check_columns(data, table.column_names, reading.columns, reading.sliced())
    features = table.drop(list(reading.columns.named().values()))
    predictions = stable(features), candidate(features)
    return _paired(table, table.select(reading.sliced()), predictions, reading)


def _paired(table: pa.Table, features: pa.Table, predictions: tuple[Column, Column], reading: Reading) -> Comparison:
    columns = reading.columns
    labels = [] if columns.label is None else [_column(table, columns.label)]
    asked, (stable, candidate), truths, classes = _typed(predictions, labels, reading)
    rest = told(table, columns, reading.every)
    pairs = Pairs(
        stable=stable,
        candidate=candidate,
        names=_names(table, columns),
        labels=truths[0] if truths else None,
        weights=rest.weights,
        clusters=rest.clusters,
        hours=rest.hours,
        features=pa.table({name: plain_feature(name, features.column(name)) for name in features.column_names}),
        classes=classes,
    )
    return compare_pairs(pairs, asked)


def _typed(
    predictions: Sequence[Column], labels: Sequence[Column], reading: Reading
) -> tuple[Asked, list[Floats], list[Floats], list[str]]:
    """Return what is asked, predictions and labels as the problem has them, and the names of classes where they have names."""
    problem = reading.problem or problem_of(predictions, labels)
    found = typed(predictions, labels, problem)
    return reading.asked(problem), list(found.predictions), list(found.labels), list(found.classes)


def _answers(predictions: Floats, labels: Floats, rest: Told) -> Answers:
    return Answers(Outcomes(labels, predictions, rest.weights), rest.clusters, rest.hours)


def _column(table: pa.Table, name: str) -> Column:
    return column_of(name, plain_feature(name, table.column(name)))


def _names(table: pa.Table, columns: Columns) -> Sequence[object]:
    """Return how people call each row: its id, with its instance where there is one; else its number from 1."""
    if columns.id is None:
        return range(1, table.num_rows + 1)
    ids: list[object] = table.column(columns.id).to_pylist()
    if columns.instance is None:
        return ids
    return [
        f"{each}#{instance}" for each, instance in zip(ids, table.column(columns.instance).to_pylist(), strict=True)
    ]
