"""From columns to numbers: which kind of problem predictions belong to, and predictions and labels as it needs them.

Changes with the forms in which people have predictions and labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.errors import InputError
from monitor.evaluate.examples import Floats
from monitor.evaluate.versions.losses import Problem, answered


@dataclass(frozen=True, slots=True)
class Names:
    """Names of classes, n texts or bytes; a missing one is null."""

    values: pa.Array

    def __len__(self) -> int:
        """Return n."""
        return len(self.values)


Column = Floats | Names
"""Numbers (n,), scores of k classes (n, k), or names."""


def column_of(name: str, array: pa.Array) -> Column:
    """Return a plain column (see `monitor.window.plain`) as numbers or names; a missing value is NaN or null.

    Raises:
        InputError: lists differ in length, or hold no numbers.
    """
    if pa.types.is_list(array.type):
        return _scores(name, array)
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return _floats(array)
    if array.null_count == len(array):
        return np.full(len(array), np.nan)
    return Names(array)


def problem_of(predictions: Sequence[Column], labels: Sequence[Column]) -> Problem:
    """Return the kind of problem that predictions, and labels where there are any, look like.

    Lists of scores are of classes, texts are names of classes, and numbers within [0, 1] probabilities, unless there are labels
    other than 0 and 1; all else is a regression.
    """
    numbers = [each for each in predictions if not isinstance(each, Names)]
    if len(numbers) < len(predictions):
        return Problem.CLASSES
    if any(each.ndim == 2 for each in numbers):
        return Problem.MULTICLASS
    scores = [each[answered(each)] for each in numbers]
    probabilities = all(((each >= 0.0) & (each <= 1.0)).all() for each in scores)
    known = [each[~np.isnan(each)] for each in labels if not isinstance(each, Names)]
    truths = all(np.isin(each, (0.0, 1.0)).all() for each in known)
    return Problem.BINARY if probabilities and truths else Problem.REGRESSION


@dataclass(frozen=True, slots=True)
class Typed:
    """Predictions and labels as a problem has them.

    Attributes:
        predictions: of each version, (n,) or (n, k).
        labels: of each version that has any, (n,).
        classes: names of classes, where predictions and labels are their numbers.
    """

    predictions: Sequence[Floats]
    labels: Sequence[Floats]
    classes: Sequence[str] = ()


def typed(predictions: Sequence[Column], labels: Sequence[Column], problem: Problem) -> Typed:
    """Return predictions of one or two versions, and labels where there are any, as numbers.

    Raises:
        InputError: a value is none of the problem's, or predictions differ in the number of their scores.
    """
    if problem is Problem.CLASSES:
        numbers, names = numbered([*predictions, *labels])
        return Typed(numbers[: len(predictions)], numbers[len(predictions) :], names)
    scores = [numbers_of(each, problem, "prediction") for each in predictions]
    truths = [numbers_of(each, problem, "label") for each in labels]
    if len({each.shape[1:] for each in scores}) > 1:
        sizes = " and ".join(str(each.shape[1]) for each in scores)
        raise InputError(f"the versions have {sizes} scores a prediction: they do not predict the same")
    for each in truths:
        check_labels(each, problem, scores[0].shape[-1])
    return Typed(scores, truths)


def numbered(columns: Sequence[Column]) -> tuple[list[Floats], list[str]]:
    """Return names as numbers, the same in all columns, and the names in the order of their numbers; a missing one is NaN."""
    texts = [_names(column) for column in columns]
    encoded = pa.concat_arrays(texts).dictionary_encode()
    numbers = _floats(encoded.indices)
    return np.split(numbers, np.cumsum([len(each) for each in texts])[:-1]), encoded.dictionary.to_pylist()


def numbers_of(column: Column, problem: Problem, role: str) -> Floats:
    """Return predictions or labels of a problem that is not about names.

    Raises:
        InputError: they are names, or scores of several classes where one number is wanted.
    """
    if isinstance(column, Names):
        example = column.values.drop_null()[0].as_py()
        raise InputError(
            f"the {role}s are texts such as {example!r}, but a {problem} problem has numbers: give labels as 0 and 1, or as the "
            "numbers of classes from 0"
        )
    if (column.ndim == 2) != (problem is Problem.MULTICLASS and role == "prediction"):
        raise InputError(
            f"the {role}s of a {problem} problem cannot be {'lists' if column.ndim == 2 else 'single numbers'}"
        )
    return column


def check_labels(labels: Floats, problem: Problem, classes: int) -> None:
    """Check labels (n,), NaN where they are not known, against the problem; `classes` is how many scores a prediction has.

    Raises:
        InputError: a label is none of the problem's.
    """
    known = labels[~np.isnan(labels)]
    match problem:
        case Problem.BINARY:
            bad, wanted = ~np.isin(known, (0.0, 1.0)), "0 or 1"
        case Problem.MULTICLASS:
            bad, wanted = (
                (known != np.floor(known)) | (known < 0) | (known >= classes),
                f"a class from 0 to {classes - 1}",
            )
        case _:
            bad, wanted = ~np.isfinite(known), "a finite number"
    if bad.any():
        raise InputError(
            f"label {known[bad][0]:g} is not {wanted}, as a {problem} problem has it; --problem names another"
        )


def _floats(array: pa.Array) -> Floats:
    filled = pc.fill_null(pc.cast(array, pa.float64(), safe=False), float("nan"))
    return np.asarray(filled.to_numpy(zero_copy_only=False), np.float64)


def _scores(name: str, array: pa.Array) -> Floats:
    values, lengths = array.flatten(), pc.list_value_length(array)
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        raise InputError(
            f"column {name!r} holds lists of {values.type}: a prediction is a number, a list of numbers or a text"
        )
    sizes = pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False)
    known = np.unique(sizes[sizes > 0])
    if len(known) != 1:
        raise InputError(f"the lists of column {name!r} differ in length: {known[:3].tolist() or 'all are empty'}")
    scores = np.full((len(array), int(known[0])), np.nan)
    scores[sizes > 0] = _floats(values).reshape(-1, int(known[0]))
    return scores[:, 0] if scores.shape[1] == 1 else scores


def _names(column: Column) -> pa.Array:
    """Return names as text, in which 7 and 7.0 are one."""
    if isinstance(column, Names):
        return pc.cast(column.values, pa.string())
    if column.ndim == 2:
        raise InputError("a prediction is one class, not a list; leave out --problem classes for lists of scores")
    whole = bool((np.isnan(column) | (column == np.floor(column))).all())
    values = pa.array(column, from_pandas=True)
    return pc.cast(pc.cast(values, pa.int64()) if whole else values, pa.string())
