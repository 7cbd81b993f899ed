"""Rows of two versions from files: which columns say what, read and paired; changes with how rows are read for a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collectors.files import open_tables
from monitor.clock import EPOCH, to_micros
from monitor.compare.row_skew.columns import Column
from monitor.compare.row_skew.join import MatchStats, join
from monitor.errors import InputError
from monitor.evaluate.examples import Floats, Places
from monitor.records import FeatureType, ValueType
from monitor.window.conform import origin_of
from monitor.window.frames import event_times, id_hashes
from monitor.window.plain import plain_column


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns that say what a row is; None where there is no such column."""

    label: str | None = None
    prediction: str | None = None
    id: str | None = None
    instance: str | None = None
    weight: str | None = None
    timestamp: str | None = None

    def named(self) -> dict[str, str]:
        """Return the columns by their role."""
        roles = ("label", "prediction", "id", "instance", "weight", "timestamp")
        return {role: name for role in roles if (name := getattr(self, role)) is not None}


@dataclass(frozen=True, slots=True)
class Told:
    """What n rows say beside their predictions; each is None where no column says it.

    Attributes:
        weights: (n,).
        clusters: uint64 (n,), the hash of each row's id.
        hours: int64 (n,), the start of each row's hour in microseconds since the epoch.
    """

    weights: Floats | None
    clusters: npt.NDArray[np.uint64] | None
    hours: npt.NDArray[np.int64] | None


def read_columns(uri: str, columns: Columns, more: Sequence[str] = ()) -> pa.Table:
    """Return the columns that have a role, and `more`, of a file, folder or glob; ids of a CSV stay text.

    Raises:
        InputError: files cannot be read, hold no rows, or lack a column.
    """
    text = FeatureType(ValueType.BYTES)
    tables = open_tables(uri, types={columns.id: text} if columns.id else None)
    schema = tables.schema
    check_columns(uri, schema.names, columns, more)
    wanted = list(dict.fromkeys([*columns.named().values(), *more]))
    blocks = list(tables.batches(columns=wanted)) if wanted else []
    if not blocks:
        raise InputError(f"{uri}: there are no rows")
    return pa.concat_tables([block.select(wanted) for block in blocks])


def check_columns(uri: str, names: Sequence[str], columns: Columns, more: Sequence[str] = ()) -> None:
    """Raise InputError where a column is not there."""
    for role, name in (*columns.named().items(), *(("", name) for name in more)):
        if name not in names:
            said = f"{role} column" if role else "column"
            raise InputError(f"{uri}: there is no {said} {name!r}; the columns are: {', '.join(names) or 'none'}")


def told(table: pa.Table, columns: Columns, every: timedelta) -> Told:
    """Return what rows say beside their predictions, in their order; `every` is the length of an hour.

    Raises:
        InputError: an id, a weight or a time cannot be read.
    """
    times = event_times(table, columns.timestamp) if columns.timestamp else None
    step = to_micros(EPOCH + every)
    return Told(
        _weights(table, columns.weight) if columns.weight else None,
        id_hashes(table, columns.id) if columns.id else None,
        None if times is None else times // step * step,
    )


def _weights(table: pa.Table, name: str) -> Floats:
    array = plain_column(name, table.column(name))
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        raise InputError(f"column {name!r} cannot be the weight: it is of type {array.type}, not a number")
    weights = pc.fill_null(pc.cast(array, pa.float64(), safe=False), float("nan")).to_numpy(zero_copy_only=False)
    bad = ~(np.isfinite(weights) & (weights > 0))
    if bad.any():
        raise InputError(f"{int(bad.sum())} of {len(bad)} rows have no weight above zero in column {name!r}")
    return np.asarray(weights, np.float64)


def rows_of_version(table: pa.Table, column: str, version: str) -> pa.Table:
    """Return the rows whose version, as text, is `version`.

    Raises:
        InputError: there are none; the message says which versions there are.
    """
    versions = pc.cast(table.column(column), pa.string())
    chosen = table.filter(pc.fill_null(pc.equal(versions, version), False))
    if not chosen.num_rows:
        known = sorted(value for value in pc.unique(versions).to_pylist() if value is not None)
        raise InputError(f"column {column!r} has no version {version!r}; it has: {', '.join(known[:12]) or 'none'}")
    return chosen


@dataclass(frozen=True, slots=True)
class Matched:
    """Rows of one request and instance: pair i is row stable[i] of one side and row candidate[i] of the other."""

    stable: Places
    candidate: Places
    stats: MatchStats

    def warnings(self) -> Iterator[str]:
        """Say what could not be paired."""
        stats = self.stats
        for side, missing in (
            ("the candidate", stats.ids_missing_in_test_count),
            ("the stable version", stats.ids_missing_in_base_count),
        ):
            if missing:
                yield f"{missing:,} requests were not answered by {side}, and are left out"
        if stats.duplicate_id_count:
            yield f"{stats.duplicate_id_count:,} requests have several rows and are left out: --instance-column tells them apart"
        if nameless := stats.base_missing_id_count + stats.test_missing_id_count:
            yield f"{nameless:,} rows have no id and are left out"


def matched(stable: pa.Table, candidate: pa.Table, columns: Columns) -> Matched:
    """Pair rows by id, and instance where there is one; a key that a side has twice is left out.

    Raises:
        InputError: there is no id column, or nothing can be paired.
    """
    if columns.id is None:
        raise InputError("rows of two files are paired by their ids: name them by --id-column")
    keys = [columns.id, *([columns.instance] if columns.instance else [])]
    sides = [
        [Column.of_table(key, table.column(key), origin_of(table.schema.field(key))) for key in keys]
        for table in (stable, candidate)
    ]
    joined = join(*sides, digits=None, duplicates=False)
    if not len(joined.training):
        raise InputError(f"no row of one version has the {' and '.join(keys)} of a row of the other")
    return Matched(joined.training, joined.served, joined.stats)
