"""What Driftline would have said of recorded traffic, window by window; changes when the replay of files does.

The traffic is read first for its times only, then for everything, so that a window can be judged and forgotten as soon as no
later row belongs to it. Files that are roughly in the order of time thus need the memory of a few windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collectors.files import Tables, open_tables
from monitor.clock import EPOCH, from_micros, to_micros
from monitor.compare.family import judge_window
from monitor.compare.feedback import NO_FEEDBACK
from monitor.compare.findings import Finding, Subject, WindowFindings
from monitor.compare.gradual.accumulation import Accumulation
from monitor.config.detection import DetectionSettings
from monitor.errors import ConfigError, InputError
from monitor.jobs.checking import (
    ReferenceFiles,
    Slices,
    about,
    check_ignored,
    current_rows,
    known_types,
    read_baseline,
)
from monitor.jobs.found_beside import found_beside
from monitor.jobs.references import MemoryHistory, earlier_windows
from monitor.profile.baseline import Baseline
from monitor.profile.sliced import profile_window
from monitor.profile.slices import slice_specs
from monitor.records import Rows, Window
from monitor.window.frames import ColumnRoles, event_times, id_hashes

_BATCH_ROWS = 65_536

Progress = Callable[[int, int], None]
"""Called with the rows that are read so far, and all there are."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Recorded traffic: location, roles of its columns (a timestamp among them), and how it is cut into windows.

    Attributes:
        window: length of the tumbling windows, aligned to the epoch in UTC.
        max_rows: rows of a window that are judged, those of the smallest id hashes as in production; None judges all.
    """

    uri: str
    roles: ColumnRoles
    window: timedelta
    max_rows: int | None = None


def backtest(
    reference: ReferenceFiles,
    traffic: Traffic,
    settings: DetectionSettings,
    progress: Progress,
    slices: Slices = (),
) -> Iterator[tuple[WindowFindings, ...]]:
    """Yield the findings of each window that holds rows, in the order of time: those of all rows, then by `slices`.

    Raises:
        InputError: files or columns cannot be used, or one of the sides has no rows.
        ConfigError: rows are to be limited, but there is no id by which to choose them.
    """
    if traffic.roles.timestamp is None:
        raise ConfigError("a backtest needs --timestamp-column to tell the windows apart")
    if traffic.max_rows is not None and traffic.roles.id is None:
        raise ConfigError("--max-rows-per-window chooses rows by their id: name it with --id-column")
    baseline, read = read_baseline(reference, traffic.window, settings, slices)
    tables = open_tables(traffic.uri, types=known_types(baseline.column_types, traffic.roles))
    with about(traffic.uri):
        check_ignored(traffic.roles, tables.schema.empty_table(), read.columns)
        plan = _plan(tables, traffic)
    specs, history = slice_specs(slices), MemoryHistory(settings)
    accumulated: Accumulation | None = None
    for window, table in _windows(tables, traffic, plan, progress):
        with about(traffic.uri):
            rows = _rows(table, traffic, baseline)
        profile = profile_window(rows, baseline, specs)
        earlier = earlier_windows(window, history, settings)
        beside = found_beside(rows, profile, baseline, earlier, settings)
        accumulated = accumulated or Accumulation.start(baseline, settings, window)
        gradual: list[Finding] = []
        if profile.overall.rows:
            accumulated = accumulated.added(window, profile.overall)
            gradual = accumulated.findings(profile.overall, NO_FEEDBACK)
        yield judge_window(
            profile,
            baseline,
            earlier,
            settings,
            Subject(window=window),
            specs,
            beside=[*beside, *gradual],
            recent=history.recent,
        )
        history.add(window, profile)


@dataclass(frozen=True, slots=True)
class _Plan:
    """When a window is complete: of each batch of the first reading its end in rows, and the first window from there on.

    Attributes:
        ends: (b,) number of rows up to the end of each batch.
        open_from: (b,) number of the first window that a row of this batch or a later one belongs to.
    """

    ends: npt.NDArray[np.int64]
    open_from: npt.NDArray[np.int64]

    @property
    def rows(self) -> int:
        return int(self.ends[-1])

    def first_open(self, read: int) -> int | None:
        """Return the first window that may still get rows after `read` of them; None when all are read.

        The readings need not be cut into the same batches: a batch that is read in part counts as unread.
        """
        place = int(np.searchsorted(self.ends, read, side="right"))
        return int(self.open_from[place]) if place < len(self.ends) else None


def _plan(tables: Tables, traffic: Traffic) -> _Plan:
    column = traffic.roles.timestamp or ""
    ends, firsts, rows = [], [], 0
    for batch in tables.batches(_BATCH_ROWS, [column] if tables.schema.names else None):
        rows += batch.num_rows
        ends.append(rows)
        firsts.append(int(_window_numbers(batch, column, traffic.window).min()))
    if not rows:
        raise InputError("there are no rows to replay")
    return _Plan(np.array(ends), np.minimum.accumulate(np.array(firsts)[::-1])[::-1])


def _window_numbers(table: pa.Table, column: str, length: timedelta) -> npt.NDArray[np.int64]:
    return event_times(table, column) // to_micros(EPOCH + length)


def _windows(tables: Tables, traffic: Traffic, plan: _Plan, progress: Progress) -> Iterator[tuple[Window, pa.Table]]:
    step = to_micros(EPOCH + traffic.window)
    waiting: dict[int, list[pa.Table]] = {}
    read = 0
    for batch in tables.batches(_BATCH_ROWS):
        for number, part in _parts(batch, _window_numbers(batch, traffic.roles.timestamp or "", traffic.window)):
            waiting.setdefault(number, []).append(part)
        read += batch.num_rows
        first_open = plan.first_open(read)
        for number in sorted(number for number in waiting if first_open is None or number < first_open):
            window = Window(from_micros(number * step), from_micros((number + 1) * step))
            yield window, pa.concat_tables(waiting.pop(number))
        progress(read, plan.rows)


def _parts(batch: pa.Table, numbers: npt.NDArray[np.int64]) -> Iterator[tuple[int, pa.Table]]:
    """Yield each window's rows of a batch, in the order of the batch."""
    order = np.argsort(numbers, kind="stable")
    ordered = batch.take(pa.array(order)) if (np.diff(numbers) < 0).any() else batch
    found, starts = np.unique(numbers[order], return_index=True)
    for number, start, end in zip(found, starts, [*starts[1:], len(numbers)], strict=True):
        yield int(number), ordered.slice(start, end - start)


def _rows(table: pa.Table, traffic: Traffic, baseline: Baseline) -> Rows:
    kept = table if traffic.max_rows is None else _smallest_hashes(table, traffic.roles.id or "", traffic.max_rows)
    return replace(current_rows(kept, traffic.roles, baseline), seen=table.num_rows)


def _smallest_hashes(table: pa.Table, column: str, limit: int) -> pa.Table:
    """Keep the rows below the (limit + 1)-th smallest hash, the rule by which a window's spans are read in production."""
    if table.num_rows <= limit:
        return table
    hashes = id_hashes(table, column)
    return table.filter(pa.array(hashes < np.partition(hashes, limit)[limit]))
