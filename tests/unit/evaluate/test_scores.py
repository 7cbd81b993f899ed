"""Predictions of served rows: the odd ones are left out, whatever form the others have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from monitor.errors import InputError
from monitor.evaluate.scores import served_scores, usable_predictions
from monitor.records import Rows

NAN = float("nan")


@pytest.mark.parametrize(
    ("given", "usable"),
    [
        ([0.5, NAN, None, float("inf"), 0.25], [0.5, None, None, None, 0.25]),
        ([1, 2, None], [1, 2, None]),
        (["[0.2, 0.8]", "0.5", "[0.1, 0.2, 0.7]", None, "[1, 0]"], [[0.2, 0.8], None, None, None, [1.0, 0.0]]),
        ([[0.2, 0.8], [0.5], None, [0.1, NAN], [1.0, 0.0]], [[0.2, 0.8], None, None, None, [1.0, 0.0]]),
        (["0.5", "late", "0.25"], [0.5, None, 0.25]),
        (["late", "on time", "0.25"], ["late", "on time", "0.25"]),
        (["[true, false]", "{}", "[]", "null"], ["[true, false]", "{}", "[]", "null"]),
        ([None, None], [None, None]),
        ([], []),
    ],
    ids=["numbers", "whole", "JSON lists", "lists", "spelled", "classes", "other JSON", "none", "no rows"],
)
def test_predictions_that_are_not_as_most_are_left_out(given: list[Any], usable: list[Any]) -> None:
    array = pa.array(given) if given and any(each is not None for each in given) else pa.array(given, pa.string())
    assert usable_predictions(pa.chunked_array([array])).to_pylist() == usable


def test_scores_are_numbers_with_nan_where_there_are_none() -> None:
    rows = Rows(pa.table({"prediction": ["[0.2, 0.8]", None, "oops", "[1, 0]"]}), prediction="prediction")
    np.testing.assert_array_equal(served_scores(rows), [[0.2, 0.8], [NAN, NAN], [NAN, NAN], [1.0, 0.0]])


@pytest.mark.parametrize("column", [["late", "on time"], None])
def test_text_and_nothing_are_no_scores(column: list[str] | None) -> None:
    table = pa.table({"x": [1, 2]} if column is None else {"prediction": column})
    with pytest.raises(InputError):
        served_scores(Rows(table, prediction=None if column is None else "prediction"))
