"""Labels in the ledger: which spans there are, up to when they are complete, and what became of each of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Row, and_, func, insert, select, update

from monitor.clock import from_micros
from monitor.config.settings import WindowSettings
from monitor.errors import StaleClaim
from monitor.records import SpanKind, Window
from monitor.store import tables as t
from monitor.store.database import Database, micros, moment
from monitor.store.leases import Lease, require
from monitor.store.stream_progress import watermark_of
from monitor.window.label_fates import FateCounts
from monitor.window.label_reach import Reach, overlap

_LABELS = (SpanKind.LABELS,)
_TRAFFIC = (SpanKind.TRAFFIC, SpanKind.LATE)
_BATCH = 500
"""Span ids in one statement."""
_WAITING = 20_000
"""Spans of labels that are looked at to choose those that are counted next."""


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """A span file that can be read, of any kind; a label span's window is that of the labels, whatever its version."""

    span_id: str
    name: str
    version: str
    window: Window
    rows: int
    theta: int
    min_hash: int
    max_hash: int


@dataclass(frozen=True, slots=True)
class Uncounted:
    """Label spans whose labels' fates nobody has counted, and where to look for their predictions.

    Attributes:
        spans: the label spans, by label window.
        predictions: traffic spans of all versions in the labels' reach.
        deleted: windows of traffic spans there that retention has taken, a window for each.
        more: others are left for another time.
        mark: the watermark of the traffic.
    """

    model: str
    spans: Sequence[StoredSpan]
    predictions: Sequence[StoredSpan]
    deleted: Sequence[Window]
    more: bool
    mark: datetime


@dataclass(frozen=True, slots=True)
class CountedLabels:
    """What became of labels of one window of label time.

    Attributes:
        number: 1 for those that were counted first; labels that were committed later have a number of their own.
        deleted_spans: spans of predictions in their reach that retention had taken, so that too many may look unknown.
    """

    window: Window
    number: int
    fates: FateCounts
    deleted_spans: int


