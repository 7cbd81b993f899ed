"""Which stratum a row belongs to."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from collectors.strata import strata_of
from collectors.wire.blocks import blank, part_schema
from monitor.config.settings import FloorSettings
from monitor.records import FEATURE_PREFIX, UNTYPED, ColumnTypes, FeatureType, SpanKind, ValueType

TYPES: ColumnTypes = {
    "n": FeatureType(ValueType.INT),
    "x": FeatureType(ValueType.FLOAT),
    "text": FeatureType(ValueType.BYTES),
    "many": FeatureType(ValueType.BYTES, multivalent=True),
}


def table(columns: dict[str, list[Any]]) -> pa.Table:
    size = len(next(iter(columns.values())))
    schema = part_schema(SpanKind.TRAFFIC, TYPES)
    names = {FEATURE_PREFIX + name if name in TYPES else name: values for name, values in columns.items()}
    arrays = [pa.array(names[f.name], f.type) if f.name in names else blank(f, size) for f in schema]
    return pa.table(arrays, schema=pa.schema([field.with_nullable(True) for field in schema]))


def apart(**features: Any) -> str:
    return json.dumps(features)


@pytest.mark.parametrize(
    ("columns", "by", "expected"),
    [
        pytest.param(
            {"status": ["200", "404", "500", "OK", "UNAVAILABLE", "", None]}, [["status"]],
            ["", "status=error", "status=error", "", "status=error", "", ""], id="HTTP statuses and gRPC codes",
        ),
        pytest.param({"latency_seconds": [0.5, 1.5, 1.0, None]}, [["latency"]], ["", "latency=slow", "", ""], id="slow answers"),
        pytest.param({"version": ["1", "b/2"]}, [["version"]], ["version=1", "version=b%2F2"], id="versions"),
        pytest.param({"text": ["DE", None, "FR"]}, [["text"]], ["text=DE", "", "text=FR"], id="a feature, and none"),
        pytest.param(
            {"status": ["500", None], "text": ["a", "b"]}, [["feature.text"]],
            ["feature.text=a", "feature.text=b"], id="a feature by its full name",
        ),
        pytest.param(
            {"n": [3, None, None], UNTYPED: [None, apart(n="3"), apart(n=3.0)]}, [["n"]], ["n=3"] * 3,
            id="a value is the same whatever its type",
        ),
        pytest.param({"x": [3.0, 0.5]}, [["x"]], ["x=3", "x=0.5"], id="floats"),
        pytest.param(
            {UNTYPED: [apart(new=True), apart(new=[1]), apart()]}, [["new"]], ["new=1", "", ""],
            id="a feature without a type",
        ),
        pytest.param({"many": [["a"], ["a", "b"]]}, [["many"]], ["", ""], id="a feature of several values names none"),
        pytest.param(
            {"status": ["500", "500", "200"], "text": ["a", None, "a"]}, [["status", "text"]],
            ["status=error,text=a", "", ""], id="both columns have to name something",
        ),
        pytest.param(
            {"status": ["500", "200"], "text": ["a", "a"]}, [["status"], ["text"]], ["status=error", "text=a"],
            id="the first floor that fits",
        ),
    ],
)  # fmt: skip
def test_a_row_belongs_to_a_stratum(columns: dict[str, list[Any]], by: list[list[str]], expected: list[str]) -> None:
    floors = [FloorSettings(by=each, rows=1) for each in by]
    codes, names = strata_of(table(columns), floors)
    found = [names[code] for code in codes.tolist()]
    assert found == expected
