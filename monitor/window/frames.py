"""Rows from a table that a user gives, by the roles of its columns; changes when a column can have another role."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.clock import to_micros
from monitor.errors import ConfigError, InputError
from monitor.hashing import hash_ids
from monitor.records import EVENT_TIME_TYPE, ColumnTypes, Misfits, Rows
from monitor.window.conform import Origin, commonest_type, conform, origin_of
from monitor.window.plain import NAIVE_TIME_TYPE, is_time, plain_column, plain_feature

_FIRST_MICROS = to_micros(datetime(1, 1, 2, tzinfo=UTC))
_LAST_MICROS = to_micros(datetime(9999, 12, 30, tzinfo=UTC))
_LISTED = 12


@dataclass(frozen=True, slots=True)
class ColumnRoles:
    """Which columns are not plain features. Prediction and label are compared or skipped as such; the rest never are."""

    timestamp: str | None = None
    label: str | None = None
    prediction: str | None = None
    id: str | None = None
    weight: str | None = None
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ConfigError where one column has two roles."""
        named = [self.timestamp, self.label, self.prediction, self.id, self.weight, *dict.fromkeys(self.ignore)]
        twice = [name for name in named if name is not None and named.count(name) > 1]
        if twice:
            raise ConfigError(f"column {twice[0]!r} is given two roles; each column has one")

    def aside(self) -> frozenset[str]:
        """Return the columns that are no features in any sense."""
        named = (self.timestamp, self.id, self.weight, *self.ignore)
        return frozenset(name for name in named if name is not None)

    def optional(self, table: pa.Table, absent: Collection[str]) -> ColumnRoles:
        """Return the roles without those of `absent` (role names) whose column `table` does not have."""
        missing = {role: None for role in absent if getattr(self, role) not in table.column_names}
        return replace(self, **missing)  # type: ignore[arg-type]  # only roles of type str | None are ever optional


def rows_from_table(table: pa.Table, columns: ColumnRoles, types: ColumnTypes | None = None) -> Rows:
    """Return the rows of `table` in canonical order, its columns conforming to `types` (see `monitor.window.conform`).

    With an id column the order is (hash, id, place in the table), and repeated ids are clusters; else it is the table's own.
    Columns that `types` does not know stay as they are, and all do where it is None. A time without a zone is UTC.

    Raises:
        InputError: a named column is not there, a time, id or weight cannot be read, or a column holds objects.
    """
    _check_names(table, columns)
    table, clusters = _in_canonical_order(table, columns.id)
    misfits: dict[str, Misfits] = {}
    features: dict[str, pa.Array] = {}
    for field in table.schema:
        if field.name in columns.aside():
            continue
        features[field.name], misfit = _feature(field, table.column(field.name), types or {})
        if misfit is not None:
            misfits[field.name] = misfit
    if not features:
        raise InputError("no feature columns are left beside those with a role of their own")
    return Rows(
        features=pa.table(features),
        weights=_weights(table, columns.weight),
        clusters=clusters,
        event_times=event_times(table, columns.timestamp) if columns.timestamp else None,
        prediction=columns.prediction,
        label=columns.label,
        misfits=misfits,
        seen=table.num_rows,
    )


def event_times(table: pa.Table, column: str) -> npt.NDArray[np.int64]:
    """Return the times of a column in microseconds since the epoch (n,).

    It may hold timestamps, dates, RFC 3339 text (without a zone: UTC) or epoch seconds.

    Raises:
        InputError: the column is not there, or a row has no time that can be read; the message names the first such row.
    """
    if column not in table.column_names:
        raise _unknown("timestamp", column, table)
    array = plain_column(column, table.column(column))
    if pa.types.is_null(array.type):
        array = pc.cast(array, pa.string())
    if is_time(array.type):
        micros = pc.cast(pc.cast(array, EVENT_TIME_TYPE if _zone(array.type) else NAIVE_TIME_TYPE), pa.int64())
        micros, readable = pc.fill_null(micros, 0).to_numpy(zero_copy_only=False), pc.is_valid(array)
    elif pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        micros, readable = _from_seconds(column, array)
    elif pa.types.is_string(array.type):
        micros, readable = _from_text(array)
    else:
        raise InputError(
            f"column {column!r} is of type {array.type}: times are timestamps, RFC 3339 text or epoch seconds"
        )
    good = np.asarray(readable, dtype=bool)
    if not good.all():
        first = int(np.argmin(good))
        raise InputError(
            f"{int((~good).sum())} of {len(good)} rows have no readable time in column {column!r}, first row {first + 1}: "
            f"{array[first].as_py()!r}; write RFC 3339 or epoch seconds, or remove these rows"
        )
    return np.asarray(micros, dtype=np.int64)


def _zone(kind: pa.DataType) -> str | None:
    return kind.tz if pa.types.is_timestamp(kind) else None


