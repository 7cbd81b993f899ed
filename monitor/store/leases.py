"""Leases with fencing tokens: which monitor may work on what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update

from monitor.clock import to_micros
from monitor.errors import StaleClaim
from monitor.store import tables as t
from monitor.store.database import Database


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one monitor to work on one thing; `token` grows with every change of hands."""

    name: str
    holder: str
    token: int


class SqlLeases:
    """Leases in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def acquire(self, name: str, holder: str, now: datetime, duration: timedelta) -> Lease | None:
        """Take or renew a lease; None while somebody else holds it."""
        where = and_(t.leases.c.team == self._team, t.leases.c.name == name)
        until = to_micros(now + duration)
        with self._database.write() as connection:
            row = connection.execute(select(t.leases).where(where).with_for_update()).one_or_none()
            if row is None:
                values = {"team": self._team, "name": name, "holder": holder, "token": 1, "held_until": until}
                connection.execute(insert(t.leases).values(values))
                return Lease(name, holder, 1)
            if row.holder != holder and row.held_until > to_micros(now):
                return None
            token = row.token + (row.holder != holder)
            connection.execute(update(t.leases).where(where).values(holder=holder, token=token, held_until=until))
            return Lease(name, holder, token)

    def release(self, lease: Lease) -> None:
        """Give a lease back, so that the next monitor need not wait; a lost one is left alone."""
        with self._database.write() as connection:
            connection.execute(update(t.leases).where(_held(self._team, lease)).values(held_until=0))


def require(connection: Connection, team: str, lease: Lease) -> None:
    """Make sure, until the caller's transaction ends, that the lease is still held; raises StaleClaim."""
    held = select(t.leases.c.token).where(_held(team, lease)).with_for_update()
    if connection.execute(held).one_or_none() is None:
        raise StaleClaim(f"the lease {lease.name} went to another monitor")


def _held(team: str, lease: Lease) -> ColumnElement[bool]:
    return and_(
        t.leases.c.team == team,
        t.leases.c.name == lease.name,
        t.leases.c.holder == lease.holder,
        t.leases.c.token == lease.token,
    )
