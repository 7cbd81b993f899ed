"""The monitor's side of the ledger: watermarks and closing, what is not yet judged, and verdicts."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Subquery, and_, func, insert, or_, select, update

from monitor.clock import from_micros
from monitor.config.settings import WindowSettings
from monitor.errors import StaleClaim
from monitor.records import SpanKind, Window, WindowKey
from monitor.store import audit
from monitor.store import tables as t
from monitor.store.database import Database, micros, moment
from monitor.store.leases import Lease, require
from monitor.window.watermark import Progress, closed_until, watermark

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
    """A closed window with spans that no revision holds yet; `revision` is the one to make."""

    key: WindowKey
    revision: int
    spans: Sequence[SpanRef]
    rows_seen: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the monitor found out about a pending window; `document` is DESIGN's findings object of the overall slice."""

    pending: PendingWindow
    document: Mapping[str, Any]
    profile: Mapping[str, Any] | None
    baseline: int | None
    configuration_hash: str


class SqlWindowLedger:
    """Closing and verdicts in SQL; safe to share between threads."""

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
            mark = watermark(
                self._progress(connection, stream),
                allowed_lateness=settings.allowed_lateness,
                idle_timeout=settings.idle_timeout,
                time=settings.time,
                now=now,
            )
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
                select(t.spans.c.version, t.spans.c.window_start, t.spans.c.window_end)
                .where(
                    t.spans.c.team == self._team,
                    t.spans.c.model == model,
                    t.spans.c.state == "sealed",
                    t.spans.c.kind.in_(_TRAFFIC),
                    t.spans.c.revision.is_(None),
                    t.spans.c.window_end <= stream.closed_until,
                )
                .distinct()
            ):
                window = known.get((row.version, row.window_start))
                if self._may_judge(window, row.window_end, stream.watermark, restate_for, now):
                    fresh.add(tuple(row))
            return [
                self._pending(connection, model, version, start, end, known.get((version, start)))
                for version, start, end in sorted(fresh, key=lambda each: (each[1], each[0]))
            ]

    def record(self, judgement: Judgement, lease: Lease, now: datetime) -> bool:
        """Record a revision with its profile and findings; returns whether somebody must be told.

        A flagged window is told once; a later revision may resolve that, and never tells again.

        Raises:
            StaleClaim: the lease is lost, or the revision or one of the spans was recorded by somebody else.
        """
        pending, document = judgement.pending, judgement.document
        key, revision = pending.key, pending.revision
        with self._database.write() as connection:
            require(connection, self._team, lease)
            self._raise_revision(connection, key, revision, now)
            self._include(connection, pending)
            where = self._row_key(key) | {"revision": revision, "slice": ""}
            if judgement.profile is not None:
                blob = encode_document(judgement.profile)
                connection.execute(
                    insert(t.profiles).values(where | {"baseline": judgement.baseline or 0, "document": blob})
                )
            text = json.dumps(document, allow_nan=False)
            values = {
                "window_end": micros(key.window.end),
                "baseline": judgement.baseline,
                "verdict": document["verdict"],
                "configuration_hash": judgement.configuration_hash,
                "fencing_token": lease.token,
                "recorded_at": micros(now),
                "document": text,
            }
            connection.execute(insert(t.findings).values(where | values))
            audit.append(connection, self._team, lease.holder, "window_judged", _audit_body(judgement, text), now)
            return self._notice(connection, key, revision, document["verdict"] == "flagged", now)

    def findings(self, model: str) -> list[dict[str, Any]]:
        """Return the newest revision of every judged window as DESIGN's findings objects, in window order."""
        newest = newest_revisions(self._team)
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.findings.c.document)
                .join(newest, is_newest(newest))
                .where(t.findings.c.team == self._team, t.findings.c.model == model)
                .order_by(t.findings.c.window_start, t.findings.c.version, t.findings.c.slice)
            )
            return [json.loads(row.document) for row in rows]

    def earlier_profile(self, key: WindowKey, baseline: int) -> tuple[Window, Mapping[str, Any] | None] | None:
        """Return the nearest earlier judged window that had rows, with its newest profile on `baseline` where there is one."""
        with self._database.read() as connection:
            row = connection.execute(
                select(t.profiles.c.window_start, t.windows.c.window_end, t.profiles.c.revision)
                .join(t.windows, and_(*(t.windows.c[name] == t.profiles.c[name] for name in _WINDOW_COLUMNS)))
                .where(self._same_version(t.profiles, key), t.profiles.c.window_start < micros(key.window.start))
                .order_by(t.profiles.c.window_start.desc(), t.profiles.c.revision.desc())
                .limit(1)
            ).one_or_none()
            if row is None:
                return None
            document = connection.execute(
                select(t.profiles.c.document).where(
                    self._same_version(t.profiles, key),
                    t.profiles.c.window_start == row.window_start,
                    t.profiles.c.revision == row.revision,
                    t.profiles.c.baseline == baseline,
                )
            ).scalar_one_or_none()
        window = Window(from_micros(row.window_start), from_micros(row.window_end))
        return window, None if document is None else decode_document(document)

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
        return PendingWindow(key, found.revision - 1, [s for s in found.spans if s.included], found.rows_seen)

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

    def _progress(self, connection: Connection, stream: str) -> list[Progress]:
        rows = connection.execute(
            select(t.partitions).where(
                t.partitions.c.team == self._team, t.partitions.c.name == stream, ~t.partitions.c.retired
            )
        )
        return [
            Progress(
                moment(row.max_event_time), row.at_end, from_micros(row.checked_at), from_micros(row.progressed_at)
            )
            for row in rows
        ]

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
        seen = connection.execute(
            select(func.coalesce(func.sum(counted.records), 0)).where(
                counted.team == self._team,
                counted.model == model,
                counted.version == version,
                counted.window_start == start,
                counted.kind.in_(_TRAFFIC),
            )
        ).scalar_one()
        key = WindowKey(model, version, Window(from_micros(start), from_micros(end)))
        return PendingWindow(key, (window.revision if window else 0) + 1, spans, int(seen))

    def _raise_revision(self, connection: Connection, key: WindowKey, revision: int, now: datetime) -> None:
        changed = connection.execute(
            update(t.windows)
            .where(
                self._same_version(t.windows, key),
                t.windows.c.window_start == micros(key.window.start),
                t.windows.c.revision == revision - 1,
            )
            .values(revision=revision, judged_at=micros(now))
        ).rowcount
        if not changed and revision == 1:  # a version whose first rows came after its window had closed
            row = self._row_key(key) | {"window_end": micros(key.window.end), "closed_at": micros(now)}
            connection.execute(insert(t.windows).values(row | {"judged_at": micros(now), "revision": 1}))
        elif changed != 1:
            raise StaleClaim(f"revision {revision} of {key.window} was recorded by another monitor")

    def _include(self, connection: Connection, pending: PendingWindow) -> None:
        for span in pending.spans:
            if span.included:
                continue
            changed = connection.execute(
                update(t.spans)
                .where(t.spans.c.span_id == span.span_id, t.spans.c.revision.is_(None), t.spans.c.state == "sealed")
                .values(revision=pending.revision)
            ).rowcount
            if changed != 1:
                raise StaleClaim(f"span {span.span_id} was included by another monitor")

    def _notice(self, connection: Connection, key: WindowKey, revision: int, flagged: bool, now: datetime) -> bool:
        where = and_(self._same_version(t.notices, key), t.notices.c.window_start == micros(key.window.start))
        told = connection.execute(select(t.notices.c.resolved_at).where(where)).one_or_none()
        if flagged and told is None:
            row = self._row_key(key) | {"slice": "", "revision": revision, "notified_at": micros(now)}
            connection.execute(insert(t.notices).values(row))
            return True
        if not flagged and told is not None and told.resolved_at is None:
            connection.execute(update(t.notices).where(where).values(resolved_at=micros(now)))
        return False

    def _row_key(self, key: WindowKey) -> dict[str, Any]:
        return {
            "team": self._team,
            "model": key.model,
            "version": key.version,
            "window_start": micros(key.window.start),
        }

    def _same_version(self, table: Any, key: WindowKey) -> ColumnElement[bool]:
        return and_(table.c.team == self._team, table.c.model == key.model, table.c.version == key.version)