def _from_seconds(column: str, array: pa.Array) -> tuple[npt.NDArray[np.int64], pa.Array]:
    seconds = pc.fill_null(pc.cast(array, pa.float64(), safe=False), float("nan")).to_numpy(zero_copy_only=False)
    readable = np.isfinite(seconds)
    beyond = readable & ((seconds * 1e6 < _FIRST_MICROS) | (seconds * 1e6 > _LAST_MICROS))
    if beyond.any():
        example = array[int(np.argmax(beyond))].as_py()
        raise InputError(
            f"column {column!r} holds {example}, which is beyond the year 9999 as epoch seconds: divide milliseconds by 1000"
        )
    if pa.types.is_integer(array.type):
        return pc.fill_null(array, 0).to_numpy(zero_copy_only=False) * 1_000_000, readable
    return np.rint(np.where(readable, seconds, 0.0) * 1e6).astype(np.int64), readable


def _from_text(array: pa.Array) -> tuple[npt.NDArray[np.int64], pa.Array]:
    for kind in (EVENT_TIME_TYPE, NAIVE_TIME_TYPE):
        try:
            micros = pc.cast(pc.cast(array, kind), pa.int64())
        except pa.ArrowInvalid:
            continue
        return pc.fill_null(micros, 0).to_numpy(zero_copy_only=False), pc.is_valid(array)
    # Zones and precisions are mixed, or a text is no time: value by value, and only then.
    moments = [_moment(text) for text in array.to_pylist()]
    return np.array([micros or 0 for micros in moments], dtype=np.int64), pa.array(
        [micros is not None for micros in moments]
    )


def _moment(text: str | None) -> int | None:
    try:
        moment = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    return to_micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _feature(field: pa.Field, column: pa.ChunkedArray, types: ColumnTypes) -> tuple[pa.Array, Misfits | None]:
    origin = origin_of(field)
    plain = plain_feature(field.name, column)
    if field.name in types:
        return conform(plain, types[field.name], origin)
    return conform(plain, commonest_type(plain), origin) if origin is Origin.JSON else (plain, None)


def _in_canonical_order(table: pa.Table, column: str | None) -> tuple[pa.Table, npt.NDArray[np.uint64] | None]:
    if column is None:
        return table, None
    hashes = id_hashes(table, column)
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    repeated = hashes[1:] == hashes[:-1]
    if not repeated.any():
        return table.take(pa.array(order)), None
    # Rows of one hash are nearly always of one id; where two ids share a hash, the id decides, then the place in the table.
    ids = plain_column(column, table.column(column)).take(pa.array(order))
    keyed = pa.table({"hash": pa.array(hashes), "id": ids, "place": pa.array(order)})
    ranks = pc.sort_indices(keyed, sort_keys=[("hash", "ascending"), ("id", "ascending"), ("place", "ascending")])
    return table.take(keyed.column("place").take(ranks)), hashes


def id_hashes(table: pa.Table, column: str) -> npt.NDArray[np.uint64]:
    """Return the hash of each row's id, uint64 (n,); raises InputError where the column is not one of ids."""
    if column not in table.column_names:
        raise _unknown("id", column, table)
    ids = plain_column(column, table.column(column))
    if ids.null_count:
        first = int(np.argmin(pc.is_valid(ids).to_numpy(zero_copy_only=False))) + 1
        raise InputError(f"{ids.null_count} of {len(ids)} rows have no id in column {column!r}, first row {first}")
    try:
        return hash_ids(pc.cast(ids, pa.string()) if pa.types.is_null(ids.type) else ids)
    except TypeError as error:
        raise InputError(f"column {column!r} cannot be the id: {error}") from error


def _weights(table: pa.Table, column: str | None) -> npt.NDArray[np.float64] | None:
    if column is None:
        return None
    array = plain_column(column, table.column(column))
    if pa.types.is_null(array.type):
        array = pc.cast(array, pa.float64())
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        raise InputError(f"column {column!r} cannot be the weight: it is of type {array.type}, not a number")
    weights = pc.fill_null(pc.cast(array, pa.float64(), safe=False), float("nan")).to_numpy(zero_copy_only=False)
    bad = ~(np.isfinite(weights) & (weights > 0))
    if bad.any():
        raise InputError(
            f"{int(bad.sum())} of {len(bad)} rows have no weight above zero in column {column!r}, "
            f"first row {int(np.argmax(bad)) + 1}: {array[int(np.argmax(bad))].as_py()!r}"
        )
    return np.asarray(weights, dtype=np.float64)


def _check_names(table: pa.Table, columns: ColumnRoles) -> None:
    roles = {
        "timestamp": columns.timestamp,
        "label": columns.label,
        "prediction": columns.prediction,
        "id": columns.id,
        "weight": columns.weight,
    }
    for role, name in roles.items():
        if name is not None and name not in table.column_names:
            raise _unknown(role, name, table)


def _unknown(role: str, name: str, table: pa.Table) -> InputError:
    names = table.column_names
    listed = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    return InputError(f"there is no {role} column {name!r}; the columns are: {listed or 'none'}")
