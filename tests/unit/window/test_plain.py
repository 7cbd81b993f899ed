"""The plain types to which every Arrow type comes down."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from monitor.errors import InputError
from monitor.window.plain import plain_column, plain_feature

NOON = datetime(2013, 1, 31, 12, tzinfo=UTC).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("array", "kind", "values"),
    [
        pytest.param(pa.array([True, None]), pa.int64(), [1, None], id="booleans"),
        pytest.param(pa.array([1], pa.int8()), pa.int64(), [1], id="small integers"),
        pytest.param(pa.array([2**64 - 1], pa.uint64()), pa.float64(), [2.0**64], id="numbers beyond int64"),
        pytest.param(pa.array([0.5], pa.float32()), pa.float64(), [0.5], id="single precision"),
        pytest.param(pa.array([Decimal("1.25")]), pa.float64(), [1.25], id="decimals"),
        pytest.param(pa.array(["a", None, "a"]).dictionary_encode(), pa.string(), ["a", None, "a"], id="categories"),
        pytest.param(pa.array(["a"], pa.large_string()), pa.string(), ["a"], id="large text"),
        pytest.param(pa.array([b"a", None]), pa.string(), ["a", None], id="bytes that are text"),
        pytest.param(pa.array([b"\xff"]), pa.binary(), [b"\xff"], id="bytes that are none"),
        pytest.param(pa.array([None, None]), pa.string(), [None, None], id="nothing at all"),
        pytest.param(pa.array([time(5, 30)]), pa.string(), ["05:30:00.000000"], id="times of day"),
        pytest.param(pa.array([date(2013, 1, 31)]), pa.string(), ["2013-01-31"], id="dates"),
        pytest.param(pa.array([NOON, None]), pa.string(), ["2013-01-31T12:00:00.000000", None], id="local timestamps"),
        pytest.param(
            pa.array([NOON.replace(tzinfo=UTC)]),
            pa.string(),
            ["2013-01-31T12:00:00.000000Z"],
            id="timestamps with a zone",
        ),
        pytest.param(
            pa.array([[True], None, []], pa.large_list(pa.bool_())),
            pa.list_(pa.int64()),
            [[1], None, []],
            id="large lists",
        ),
        pytest.param(
            pa.array([[1, 2]], pa.list_(pa.int8(), 2)), pa.list_(pa.int64()), [[1, 2]], id="lists of fixed size"
        ),
        pytest.param(
            pa.array([[1], None, [2, 3]]).slice(1), pa.list_(pa.int64()), [None, [2, 3]], id="a slice of lists"
        ),
    ],
)
def test_features_come_down_to_a_few_types(array: pa.Array, kind: pa.DataType, values: list[Any]) -> None:
    plain = plain_feature("f", array)
    assert plain.type == kind
    assert plain.to_pylist() == values


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(pa.array([{"a": 1}]), id="objects"),
        pytest.param(pa.array([[{"a": 1}]]), id="lists of objects"),
        pytest.param(pa.array([[[1]]]), id="lists of lists"),
        pytest.param(pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), id="maps"),
    ],
)
def test_what_is_no_feature_is_refused_by_name(array: pa.Array) -> None:
    with pytest.raises(InputError, match="column 'address'"):
        plain_feature("address", array)


def test_times_stay_times_until_a_feature_is_wanted() -> None:
    assert pa.types.is_timestamp(plain_column("t", pa.array([NOON])).type)
    assert pa.types.is_date(plain_column("t", pa.array([date(2013, 1, 31)])).type)
