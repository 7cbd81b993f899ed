from __future__ import annotations

import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from monitor.demo import flights
from monitor.records import EVENT_TIME, LABEL, REQUEST_ID

WEATHER = "origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib,time_hour"
MORNING = {
    "year": 2013,
    "month": 1,
    "day": 1,
    "dep_time": 517,
    "sched_dep_time": 515,
    "dep_delay": 2,
    "arr_time": 830,
    "sched_arr_time": 819,
    "arr_delay": 11,
    "carrier": "UA",
    "flight": 1545,
    "tailnum": "N14228",
    "origin": "EWR",
    "dest": "IAH",
    "air_time": 227,
    "distance": 1400,
    "hour": 5,
    "minute": 15,
    "time_hour": "2013-01-01T10:00:00Z",
}
GONE = {"dep_time": "NA", "dep_delay": "NA", "arr_time": "NA", "arr_delay": "NA", "air_time": "NA"}


def read(folder: Path, *rows: Mapping[str, Any]) -> pa.Table:
    lines = [",".join(MORNING), *(",".join(str(value) for value in {**MORNING, **row}.values()) for row in rows)]
    with zipfile.ZipFile(folder / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", "\n".join(lines))
    known = "EWR,2013,1,1,5,39.02,28.04,64.43,260,12.658579999999999,NA,0,1011.9,10,2013-01-01T10:00:00Z"
    (folder / "weather.csv").write_text(f"{WEATHER}\n{known}\n", encoding="utf-8")
    return flights.load(folder)


def only(table: pa.Table) -> dict[str, Any]:
    (row,) = table.to_pylist()
    return dict(row)


def test_a_flight_becomes_a_request_with_the_weather_of_its_hour(tmp_path: Path) -> None:
    row = only(read(tmp_path, {}))
    assert row[flights.FLIGHT] == "2013-01-01/UA1545/EWR/0515"
    assert row[REQUEST_ID] == "2013-01-01T10:15Z"
    assert row[EVENT_TIME] == datetime(2013, 1, 1, 10, 15, tzinfo=UTC)
    assert (row["weekday"], row["departure_minute"], row["distance"]) == ("Tue", 315, 1400)
    assert (row["temp"], row["wind_speed"], row["wind_gust"]) == (39.02, 12.65858, None)


def test_weather_of_another_airport_is_not_taken(tmp_path: Path) -> None:
    row = only(read(tmp_path, {"origin": "JFK"}))
    assert [row[name] for name in flights.WEATHER] == [None] * len(flights.WEATHER)


@pytest.mark.parametrize(
    ("delay", "label"),
    [
        pytest.param(14, 0, id="fourteen minutes are on time"),
        pytest.param(15, 1, id="fifteen minutes are late"),
        pytest.param(-30, 0, id="early is on time"),
    ],
)
def test_late_is_fifteen_minutes_after_schedule(tmp_path: Path, delay: int, label: int) -> None:
    assert only(read(tmp_path, {"arr_delay": delay}))[LABEL] == label


def test_a_cancelled_flight_has_neither_label_nor_landing(tmp_path: Path) -> None:
    row = only(
        read(
            tmp_path,
            GONE,
        )
    )
    assert (row[LABEL], row[flights.LANDED_AT]) == (None, None)


@pytest.mark.parametrize(
    ("change", "landed"),
    [
        pytest.param({}, datetime(2013, 1, 1, 14, 30, tzinfo=UTC), id="one time zone west: 4 h 13 min after 5:17"),
        pytest.param(
            {"dest": "BOS", "arr_time": 625, "air_time": 40},
            datetime(2013, 1, 1, 11, 25, tzinfo=UTC),
            id="the same time zone: 1 h 8 min",
        ),
        pytest.param(
            {"dest": "HNL", "arr_time": 1135, "air_time": 640},
            datetime(2013, 1, 1, 21, 35, tzinfo=UTC),
            id="five time zones west: 11 h 18 min",
        ),
        pytest.param(
            {"dest": "SJU", "arr_time": 1015, "air_time": 205},
            datetime(2013, 1, 1, 14, 15, tzinfo=UTC),
            id="one time zone east: 3 h 58 min",
        ),
        pytest.param(
            {"dep_time": 15, "dep_delay": 1140, "arr_time": 330, "air_time": 228},
            datetime(2013, 1, 2, 9, 30, tzinfo=UTC),
            id="it left nineteen hours late, after midnight",
        ),
    ],
)
def test_a_landing_is_the_actual_arrival_in_utc(tmp_path: Path, change: Mapping[str, Any], landed: datetime) -> None:
    assert only(read(tmp_path, change))[flights.LANDED_AT] == landed


def test_between_takes_the_start_and_leaves_the_end(tmp_path: Path) -> None:
    table = read(tmp_path, {}, {"minute": 16, "sched_dep_time": 516}, {"minute": 17, "sched_dep_time": 517})
    start, end = datetime(2013, 1, 1, 10, 15, tzinfo=UTC), datetime(2013, 1, 1, 10, 17, tzinfo=UTC)
    assert flights.between(table, start, end).num_rows == 2


def test_only_flights_that_landed_within_the_horizon_count_as_landed(tmp_path: Path) -> None:
    table = read(tmp_path, {}, {"arr_delay": "NA", "arr_time": "NA", "air_time": "NA"})
    took = only(read(tmp_path, {}))[flights.LANDED_AT] - only(read(tmp_path, {}))[EVENT_TIME]
    assert flights.landed_within(table, took) == 1
    assert flights.landed_within(table, took - timedelta(minutes=1)) == 0
    assert flights.landed_within(table.slice(0, 0), took) == 0


def test_the_shipped_flights_are_all_there_in_order_with_one_request_a_minute() -> None:
    table = flights.load(flights.data_folder())
    times = table.column(EVENT_TIME).cast(pa.int64()).to_numpy()
    assert table.num_rows == 336_776
    assert len(table.column(flights.FLIGHT).unique()) == table.num_rows
    assert len(table.column(REQUEST_ID).unique()) == len(np.unique(times))
    assert (times[1:] >= times[:-1]).all()
    landed = table.column(flights.LANDED_AT).cast(pa.int64()).to_numpy()
    assert not (landed < times).any(), "a flight landed before it was scheduled to leave"
    assert set(flights.FEATURES) | {flights.FLIGHT, REQUEST_ID, EVENT_TIME, flights.LANDED_AT, LABEL} == set(
        table.column_names
    )
