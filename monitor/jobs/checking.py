"""One comparison of files: `driftline check`, and the reference that `driftline backtest` shares with it.

Reads tables and calls the pure stages that production calls: create_baseline, build_profile, judge. Changes when the inputs of a
comparison do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collectors.files import read_table
from monitor.compare.findings import WindowFindings
from monitor.compare.judge import judge
from monitor.config.settings import DetectionSettings
from monitor.errors import InputError
from monitor.profile.baseline import Baseline, column_types_of, create_baseline, parse_schema
from monitor.profile.profile import Profile, build_profile
from monitor.profile.schema import without
from monitor.records import ColumnTypes, FeatureType, Rows, ValueType
from monitor.window.frames import ColumnRoles, rows_from_table

_BLOCKS = 5
"""Fewer blocks of time say nothing about how much the reference varies by itself."""
_BLOCK_LENGTHS = (timedelta(days=1), timedelta(hours=1))

_TEXT = FeatureType(ValueType.BYTES)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The findings of one comparison, one object a slice (the overall one first), and what they were made from."""

    findings: tuple[WindowFindings, ...]
    baseline: Baseline
    profile: Profile


@dataclass(frozen=True, slots=True)
class ReferenceFiles:
    """The rows that a comparison starts from: location, roles of its columns, and the location of a schema, if any."""

    uri: str
    roles: ColumnRoles
    schema: str | None = None


def check(reference: ReferenceFiles, current: str, settings: DetectionSettings) -> Comparison:
    """Compare the rows of `current` with those of `reference`.

    Raises:
        InputError: files or columns cannot be used, or the reference has no rows. No rows in `current` are a verdict instead.
    """
    baseline, ignorable = read_baseline(reference, None)
    table = read_table(current, types=known_types(baseline.column_types, reference.roles))
    with about(current):
        check_ignored(reference.roles, table, ignorable)
        rows = current_rows(table, reference.roles, baseline)
    profile = build_profile(rows, baseline)
    return Comparison((judge(profile, baseline, {}, settings),), baseline, profile)


@dataclass(frozen=True, slots=True)
class ReferenceRows:
    """What the files of a reference hold: rows, the user's schema if any (serialized), and the names of all columns."""

    rows: Rows
    schema: bytes | None
    columns: frozenset[str]


def read_reference(reference: ReferenceFiles, treat: Callable[[pa.Table], pa.Table] | None = None) -> ReferenceRows:
    """Return the rows of a reference, typed as its schema says; only the weight, where one is named, must be there.

    Args:
        reference: where they are.
        treat: what is done to the table before its columns are typed, if anything.

    Raises:
        InputError: the files, columns or schema cannot be used, or there are no rows.
    """
    schema = None if reference.schema is None else read_schema(reference.schema)
    if schema is not None:
        # What a role sets aside is no feature, so its absence among the features is no anomaly either.
        schema = without(schema, reference.roles.aside())
    types = {} if schema is None else column_types_of(schema)
    table = read_table(reference.uri, types=known_types(types, reference.roles))
    if table.num_rows == 0:
        raise InputError(f"{reference.uri}: the reference holds no rows; give the rows the model was trained on")
    roles = reference.roles.optional(table, ("timestamp", "prediction", "label", "id"))
    with about(reference.uri):
        rows = rows_from_table(table if treat is None else treat(table), roles, types)
    return ReferenceRows(rows, schema, frozenset(table.column_names))


def read_baseline(reference: ReferenceFiles, window: timedelta | None) -> tuple[Baseline, frozenset[str]]:
    """Return the baseline of a reference for windows of a length, and the names of all columns that its files have.

    Raises:
        InputError: as `read_reference`.
    """
    read = read_reference(reference)
    length = block_length(read.rows.event_times, window)
    return create_baseline(read.rows, schema=read.schema, block_length=length), read.columns


def read_schema(uri: str) -> bytes:
    """Return a TFMD schema file, text or binary, serialized; raises InputError where it cannot be read as one."""
    try:
        with fsspec.open(uri, "rb") as stream:
            content = stream.read()
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"{uri}: the schema cannot be read ({error})") from error
    with about(uri):
        return parse_schema(content)


def current_rows(table: pa.Table, roles: ColumnRoles, baseline: Baseline) -> Rows:
    """Return rows to be judged against `baseline`: typed as its features are; a label may be missing.

    Raises:
        InputError: a column that a role names is missing or cannot be used.
    """
    if table.num_rows == 0:
        empty = {name: pa.array([], kind.arrow()) for name, kind in baseline.column_types.items()}
        return Rows(features=pa.table(empty))
    return rows_from_table(table, roles.optional(table, ("label",)), baseline.column_types)


def known_types(types: ColumnTypes, roles: ColumnRoles) -> ColumnTypes:
    """Return `types` and that of the id, whose text is kept as it is written."""
    return types if roles.id is None else {**types, roles.id: _TEXT}


def check_ignored(roles: ColumnRoles, table: pa.Table, others: frozenset[str]) -> None:
    """Raise InputError for a column to ignore, or a label, that neither `table` nor `others` has: a slip of the pen."""
    named = [(name, "to ignore") for name in roles.ignore] + ([(roles.label, "for the label")] if roles.label else [])
    unknown = [(name, role) for name, role in named if name not in table.column_names and name not in others]
    if unknown and table.num_columns:
        name, role = unknown[0]
        raise InputError(f"there is no column {name!r} {role}, here or in the reference")


def block_length(times: npt.NDArray[np.int64] | None, window: timedelta | None) -> timedelta | None:
    """Return the blocks of time in which a reference's own variation is measured: windows, else days, else hours.

    The first of which its times (microseconds) span five; None where they do not, or there are none.
    """
    if times is None or not len(times):
        return None
    span = timedelta(microseconds=int(times.max() - times.min()))
    lengths = _BLOCK_LENGTHS if window is None else (window, *_BLOCK_LENGTHS)
    return next((length for length in lengths if span >= _BLOCKS * length), None)


@contextmanager
def about(location: str) -> Iterator[None]:
    """Put the location in front of what is wrong with its content."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{location}: {error}") from error