_WINDOW_COLUMNS = ("team", "model", "version", "window_start")


def newest_revisions(team: str) -> Subquery:
    """Return the keys of the newest revision of all judged windows of a team."""
    key = [t.findings.c[name] for name in (*_WINDOW_COLUMNS[1:], "slice")]
    newest = func.max(t.findings.c.revision).label("revision")
    return select(*key, newest).where(t.findings.c.team == team).group_by(*key).subquery()


def is_newest(newest: Subquery) -> ColumnElement[bool]:
    """Return the condition that joins findings to `newest_revisions`."""
    return and_(*(t.findings.c[column.name] == column for column in newest.c))


def encode_document(document: Mapping[str, Any]) -> bytes:
    """Return a JSON document as the compressed bytes that the ledger holds."""
    return zlib.compress(json.dumps(document, sort_keys=True).encode(), level=3)


def decode_document(blob: bytes) -> dict[str, Any]:
    """Read `encode_document`."""
    document: dict[str, Any] = json.loads(zlib.decompress(blob))
    return document


def _us(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


def _audit_body(judgement: Judgement, document: str) -> dict[str, Any]:
    pending = judgement.pending
    return {
        "model": pending.key.model,
        "version": pending.key.version,
        "window_start": pending.key.window.start.isoformat(),
        "window_end": pending.key.window.end.isoformat(),
        "revision": pending.revision,
        "verdict": judgement.document["verdict"],
        "baseline": judgement.baseline,
        "configuration_hash": judgement.configuration_hash,
        "spans": [span.span_id for span in pending.spans],
        "findings_sha256": hashlib.sha256(document.encode()).hexdigest(),
    }
