"""The data sets that detection is measured on; changes with what the numbers are about.

Each is one baseline period: its rows in order of time, the columns that are features, and the blocks of time in which its
rows naturally come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from bench.detection import synthetic
from bench.rig import flights

TIME = "bench_time"
"""The column of a data set's table that holds the time of each row: microseconds, UTC, and no feature."""

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)

_SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


class DataMissing(Exception):
    """The files of a data set are not there; the text says which."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """One baseline period.

    Attributes:
        name: as on the command line.
        table: features and TIME, sorted by TIME.
        blocks: lengths of the natural blocks of time that hold enough rows to be judged.
    """

    name: str
    table: pa.Table
    blocks: tuple[timedelta, ...]

    @property
    def features(self) -> list[str]:
        """Names of the columns that are compared."""
        return [name for name in self.table.column_names if name != TIME]


def load(names: Sequence[str]) -> list[DataSet]:
    """Read data sets by name.

    Raises:
        DataMissing: a file is not there.
    """
    return [_LOADERS[name]() for name in names]


def _flights() -> DataSet:
    reference, _ = flights.load()
    table = reference.select(flights.FEATURES)
    return _data_set("flights", table, reference.column(flights.TIME), (HOUR, DAY))


def _taxi() -> DataSet:
    table = _read(_SHARED / "chicago_taxi" / "simple_data.csv")
    times = table.column("trip_start_timestamp")
    return _data_set("taxi", table.drop(["trip_start_timestamp"]), _from_seconds(times), (WEEK,))


def _bike() -> DataSet:
    """The hours of two years; `instant` numbers the rows, so it and the date are no features."""
    table = _read(_SHARED / "bike_sharing" / "hour.csv")
    days = pc.cast(pc.cast(table.column("dteday"), pa.timestamp("s")), pa.int64())
    seconds = pc.add(days, pc.multiply(table.column("hr"), 3600))
    return _data_set("bike", table.drop(["instant", "dteday"]), _from_seconds(seconds), (WEEK,))


def _synthetic() -> DataSet:
    table, seconds = synthetic.rows()
    return _data_set("synthetic", table, _from_seconds(pa.chunked_array([seconds])), (HOUR, DAY))


_LOADERS: dict[str, Callable[[], DataSet]] = {
    "flights": _flights,
    "taxi": _taxi,
    "bike": _bike,
    "synthetic": _synthetic,
}
NAMES = tuple(_LOADERS)


def _data_set(name: str, features: pa.Table, times: pa.ChunkedArray, blocks: tuple[timedelta, ...]) -> DataSet:
    stamped = features.append_column(TIME, pc.cast(times, pa.timestamp("us", tz="UTC")))
    order = np.argsort(pc.cast(stamped.column(TIME), pa.int64()).to_numpy(), kind="stable")
    return DataSet(name, stamped.take(pa.array(order)).combine_chunks(), blocks)


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise DataMissing(f"{path} is not there")
    return csv.read_csv(path, convert_options=csv.ConvertOptions(strings_can_be_null=True))


def _from_seconds(seconds: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(pc.cast(seconds, pa.timestamp("s", tz="UTC")), pa.timestamp("us", tz="UTC"))
