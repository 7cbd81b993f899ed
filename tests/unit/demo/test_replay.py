from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.demo import replay
from monitor.demo.client import Answer
from monitor.demo.flights import CATEGORIES, FEATURES, LANDED_AT
from monitor.errors import TransientError
from monitor.records import EVENT_TIME, EVENT_TIME_TYPE, LABEL, PREDICTION, REQUEST_ID

START = datetime(2013, 7, 1, tzinfo=UTC)


def table(rows: list[tuple[int, int | None]]) -> pa.Table:
    """Return flights that leave and land at the given minutes; a landing of None is a cancelled flight."""
    leave = [START + timedelta(minutes=left) for left, _ in rows]
    land = [None if landed is None else START + timedelta(minutes=landed) for _, landed in rows]
    columns: dict[str, Any] = {
        REQUEST_ID: pa.array([f"minute-{left}" for left, _ in rows], pa.string()),
        EVENT_TIME: pa.array(leave, EVENT_TIME_TYPE),
        LANDED_AT: pa.array(land, EVENT_TIME_TYPE),
        LABEL: pa.array([None if landed is None else landed % 2 for _, landed in rows], pa.int64()),
    }
    for name in FEATURES:
        column = ["x"] * len(rows) if name in CATEGORIES else [None, *[1.5] * (len(rows) - 1)][: len(rows)]
        columns[name] = pa.array(column, pa.string() if name in CATEGORIES else pa.float64())
    columns["departure_minute"] = pa.array([left for left, _ in rows], pa.int64())
    return pa.table(columns)


def steps(rows: list[tuple[int, int | None]]) -> list[replay.Request | replay.Label]:
    return [step for chunk in replay.steps(table(rows)) for step in chunk]


FLIGHTS = st.tuples(st.integers(0, 40), st.integers(0, 600)).map(lambda pair: (pair[0], pair[0] + pair[1]))
CANCELLED = st.integers(0, 40).map(lambda left: (left, None))


@given(st.lists(st.one_of(FLIGHTS, CANCELLED), max_size=30).map(lambda rows: sorted(rows, key=lambda row: row[0])))
def test_every_flight_is_asked_about_once_and_every_landing_told_once_in_order_of_time(
    rows: list[tuple[int, int | None]],
) -> None:
    made = steps(rows)
    times = [step.at if isinstance(step, replay.Request) else orjson.loads(step.value)["event_time"] for step in made]
    assert times == sorted(times)
    requests = [step for step in made if isinstance(step, replay.Request)]
    assert [row for request in requests for row in range(request.start, request.end)] == list(range(len(rows)))
    assert [request.id for request in requests] == [f"minute-{left}" for left in sorted({left for left, _ in rows})]
    assert replay.requests_in(table(rows)) == len(requests)
    first = {request.id: request.start for request in requests}
    place = {request.id: at for at, request in enumerate(made) if isinstance(request, replay.Request)}
    told = []
    for at, step in enumerate(made):
        if isinstance(step, replay.Label):
            record = orjson.loads(step.value)
            assert place[record["request_id"]] < at, "a label came before its request"
            told.append((first[record["request_id"]] + record["instance"], record["label"]))
    assert sorted(told) == [(row, landed % 2) for row, (_, landed) in enumerate(rows) if landed is not None]


def test_the_flights_of_a_minute_are_the_instances_of_one_request() -> None:
    request, label, _ = steps([(5, None), (5, 65), (7, None)])
    assert isinstance(request, replay.Request)
    assert (request.id, request.at, request.start, request.end) == ("minute-5", "2013-07-01T00:05:00Z", 0, 2)
    cancelled, flown = json.loads(request.body)["instances"]
    assert set(cancelled) == set(flown) == set(FEATURES)
    assert (cancelled["carrier"], cancelled["departure_minute"]) == ("x", 5)
    assert math.isnan(cancelled["temp"]), "TensorFlow Serving reads NaN, and refuses null"
    assert flown["temp"] == 1.5
    assert isinstance(label, replay.Request), "the next minute comes before the landing"


def test_labels_have_the_published_shape() -> None:
    _, label = steps([(5, None), (5, 65)])
    assert isinstance(label, replay.Label)
    assert label.key == b"minute-5"
    assert orjson.loads(label.value) == {
        "model": "flights",
        "request_id": "minute-5",
        "instance": 1,
        "label": 1,
        "event_time": "2013-07-01T01:05:00Z",
    }


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(Answer(503, b'{"error": "busy"}'), "503 to a request: .*busy", id="an error of the server"),
        pytest.param(Answer(200, b'{"predictions": [0.5]}'), "1 predictions to 2 instances", id="too few predictions"),
    ],
)
def test_an_answer_without_predictions_ends_the_replay(answer: Answer, said: str) -> None:
    with pytest.raises(TransientError, match=said):
        replay.predictions(answer, 2)


def test_predictions_are_one_number_an_instance() -> None:
    assert replay.predictions(Answer(200, b'{"predictions": [[0.25], [0.5]]}'), 2).tolist() == [0.25, 0.5]


def test_flights_without_an_answer_have_no_prediction() -> None:
    progress = replay.Progress(np.array([0.5, np.nan]))
    assert replay.scored(table([(1, None), (2, None)]), progress).column(PREDICTION).to_pylist() == [0.5, None]


@given(st.binary(max_size=40), st.integers(1, 12))
def test_a_key_has_one_partition_of_those_there_are(key: bytes, partitions: int) -> None:
    chosen = replay.partition_of(key, partitions)
    assert 0 <= chosen < partitions
    assert chosen == replay.partition_of(key, partitions)


def test_keys_spread_over_all_partitions() -> None:
    chosen = [replay.partition_of(f"2013-07-01/UA{number}/EWR/0515".encode(), 3) for number in range(300)]
    assert all(60 <= chosen.count(partition) <= 140 for partition in range(3))
