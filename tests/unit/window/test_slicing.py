"""Which rows belong to which slice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.records import Rows
from monitor.window.slicing import SliceKey, rows_at, slice_key, slice_name, slices_of


def places(table: pa.Table, *spec: str, least: int = 1) -> dict[SliceKey, list[int]]:
    return {key: found.tolist() for key, found in slices_of(table, spec, least).places.items()}


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        pytest.param(["b", "a", "b"], {"a": [1], "b": [0, 2]}, id="text"),
        pytest.param([7, 12, 7], {"12": [1], "7": [0, 2]}, id="whole numbers as they are"),
        pytest.param([7.0, 0.5, 7.0], {"0.5": [1], "7.0": [0, 2]}, id="other numbers as JSON writes them"),
        pytest.param([0.0, -0.0], {"0.0": [0, 1]}, id="there is one zero"),
        pytest.param(["a", None, "a"], {"a": [0, 2]}, id="a missing value is in no slice"),
        pytest.param([1.0, float("nan")], {"1.0": [0]}, id="NaN is a missing value"),
        pytest.param([b"\xff", b"ok"], {"\\xff": [0], "ok": [1]}, id="bytes that are no text"),
        pytest.param([["a", "b", "a"], [], None, ["b"]], {"a": [0], "b": [0, 3]}, id="lists are in several"),
        pytest.param(pa.array([], pa.string()), {}, id="no rows"),
        pytest.param(pa.nulls(3, pa.string()), {}, id="no values"),
    ],
)
def test_rows_are_sliced_by_value(column: Any, expected: dict[str, list[int]]) -> None:
    found = places(pa.table({"x": column}), "x")
    assert found == {(("x", value),): rows for value, rows in expected.items()}
    assert list(found) == sorted(found)


def test_columns_are_crossed_whatever_their_order() -> None:
    table = pa.table({"b": ["x", "y", "x", None], "a": [[1, 2], [1], [2], [1]]})
    expected = {
        (("a", "1"), ("b", "x")): [0],
        (("a", "1"), ("b", "y")): [1],
        (("a", "2"), ("b", "x")): [0, 2],
    }
    assert places(table, "b", "a") == places(table, "a", "b") == expected


def test_small_slices_are_counted_only() -> None:
    table = pa.table({"a": ["x", "x", "y", "z"]})
    assert places(table, "a", least=2) == {(("a", "x"),): [0, 1]}
    assert slices_of(table, ["a"], 2).small == 2


def test_a_column_that_is_not_there_makes_no_slices() -> None:
    assert places(pa.table({"a": [1]}), "a", "b") == {}


values = st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.sampled_from([None, 1, 2]), st.booleans()), max_size=30)


@given(values)
def test_slices_are_what_a_filter_finds(rows: list[tuple[str, int | None, bool]]) -> None:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    table = pa.table(
        {
            "t": pa.array(columns[0], pa.string()),
            "n": pa.array(columns[1], pa.int64()),
            "f": pa.array([float(flag) for flag in columns[2]], pa.float64()),
        }
    )
    expected: dict[SliceKey, list[int]] = {}
    for place, (text, number, flag) in enumerate(rows):
        if number is not None:
            key = (("f", str(float(flag))), ("n", str(number)), ("t", text))
            expected.setdefault(key, []).append(place)
    assert places(table.combine_chunks(), "t", "n", "f") == expected


def test_rows_of_a_slice_keep_what_belongs_to_them() -> None:
    rows = Rows(
        features=pa.table({"x": [0, 1, 2, 3]}),
        weights=np.array([1.0, 2.0, 3.0, 4.0]),
        clusters=np.array([5, 5, 6, 7], np.uint64),
        event_times=np.array([10, 20, 30, 40]),
        uniform=np.array([True, False, True, False]),
        prediction="x",
        seen=9,
    )
    part = rows_at(rows, np.array([1, 3]))
    assert part.features.to_pydict() == {"x": [1, 3]}
    assert part.weights is not None
    assert part.clusters is not None
    assert part.event_times is not None
    assert part.uniform is not None
    columns = (part.weights, part.clusters, part.event_times, part.uniform)
    assert [column.tolist() for column in columns] == [[2.0, 4.0], [5, 7], [20, 40], [False, False]]
    assert (part.prediction, part.seen) == ("x", 2)
    assert rows_at(Rows(rows.features), np.array([2])).weights is None


def test_names_of_keys_are_canonical_distinct_and_short() -> None:
    assert slice_name(()) == ""
    assert slice_name(slice_key({"b": "1", "a": 'x"'})) == '{"a":"x\\"","b":"1"}'
    long = [slice_name((("a", "x" * 600 + end),)) for end in "yz"]
    assert len(set(long)) == 2
    assert max(map(len, long)) <= 512
