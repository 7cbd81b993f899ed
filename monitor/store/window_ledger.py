"""When windows close, and which of them are due to be judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, insert, or_, select, update

from monitor.clock import from_micros
from monitor.config.settings import WindowSettings
from monitor.records import SpanKind, Window, WindowKey
from monitor.store import tables as t
from monitor.store.database import Database, micros, moment
from monitor.store.leases import Lease, require
from monitor.store.stream_progress import watermark_of
from monitor.window.watermark import closed_until

_TRAFFIC = (SpanKind.TRAFFIC, SpanKind.LATE)
_MAX_RESTATE_DELAY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class SpanRef:
    """A sealed span as the monitor reads it."""

    span_id: str
    name: str
    theta: int
    rows: int
    included: bool
    """Whether an earlier revision already holds it."""


@dataclass(frozen=True, slots=True)
class PendingWindow:
    """A closed window with spans that no revision holds yet; `revision` is the one to make.

    `strata` says how many records were seen of each stratum; empty where that is not known, as for several windows in one.
    `deleted` counts spans of a window as it was judged that retention has taken since.
    """

    key: WindowKey
    revision: int
    spans: Sequence[SpanRef]
    rows_seen: int
    strata: Mapping[str, int] = field(default_factory=dict)
    deleted: int = 0


class SqlWindowLedger:
    """Closing in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def advance(
        self, model: str, stream: str, settings: WindowSettings, lease: Lease, now: datetime
    ) -> datetime | None:
        """Move the model's watermark on and close the windows behind it; returns the watermark, None before the first.

        Args:
            model: the model.
            stream: name of the partitions of its traffic (topic, or files as configured).
            settings: the model's windows.
            lease: the model's lease.
            now: wall clock.

        Raises:
            StaleClaim: the lease is lost.
        """
        with self._database.write() as connection:
            require(connection, self._team, lease)
            where = and_(t.streams.c.team == self._team, t.streams.c.model == model)
            row = connection.execute(select(t.streams).where(where).with_for_update()).one_or_none()
            if row is None:
                connection.execute(insert(t.streams).values(team=self._team, model=model))
            stored = moment(row.watermark) if row else None
            frontier = row.closed_until if row and row.closed_until is not None else None
            mark = watermark_of(connection, self._team, stream, settings, now)
            if mark is None or (stored is not None and mark <= stored):
                return stored
            new_frontier = micros(closed_until(mark, settings.length)) or 0
            if frontier is None or new_frontier > frontier:
                self._close(connection, model, frontier, new_frontier, now)
                frontier = new_frontier
            connection.execute(update(t.streams).where(where).values(watermark=micros(mark), closed_until=frontier))
            return mark

    def pending(self, model: str, restate_for: timedelta, now: datetime) -> list[PendingWindow]:
        """Return the closed windows with spans in no revision yet, oldest first, as one snapshot.

        A window that has a revision is returned again only within `restate_for` of the watermark, and after a delay that
        doubles with every revision up to ten minutes, so that trickling late rows do not restate it at every look.
        """
        with self._database.read() as connection:
            stream = connection.execute(
                select(t.streams).where(t.streams.c.team == self._team, t.streams.c.model == model)
            ).one_or_none()
            if stream is None or stream.closed_until is None:
                return []
            known = {
                (row.version, row.window_start): row
                for row in connection.execute(
                    select(t.windows)
                    .where(t.windows.c.team == self._team, t.windows.c.model == model)
                    .where(
                        or_(t.windows.c.revision == 0, t.windows.c.window_end >= stream.watermark - _us(restate_for))
                    )
                )
            }
            fresh = {(row.version, row.window_start, row.window_end) for row in known.values() if row.revision == 0}
            for row in connection.execute(
                select(t.spans.c.version, t.spans.c.window_start, t.spans.c.window_end).where(
                    t.spans.c.team == self._team,
                    t.spans.c.model == model,
                    t.spans.c.state == "sealed",
                    t.spans.c.kind.in_(_TRAFFIC),
                    t.spans.c.revision.is_(None),
                    t.spans.c.window_end <= stream.closed_until,
                )
            ):
                window = known.get((row.version, row.window_start))
                if self._may_judge(window, row.window_end, stream.watermark, restate_for, now):
                    fresh.add(tuple(row))
            return [
                self._pending(connection, model, version, start, end, known.get((version, start)))
                for version, start, end in sorted(fresh, key=lambda each: (each[1], each[0]))
            ]

    def spans_of(self, key: WindowKey) -> PendingWindow:
        """Return a window as it was last judged: its newest revision, with the spans that this holds."""
        with self._database.read() as connection:
            row = connection.execute(
                select(t.windows).where(
                    self._same_version(t.windows, key), t.windows.c.window_start == micros(key.window.start)
                )
            ).one_or_none()
            start, end = micros(key.window.start) or 0, micros(key.window.end) or 0
            found = self._pending(connection, key.model, key.version, start, end, row)
            deleted = connection.execute(
                select(func.count()).where(
                    self._same_version(t.spans, key),
                    t.spans.c.window_start == start,
                    t.spans.c.state != "sealed",
                    t.spans.c.kind.in_(_TRAFFIC),
                    t.spans.c.revision.is_not(None),
                )
            ).scalar_one()
        included = [span for span in found.spans if span.included]
        return PendingWindow(key, found.revision - 1, included, found.rows_seen, found.strata, deleted)

    def closed_spans(
        self, model: str, version: str | None, since: datetime | None, until: datetime | None
    ) -> PendingWindow | None:
        """Return the judged spans of the windows within [since, until) as one, None where there are none.

        Without a version the one of the newest window is taken.
        """
        judged = [
            t.spans.c.team == self._team,
            t.spans.c.model == model,
            t.spans.c.state == "sealed",
            t.spans.c.kind.in_(_TRAFFIC),
            t.spans.c.revision.is_not(None),
            *([] if since is None else [t.spans.c.window_start >= micros(since)]),
            *([] if until is None else [t.spans.c.window_end <= micros(until)]),
        ]
        with self._database.read() as connection:
            if version is None:
                newest = select(t.spans.c.version).where(*judged).order_by(t.spans.c.window_start.desc()).limit(1)
                version = connection.execute(newest).scalar_one_or_none()
            rows = connection.execute(
                select(t.spans).where(*judged, t.spans.c.version == version).order_by(t.spans.c.span_id)
            ).all()
        if not rows or version is None:
            return None
        window = Window(
            from_micros(min(row.window_start for row in rows)), from_micros(max(row.window_end for row in rows))
        )
        spans = [SpanRef(row.span_id, row.name, int(row.theta), row.rows, True) for row in rows]
        return PendingWindow(WindowKey(model, version, window), 1, spans, sum(span.rows for span in spans))

    def _close(self, connection: Connection, model: str, old: int | None, new: int, now: datetime) -> None:
        counted = t.window_counts.c
        keys = connection.execute(
            select(counted.version, counted.window_start, counted.window_end)
            .where(
                counted.team == self._team,
                counted.model == model,
                counted.kind == SpanKind.TRAFFIC,
                counted.window_end <= new,
                *([] if old is None else [counted.window_end > old]),
            )
            .distinct()
        ).all()
        if keys:
            rows = [
                {"team": self._team, "model": model, "closed_at": micros(now), "revision": 0} | row._asdict()
                for row in keys
            ]
            connection.execute(insert(t.windows), rows)

    def _may_judge(self, window: Row[Any] | None, end: int, mark: int, restate_for: timedelta, now: datetime) -> bool:
        if window is not None and window.revision == 0:
            return True
        if mark - end > _us(restate_for):
            return False
        if window is None or window.judged_at is None:
            return True
        delay = min(timedelta(seconds=2 ** min(window.revision, 20)), _MAX_RESTATE_DELAY)
        return from_micros(window.judged_at) + delay <= now

    def _pending(
        self, connection: Connection, model: str, version: str, start: int, end: int, window: Row[Any] | None
    ) -> PendingWindow:
        same = (
            t.spans.c.team == self._team,
            t.spans.c.model == model,
            t.spans.c.version == version,
            t.spans.c.window_start == start,
        )
        spans = [
            SpanRef(row.span_id, row.name, int(row.theta), row.rows, row.revision is not None)
            for row in connection.execute(
                select(t.spans)
                .where(*same, t.spans.c.state == "sealed", t.spans.c.kind.in_(_TRAFFIC))
                .order_by(t.spans.c.span_id)
            )
        ]
        counted = t.window_counts.c
        strata = {
            row.stratum: int(row.seen)
            for row in connection.execute(
                select(counted.stratum, func.sum(counted.records).label("seen"))
                .where(
                    counted.team == self._team,
                    counted.model == model,
                    counted.version == version,
                    counted.window_start == start,
                    counted.kind.in_(_TRAFFIC),
                )
                .group_by(counted.stratum)
            )
        }
        key = WindowKey(model, version, Window(from_micros(start), from_micros(end)))
        return PendingWindow(key, (window.revision if window else 0) + 1, spans, sum(strata.values()), strata)

    def _same_version(self, table: Any, key: WindowKey) -> ColumnElement[bool]:
        return and_(table.c.team == self._team, table.c.model == key.model, table.c.version == key.version)


def _us(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
