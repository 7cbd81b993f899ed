"""Rows become examples: what a column of labels, predictions and weights may hold, what is left out, what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import InputError
from monitor.evaluate.pairing import paired
from monitor.evaluate.reading import Labelled, OutputColumns, Side, labelled_examples, mentioned
from monitor.window.conform import ORIGIN, Origin

COLUMNS = {("", ""): OutputColumns("y", "p")}
WEIGHTED = {("", ""): OutputColumns("y", "p", "w")}
NAN = float("nan")


def read(table: Any, columns: Any = None, needed: tuple[str, ...] = (), ignored: tuple[str, ...] = ()) -> Labelled:
    table = table if isinstance(table, pa.Table) else pa.table(table)
    return labelled_examples([Side(table, columns or COLUMNS, "d.csv")], needed, ignored)


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (pa.array([0, 1, 1]), [0, 1, 1]),
        (pa.array([0.25, 1, 1], pa.float32()), [0.25, 1, 1]),
        (pa.array([True, False, True]), [1, 0, 1]),
        (pa.array(["1", " 0.5 ", "1e-1"]), [1, 0.5, 0.1]),
        (pa.array(["1", "0", "1"]).dictionary_encode(), [1, 0, 1]),
        (pa.array([[0.5], [1.0], [2.0]]), [0.5, 1, 2]),
        (pa.array([[0.5, 1], [1.0, 2], [2.0, 3]]), [[0.5, 1], [1, 2], [2, 3]]),
        (pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int64(), 2)), [[1, 2], [3, 4], [5, 6]]),
        (pa.array([["1", "2"], ["3", "4"], ["5", "6"]]), [[1, 2], [3, 4], [5, 6]]),
        (pa.array(["[1, 2]", " [3,4.5]", "[5, 6]"]), [[1, 2], [3, 4.5], [5, 6]]),
    ],
    ids=[
        "whole numbers",
        "floats",
        "true and false",
        "text that spells numbers",
        "a dictionary of text",
        "lists of one value are that value",
        "lists have a value for each class",
        "lists of fixed size",
        "lists of text that spells numbers",
        "lists written as text, as in CSV",
    ],
)
def test_predictions_and_labels_are_numbers_however_they_are_written(cells: pa.Array, numbers: Any) -> None:
    found = read({"y": cells, "p": cells})
    outcomes = found.examples.outcomes["", ""]
    np.testing.assert_array_equal(outcomes.labels, np.asarray(numbers, float))
    np.testing.assert_array_equal(outcomes.predictions, np.asarray(numbers, float))
    assert (found.rows, found.unlabelled) == (3, 0)


def test_a_column_of_json_texts_is_read_value_by_value() -> None:
    field = pa.field("y", pa.string(), metadata={ORIGIN: Origin.JSON.encode()})
    table = pa.table(
        [pa.array(["1", '"0"', None, "0.5"]), pa.array([0.1, 0.2, 0.3, 0.4])],
        schema=pa.schema([field, pa.field("p", pa.float64())]),
    )
    found = read(table)
    np.testing.assert_array_equal(found.examples.outcomes["", ""].labels, [1, 0, 0.5])
    assert found.unlabelled == 1


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        (pa.array([1, None, 0, None]), [0, 2]),
        (pa.array([1, NAN, 0, NAN]), [0, 2]),
        (pa.array(["1", "", "0", "NA"]), [0, 2]),
        (pa.array([[1, 0], None, [0, 1], []]), [0, 2]),
        (pa.nulls(4), []),
    ],
    ids=["null", "NaN", "no text", "an empty list", "no label anywhere"],
)
def test_rows_without_a_label_are_left_out_and_counted_whatever_their_prediction(
    labels: pa.Array, kept: list[int]
) -> None:
    lists = pa.types.is_list(labels.type)
    scores: list[Any] = [[0.1, 0.9], None, [0.3, 0.7], None] if lists else [0.1, None, 0.3, NAN]
    found = read({"y": labels, "p": pa.array(scores), "c": ["a", "b", "c", "d"]})
    assert found.unlabelled == 4 - len(kept)
    assert len(found.examples) == len(kept)
    assert found.examples.features["c"].to_pylist() == [["a", "b", "c", "d"][place] for place in kept]


def test_an_example_has_the_labels_of_all_outputs() -> None:
    columns = {("", "a"): OutputColumns("ya", "p"), ("", "b"): OutputColumns("yb", "p")}
    found = read({"ya": [1, None, 0], "yb": [1, 1, None], "p": [0.1, 0.2, 0.3]}, columns)
    assert (len(found.examples), found.unlabelled) == (1, 2)


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ({"x": [1], "p": [0.1]}, "d.csv: there is no label column 'y'; the columns are: x, p"),
        ({"y": [1], "x": [0.1]}, "d.csv: there is no prediction column 'p'; the columns are: y, x"),
        (
            {"y": ["cat", "1", "dog"], "p": [1, 2, 3]},
            "2 of 3 values are text that is no number, such as 'cat'; write the numbers of classes, from 0, instead",
        ),
        ({"y": [1, 1], "p": ["x", "0.5"]}, "column 'p' cannot be the prediction: 1 of 2 values are text"),
        (
            {"y": [1, 1, 1, 0], "p": [0.5, NAN, None, float("-inf")]},
            "3 of 4 labelled rows have no finite number in column 'p' of predictions (missing, NaN or infinite), first",
        ),
        ({"y": [1, 1], "p": [[0.5, NAN], [0.5, 0.5]]}, "1 of 2 labelled rows have no finite number in column 'p'"),
        ({"y": [1, float("inf")], "p": [0.5, 0.5]}, "1 labels in column 'y' are not finite"),
        (
            {"y": [1, 1, 1], "p": [[0.5], [0.5, 0.5], [0.1, 0.2]]},
            "column 'p' cannot be the prediction: its lists are of different lengths, mostly 2, but 1 in row 1",
        ),
        (
            {"y": [[1, 0, 0]], "p": [[0.5, 0.5]]},
            "labels in column 'y' have 3 values a row, predictions in column 'p' 2 values",
        ),
        ({"y": [[1, 0]], "p": [0.5]}, "labels in column 'y' have 2 values a row, predictions in column 'p' one value"),
        ({"y": [{"a": 1}], "p": [0.5]}, "column 'y' holds nested objects"),
        (
            {"y": pa.array([0], pa.timestamp("us")), "p": [0.5]},
            "column 'y' cannot be the label: it is of type timestamp",
        ),
        ({"y": [1, 0], "p": ["[0.1, 0.9]", "0.5"]}, "1 of 2 values are text that is no number, such as '[0.1, 0.9]'"),
    ],
)
def test_what_is_no_label_or_prediction_is_refused_in_one_line(table: Any, error: str) -> None:
    with pytest.raises(InputError) as raised:
        read(table)
    assert error in str(raised.value)
    assert str(raised.value).startswith("d.csv: ")
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        ([1.0, -1.0], "1 of 2 labelled rows have no weight of zero or more in column 'w', first labelled row 2"),
        ([None, 1.0], "first labelled row 1"),
        ([float("inf"), 1.0], "first labelled row 1"),
        ([[1.0, 2.0], [1.0, 2.0]], "column 'w' cannot be the weight: it holds lists"),
        (["a", "1"], "column 'w' cannot be the weight: 1 of 2 values are text"),
    ],
)
def test_what_is_no_weight_is_refused(weights: list[Any], error: str) -> None:
    with pytest.raises(InputError, match=r"d\.csv: ") as raised:
        read({"y": [1, 0], "p": [0.1, 0.2], "w": pa.array(weights)}, WEIGHTED)
    assert error in str(raised.value)


def test_a_weight_may_be_zero_and_unlabelled_rows_need_none() -> None:
    found = read({"y": [1, None, 0], "p": [0.1, 0.2, 0.3], "w": [0.0, None, 2.0]}, WEIGHTED)
    weights = found.examples.outcomes["", ""].weights
    assert weights is not None
    np.testing.assert_array_equal(weights, [0, 2])


def test_all_other_columns_are_features_and_those_that_slices_need_whatever_else_they_are() -> None:
    table = {
        "y": [1, 0],
        "p": [0.1, 0.2],
        "w": [1, 1],
        "id": ["a", "b"],
        "c": ["x", None],
        "tags": [["s"], []],
        "o": [{"a": 1}] * 2,
    }
    plain = read(table, WEIGHTED, ignored=("id",)).examples.features
    assert {name: column.to_pylist() for name, column in plain.items()} == {"c": ["x", None], "tags": [["s"], []]}
    assert list(read(table, WEIGHTED, needed=("y", "id"), ignored=("id",)).examples.features) == [
        "y",
        "id",
        "c",
        "tags",
    ]
    with pytest.raises(InputError, match="column 'o' holds nested objects"):
        read(table, needed=("o",))


def test_words_and_sql_name_the_columns_that_are_needed() -> None:
    assert mentioned(["a", "b", "c d", "e"], {"a", "z"}, ["SELECT STRUCT(b, `c d`) FROM example.b"]) == {
        "a",
        "b",
        "c d",
    }


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.floats(0, 1)), st.floats(allow_nan=False, allow_infinity=False)), min_size=1
    )
)
def test_csv_json_and_arrow_say_the_same(rows: list[tuple[float | None, float]]) -> None:
    labels, scores = zip(*rows, strict=True)
    arrow = read({"y": pa.array(labels, pa.float64()), "p": pa.array(scores, pa.float64())})
    texts = [None if label is None else json.dumps(label) for label in labels]
    text = read({"y": pa.array(texts, pa.string()), "p": [json.dumps(score) for score in scores]})
    lists = read(
        {"y": pa.array([None if label is None else [label] for label in labels]), "p": [[score] for score in scores]}
    )
    for other in (text, lists):
        assert (other.rows, other.unlabelled) == (arrow.rows, arrow.unlabelled)
        np.testing.assert_array_equal(
            other.examples.outcomes["", ""].predictions, arrow.examples.outcomes["", ""].predictions
        )


NAMES = ("d.csv", "b.csv")


def test_rows_of_both_models_are_paired_by_id_in_the_order_of_the_first() -> None:
    one = pa.table({"id": ["a", "b", "c"], "y": [1, 0, 1], "p": [1, 2, 3]})
    other = pa.table({"id": ["c", "z", "a"], "p": [30, 20, 10]})
    left, right = paired(one, other, "id", NAMES, shared=("y",))
    assert left.to_pydict() == {"id": ["a", "c"], "y": [1, 1], "p": [1, 3]}
    assert right.to_pydict() == {"id": ["a", "c"], "p": [10, 30], "y": [1, 1]}


def test_ids_are_equal_whatever_their_type_and_an_instance_is_part_of_them() -> None:
    one = pa.table({"id": [7, 7, 8], "instance": [0, 1, 0], "p": [1, 2, 3]})
    other = pa.table({"id": ["7", "8", "7"], "instance": [1, 0, 2], "p": [10, 20, 30]})
    left, right = paired(one, other, "id", NAMES)
    assert (left["p"].to_pylist(), right["p"].to_pylist()) == ([2, 3], [10, 20])


@pytest.mark.parametrize(
    ("ids", "error"),
    [
        (["a", "a"], "b.csv: column 'id' cannot be the id: 1 of 2 rows repeat an id"),
        (["a", None], "b.csv: 1 of 2 rows have no id in column 'id'"),
    ],
)
def test_ids_that_cannot_pair_are_refused(ids: list[str | None], error: str) -> None:
    with pytest.raises(InputError, match=error):
        paired(pa.table({"id": ["a", "b"]}), pa.table({"id": ids}), "id", NAMES)


def test_sides_are_read_from_their_own_tables() -> None:
    sides = [
        Side(
            pa.table({"y": [1, 0, None], "p": [0.1, 0.2, 0.3], "c": ["x", "y", "z"]}),
            {("a", ""): OutputColumns("y", "p")},
            "d",
        ),
        Side(
            pa.table({"y": [1, None, 0], "p": [0.7, 0.8, 0.9], "c": ["q", "q", "q"]}),
            {("b", ""): OutputColumns("y", "p")},
            "b",
        ),
    ]
    found = labelled_examples(sides, ())
    assert found.examples.outcomes["a", ""].predictions.tolist() == [0.1]
    assert found.examples.outcomes["b", ""].predictions.tolist() == [0.7]
    assert found.examples.features["c"].to_pylist() == ["x"]
    assert found.unlabelled == 2
