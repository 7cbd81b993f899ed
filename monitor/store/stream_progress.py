"""How far a stream of records has been read, as collectors commit it; changes with what a watermark needs to know."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from monitor.clock import from_micros
from monitor.config.settings import WindowSettings
from monitor.store import tables as t
from monitor.store.database import moment
from monitor.window.watermark import Progress, watermark


def watermark_of(
    connection: Connection, team: str, stream: str, settings: WindowSettings, now: datetime
) -> datetime | None:
    """Return the watermark of a stream by the progress of its partitions; None before the first record.

    Args:
        connection: of a transaction.
        team: whose stream it is.
        stream: name of the partitions (topic, or files as configured).
        settings: lateness, idleness and the kind of time.
        now: wall clock.
    """
    known = t.partitions.c
    rows = connection.execute(select(t.partitions).where(known.team == team, known.name == stream, ~known.retired))
    progress = [
        Progress(moment(row.max_event_time), row.at_end, from_micros(row.checked_at), from_micros(row.progressed_at))
        for row in rows
    ]
    return watermark(
        progress,
        allowed_lateness=settings.allowed_lateness,
        idle_timeout=settings.idle_timeout,
        time=settings.time,
        now=now,
    )
