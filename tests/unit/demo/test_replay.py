from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from monitor.demo import replay
from monitor.demo.flights import CATEGORIES, FEATURES, LANDED_AT
from monitor.records import EVENT_TIME, EVENT_TIME_TYPE, LABEL, PREDICTION, REQUEST_ID

START = datetime(2013, 7, 1, tzinfo=UTC)


def table(rows: list[tuple[int, int | None]]) -> pa.Table:
    """Return flights that leave and land at the given minutes; a landing of None is a cancelled flight."""
    leave = [START + timedelta(minutes=left) for left, _ in rows]
    land = [None if landed is None else START + timedelta(minutes=landed) for _, landed in rows]
    columns: dict[str, Any] = {
        REQUEST_ID: pa.array([f"flight-{number}" for number in range(len(rows))], pa.string()),
        EVENT_TIME: pa.array(leave, EVENT_TIME_TYPE),
        LANDED_AT: pa.array(land, EVENT_TIME_TYPE),
        LABEL: pa.array([None if landed is None else landed % 2 for _, landed in rows], pa.int64()),
        PREDICTION: pa.array([0.25] * len(rows), pa.float64()),
    }
    for name in FEATURES:
        column = ["x"] * len(rows) if name in CATEGORIES else [None, *[1.5] * (len(rows) - 1)][: len(rows)]
        columns[name] = pa.array(column, pa.string() if name in CATEGORIES else pa.float64())
    return pa.table(columns)


def sent(rows: list[tuple[int, int | None]]) -> list[tuple[replay.Message, dict[str, Any]]]:
    return [(message, orjson.loads(message.value)) for chunk in replay.messages(table(rows)) for message in chunk]


FLIGHTS = st.tuples(st.integers(0, 300), st.integers(0, 600)).map(lambda pair: (pair[0], pair[0] + pair[1]))
CANCELLED = st.integers(0, 300).map(lambda left: (left, None))


@given(st.lists(st.one_of(FLIGHTS, CANCELLED), max_size=30).map(lambda rows: sorted(rows, key=lambda row: row[0])))
def test_every_flight_asks_once_and_every_landing_tells_once_in_order_of_time(
    rows: list[tuple[int, int | None]],
) -> None:
    messages = sent(rows)
    times = [record["event_time"] for _, record in messages]
    assert times == sorted(times)
    requests = [message.key for message, _ in messages if not message.is_label]
    labels = [message.key for message, _ in messages if message.is_label]
    everybody = [f"flight-{number}".encode() for number in range(len(rows))]
    assert sorted(requests) == sorted(everybody)
    assert sorted(labels) == sorted(key for key, (_, landed) in zip(everybody, rows, strict=True) if landed is not None)
    place = {(message.key, message.is_label): at for at, (message, _) in enumerate(messages)}
    assert all(place[key, False] < place[key, True] for key in labels), "a label came before its request"


def test_records_have_the_published_shape() -> None:
    (_, request), (_, label) = sent([(5, 65)])
    assert request == {
        "model": "flights",
        "version": "1",
        "request_id": "flight-0",
        "event_time": "2013-07-01T00:05:00Z",
        "features": {name: "x" if name in CATEGORIES else None for name in FEATURES},
        "prediction": 0.25,
    }
    assert label == {"model": "flights", "request_id": "flight-0", "label": 1, "event_time": "2013-07-01T01:05:00Z"}


@given(st.binary(max_size=40), st.integers(1, 12))
def test_a_key_has_one_partition_of_those_there_are(key: bytes, partitions: int) -> None:
    chosen = replay.partition_of(key, partitions)
    assert 0 <= chosen < partitions
    assert chosen == replay.partition_of(key, partitions)


def test_keys_spread_over_all_partitions() -> None:
    chosen = [replay.partition_of(f"2013-07-01/UA{number}/EWR/0515".encode(), 3) for number in range(300)]
    assert all(60 <= chosen.count(partition) <= 140 for partition in range(3))
