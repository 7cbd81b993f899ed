from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from monitor.demo.flights import CATEGORIES, FEATURES
from monitor.demo.trainer import COLUMNS, labelled
from monitor.records import EVENT_TIME, EVENT_TIME_TYPE, FEATURE_PREFIX, INSTANCE, LABEL, REQUEST_ID

DAY = datetime(2013, 6, 24, tzinfo=UTC)


def moments(hours: list[int]) -> pa.Array:
    return pa.array([DAY + timedelta(hours=hour) for hour in hours], EVENT_TIME_TYPE)


def span(folder: Path, kind: str, columns: dict[str, Any]) -> dict[str, str]:
    path = folder / f"{kind}-{len(list(folder.iterdir()))}.parquet"
    parquet.write_table(pa.table(columns), path)
    return {"kind": kind, "uri": path.as_uri()}


def traffic(folder: Path, keys: list[tuple[str, int]], hours: list[int]) -> dict[str, str]:
    columns: dict[str, Any] = {
        REQUEST_ID: [each for each, _ in keys],
        INSTANCE: [instance for _, instance in keys],
        EVENT_TIME: moments(hours),
    }
    for name in FEATURES:
        values = [f"{each}{instance}" for each, instance in keys] if name in CATEGORIES else [1.5] * len(keys)
        columns[f"{FEATURE_PREFIX}{name}"] = values
    return span(folder, "traffic", columns)


def labels(folder: Path, keys: list[tuple[str, int]], hours: list[int], values: list[float]) -> dict[str, str]:
    ids, instances = [each for each, _ in keys], [instance for _, instance in keys]
    told = {REQUEST_ID: ids, INSTANCE: instances, EVENT_TIME: moments(hours), LABEL: values}
    return span(folder, "labels", told)


def test_rows_of_several_spans_get_the_newest_label_of_their_request_and_instance(tmp_path: Path) -> None:
    spans = [
        traffic(tmp_path, [("b", 0), ("b", 1)], [2, 2]),
        traffic(tmp_path, [("a", 0)], [1]),
        labels(tmp_path, [("b", 1), ("a", 0)], [5, 4], [1.0, 0.0]),
        labels(tmp_path, [("b", 1), ("c", 0)], [3, 3], [0.0, 1.0]),
    ]
    rows = labelled(spans)
    assert rows.column_names == list(COLUMNS)
    assert rows.column("carrier").to_pylist() == ["a0", "b1"], "in order of time, without the row that has no label"
    assert rows.column(LABEL).to_pylist() == [0.0, 1.0], "a label that came later in event time replaces an earlier one"
