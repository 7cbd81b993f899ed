"""What matches, what does not, and what is missing, value by value."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.compare.row_skew.columns import Column
from monitor.compare.row_skew.matching import Status, compare, confusion_counts
from monitor.errors import InputError
from tests.unit.compare.row_skew.sides import Values, examples, table

NEITHER, UNCOUNTED, EMPTY, MATCH, MISMATCH, BASE_ONLY, TEST_ONLY = Status


def statuses(training: Column, served: Column, digits: int | None = None) -> list[Status]:
    return [Status(each) for each in compare(training, served, digits).status]


def of_tables(training: Values, served: Values, digits: int | None = None) -> list[Status]:
    sides = table({"training": training, "served": served})
    return statuses(sides["training"], sides["served"], digits)


def of_examples(training: Values, served: Values, digits: int | None = None) -> list[Status]:
    sides = examples({"training": training, "served": served})
    return statuses(sides["training"], sides["served"], digits)


@pytest.mark.parametrize(
    ("training", "served", "status"),
    [
        (1, 1, MATCH),
        (1, 2, MISMATCH),
        (2**53, 2**53 + 1, MISMATCH),
        (1, 1.0, MATCH),
        (1, 1.5, MISMATCH),
        (True, 1, MATCH),
        (0.1, float(np.float32(0.1)), MATCH),
        (0.1, 0.1001, MISMATCH),
        (-0.0, 0.0, MATCH),
        (123456789.0, 123456792.0, MISMATCH),
        ("a", "a", MATCH),
        ("a", "A", MISMATCH),
        ("a", b"a", MATCH),
        (b"\xff", "a", MISMATCH),
        ("1", 1, MISMATCH),
        ([1, 2], [1, 2], MATCH),
        ([1, 2], [2, 1], MISMATCH),
        ([1, 2], [1, 2, 3], MISMATCH),
        ([1.0, 2.5], [1, 2], MISMATCH),
        (["a", "b"], ["a", "b"], MATCH),
        ([1], 1, MATCH),
        ([float("nan"), 1.0], [float("nan"), 1.0], MATCH),
        (["a", None], ["a", None], MATCH),
        ("2013-01-01T05:00:00Z", datetime(2013, 1, 1, 5, tzinfo=UTC), MATCH),
        ("2013-01-01 05:00:00", datetime(2013, 1, 1, 6, tzinfo=UTC), MISMATCH),
        ("soon", datetime(2013, 1, 1, 6, tzinfo=UTC), MISMATCH),
        (1, None, BASE_ONLY),
        (float("nan"), 1.0, TEST_ONLY),
        ([], [1, 2], TEST_ONLY),
        (None, None, EMPTY),
    ],
)
def test_values_of_tables(training: Any, served: Any, status: Status) -> None:
    assert of_tables([training], [served]) == [status]
    mirrored = {BASE_ONLY: TEST_ONLY, TEST_ONLY: BASE_ONLY}.get(status, status)
    assert of_tables([served], [training]) == [mirrored]


@pytest.mark.parametrize(
    ("training", "served", "status"),
    [
        ([1], [1.0], MISMATCH),
        ([-0.0], [0.0], MISMATCH),
        ([1.5], [1.5], MATCH),
        ([], [], EMPTY),
        ([], None, UNCOUNTED),
        ([1], None, BASE_ONLY),
        ([1], [], BASE_ONLY),
    ],
)
def test_values_of_tf_examples_are_compared_to_the_letter(training: Any, served: Any, status: Status) -> None:
    def listed(values: list[float] | None) -> pa.Array:
        item = pa.float64() if values and isinstance(values[0], float) else pa.int64()
        return pa.array([values], pa.list_(item))

    assert of_examples(listed(training), listed(served)) == [status]


def test_a_feature_that_neither_example_names_is_not_seen() -> None:
    assert of_examples([[1], None], [[1], None]) == [MATCH, NEITHER]


def test_floats_of_one_side_of_tf_examples_are_compared_in_their_32_bits() -> None:
    narrow = examples({"x": [[float(np.float32(123456789.0))], [float(np.float32(0.3))]]})["x"]
    assert statuses(narrow, table({"x": [123456789.0, 0.3]})["x"]) == [MATCH, MATCH]


@pytest.mark.parametrize("of", [of_tables, of_examples])
def test_rounding_to_digits_joins_what_is_close(of: Any) -> None:
    assert of([[1.12345, 1.0]], [[1.12456, 1.0]], None) == [MISMATCH]
    assert of([[1.12345, 1.0]], [[1.12456, 1.0]], 2) == [MATCH]


def test_matches_that_rounding_made_are_told() -> None:
    sides = table({"a": [0.1, 0.5, 1.0], "b": [float(np.float32(0.1)), 0.5, 2.0]})
    assert compare(sides["a"], sides["b"]).inexact == 1


@given(
    st.lists(st.tuples(*[st.none() | st.lists(st.sampled_from([0.5, 1.5, float("nan")]), max_size=3)] * 2), min_size=1)
)
def test_lists_are_compared_as_python_would(pairs: list[tuple[list[float] | None, list[float] | None]]) -> None:
    def status(one: list[float] | None, other: list[float] | None) -> Status:
        if one and other:
            return MATCH if str(one) == str(other) else MISMATCH
        if one or other:
            return BASE_ONLY if one else TEST_ONLY
        return EMPTY if one == other == [] else NEITHER if one is other is None else UNCOUNTED

    training, served = ([pair[side] for pair in pairs] for side in (0, 1))
    kind = pa.list_(pa.float64())
    assert of_examples(pa.array(training, kind), pa.array(served, kind)) == [status(*pair) for pair in pairs]


def test_confusion_counts_every_pair_of_texts() -> None:
    sides = table({"a": ["foo", "foo", "zip", "bar"], "b": ["foo", "zim", None, "bar"]})
    counted = [(each.base, each.test, each.count) for each in confusion_counts("x", sides["a"], sides["b"])]
    assert counted == [(b"bar", b"bar", 1), (b"foo", b"foo", 1), (b"foo", b"zim", 1), (b"zip", b"__MISSING_VALUE__", 1)]


@pytest.mark.parametrize(
    ("values", "message"), [([1], "no text"), ([1.5], "no text"), ([["a", "b"]], "several values")]
)
def test_confusion_is_only_counted_of_one_text(values: Values, message: str) -> None:
    column = table({"x": values})["x"]
    with pytest.raises(InputError, match=message):
        confusion_counts("x", column, column)
