"""What becomes of span files that nobody will read: abandoned intents, and spans past their retention."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from monitor.cuts import SpanStorage
from monitor.store import tables as t
from monitor.store.database import Database, micros

_GRACE = timedelta(hours=1)
"""Between marking a span as expired and deleting its file, so that whoever reads it now can finish."""


class Housekeeping:
    """Deletes in two steps, first the row's state and then the file, so that a crash between them only repeats work."""

    def __init__(self, database: Database, team: str, storage: SpanStorage) -> None:
        """Clean `storage` according to `database`."""
        self._database = database
        self._team = team
        self._storage = storage

    def clean(self, keep: timedelta, now: datetime) -> int:
        """Abandon intents whose lease ran out, expire spans committed longer than `keep` ago, delete files; returns how many."""
        spans = t.spans.c
        overdue = (spans.state == "writing") & (spans.lease_until < (micros(now) or 0))
        old = (spans.state == "sealed") & (spans.created_at < (micros(now - keep) or 0))
        with self._database.write() as connection:
            connection.execute(update(t.spans).where(spans.team == self._team, overdue).values(state="abandoned"))
            connection.execute(
                update(t.spans)
                .where(spans.team == self._team, old)
                .values(state="expired", lease_until=micros(now + _GRACE))
            )
        with self._database.read() as connection:
            doomed = connection.execute(
                select(spans.span_id, spans.name, spans.state).where(
                    spans.team == self._team,
                    (spans.state == "abandoned")
                    | ((spans.state == "expired") & (spans.lease_until < (micros(now) or 0))),
                )
            ).all()
        for row in doomed:
            self._storage.delete(row.name)
        with self._database.write() as connection:
            for row in doomed:
                mine = (spans.span_id == row.span_id) & (spans.state == row.state)
                if row.state == "abandoned":
                    connection.execute(delete(t.spans).where(mine))
                else:  # the row stays: totals and the audit log refer to it
                    connection.execute(update(t.spans).where(mine).values(state="deleted"))
        return len(doomed)
