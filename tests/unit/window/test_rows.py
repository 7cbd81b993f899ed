"""Rows of a window: the same for any way in which its records reached the spans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import to_micros
from monitor.hashing import hash_ids
from monitor.records import ColumnTypes, FeatureType, Rows, ValueType, traffic_schema
from monitor.window.rows import rows_of_window

INT, FLOAT, BYTES = (FeatureType(value) for value in ValueType)
TYPES: ColumnTypes = {"a": INT, "b": FLOAT, "c": BYTES}
NOON = to_micros(datetime(2026, 3, 1, 12, tzinfo=UTC))


def span(records: Sequence[dict[str, Any]], types: ColumnTypes = TYPES) -> pa.Table:
    """Return records as a collector would have written them: each needs `id`."""
    ids = pa.array([record["id"] for record in records], pa.string())
    columns: dict[str, Any] = {
        "request_id": ids,
        "instance": [record.get("instance", 0) for record in records],
        "hash": pa.array(hash_ids(ids), pa.uint64()),
        "stratum": [""] * len(records),
        "event_time": [record.get("time", NOON) for record in records],
        "weight": [record.get("weight", 1.0) for record in records],
        "prediction": [record.get("prediction") for record in records],
        "untyped": [json.dumps(record["untyped"]) if "untyped" in record else None for record in records],
    }
    schema = traffic_schema(types)
    for field in schema:
        values = columns.get(field.name, [record.get(field.name.removeprefix("feature.")) for record in records])
        columns[field.name] = values if isinstance(values, pa.Array) else pa.array(values, field.type)
    return pa.table({field.name: columns[field.name] for field in schema}, schema=schema)


def rows(spans: Sequence[pa.Table], types: ColumnTypes = TYPES, max_rows: int = 1000, theta: int = 2**64) -> Rows:
    return rows_of_window(spans, types, theta=theta, max_rows=max_rows, seen=99)


records_strategy = st.lists(
    st.fixed_dictionaries(
        {"id": st.text(max_size=4), "a": st.one_of(st.none(), st.integers(-5, 5)), "prediction": st.floats(0, 1)}
    ),
    min_size=1,
    max_size=40,
    unique_by=lambda record: record["id"],
)


@given(records_strategy, st.randoms(use_true_random=False), st.integers(1, 5), st.integers(1, 50))
def test_order_of_arrival_and_number_of_spans_change_nothing(
    records: list[dict[str, Any]], random: Any, pieces: int, max_rows: int
) -> None:
    shuffled = random.sample(records, len(records))
    one = rows([span(records)], max_rows=max_rows)
    many = rows([span(shuffled[place::pieces]) for place in range(pieces)], max_rows=max_rows)
    assert one.features.equals(many.features)
    assert np.array_equal(one.clusters, many.clusters)  # type: ignore[arg-type]


@given(records_strategy, st.integers(1, 50))
def test_at_most_max_rows_are_kept_and_they_have_the_smallest_hashes(
    records: list[dict[str, Any]], max_rows: int
) -> None:
    kept = rows([span(records)], max_rows=max_rows)
    hashes = np.sort(hash_ids(pa.array([record["id"] for record in records])))
    assert kept.clusters is not None
    assert np.array_equal(kept.clusters, hashes[:max_rows])


def test_rows_at_or_above_theta_are_left_out() -> None:
    table = span([{"id": str(number)} for number in range(100)])
    theta = 2**63
    kept = rows([table], theta=theta)
    assert 0 < len(kept) < 100
    assert all(each < theta for each in kept.clusters.tolist())  # type: ignore[union-attr]


def test_instances_of_one_id_are_ordered_and_share_a_cluster() -> None:
    records = [{"id": "x", "instance": instance, "a": instance} for instance in (2, 0, 1)]
    kept = rows([span(records)])
    assert kept.features.column("a").to_pylist() == [0, 1, 2]
    assert len(set(kept.clusters.tolist())) == 1  # type: ignore[union-attr]


def test_what_a_collector_kept_as_text_gets_the_type_of_the_baseline() -> None:
    early = span([{"id": "1", "untyped": {"a": 1, "c": "x"}}, {"id": "2", "untyped": {"a": "one"}}], types={})
    late = span([{"id": "3", "a": 3, "c": "z"}])
    kept = rows([early, late])
    assert sorted(kept.features.column("a").to_pylist(), key=str) == [1, 3, None]
    assert kept.misfits["a"].count == 1
    assert kept.misfits["a"].examples == ('"one"',)
    assert set(kept.features.column("c").to_pylist()) == {"x", "z", None}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([1, 2], pa.int64(), id="whole numbers"),
        pytest.param([1, 2.5], pa.float64(), id="numbers"),
        pytest.param(["x", None], pa.string(), id="text"),
        pytest.param([[1, 2], [3]], pa.list_(pa.int64()), id="lists"),
        pytest.param([1, "x"], pa.string(), id="of several types"),
    ],
)
def test_a_feature_that_no_baseline_knows_takes_the_simplest_type_of_the_whole_window(
    values: list[Any], expected: pa.DataType
) -> None:
    spans = [span([{"id": str(place), "untyped": {"new": value}}]) for place, value in enumerate(values)]
    assert rows(spans).features.column("new").type == expected


def test_spans_written_under_another_baseline_are_read_with_the_types_of_this_one() -> None:
    old = span([{"id": "1", "a": 1}], types={"a": INT})
    new = span([{"id": "2", "a": 2.5}], types={"a": FLOAT})
    kept = rows([old, new], types={"a": FLOAT})
    assert sorted(kept.features.column("a").to_pylist()) == [1.0, 2.5]


def test_no_spans_are_no_rows() -> None:
    empty = rows([])
    assert len(empty) == 0
    assert empty.seen == 99
    assert set(empty.features.column_names) == {"a", "b", "c"}


def test_weights_are_none_where_all_are_one() -> None:
    assert rows([span([{"id": "1"}])]).weights is None
    weighted = rows([span([{"id": "1", "weight": 2.0}, {"id": "2"}])])
    assert sorted(weighted.weights.tolist()) == [1.0, 2.0]  # type: ignore[union-attr]
