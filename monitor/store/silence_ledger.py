"""Silences in the ledger; changes with what is kept of one."""

from __future__ import annotations

import builtins
import uuid
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, insert, select, update

from monitor.alert.silence import Silence
from monitor.clock import from_micros, rfc3339, to_micros
from monitor.errors import InputError
from monitor.matchers import parse_matchers
from monitor.store import audit
from monitor.store import loop_tables as t
from monitor.store.database import Database


class UnknownSilence(InputError):
    """There is no silence of this id."""


class SqlSilences:
    """Silences in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def add(self, matchers: str, starts: datetime, ends: datetime, by: str, comment: str, now: datetime) -> str:
        """Mute alerts whose labels match, from `starts` to before `ends`, and return the silence's id.

        Raises:
            InputError: the matchers are none, or ask for nothing that is there; or it ends before it starts.
        """
        try:
            parsed = parse_matchers(matchers)
        except ValueError as error:
            raise InputError(f"matchers: {error}") from None
        if all(each.matches({}) for each in parsed):
            raise InputError(
                'matchers: one at least must ask for something that is there, such as alertname="TrafficChanged"'
            )
        if ends <= max(starts, now):
            raise InputError("a silence ends after it starts, and not in the past")
        text = ", ".join(str(each) for each in parsed)
        silence = Silence(uuid.uuid4().hex[:12], text, starts, ends, by, comment, now)
        row = asdict(silence) | {name: to_micros(getattr(silence, name)) for name in _TIMES}
        said = asdict(silence) | {name: rfc3339(getattr(silence, name)) for name in _TIMES}
        with self._database.write() as connection:
            connection.execute(insert(t.silences).values(row | {"team": self._team}))
            audit.append(connection, self._team, by, "silence_added", said, now)
        return silence.silence_id

    def list(self, now: datetime, with_expired: bool = False) -> builtins.list[Silence]:
        """Return the silences that hold or are to come, and on demand those that are over, by their end."""
        ends = t.silences.c.ends_at
        wanted = [t.silences.c.team == self._team, *([] if with_expired else [ends > to_micros(now)])]
        with self._database.read() as connection:
            rows = connection.execute(select(t.silences).where(*wanted).order_by(ends, t.silences.c.silence_id)).all()
        return [_silence(row) for row in rows]

    def active(self, now: datetime) -> builtins.list[Silence]:
        """Return the silences that hold."""
        return [silence for silence in self.list(now) if silence.active(now)]

    def expire(self, silence_id: str, by: str, now: datetime) -> Silence:
        """End a silence now and return it; one that is over is left as it is. Raises UnknownSilence."""
        where = and_(t.silences.c.team == self._team, t.silences.c.silence_id == silence_id)
        with self._database.write() as connection:
            row = connection.execute(select(t.silences).where(where).with_for_update()).one_or_none()
            if row is None:
                raise UnknownSilence(f"there is no silence {silence_id}; see `driftline silence list`")
            if row.ends_at <= to_micros(now):
                return _silence(row)
            connection.execute(update(t.silences).where(where).values(ends_at=to_micros(now), expired_by=by))
            said = {"silence_id": silence_id, "matchers": row.matchers}
            audit.append(connection, self._team, by, "silence_expired", said, now)
            return _silence(connection.execute(select(t.silences).where(where)).one())


_TIMES = ("starts_at", "ends_at", "created_at")


def _silence(row: Row[Any]) -> Silence:
    values = {name: value for name, value in row._asdict().items() if name != "team"}
    return Silence(**values | {name: from_micros(values[name]) for name in _TIMES})
