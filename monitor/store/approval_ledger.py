"""Links by which a person approves a retrain, or not; changes with what such a link is."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, insert, select, update

from monitor.clock import from_micros, rfc3339, to_micros
from monitor.store import audit
from monitor.store import loop_tables as t
from monitor.store.database import Database, moment
from monitor.store.token_ledger import secret_digest

_RANDOM_BYTES = 32


@dataclass(frozen=True, slots=True)
class ApprovalLink:
    """What is known of a link.

    Attributes:
        expires_at: from then on it does nothing.
        used_for: what it was used for, `approve` or `reject`; None while it was not.
    """

    retrain_id: str
    expires_at: datetime
    used_at: datetime | None = None
    used_for: str | None = None

    def open(self, now: datetime) -> bool:
        """Say whether it can still be used."""
        return self.used_at is None and now < self.expires_at


class SqlApprovals:
    """Links in SQL, of which only SHA-256 is kept; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def issue(self, retrain_id: str, now: datetime, expires: datetime) -> str:
        """Make a link and return its secret part, the end of `/approve/...`; whoever has it may use it, once."""
        token = secrets.token_urlsafe(_RANDOM_BYTES)
        with self._database.write() as connection:
            row = {
                "team": self._team,
                "digest": secret_digest(token),
                "retrain_id": retrain_id,
                "created_at": to_micros(now),
                "expires_at": to_micros(expires),
            }
            connection.execute(insert(t.approval_links).values(row))
            body = {"retrain_id": retrain_id, "expires_at": rfc3339(expires)}
            audit.append(connection, self._team, "driftline", "approval_link_issued", body, now)
        return token

    def peek(self, token: str) -> ApprovalLink | None:
        """Return a link without using it, None where there is none; looking changes nothing."""
        with self._database.read() as connection:
            row = connection.execute(select(t.approval_links).where(self._is(token))).one_or_none()
        return None if row is None else _link(row)

    def use(self, token: str, for_: str, now: datetime) -> ApprovalLink | None:
        """Use a link up; None where it is unknown, expired or was used, by whichever of two that do so at once came second."""
        with self._database.write() as connection:
            used = connection.execute(
                update(t.approval_links)
                .where(self._is(token), t.approval_links.c.used_at.is_(None))
                .where(t.approval_links.c.expires_at > to_micros(now))
                .values(used_at=to_micros(now), used_for=for_)
            )
            if used.rowcount != 1:
                return None
            link = _link(connection.execute(select(t.approval_links).where(self._is(token))).one())
            body = {"retrain_id": link.retrain_id, "for": for_}
            audit.append(connection, self._team, "approval link", "approval_link_used", body, now)
        return link

    def _is(self, token: str) -> ColumnElement[bool]:
        return and_(t.approval_links.c.team == self._team, t.approval_links.c.digest == secret_digest(token))


def _link(row: Any) -> ApprovalLink:
    return ApprovalLink(row.retrain_id, from_micros(row.expires_at), moment(row.used_at), row.used_for)