class SqlLabels:
    """Labels in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def advance(
        self, model: str, stream: str, settings: WindowSettings, lease: Lease, now: datetime
    ) -> datetime | None:
        """Move the watermark of a model's labels on, and return it, None before the first; it never goes back.

        Args:
            model: the model.
            stream: name of the partitions of its labels (topic, or files as configured).
            settings: the model's windows: labels may be as late, are idle as soon, and live in the same time as the traffic.
            lease: the model's lease.
            now: wall clock.

        Raises:
            StaleClaim: the lease is lost.
        """
        with self._database.read() as connection:
            stored = self._watermark(connection, model)
            mark = watermark_of(connection, self._team, stream, settings, now)
        if mark is None or (stored is not None and mark <= stored):
            return stored
        with self._database.write() as connection:
            require(connection, self._team, lease)
            self._keep(connection, model, {"watermark": micros(mark)})
        return mark

    def watermark(self, model: str) -> datetime | None:
        """Return up to which event time a model's labels are complete, None before the first."""
        with self._database.read() as connection:
            return self._watermark(connection, model)

    def spans(self, model: str, within: Window) -> list[StoredSpan]:
        """Return the label spans that may hold labels with event times in `within`, oldest first."""
        with self._database.read() as connection:
            return self._spans(connection, model, within, _LABELS)

    def predictions(self, model: str, within: Window) -> list[StoredSpan]:
        """Return the traffic spans, of all versions, that may hold predictions with event times in `within`, oldest first."""
        with self._database.read() as connection:
            return self._spans(connection, model, within, _TRAFFIC)

    def deleted(self, model: str, within: Window) -> int:
        """Return how many label spans with event times in `within` retention has taken."""
        with self._database.read() as connection:
            return len(self._deleted(connection, model, within, _LABELS))

    def uncounted(self, model: str, reach: Reach, at_most: int) -> Uncounted | None:
        """Return label spans that are due to be counted, None where none are.

        They are due when the traffic is complete for all that they may be of, at most once in a horizon of the traffic's time, so
        that predictions are not read over and over; and so that what is read stays near, those of one horizon together.

        Args:
            model: the model.
            reach: of its labels.
            at_most: labels to count at once; a single span may hold more.
        """
        with self._database.read() as connection:
            mark = self._traffic_mark(connection, model)
            counted = self._stream(connection, model)
            last = None if counted is None else moment(counted.counted_at_mark)
            if mark is None or (last is not None and mark < last + reach.horizon):
                return None
            end = micros(mark - reach.early)
            waiting = connection.execute(
                select(t.spans)
                .where(self._of(model, _LABELS), t.spans.c.state == "sealed", t.spans.c.revision.is_(None))
                .where(t.spans.c.window_end <= end)
                .order_by(t.spans.c.window_end)
                .limit(_WAITING)
            ).all()
            chosen = _near(sorted(map(_stored, waiting), key=_in_time), reach.horizon, at_most)
            if not chosen:
                return None
            labels = Window(min(span.window.start for span in chosen), max(span.window.end for span in chosen))
            within = reach.predictions_of(labels)
            return Uncounted(
                model,
                chosen,
                self._spans(connection, model, within, _TRAFFIC),
                self._deleted(connection, model, within, _TRAFFIC),
                len(chosen) < len(waiting) or len(waiting) == _WAITING,
                mark,
            )

    def record(
        self, uncounted: Uncounted, fates: Mapping[Window, FateCounts], reach: Reach, lease: Lease, now: datetime
    ) -> None:
        """Record what became of the labels of these spans, by label window; each span is counted once.

        Raises:
            StaleClaim: the lease is lost, or one of the spans was counted by somebody else.
        """
        ids: dict[Window, list[str]] = defaultdict(list)
        for span in uncounted.spans:
            ids[span.window].append(span.span_id)
        with self._database.write() as connection:
            require(connection, self._team, lease)
            numbers = self._next_numbers(connection, uncounted.model, list(ids))
            for window, mine in sorted(ids.items()):
                self._mark(connection, mine, numbers[window])
            rows = [
                {
                    "team": self._team,
                    "model": uncounted.model,
                    "window_start": micros(window.start),
                    "window_end": micros(window.end),
                    "number": numbers[window],
                    **dict(zip(_FATES, astuple(fates[window]), strict=True)),
                    "deleted_spans": sum(overlap(reach.predictions_of(window), gone) for gone in uncounted.deleted),
                    "fencing_token": lease.token,
                    "recorded_at": micros(now),
                }
                for window in sorted(ids)
            ]
            connection.execute(insert(t.label_counts), rows)
            if not uncounted.more:
                self._keep(connection, uncounted.model, {"counted_at_mark": micros(uncounted.mark)})

    def counts(self, model: str) -> list[CountedLabels]:
        """Return what became of a model's labels, by label window, oldest first."""
        counted = t.label_counts.c
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.label_counts)
                .where(counted.team == self._team, counted.model == model)
                .order_by(counted.window_start, counted.number)
            ).all()
        return [
            CountedLabels(
                Window(from_micros(row.window_start), from_micros(row.window_end)),
                row.number,
                FateCounts(*(getattr(row, name) for name in _FATES)),
                row.deleted_spans,
            )
            for row in rows
        ]

    def totals(self) -> dict[str, FateCounts]:
        """Return what became of all labels that were counted, by model."""
        counted = t.label_counts.c
        sums = [func.sum(counted[name]).label(name) for name in _FATES]
        with self._database.read() as connection:
            rows = connection.execute(
                select(counted.model, *sums).where(counted.team == self._team).group_by(counted.model)
            ).all()
        return {row.model: FateCounts(*(int(getattr(row, name)) for name in _FATES)) for row in rows}

    def _stream(self, connection: Connection, model: str) -> Row[tuple[object, ...]] | None:
        where = and_(t.label_streams.c.team == self._team, t.label_streams.c.model == model)
        return connection.execute(select(t.label_streams).where(where)).one_or_none()

    def _watermark(self, connection: Connection, model: str) -> datetime | None:
        row = self._stream(connection, model)
        return None if row is None else moment(row.watermark)

    def _traffic_mark(self, connection: Connection, model: str) -> datetime | None:
        where = and_(t.streams.c.team == self._team, t.streams.c.model == model)
        return moment(connection.execute(select(t.streams.c.watermark).where(where)).scalar_one_or_none())

    def _keep(self, connection: Connection, model: str, values: Mapping[str, int | None]) -> None:
        where = and_(t.label_streams.c.team == self._team, t.label_streams.c.model == model)
        if not connection.execute(update(t.label_streams).where(where).values(values)).rowcount:
            connection.execute(insert(t.label_streams).values({"team": self._team, "model": model, **values}))

    def _spans(self, connection: Connection, model: str, within: Window, kinds: Sequence[SpanKind]) -> list[StoredSpan]:
        rows = connection.execute(
            select(t.spans).where(self._of(model, kinds), _overlaps(within), t.spans.c.state == "sealed")
        )
        return sorted(map(_stored, rows), key=_in_time)

    def _deleted(self, connection: Connection, model: str, within: Window, kinds: Sequence[SpanKind]) -> list[Window]:
        rows = connection.execute(
            select(t.spans.c.window_start, t.spans.c.window_end).where(
                self._of(model, kinds), _overlaps(within), t.spans.c.state.in_(["expired", "deleted"])
            )
        )
        return [Window(from_micros(row.window_start), from_micros(row.window_end)) for row in rows]

    def _next_numbers(self, connection: Connection, model: str, windows: Sequence[Window]) -> dict[Window, int]:
        counted = t.label_counts.c
        first, last = (micros(choose(window.start for window in windows)) for choose in (min, max))
        rows = connection.execute(
            select(counted.window_start, func.max(counted.number).label("number"))
            .where(counted.team == self._team, counted.model == model)
            .where(counted.window_start >= first, counted.window_start <= last)
            .group_by(counted.window_start)
        )
        known = {row.window_start: row.number for row in rows}
        return {window: known.get(micros(window.start), 0) + 1 for window in windows}

    def _mark(self, connection: Connection, ids: Sequence[str], number: int) -> None:
        for first in range(0, len(ids), _BATCH):
            batch = ids[first : first + _BATCH]
            changed = connection.execute(
                update(t.spans)
                .where(t.spans.c.span_id.in_(batch), t.spans.c.revision.is_(None), t.spans.c.state == "sealed")
                .values(revision=number)
            ).rowcount
            if changed != len(batch):
                raise StaleClaim("labels were counted by another monitor, or their spans are gone")

    def _of(self, model: str, kinds: Iterable[SpanKind]) -> ColumnElement[bool]:
        return and_(t.spans.c.team == self._team, t.spans.c.model == model, t.spans.c.kind.in_(list(kinds)))


_FATES = tuple(field.name for field in fields(FateCounts))


def _overlaps(within: Window) -> ColumnElement[bool]:
    return and_(t.spans.c.window_start < micros(within.end), t.spans.c.window_end > micros(within.start))


def _stored(row: Row[tuple[object, ...]]) -> StoredSpan:
    return StoredSpan(
        row.span_id,
        row.name,
        row.version,
        Window(from_micros(row.window_start), from_micros(row.window_end)),
        row.rows,
        int(row.theta),
        int(row.min_hash),
        int(row.max_hash),
    )


def _in_time(span: StoredSpan) -> tuple[datetime, str]:
    return span.window.start, span.span_id


def _near(waiting: Sequence[StoredSpan], horizon: timedelta, at_most: int) -> list[StoredSpan]:
    """Return the first of the spans, which are in order: of one horizon, at least of one window, and not too many labels."""
    chosen: list[StoredSpan] = []
    rows = 0
    for span in waiting:
        first = chosen[0].window if chosen else span.window
        rows += span.rows
        if span.window.end > max(first.end, first.start + horizon) or (chosen and rows > at_most):
            break
        chosen.append(span)
    return chosen
