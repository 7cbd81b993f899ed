"""From spans to labelled rows of windows: read, put in order, join; changes with how spans of both kinds are brought together.

Labels are read one span at a time, whatever time they cover, and predictions of several windows are joined with them in one go.
What is held in memory is ids and hashes of these windows (JOIN_ROWS at most, but for a window that is larger), what is known of
their labels, and one span.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from monitor import records as r
from monitor.config.settings import ModelSettings
from monitor.cuts import SpanStorage
from monitor.errors import TransientError
from monitor.jobs.span_reading import read_columns
from monitor.jobs.window_rows import ColumnPlan, read_rows, rows_of_spans
from monitor.records import Rows, Window, WindowKey
from monitor.store.ledger import Ledger
from monitor.store.window_ledger import PendingWindow
from monitor.window.label_due import Candidate, Look, Stage, stage_due
from monitor.window.label_reach import Reach, overlap
from monitor.window.labels import LABEL_COLUMNS, PREDICTION_COLUMNS, LabelJoin, Labels

JOIN_ROWS = 2_000_000
"""Predictions that are joined at once, if they are of several windows: some 300 MB of ids of 36 characters."""

_PLACE = "place"
_READ_TO_ORDER = (*PREDICTION_COLUMNS, r.STRATUM, r.HASH_RATE)


@dataclass(frozen=True, slots=True)
class DueWindow:
    """A window that is to be joined, and the evaluation that it may be ripe for."""

    candidate: Candidate
    stage: Stage


@dataclass(frozen=True, slots=True)
class JoinedWindow:
    """A window with the labels of its rows, in canonical order.

    Attributes:
        due: what asked for it.
        pending: its newest revision, as it was judged.
        labels: of all its rows.
        look: to be recorded with what becomes of this.
        deleted: spans of its rows, or of labels that may be theirs, that retention has taken: then too little is known.
    """

    due: DueWindow
    pending: PendingWindow
    labels: Labels
    look: Look
    deleted: int

    @property
    def key(self) -> WindowKey:
        """The window."""
        return self.pending.key


@dataclass(frozen=True, slots=True)
class Labeller:
    """Joins windows of one ledger with their labels."""

    ledger: Ledger
    storage: SpanStorage

    def due(self, model: str, settings: ModelSettings, now: datetime) -> list[DueWindow]:
        """Return the windows of a model at whose labels to look now, oldest first."""
        reach, mark = reach_of(settings), self._mark(model, settings)
        restate_for = settings.windows.restate_for
        found = [
            (candidate, stage_due(candidate, reach, mark, restate_for, now))
            for candidate in self.ledger.evaluations.candidates(model, reach, mark, restate_for)
        ]
        return [DueWindow(candidate, stage) for candidate, stage in found if stage is not None]

    def join(
        self, model: str, due: Sequence[DueWindow], settings: ModelSettings, now: datetime
    ) -> Iterator[JoinedWindow]:
        """Yield windows of a model with their labels, in order; windows that are near each other share the reading of labels.

        Raises:
            TransientError: a span file cannot be read.
        """
        reach, mark = reach_of(settings), self._mark(model, settings)
        waiting = [(each, self.ledger.windows.spans_of(each.candidate.key)) for each in due]
        for group in _groups(waiting, reach):
            for (each, pending), labels in zip(group, self._labels(model, group, settings), strict=True):
                candidate = each.candidate
                number = candidate.look.number + 1 if candidate.look else 1
                look = Look(number, candidate.arrived, pending.revision, mark, now)
                deleted = pending.deleted + self.ledger.labels.deleted(model, reach.labels_of(pending.key.window))
                yield JoinedWindow(each, pending, labels, look, deleted)

    def rows(self, joined: JoinedWindow, settings: ModelSettings, plan: ColumnPlan) -> Rows:
        """Return all rows of a joined window, with what the join found in the place of the label that came with them.

        The label's column is called as planned, or else "label", and is null where there is none. Errors as of `read_rows`.
        """
        rows = read_rows(joined.pending, self.storage, settings.sampling, plan)
        if len(rows) != len(joined.labels):
            raise TransientError(f"spans: those of {joined.key.window} changed while they were read")
        name = plan.label or r.LABEL
        features = rows.features.drop([name]) if name in rows.features.column_names else rows.features
        return replace(rows, features=features.append_column(name, joined.labels.values), label=name)

    def _mark(self, model: str, settings: ModelSettings) -> datetime | None:
        """Return up to when labels are complete; those that only come with the traffic are as complete as that is."""
        return self.ledger.labels.watermark(model) if settings.labels else self.ledger.watermarks().get(model)

    def _labels(
        self, model: str, group: Sequence[tuple[DueWindow, PendingWindow]], settings: ModelSettings
    ) -> list[Labels]:
        reach = reach_of(settings)
        within = [reach.labels_of(pending.key.window) for _, pending in group]
        joins = [LabelJoin(self._predictions(pending, settings), reach) for _, pending in group]
        for span in self.ledger.labels.spans(model, _hull(within)):
            wanted = [each for each, mine in zip(joins, within, strict=True) if overlap(mine, span.window)]
            labels = read_columns(self.storage, span.name, LABEL_COLUMNS) if wanted else None
            for each in wanted:
                each.add(labels)
        return [each.labels() for each in joins]

    def _predictions(self, pending: PendingWindow, settings: ModelSettings) -> pa.Table:
        """Return what the join reads of a window's rows: the rows that are judged, in the same order, with their weights."""
        spans = [read_columns(self.storage, span.name, _READ_TO_ORDER) for span in pending.spans]
        first = np.cumsum([0, *(len(span) for span in spans)])
        numbered = [
            span.append_column(r.FEATURE_PREFIX + _PLACE, pa.array(np.arange(start, start + len(span))))
            for span, start in zip(spans, first[:-1].tolist(), strict=True)
        ]
        rows = rows_of_spans(pending, numbered, settings.sampling, ColumnPlan())
        if not spans:
            return pa.schema(
                [field for field in r.traffic_schema({}) if field.name in PREDICTION_COLUMNS]
            ).empty_table()
        places = rows.features.column(_PLACE)
        chosen = pa.concat_tables([span.select(PREDICTION_COLUMNS) for span in spans]).take(places).combine_chunks()
        weights = np.ones(len(rows)) if rows.weights is None else rows.weights
        return chosen.set_column(chosen.schema.get_field_index(r.WEIGHT), r.WEIGHT, pa.array(weights))


def reach_of(settings: ModelSettings) -> Reach:
    """Return the reach of a model's labels: none beyond the moment where they only come with the traffic."""
    return Reach(settings.labels.horizon if settings.labels else timedelta(0))


def _groups(
    waiting: Sequence[tuple[DueWindow, PendingWindow]], reach: Reach
) -> Iterator[Sequence[tuple[DueWindow, PendingWindow]]]:
    """Split windows, in order, into groups that share their labels and have at most JOIN_ROWS rows, or are one window."""
    group: list[tuple[DueWindow, PendingWindow]] = []
    rows = 0
    for each in waiting:
        mine = sum(span.rows for span in each[1].spans)
        apart = group and not overlap(reach.labels_of(group[-1][1].key.window), reach.labels_of(each[1].key.window))
        if group and (apart or rows + mine > JOIN_ROWS):
            yield group
            group, rows = [], 0
        group.append(each)
        rows += mine
    if group:
        yield group


def _hull(windows: Sequence[Window]) -> Window:
    return Window(min(window.start for window in windows), max(window.end for window in windows))
