"""What quality of a window was estimated at, before its labels came: kept as it was said, whatever the labels said later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import and_, exists, func, insert, select

from monitor.clock import from_micros
from monitor.errors import StaleClaim
from monitor.records import SpanKind, Window, WindowKey
from monitor.store import audit
from monitor.store import tables as t
from monitor.store.database import Database, micros
from monitor.store.leases import Lease, require
from monitor.window.label_due import Stage

_WINDOW = ("team", "model", "version", "window_start")
_TRAFFIC = (SpanKind.TRAFFIC, SpanKind.LATE)


class SqlEstimates:
    """Estimates in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def waiting(self, model: str) -> list[WindowKey]:
        """Return judged windows with rows whose newest revision has no estimate, oldest first.

        One whose labels are complete needs none: an estimate made with hindsight would tell nothing.
        """
        windows, estimated, evaluated, spans = t.windows, t.estimates, t.evaluations, t.spans
        same_estimate = [estimated.c[name] == windows.c[name] for name in _WINDOW]
        same_evaluation = [evaluated.c[name] == windows.c[name] for name in _WINDOW]
        same_span = [spans.c[name] == windows.c[name] for name in _WINDOW]
        with self._database.read() as connection:
            rows = connection.execute(
                select(windows.c.version, windows.c.window_start, windows.c.window_end)
                .where(windows.c.team == self._team, windows.c.model == model, windows.c.revision > 0)
                .where(exists().where(*same_span, spans.c.state == "sealed", spans.c.kind.in_(_TRAFFIC)))
                .where(~exists().where(*same_estimate, estimated.c.traffic_revision == windows.c.revision))
                .where(~exists().where(*same_evaluation, evaluated.c.stage != Stage.PROVISIONAL))
                .order_by(windows.c.window_start, windows.c.version)
            ).all()
        return [
            WindowKey(model, row.version, Window(from_micros(row.window_start), from_micros(row.window_end)))
            for row in rows
        ]

    def record(self, key: WindowKey, revision: int, document: Mapping[str, Any], lease: Lease, now: datetime) -> None:
        """Record the estimate of a window's revision, once.

        Raises:
            StaleClaim: the lease is lost, or somebody else recorded it.
        """
        row = {
            "team": self._team,
            "model": key.model,
            "version": key.version,
            "window_start": micros(key.window.start),
            "traffic_revision": revision,
        }
        with self._database.write() as connection:
            require(connection, self._team, lease)
            where = and_(*(t.estimates.c[name] == value for name, value in row.items()))
            if connection.execute(select(t.estimates.c.recorded_at).where(where)).one_or_none() is not None:
                raise StaleClaim(f"quality of {key.window} was estimated by another monitor")
            values = row | {
                "window_end": micros(key.window.end),
                "fencing_token": lease.token,
                "recorded_at": micros(now),
                "document": json.dumps(document, allow_nan=False),
            }
            connection.execute(insert(t.estimates).values(values))
            body = {
                "model": key.model,
                "version": key.version,
                "window_start": key.window.start.isoformat(),
                "traffic_revision": revision,
            }
            audit.append(connection, self._team, lease.holder, "quality_estimated", body, now)

    def estimates(self, model: str) -> dict[WindowKey, dict[str, Any]]:
        """Return what was estimated for each window, of its newest revision that has an estimate, in window order."""
        known = t.estimates.c
        with self._database.read() as connection:
            rows = connection.execute(
                select(known.version, known.window_start, known.window_end, known.document)
                .where(known.team == self._team, known.model == model)
                .order_by(known.window_start, known.version, known.traffic_revision)
            ).all()
        return {
            WindowKey(
                model, row.version, Window(from_micros(row.window_start), from_micros(row.window_end))
            ): json.loads(row.document)
            for row in rows
        }

    def latest(self) -> list[dict[str, Any]]:
        """Return what was estimated for the newest window of each version of each model, of its newest revision."""
        known = t.estimates.c
        version = (known.model, known.version)
        start = func.max(known.window_start).label("window_start")
        last = select(*version, start).where(known.team == self._team).group_by(*version).subquery()
        with self._database.read() as connection:
            rows = connection.execute(
                select(*version, known.document)
                .join(last, and_(*(known[column.name] == column for column in last.c)))
                .where(known.team == self._team)
                .order_by(*version, known.traffic_revision)
            ).all()
        newest = {(row.model, row.version): row.document for row in rows}
        return [json.loads(document) for document in newest.values()]
