"""The laws of a comparison, and what it reports."""

from __future__ import annotations

import json
import random
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from monitor.compare.row_skew.report import RowSkew, SkewVerdict
from tests.unit.compare.row_skew.sides import counts, skew

VALUES = {
    "number": st.none() | st.integers(0, 3).map(float) | st.floats(-5, 5, width=32),
    "text": st.none() | st.sampled_from(["a", "A", " a", "b", "bc"]),
    "list": st.none() | st.lists(st.integers(0, 2), max_size=2),
}
KINDS = {"id": pa.int64(), "number": pa.float64(), "text": pa.string(), "list": pa.list_(pa.int64())}
ROW = st.tuples(st.integers(0, 30), *VALUES.values())
ROWS = st.lists(ROW, min_size=1, max_size=40)
Rows = list[tuple[Any, ...]]


def compared(training: Rows, served: Rows, **options: Any) -> RowSkew:
    columns = [
        {name: pa.array([row[place] for row in rows], kind) for place, (name, kind) in enumerate(KINDS.items())}
        for rows in (training, served)
    ]
    return skew(columns[0], columns[1], **options)


@given(ROWS, ROWS, st.integers(0, 1000))
def test_the_order_of_rows_does_not_matter(training: Rows, served: Rows, seed: int) -> None:
    shuffled = [random.Random(seed).sample(rows, len(rows)) for rows in (training, served)]
    assert compared(shuffled[0], shuffled[1], examples=5) == compared(training, served, examples=5)


@given(ROWS, ROWS, st.integers(0, 1000))
def test_nor_does_it_where_keys_repeat(training: Rows, served: Rows, seed: int) -> None:
    shuffled = [random.Random(seed).sample(rows, len(rows)) for rows in (training, served)]
    found = (
        compared(*sides, duplicates=True, examples=0) for sides in ((training, served), (shuffled[0], shuffled[1]))
    )
    assert next(found) == next(found)


@given(ROWS, ROWS, st.booleans())
def test_swapping_the_sides_swaps_the_counts(training: Rows, served: Rows, duplicates: bool) -> None:
    forth, back = (compared(*sides, duplicates=duplicates) for sides in ((training, served), (served, training)))
    mirrored = {
        name: (test, base, match, mismatch, test_only, base_only)
        for name, (base, test, match, mismatch, base_only, test_only) in counts(back).items()
    }
    assert counts(forth) == mirrored
    assert forth.skewed_pairs == back.skewed_pairs


@given(ROWS)
def test_a_table_is_the_same_as_itself(rows: Rows) -> None:
    found = compared(rows, rows)
    assert found.verdict in (SkewVerdict.MATCH, SkewVerdict.NOTHING_JOINED)
    assert found.skewed_pairs == 0
    assert all(each.match_count == found.pairs for each in found.features)


def test_features_of_one_side_are_only_there() -> None:
    found = skew({"id": [1, 2], "a": [1, 2]}, {"id": [2, 1], "b": [1, None]})
    assert counts(found) == {"a": (2, 0, 0, 0, 2, 0), "b": (0, 1, 0, 0, 0, 1)}
    assert [each.feature for each in found.features] == ["a", "b"]
    assert found.verdict is SkewVerdict.MISMATCH


def test_the_verdict_without_common_keys() -> None:
    found = skew({"id": [1], "a": [1]}, {"id": [2], "a": [1]})
    assert (found.verdict, found.features) == (SkewVerdict.NOTHING_JOINED, [])


def test_examples_are_those_of_the_smallest_keys_as_json_can_hold_them() -> None:
    training = {"id": ["c", "a", "b"], "x": [[1.5], [float("inf"), 1.0], []], "y": [b"\xff", b"b", b"c"]}
    served = {"id": ["a", "b", "c"], "x": [[2.0], [3.0], [1.5]], "y": [b"b", b"c", b"d"]}
    x, y = (each.to_json() for each in skew(training, served, examples=2).features)
    assert x["examples"] == [
        {"key": ["a"], "training": [None, 1.0], "served": [2.0]},
        {"key": ["b"], "training": [], "served": [3.0]},
    ]
    assert y["examples"] == [{"key": ["c"], "training": "\\xff", "served": "d"}]
    assert (x["training_type"], y["served_type"], x["diff_count"]) == ("list of FLOAT", "BYTES", 2)


COLUMNS = st.sampled_from(
    [
        [None, None, None, None],
        [1, 2, None, 2**62],
        [1e308, float("inf"), -0.0, float("nan")],
        [True, False, None, True],
        ["a", "", None, "1"],
        [b"\xff", b"", None, b"1"],
        [date(2013, 1, 1), None, date(1, 1, 1), date(9999, 12, 31)],
        [datetime(2013, 1, 1, tzinfo=UTC), None, datetime(1970, 1, 1, tzinfo=UTC), None],
        ["2013-01-01", "2013-01-02T00:00:00Z", None, "2013-01-01 05:00:00"],
        [[1, 2], [], None, [3]],
        [[1.5, float("nan")], [None], None, []],
        [["a", "b"], ["", None], None, []],
        [[None], [None, None], [], None],
    ]
)


@given(COLUMNS, COLUMNS, st.integers(1, 30), st.sampled_from([None, 0, 3]))
def test_any_two_columns_can_be_compared(
    training: list[Any], served: list[Any], times: int, digits: int | None
) -> None:
    ids = list(range(4 * times))
    found = skew({"id": ids, "x": training * times}, {"id": ids, "x": served * times}, digits=digits, examples=4)
    (feature,) = found.features
    assert feature.match_count + feature.diff_count == found.pairs == 4 * times
    json.dumps(found.to_json(), allow_nan=False)
    assert all(0 < each.explained <= each.of for each in feature.explanations)
