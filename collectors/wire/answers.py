"""Which part of a model's answer is the prediction; changes with the settings `output` and `output_class`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from collectors.dead_letter import Reason
from collectors.wire.tensors import MOST_VALUES, Column, listed
from monitor.errors import InvalidRecord


@dataclass(frozen=True, slots=True)
class Choice:
    """What to take of an answer.

    Attributes:
        output: the output that is the prediction; None for the only one, or all of them as an object.
        of: a class's number, whose score is the prediction; `argmax` for the class with the highest score, as text;
            None for all scores.
    """

    output: str | None = None
    of: int | Literal["argmax"] | None = None


def prediction_of(outputs: Mapping[str, Column], size: int, choice: Choice) -> Column | None:
    """Return the prediction of each of `size` instances; an output of one row stands for all of them.

    Raises:
        InvalidRecord: an output has another number of rows, or the chosen output or class is missing.
    """
    if not outputs:
        return None
    if choice.output is not None:
        if choice.output not in outputs:
            raise InvalidRecord(Reason.OUTPUT)
        return _chosen(_sized(outputs[choice.output], size), choice)
    if len(outputs) * size > MOST_VALUES:
        raise InvalidRecord(Reason.TOO_LARGE)
    if len(outputs) == 1:
        (column,) = outputs.values()
        return _chosen(_sized(column, size), choice)
    columns = {name: listed(_chosen(_sized(column, size), choice)) for name, column in outputs.items()}
    return [{name: _text(column[row]) for name, column in columns.items()} for row in range(size)]


def _sized(column: Column, size: int) -> Column:
    if len(column) == size:
        return column
    if len(column) != 1:
        raise InvalidRecord(Reason.BATCH)
    if isinstance(column, np.ndarray) and column.size * size > MOST_VALUES:
        raise InvalidRecord(Reason.TOO_LARGE)
    return np.repeat(column, size, axis=0) if isinstance(column, np.ndarray) else list(column) * size


def _chosen(column: Column, choice: Choice) -> Column:
    if choice.of is None:
        return column
    if isinstance(column, np.ndarray):
        return _chosen_of_array(column, choice.of)
    return [_chosen_of_one(value, choice.of) for value in column]


def _chosen_of_array(column: np.ndarray[tuple[int, ...], np.dtype[np.generic]], of: int | str) -> Column:
    if column.ndim == 1:
        return column  # one score a row: nothing to choose from
    if isinstance(of, str):
        return [str(best) for best in np.argmax(column, axis=1).tolist()]
    if of >= column.shape[1]:
        raise InvalidRecord(Reason.OUTPUT)
    return column[:, of]


def _chosen_of_one(value: object, of: int | str) -> object:
    names: Sequence[object]
    if isinstance(value, dict):
        names, scores = list(value), list(value.values())
    elif isinstance(value, list):
        names, scores = [str(number) for number in range(len(value))], value
    else:
        return value
    if not isinstance(of, str):
        if of >= len(scores):
            raise InvalidRecord(Reason.OUTPUT)
        return scores[of]
    if not scores or any(type(score) not in (int, float) for score in scores):
        raise InvalidRecord(Reason.OUTPUT)
    return names[max(range(len(scores)), key=lambda number: scores[number])]


def _text(value: object) -> object:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
