"""API tokens: who may do what over HTTP; changes with what a token is."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import and_, insert, select, update

from monitor.clock import from_micros, rfc3339, to_micros
from monitor.errors import InputError
from monitor.store import audit
from monitor.store import loop_tables as t
from monitor.store.database import Database, micros, moment

_PREFIX = "dlt_"
"""Makes a token that lies about recognisable, also to programs that look for secrets."""
_RANDOM_BYTES = 32


class Scope(StrEnum):
    """What a token allows; each scope includes those before it."""

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"

    def includes(self, other: Scope) -> bool:
        """Say whether this scope allows what `other` does."""
        order = list(Scope)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token as it is listed; the token itself is known to its owner alone.

    Attributes:
        expires_at: from then on it is refused; None where it never is.
    """

    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    revoked: bool

    def valid(self, now: datetime) -> bool:
        """Say whether the token is accepted."""
        return not self.revoked and (self.expires_at is None or now < self.expires_at)


class SqlTokens:
    """Tokens in SQL, of which only SHA-256 is kept; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def create(self, name: str, scope: Scope, now: datetime, expires: datetime | None, actor: str = "cli") -> str:
        """Make a token and return it: this is the only time that it can be seen.

        A name is never used again, since the audit log speaks of tokens by their names.

        Raises:
            InputError: the name is taken, also by a revoked token, or is no name.
        """
        if not name or len(name) > 100 or not name.isprintable() or name != name.strip():
            raise InputError("a token's name has 1 to 100 printable characters, and no space at its ends")
        token = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
        with self._database.write() as connection:
            if connection.execute(select(t.api_tokens.c.name).where(self._named(name))).one_or_none() is not None:
                raise InputError(f"there is a token {name!r} already, or was; choose another name")
            row = {
                "team": self._team,
                "name": name,
                "digest": secret_digest(token),
                "scope": str(scope),
                "created_at": to_micros(now),
                "expires_at": micros(expires),
                "revoked": False,
            }
            connection.execute(insert(t.api_tokens).values(row))
            body = {"name": name, "scope": str(scope), "expires_at": None if expires is None else rfc3339(expires)}
            audit.append(connection, self._team, actor, "token_created", body, now)
        return token

    def verified(self, token: str, now: datetime) -> ApiToken | None:
        """Return what a token allows; None where it is unknown, of another team, revoked or expired."""
        digest = secret_digest(token)
        with self._database.read() as connection:
            row = connection.execute(
                select(t.api_tokens).where(t.api_tokens.c.team == self._team, t.api_tokens.c.digest == digest)
            ).one_or_none()
        if row is None or not hmac.compare_digest(row.digest, digest):
            return None
        found = _token(row)
        return found if found.valid(now) else None

    def list(self) -> list[ApiToken]:
        """Return all tokens, revoked and expired ones too, by name."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.api_tokens).where(t.api_tokens.c.team == self._team).order_by(t.api_tokens.c.name)
            ).all()
        return [_token(row) for row in rows]

    def revoke(self, name: str, now: datetime, actor: str = "cli") -> None:
        """Refuse a token from now on; doing so again changes nothing. Raises InputError where there is none."""
        with self._database.write() as connection:
            row = connection.execute(select(t.api_tokens).where(self._named(name)).with_for_update()).one_or_none()
            if row is None:
                raise InputError(f"there is no token {name!r}; see: driftline token list")
            if row.revoked:
                return
            connection.execute(update(t.api_tokens).where(self._named(name)).values(revoked=True))
            audit.append(connection, self._team, actor, "token_revoked", {"name": name}, now)

    def _named(self, name: str) -> Any:
        return and_(t.api_tokens.c.team == self._team, t.api_tokens.c.name == name)


def secret_digest(secret: str) -> str:
    """Return what is kept of a secret of 256 random bits: too many to be guessed, so that no slow hash is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _token(row: Any) -> ApiToken:
    return ApiToken(row.name, Scope(row.scope), from_micros(row.created_at), moment(row.expires_at), bool(row.revoked))
