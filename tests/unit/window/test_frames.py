"""Rows from tables: roles of columns, canonical order, times, weights."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import to_micros
from monitor.errors import InputError
from monitor.hashing import hash_ids
from monitor.records import FeatureType, Misfits, ValueType
from monitor.window.conform import ORIGIN
from monitor.window.frames import ColumnRoles, event_times, rows_from_table

NOON = datetime(2013, 1, 31, 12, tzinfo=UTC)
MICROS = to_micros(NOON)


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(pa.array([NOON]), id="timestamps with a zone"),
        pytest.param(pa.array([NOON.replace(tzinfo=None)]), id="timestamps without a zone are UTC"),
        pytest.param(
            pa.array([NOON], pa.timestamp("ns", tz="America/New_York")), id="timestamps of another zone and unit"
        ),
        pytest.param(pa.array([MICROS // 10**6]), id="epoch seconds"),
        pytest.param(pa.array([MICROS / 1e6]), id="epoch seconds with a fraction"),
        pytest.param(pa.array(["2013-01-31T12:00:00Z"]), id="RFC 3339"),
        pytest.param(pa.array(["2013-01-31T13:00:00.000+01:00"]), id="RFC 3339 of another zone"),
        pytest.param(pa.array(["2013-01-31 12:00:00"]), id="text without a zone is UTC"),
        pytest.param(pa.array(["2013-01-31T12:00:00.000000000Z"]), id="nanoseconds"),
    ],
)
def test_times_are_read_in_all_their_forms(column: pa.Array) -> None:
    assert event_times(pa.table({"ts": column}), "ts").tolist() == [MICROS]


def test_times_may_be_of_mixed_forms_and_dates_are_midnight() -> None:
    mixed = pa.table({"ts": ["2013-01-31T12:00:00Z", "2013-01-31 12:00:00", "2013-01-31T13:00:00+01:00"]})
    assert event_times(mixed, "ts").tolist() == [MICROS] * 3
    assert event_times(pa.table({"ts": [date(2013, 1, 31)]}), "ts").tolist() == [MICROS - 12 * 3600 * 10**6]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(["2013-01-31T12:00:00Z", "soon"], "1 of 2 rows .* first row 2: 'soon'", id="text that is no time"),
        pytest.param([None, 5], "1 of 2 rows .* first row 1: None", id="a row without a time"),
        pytest.param([float("nan"), float("inf")], "2 of 2 rows", id="no finite number"),
        pytest.param([1362683700000], "divide milliseconds by 1000", id="milliseconds"),
        pytest.param([[1]], "is of type", id="lists"),
        pytest.param([None], "1 of 1 rows", id="no times at all"),
    ],
)
def test_a_time_that_cannot_be_read_is_named(values: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        event_times(pa.table({"ts": values}), "ts")


@given(st.lists(st.integers(0, 20), min_size=1), st.randoms())
def test_with_ids_the_order_of_the_file_does_not_matter(ids: list[int], random: Any) -> None:
    records = [{"id": f"r{number}", "x": number * 7} for number in ids]
    shuffled = random.sample(records, len(records))
    rows, again = (rows_from_table(pa.Table.from_pylist(part), ColumnRoles(id="id")) for part in (records, shuffled))
    assert rows.features.equals(again.features)
    assert rows.features.column_names == ["x"]
    expected = sorted(hash_ids(pa.array([record["id"] for record in records])).tolist())
    assert rows.clusters is None or rows.clusters.tolist() == expected
    assert (rows.clusters is None) == (len(set(ids)) == len(ids))


def test_rows_of_one_id_keep_their_order() -> None:
    rows = rows_from_table(pa.table({"id": ["a", "b", "a", "a"], "x": [1, 2, 3, 4]}), ColumnRoles(id="id"))
    assert [x for x in rows.features["x"].to_pylist() if x != 2] == [1, 3, 4]


def test_without_ids_the_order_is_the_files_and_all_rows_are_independent() -> None:
    rows = rows_from_table(pa.table({"x": [3, 1, 2]}), ColumnRoles())
    assert rows.features["x"].to_pylist() == [3, 1, 2]
    assert (rows.clusters, rows.weights, rows.event_times, rows.seen) == (None, None, None, 3)


def test_roles_set_columns_aside_and_the_rest_are_features() -> None:
    table = pa.table(
        {
            "ts": [MICROS // 10**6],
            "y": [1],
            "p": [0.5],
            "id": ["a"],
            "w": [2],
            "skip": [1],
            "also": ["b"],
            "day": [date(2013, 1, 31)],
        }
    )
    rows = rows_from_table(table, ColumnRoles("ts", "y", "p", "id", "w", ("skip", "unknown")))
    assert rows.features.to_pylist() == [{"y": 1, "p": 0.5, "also": "b", "day": "2013-01-31"}]
    assert (rows.label, rows.prediction) == ("y", "p")
    assert rows.weights is not None
    assert rows.weights.tolist() == [2.0]
    assert rows.event_times is not None
    assert rows.event_times.tolist() == [MICROS]


def test_columns_conform_to_the_types_and_unknown_ones_stay() -> None:
    field = pa.field("a", pa.string(), metadata={ORIGIN: b"csv"})
    table = pa.table([pa.array(["1", "x"]), pa.array([5, 6])], schema=pa.schema([field, pa.field("new", pa.int64())]))
    rows = rows_from_table(table, ColumnRoles(), {"a": FeatureType(ValueType.INT), "gone": FeatureType(ValueType.INT)})
    assert rows.features.to_pydict() == {"a": [1, None], "new": [5, 6]}
    assert rows.misfits == {"a": Misfits(1, ('"x"',))}
    assert rows.features.schema.field("a").metadata is None


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        pytest.param(
            ColumnRoles(timestamp="when"), "no timestamp column 'when'; the columns are: id, w, x", id="no such time"
        ),
        pytest.param(ColumnRoles(label="y"), "no label column 'y'", id="no such label"),
        pytest.param(
            ColumnRoles(weight="w"), "1 of 2 rows have no weight above zero .* first row 2", id="a weight of zero"
        ),
        pytest.param(ColumnRoles(weight="id"), "cannot be the weight", id="a weight that is text"),
        pytest.param(ColumnRoles(id="x"), "cannot be the id", id="an id that is a fraction"),
        pytest.param(ColumnRoles(ignore=("id", "w", "x")), "no feature columns", id="nothing is left"),
    ],
)
def test_a_role_that_cannot_be_played_is_named(roles: ColumnRoles, message: str) -> None:
    table = pa.table({"id": ["a", "b"], "w": [1.0, 0.0], "x": [0.5, 1.5]})
    with pytest.raises(InputError, match=message):
        rows_from_table(table, roles)


def test_a_row_without_an_id_is_named() -> None:
    with pytest.raises(InputError, match=re.escape("1 of 2 rows have no id in column 'id', first row 2")):
        rows_from_table(pa.table({"id": ["a", None], "x": [1, 2]}), ColumnRoles(id="id"))
