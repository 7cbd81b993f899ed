from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from collectors.dead_letter import Reason
from collectors.wire.blocks import Envelope
from collectors.wire.table_rows import TableDecoder
from monitor.config.settings import FileColumns
from monitor.errors import InputError
from monitor.records import FeatureType, SpanKind, ValueType

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TYPES = {"count": FeatureType(ValueType.INT), "carrier": FeatureType(ValueType.BYTES)}
COLUMNS = FileColumns(id="id", timestamp="ts", label="label", weight="weight", ignore=["note"])


def table(**changes: object) -> pa.Table:
    columns: dict[str, object] = {
        "id": ["a", "b", "c"],
        "ts": ["2026-02-01T00:00:00Z", "2026-02-01T01:00:00", "2026-02-01T02:00:00+01:00"],
        "label": [1, 0, None],
        "weight": [1.0, 2.0, None],
        "count": [1.0, 2.5, None],
        "carrier": ["UA", None, "AA"],
        "note": ["x", "y", "z"],
    } | changes
    return pa.table(columns)


def decoder(kind: SpanKind = SpanKind.TRAFFIC) -> TableDecoder:
    return TableDecoder(Envelope(kind, {"m": TYPES}, {"m": timedelta(hours=1)}), COLUMNS)


def test_columns_become_features_in_their_types_and_misfits_stand_apart() -> None:
    decoded = decoder().decode(table(), NOW)
    rows = decoded.parts["m"].to_pylist()
    assert [row["feature.count"] for row in rows] == [1, None, None]
    assert [row["untyped"] and json.loads(row["untyped"]) for row in rows] == [None, {"count": 2.5}, None]
    assert [row["misfits"] for row in rows] == [0, 1, 0]
    assert [row["event_time"].hour for row in rows] == [0, 1, 1]
    assert [row["label"] for row in rows] == [1.0, 0.0, None]
    assert [row["weight"] for row in rows] == [1.0, 2.0, 1.0]
    assert "feature.note" not in rows[0]


@pytest.mark.parametrize(
    ("changes", "dead"),
    [
        pytest.param({"id": ["a", None, ""]}, [(1, Reason.REQUEST_ID), (2, Reason.REQUEST_ID)], id="rows without id"),
        pytest.param({"ts": ["x", "2026-02-01T00:00:00Z", None]}, [(0, Reason.EVENT_TIME), (2, Reason.EVENT_TIME)],
                     id="times that are none"),
        pytest.param({"ts": [-5, 0, 2**33]}, [(0, Reason.EVENT_TIME_PAST), (2, Reason.EVENT_TIME_FUTURE)],
                     id="times before and behind everything"),
        pytest.param({"weight": [0.0, float("inf"), 1.0]}, [(0, Reason.WEIGHT), (1, Reason.WEIGHT)], id="weights of nothing"),
    ],
)  # fmt: skip
def test_a_row_that_can_never_be_read_is_a_dead_letter(
    changes: dict[str, object], dead: list[tuple[int, Reason]]
) -> None:
    decoded = decoder().decode(table(**changes), NOW)
    assert list(decoded.dead) == dead
    assert decoded.decoded == 3 - len(dead)


def test_a_label_table_needs_labels() -> None:
    decoded = decoder(SpanKind.LABELS).decode(table(), NOW)
    assert list(decoded.dead) == [(2, Reason.LABEL)]
    assert decoded.parts["m"].column("label").to_pylist() == [1.0, 0.0]


def test_a_column_that_is_named_and_missing_is_an_error_that_lists_the_others() -> None:
    with pytest.raises(InputError, match=r"columns\.label: there is no column 'label'; there are: id, ts"):
        decoder().decode(table().drop(["label"]), NOW)


def test_a_table_without_readable_rows_has_no_part() -> None:
    decoded = decoder().decode(table(id=[None, None, None]), NOW)
    assert dict(decoded.parts) == {}
    assert len(decoded.dead) == 3
