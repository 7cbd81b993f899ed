"""What an Alertmanager posted and was dealt with, so that repetitions and old news change nothing."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, func, insert, select

from monitor.clock import from_micros, to_micros
from monitor.errors import StaleClaim
from monitor.store import loop_tables as t
from monitor.store.alert_taking import LATE_WITHIN
from monitor.store.database import Database

_FIRING, _RESOLVED = "firing", "resolved"


class SqlInbox:
    """Messages in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def news(self, fingerprint: str, starts_at: datetime, status: str, now: datetime) -> bool:
        """Say whether a message tells something: it was not seen, and nothing later of the same alert was.

        Later is a later start, and `resolved` of the same one: an Alertmanager that retries, or one of several, may deliver in
        another order than things happened. But `firing` so long after `resolved` that it is no late word (`LATE_WITHIN`) is news.
        """
        inbox = t.alert_inbox.c
        of_alert = (inbox.team == self._team, inbox.fingerprint == fingerprint)
        with self._database.read() as connection:
            newest = connection.execute(select(func.max(inbox.starts_at)).where(*of_alert)).scalar_one()
            if newest is None or newest < to_micros(starts_at):
                return True
            if newest > to_micros(starts_at):
                return False
            rows = connection.execute(
                select(inbox.status, inbox.received_at).where(*of_alert, inbox.starts_at == newest)
            ).all()
        seen = {row.status: from_micros(row.received_at) for row in rows}
        if status == _FIRING and _RESOLVED in seen:
            return abs(now - seen[_RESOLVED]) > LATE_WITHIN
        return status not in seen

    def remember(self, fingerprint: str, starts_at: datetime, status: str, now: datetime) -> None:
        """Note that a message was dealt with; done after that, so that a crash between the two leads to a repetition, no loss.

        What fires again is forgotten to be over, so that its next end is news.
        """
        values = {"fingerprint": fingerprint, "starts_at": to_micros(starts_at), "status": status}
        try:
            with self._database.write() as connection:
                same = [t.alert_inbox.c[name] == value for name, value in values.items()]
                there = select(t.alert_inbox.c.status).where(t.alert_inbox.c.team == self._team, *same)
                if connection.execute(there).one_or_none() is None:
                    row = {"team": self._team, "received_at": to_micros(now)} | values
                    connection.execute(insert(t.alert_inbox).values(row))
                if status == _FIRING:
                    over = [t.alert_inbox.c[name] == value for name, value in (values | {"status": _RESOLVED}).items()]
                    connection.execute(delete(t.alert_inbox).where(t.alert_inbox.c.team == self._team, *over))
        except StaleClaim:
            return  # the same message, posted twice at once, was noted by the other
