"""One comparison of files: `driftline check`, and the reference that `driftline backtest` shares with it.

Reads tables and calls the pure stages that production calls: create_baseline, profile_window, judge_window. Changes when the
inputs of a comparison do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import fsspec
import pyarrow as pa

from collectors.files import open_tables, read_table
from monitor.compare.case import Case, Reference
from monitor.compare.family import judge_window, overall_share, window_verdict
from monitor.compare.findings import Subject, Verdict, WindowFindings
from monitor.compare.located import located
from monitor.compare.plan import Plan, plan_of
from monitor.config.detection import DetectionSettings
from monitor.errors import InputError
from monitor.jobs.found_beside import found_beside
from monitor.profile.baseline import Baseline, column_types_of, create_baseline, parse_schema
from monitor.profile.calendar import block_length
from monitor.profile.profile import Profile
from monitor.profile.schema import without
from monitor.profile.sliced import profile_window
from monitor.profile.slices import Slicing, slice_specs
from monitor.records import ColumnTypes, FeatureType, Rows, ValueType
from monitor.window.frames import ColumnRoles, event_times, rows_from_table

_BATCH_ROWS = 65_536
_TEXT = FeatureType(ValueType.BYTES)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The findings of one comparison, one object a slice (the overall one first), and what they were made from: all rows."""

    findings: tuple[WindowFindings, ...]
    baseline: Baseline
    profile: Profile
    plan: Plan

    @property
    def verdict(self) -> Verdict:
        """Flagged where all rows or any slice is, else the verdict on all rows."""
        return window_verdict(self.findings)


@dataclass(frozen=True, slots=True)
class ReferenceFiles:
    """The rows that a comparison starts from: location, roles of its columns, and the location of a schema, if any."""

    uri: str
    roles: ColumnRoles
    schema: str | None = None


Slices = Sequence[Sequence[str]]
"""Lists of columns to slice by, each of them crossed."""


def check(reference: ReferenceFiles, current: str, settings: DetectionSettings, slices: Slices = ()) -> Comparison:
    """Compare the rows of `current` with those of `reference`, all of them and by `slices`.

    Raises:
        InputError: files or columns cannot be used, or the reference has no rows. No rows in `current` are a verdict instead.
    """
    baseline, read = read_baseline(reference, _span(current, reference.roles), settings, slices)
    table = read_table(current, types=known_types(baseline.column_types, reference.roles))
    with about(current):
        check_ignored(reference.roles, table, read.columns)
        rows = current_rows(table, reference.roles, baseline)
    specs = slice_specs(slices)
    profile = profile_window(rows, baseline, specs)
    beside = found_beside(rows, profile, baseline, {}, settings)
    overall, *slices_found = judge_window(profile, baseline, {}, settings, Subject(), specs, beside=beside)
    findings = (located(overall, rows, read.rows, baseline.calendar), *slices_found)
    share = overall_share(profile)
    plan = plan_of(Case(profile.overall, baseline, [Reference.training(baseline)], settings, share))
    return Comparison(findings, baseline, profile.overall, plan)


def baseline_of(
    rows: Rows, schema: bytes | None, window: timedelta | None, settings: DetectionSettings, slices: Slices
) -> Baseline:
    """Return the baseline of training rows for windows of a length, if known, that keeps what the settings and slices need.

    Raises:
        InputError: there are no rows, or no column to slice by.
    """
    return create_baseline(
        rows,
        schema=schema,
        block_length=block_length(rows.event_times, window),
        slicing=Slicing.by(slices, settings.min_slice_rows, settings.max_slices),
        kinds=settings.kinds(),
        joint=settings.joint,
    )


@dataclass(frozen=True, slots=True)
class ReferenceRows:
    """What the files of a reference hold: rows, the user's schema if any (serialized), and the names of all columns."""

    rows: Rows
    schema: bytes | None
    columns: frozenset[str]


def read_reference(
    reference: ReferenceFiles, treat: Callable[[pa.Table], pa.Table] | None = None, known: bytes | None = None
) -> ReferenceRows:
    """Return the rows of a reference, typed as its schema says; only the weight, where one is named, must be there.

    Args:
        reference: where they are.
        treat: what is done to the table before its columns are typed, if anything.
        known: serialized schema where the reference names none; None to infer one.

    Raises:
        InputError: the files, columns or schema cannot be used, or there are no rows.
    """
    schema = known if reference.schema is None else read_schema(reference.schema)
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


def read_baseline(
    reference: ReferenceFiles, window: timedelta | None, settings: DetectionSettings, slices: Slices = ()
) -> tuple[Baseline, ReferenceRows]:
    """Return the baseline of a reference for windows of a length, if known, and the rows that it was made from.

    Raises:
        InputError: as `read_reference`, or there is no column to slice by.
    """
    read = read_reference(reference)
    with about(reference.uri):
        return baseline_of(read.rows, read.schema, window, settings, slices), read


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


def _span(uri: str, roles: ColumnRoles) -> timedelta | None:
    """Return the time that rows to judge cover; None where it is not known, or their times cannot be read (later told)."""
    if roles.timestamp is None:
        return None
    tables = open_tables(uri, types={})
    if roles.timestamp not in tables.schema.names:
        return None
    first, last = None, None
    for batch in tables.batches(_BATCH_ROWS, [roles.timestamp]):
        with about(uri):
            times = event_times(batch, roles.timestamp)
        if len(times):
            first, last = min(first or int(times.min()), int(times.min())), max(last or 0, int(times.max()))
    return None if first is None or last is None else timedelta(microseconds=last - first)


@contextmanager
def about(location: str) -> Iterator[None]:
    """Put the location in front of what is wrong with its content."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{location}: {error}") from error
