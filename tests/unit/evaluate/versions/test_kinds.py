"""From columns as people have them to problems and numbers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from monitor.errors import InputError
from monitor.evaluate.versions.kinds import Names, check_labels, column_of, numbered, numbers_of, problem_of
from monitor.evaluate.versions.losses import Problem


@pytest.mark.parametrize(
    ("prediction", "label", "expected"),
    [
        pytest.param([0.2, None, 1.0], [0, 1, None], Problem.BINARY, id="probabilities, and labels 0 and 1"),
        pytest.param([0.2, 0.9], None, Problem.BINARY, id="probabilities without labels"),
        pytest.param([0.2, 0.9], [3.5, 1], Problem.REGRESSION, id="labels that are no truths"),
        pytest.param([0.2, 7.0], [0, 1], Problem.REGRESSION, id="predictions that are no probabilities"),
        pytest.param([[0.1, 0.9], None], [1, 0], Problem.MULTICLASS, id="lists of scores"),
        pytest.param([[0.1], [0.7]], [1, 0], Problem.BINARY, id="lists of one number"),
        pytest.param(["cat", None], ["cat", "dog"], Problem.CLASSES, id="names"),
    ],
)
def test_a_problem_is_told_from_the_data(
    prediction: list[object], label: list[object] | None, expected: Problem
) -> None:
    labels = [] if label is None else [column_of("label", pa.array(label))]
    assert problem_of([column_of("p", pa.array(prediction))] * 2, labels) is expected


def test_names_have_one_number_in_all_columns() -> None:
    numbers, names = numbered([Names(pa.array(["a", None, "7"])), np.array([7.0, np.nan, 8.0])])
    assert names == ["a", "7", "8"]
    np.testing.assert_array_equal(np.concatenate(numbers), [0, np.nan, 1, 1, np.nan, 2])


def test_scores_are_a_row_each_and_a_missing_list_is_not_a_number() -> None:
    found = column_of("p", pa.array([[1.0, 2.0], None, [], [3.0, None]]))
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, np.array([[1, 2], [np.nan, np.nan], [np.nan, np.nan], [3, np.nan]]))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (pa.array([[1.0], [1.0, 2.0]]), r"lists of column 'p' differ in length: \[1, 2\]"),
        (pa.array([["a"], ["b"]]), "holds lists of string"),
    ],
    ids=["ragged", "lists of texts"],
)
def test_a_column_is_refused(array: pa.Array, said: str) -> None:
    with pytest.raises(InputError, match=said):
        column_of("p", array)


@pytest.mark.parametrize(
    ("problem", "labels", "said"),
    [
        (Problem.BINARY, [0.0, 2.0], "label 2 is not 0 or 1, as a binary problem has it"),
        (Problem.MULTICLASS, [0.0, 3.0], "label 3 is not a class from 0 to 2"),
        (Problem.MULTICLASS, [0.5], "label 0.5 is not a class"),
        (Problem.REGRESSION, [np.inf], "label inf is not a finite number"),
    ],
)
def test_a_label_is_refused(problem: Problem, labels: list[float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_labels(np.array([*labels, np.nan]), problem, 3)


def test_texts_where_numbers_are_wanted_are_shown() -> None:
    with pytest.raises(InputError, match="the labels are texts such as 'yes', but a binary problem has numbers"):
        numbers_of(Names(pa.array([None, "yes"])), Problem.BINARY, "label")
