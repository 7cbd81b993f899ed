"""What was found of judged windows: revisions, findings, profiles, and who was told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Subquery, and_, func, insert, select, update

from monitor.clock import from_micros
from monitor.errors import StaleClaim
from monitor.records import Window, WindowKey
from monitor.store import audit
from monitor.store import tables as t
from monitor.store.database import Database, micros
from monitor.store.documents import decode_document, encode_document
from monitor.store.leases import Lease, require
from monitor.store.window_ledger import PendingWindow


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the monitor found out about a pending window; `document` is DESIGN's findings object of the overall slice."""

    pending: PendingWindow
    document: Mapping[str, Any]
    profile: Mapping[str, Any] | None
    baseline: int | None
    configuration_hash: str


class SqlVerdicts:
    """Verdicts in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

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
