"""Which windows of a model were judged, of all its versions; changes with what is asked of judged windows."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from monitor.clock import from_micros
from monitor.records import Window, WindowKey
from monitor.store import tables as t
from monitor.store.database import Database, micros


def judged_windows(
    database: Database, team: str, model: str, since: datetime | None, until: datetime | None
) -> dict[WindowKey, int]:
    """Return the newest revision of each judged window within [since, until), oldest first, then by version."""
    windows = t.windows.c
    with database.read() as connection:
        rows = connection.execute(
            select(t.windows)
            .where(windows.team == team, windows.model == model, windows.revision > 0)
            .where(*([] if since is None else [windows.window_start >= micros(since)]))
            .where(*([] if until is None else [windows.window_end <= micros(until)]))
            .order_by(windows.window_start, windows.version)
        ).all()
    return {
        WindowKey(model, row.version, Window(from_micros(row.window_start), from_micros(row.window_end))): row.revision
        for row in rows
    }
