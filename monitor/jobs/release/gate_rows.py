"""Labelled rows that a candidate is tried on: the newest that the present version served; changes with which rows those are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.clock import to_micros
from monitor.config.settings import ModelSettings, PrivacySettings
from monitor.errors import InputError
from monitor.evaluate.examples import Floats
from monitor.jobs.labelling import DueWindow, Labeller, reach_of
from monitor.jobs.window_rows import ColumnPlan, read_rows
from monitor.profile.baseline import Baseline
from monitor.records import ColumnTypes, FeatureType, Rows, ValueType, WindowKey
from monitor.store.judged_windows import judged_windows
from monitor.window.label_due import Candidate, Stage

_TYPES = {kind.arrow(): kind for kind in (FeatureType(value, multi) for multi in (False, True) for value in ValueType)}


@dataclass(frozen=True, slots=True)
class GateRows:
    """n labelled rows, the newest windows' first.

    Attributes:
        rows: with what was predicted, and labels; event times are always there.
        version: that served them.
        windows: of how many windows.
        since, until: of these.
    """

    rows: Rows
    version: str
    windows: int
    since: datetime
    until: datetime

    def newer_than(self, moment: datetime) -> npt.NDArray[np.bool_]:
        """Return which rows (n,) are of requests at `moment` or later."""
        times = self.rows.event_times
        return np.zeros(len(self.rows), np.bool_) if times is None else times >= to_micros(moment)


def features_of(rows: Rows, privacy: PrivacySettings) -> pa.Table:
    """Return what a model may be asked with: all but predictions, labels, and features that are not stored as they were."""
    altered = [*privacy.hash, *privacy.truncate, *privacy.bucket]
    names = [
        name
        for name in rows.features.column_names
        if name not in (rows.prediction, rows.label)
        and not any(name == each or name.startswith(f"{each}.") for each in altered)
    ]
    return rows.features.select(names)


def recent_rows(
    labeller: Labeller,
    model: str,
    settings: ModelSettings,
    baseline: Baseline | None,
    *,
    newer_than: timedelta,
    most: int,
    but: str,
    now: datetime,
) -> GateRows:
    """Return the newest rows whose windows have all the labels that they will have, at most `most`.

    Args:
        labeller: of the ledger.
        model: name of the model.
        settings: the model's.
        baseline: whose types the columns get.
        newer_than: how far back from the newest such window.
        most: rows.
        but: version that is not the present one, whatever it served: the candidate's.
        now: wall clock.

    Raises:
        InputError: there are none; says why.
        TransientError: a span file cannot be read.
    """
    keys = _complete(labeller, model, settings)
    served = [key for key in keys if key.version != but]
    if not served:
        raise InputError("no window has all its labels yet")
    newest = max(key.window.end for key in served)
    version = _most_served(labeller, [key for key in served if key.window.end == newest])
    due = [
        DueWindow(Candidate(key, keys[key], arrived=0), Stage.PROVISIONAL)
        for key in reversed(served)
        if key.version == version and key.window.end > newest - newer_than
    ]
    plan = ColumnPlan.of(baseline)
    parts: list[Rows] = []
    windows: list[WindowKey] = []
    for group in _few(labeller, due, most):
        for joined in labeller.join(model, group, settings, now):
            left = most - sum(map(len, parts))
            if joined.deleted or not joined.labels.counts.labelled or not left:
                continue
            rows = _labelled(labeller.rows(joined, settings, plan), left)
            if rows is not None:
                parts.append(rows)
                windows.append(joined.key)
                plan = plan if plan.types else ColumnPlan(_types_of(rows), plan.prediction, plan.label)
        if sum(map(len, parts)) >= most:
            break
    if not parts:
        raise InputError(f"no recent row that version {version} served has both a prediction and a label")
    return GateRows(
        _together(parts),
        version,
        len(windows),
        min(key.window.start for key in windows),
        max(key.window.end for key in windows),
    )


def unlabelled_rows(
    labeller: Labeller, model: str, settings: ModelSettings, baseline: Baseline | None, *, most: int, but: str
) -> Rows:
    """Return rows of the newest judged window, whatever labels they have; raises InputError where there is none.

    Arguments are those of `recent_rows`.
    """
    ledger = labeller.ledger
    keys = [key for key in judged_windows(ledger.database, ledger.team, model, None, None) if key.version != but]
    newest = [key for key in keys if key.window.end == keys[-1].window.end]
    for key in sorted(newest, key=lambda each: each.version == _most_served(labeller, newest), reverse=True):
        pending = ledger.windows.spans_of(key)
        rows = read_rows(pending, labeller.storage, settings.sampling, ColumnPlan.of(baseline))
        if len(rows):
            return taken(rows, np.arange(min(len(rows), most)))
    raise InputError("no window of the model has rows")


def taken(rows: Rows, places: npt.NDArray[np.int64]) -> Rows:
    """Return the rows at `places`."""
    return Rows(
        features=rows.features.take(pa.array(places)),
        weights=None if rows.weights is None else rows.weights[places],
        clusters=None if rows.clusters is None else rows.clusters[places],
        event_times=None if rows.event_times is None else rows.event_times[places],
        prediction=rows.prediction,
        label=rows.label,
    )


def _complete(labeller: Labeller, model: str, settings: ModelSettings) -> dict[WindowKey, int]:
    """Return the judged windows, oldest first, for which no label will come any more, with their revisions."""
    ledger, reach = labeller.ledger, reach_of(settings)
    mark = ledger.labels.watermark(model) if settings.labels else ledger.watermarks().get(model)
    judged = judged_windows(ledger.database, ledger.team, model, None, mark)
    return {key: revision for key, revision in judged.items() if reach.complete(key.window, mark)}


def _few(labeller: Labeller, due: Sequence[DueWindow], most: int) -> Iterator[list[DueWindow]]:
    """Yield windows, as many at once as hold `most` rows: those that are joined together are all read."""
    group: list[DueWindow] = []
    rows = 0
    for each in due:
        group.append(each)
        rows += sum(span.rows for span in labeller.ledger.windows.spans_of(each.candidate.key).spans)
        if rows >= most:
            yield group
            group, rows = [], 0
    if group:
        yield group


def _most_served(labeller: Labeller, keys: Sequence[WindowKey]) -> str:
    rows = {key.version: sum(span.rows for span in labeller.ledger.windows.spans_of(key).spans) for key in keys}
    return max(rows, key=lambda version: (rows[version], version))


def _labelled(rows: Rows, most: int) -> Rows | None:
    """Return the first labelled rows of a window that have a prediction; their order is by hash, so they are any of it."""
    if rows.prediction is None or rows.label is None:
        return None
    features = rows.features
    there = pc.and_(features.column(rows.label).is_valid(), features.column(rows.prediction).is_valid())
    places = np.flatnonzero(np.asarray(there, np.bool_))[:most]
    return taken(rows, places) if len(places) else None


def _types_of(rows: Rows) -> ColumnTypes:
    named = ((field.name, _TYPES.get(field.type)) for field in rows.features.schema)
    return {name: kind for name, kind in named if kind is not None and name not in (rows.prediction, rows.label)}


def _together(parts: Sequence[Rows]) -> Rows:
    """Return the rows of windows after each other, with the columns of the first."""
    first = parts[0]
    columns = {name: _column([_named(part, name, first) for part in parts]) for name in first.features.column_names}
    weighted = any(part.weights is not None for part in parts)
    weights: Floats | None = None
    if weighted:
        weights = np.concatenate([np.ones(len(part)) if part.weights is None else part.weights for part in parts])
    clusters = [part.clusters for part in parts if part.clusters is not None]
    times = [part.event_times for part in parts if part.event_times is not None]
    return Rows(
        features=pa.table(columns),
        weights=weights,
        clusters=np.concatenate(clusters) if len(clusters) == len(parts) else None,
        event_times=np.concatenate(times) if len(times) == len(parts) else None,
        prediction=first.prediction,
        label=first.label,
    )


def _named(part: Rows, name: str, first: Rows) -> pa.Array:
    of: Mapping[str | None, str | None] = {first.prediction: part.prediction, first.label: part.label}
    mine = str(of.get(name, name))
    if mine not in part.features.column_names:
        return pa.nulls(len(part))
    return pa.concat_arrays(part.features.column(mine).chunks)


def _column(arrays: Sequence[pa.Array]) -> pa.Array:
    """Return a column over several windows; where they have it in different types, as text."""
    kinds = {array.type for array in arrays if not pa.types.is_null(array.type)}
    kind = kinds.pop() if len(kinds) == 1 else pa.string()
    return pa.concat_arrays([array if array.type == kind else pc.cast(array, kind) for array in arrays])
