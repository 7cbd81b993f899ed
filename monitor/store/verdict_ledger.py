"""What was found of judged windows and their slices: revisions, findings and profiles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Subquery, and_, case, func, insert, select, update

from monitor.clock import from_micros
from monitor.errors import StaleClaim
from monitor.records import Window, WindowKey
from monitor.store import alert_due, audit
from monitor.store import tables as t
from monitor.store.database import Database, micros
from monitor.store.documents import decode_document, encode_document
from monitor.store.leases import Lease, require
from monitor.store.window_ledger import PendingWindow


@dataclass(frozen=True, slots=True)
class SliceJudgement:
    """What was found of one slice: DESIGN's findings object, and the profile of its rows."""

    document: Mapping[str, Any]
    profile: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the monitor found out about a pending window; `document` is DESIGN's findings object of the overall slice.

    Attributes:
        profile: of all rows; None where there are none, or there is no baseline.
        slices: the judged slices by name (`monitor.window.slicing.slice_name`).
        accumulation: what the windows of the version add up to, in the stead of what was kept before; None keeps that.
    """

    pending: PendingWindow
    document: Mapping[str, Any]
    profile: Mapping[str, Any] | None
    baseline: int | None
    configuration_hash: str
    slices: Mapping[str, SliceJudgement] = field(default_factory=dict)
    accumulation: Mapping[str, Any] | None = None

    @property
    def documents(self) -> dict[str, Mapping[str, Any]]:
        """The findings objects by slice name, the overall one first, whose name is empty."""
        return {"": self.document} | {name: each.document for name, each in self.slices.items()}

    @property
    def verdict(self) -> str:
        """The window's verdict: flagged where any slice is, else that of all rows."""
        flagged = any(document["verdict"] == _FLAGGED for document in self.documents.values())
        return _FLAGGED if flagged else str(self.document["verdict"])


@dataclass(frozen=True, slots=True)
class JudgedWindow:
    """A window that was judged and had rows; `profiles` by slice name are empty where it was judged by another baseline."""

    window: Window
    profiles: Mapping[str, Mapping[str, Any]]


_FLAGGED = "flagged"


class SqlVerdicts:
    """Verdicts in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def record(self, judgement: Judgement, lease: Lease, now: datetime) -> None:
        """Record a revision with its profile and findings; what alerting makes of it is due from then on.

        Raises:
            StaleClaim: the lease is lost, or the revision or one of the spans was recorded by somebody else.
        """
        key, revision = judgement.pending.key, judgement.pending.revision
        with self._database.write() as connection:
            require(connection, self._team, lease)
            self._raise_revision(connection, key, revision, now)
            self._include(connection, judgement.pending)
            self._keep_profiles(connection, judgement)
            self._keep_accumulation(connection, judgement)
            texts = {name: json.dumps(each, allow_nan=False) for name, each in judgement.documents.items()}
            values = self._row_key(key) | {
                "revision": revision,
                "window_end": micros(key.window.end),
                "baseline": judgement.baseline,
                "configuration_hash": judgement.configuration_hash,
                "fencing_token": lease.token,
                "recorded_at": micros(now),
            }
            rows = [
                values | {"slice": name, "verdict": judgement.documents[name]["verdict"], "document": text}
                for name, text in texts.items()
            ]
            connection.execute(insert(t.findings), rows)
            body = _audit_body(judgement, list(texts.values()))
            audit.append(connection, self._team, lease.holder, "window_judged", body, now)
            alert_due.note(connection, self._team, key)

    def findings(self, model: str) -> list[dict[str, Any]]:
        """Return the newest revision of every judged window as DESIGN's findings objects, in window order.

        Those of one window and version come together, the overall one first, then the slices by name.
        """
        newest = newest_revisions(self._team)
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.findings.c.document)
                .join(newest, is_newest(newest))
                .where(t.findings.c.team == self._team, t.findings.c.model == model)
                .order_by(t.findings.c.window_start, t.findings.c.version, t.findings.c.slice)
            )
            return [json.loads(row.document) for row in rows]

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many windows were judged, newest revision each, by (model, the window's verdict)."""
        newest = newest_revisions(self._team)
        found = t.findings.c
        verdict = case(
            (func.max(case((found.verdict == _FLAGGED, 1), else_=0)) == 1, _FLAGGED),
            else_=func.max(case((found.slice == "", found.verdict), else_="")),
        ).label("verdict")
        windows = (
            select(found.model, verdict)
            .join(newest, is_newest(newest))
            .where(found.team == self._team)
            .group_by(found.model, found.version, found.window_start)
            .subquery()
        )
        with self._database.read() as connection:
            rows = connection.execute(
                select(windows.c.model, windows.c.verdict, func.count()).group_by(windows.c.model, windows.c.verdict)
            ).all()
        return {(row[0], row[1]): int(row[2]) for row in rows}

    def previous(self, key: WindowKey, baseline: int) -> JudgedWindow | None:
        """Return the nearest earlier judged window of this version that had rows, with its profiles on `baseline`."""
        start = t.profiles.c.window_start
        with self._database.read() as connection:
            nearest = connection.execute(
                select(func.max(start)).where(self._same_version(t.profiles, key), start < micros(key.window.start))
            ).scalar_one()
            found = [] if nearest is None else self._judged(connection, key, baseline, start == nearest)
        return found[0] if found else None

    def at(self, key: WindowKey, starts: Sequence[datetime], baseline: int) -> list[JudgedWindow]:
        """Return the judged windows of this version that have one of these starts and had rows, oldest first."""
        wanted = t.profiles.c.window_start.in_([micros(start) for start in starts])
        with self._database.read() as connection:
            return self._judged(connection, key, baseline, wanted)

    def within(self, key: WindowKey, span: Window, baseline: int) -> list[JudgedWindow]:
        """Return the judged windows of this version that lie within `span` and had rows, oldest first."""
        start, end = t.profiles.c.window_start, t.windows.c.window_end
        with self._database.read() as connection:
            wanted = and_(start >= micros(span.start), end <= micros(span.end))
            return self._judged(connection, key, baseline, wanted)

    def revisions_within(self, key: WindowKey, span: Window) -> tuple[tuple[int, int], ...]:
        """Return start and newest revision of what `within` returns: it stays the same while these do."""
        start, end = t.windows.c.window_start, t.windows.c.window_end
        with self._database.read() as connection:
            rows = connection.execute(
                select(start, t.windows.c.revision)
                .where(self._same_version(t.windows, key), start >= micros(span.start), end <= micros(span.end))
                .order_by(start)
            )
            return tuple((row.window_start, row.revision) for row in rows)

    def _judged(
        self, connection: Connection, key: WindowKey, baseline: int, wanted: ColumnElement[bool]
    ) -> list[JudgedWindow]:
        profiles = t.profiles.c
        of_windows = and_(*(t.windows.c[name] == profiles[name] for name in _WINDOW_COLUMNS))
        newest = and_(of_windows, t.windows.c.revision == profiles.revision)
        rows = connection.execute(
            select(
                profiles.window_start,
                t.windows.c.window_end,
                profiles.slice,
                case((profiles.baseline == baseline, profiles.document), else_=None).label("document"),
            )
            .join(t.windows, newest)
            .where(self._same_version(t.profiles, key), wanted)
            .order_by(profiles.window_start, profiles.slice)
        ).all()
        found: dict[tuple[int, int], dict[str, Mapping[str, Any]]] = {}
        for row in rows:
            mine = found.setdefault((row.window_start, row.window_end), {})
            if row.document is not None:
                mine[row.slice] = decode_document(row.document)
        return [
            JudgedWindow(Window(from_micros(start), from_micros(end)), each) for (start, end), each in found.items()
        ]

    def accumulation(self, key: WindowKey, baseline: int) -> dict[str, Any] | None:
        """Return what the windows of a version add up to against a baseline; None before the first."""
        with self._database.read() as connection:
            blob = connection.execute(
                select(t.accumulations.c.document).where(
                    self._same_version(t.accumulations, key), t.accumulations.c.baseline == baseline
                )
            ).scalar_one_or_none()
        return None if blob is None else decode_document(blob)

    def _keep_accumulation(self, connection: Connection, judgement: Judgement) -> None:
        if judgement.accumulation is None:
            return
        key, baseline = judgement.pending.key, judgement.baseline or 0
        where = and_(self._same_version(t.accumulations, key), t.accumulations.c.baseline == baseline)
        values = {"document": encode_document(judgement.accumulation)}
        if not connection.execute(update(t.accumulations).where(where).values(values)).rowcount:
            version = {"team": self._team, "model": key.model, "version": key.version, "baseline": baseline}
            connection.execute(insert(t.accumulations).values(version | values))

    def _keep_profiles(self, connection: Connection, judgement: Judgement) -> None:
        documents = {"": judgement.profile} | {name: each.profile for name, each in judgement.slices.items()}
        where = self._row_key(judgement.pending.key) | {"revision": judgement.pending.revision}
        rows = [
            where | {"slice": name, "baseline": judgement.baseline or 0, "document": encode_document(document)}
            for name, document in documents.items()
            if document is not None
        ]
        if rows:
            connection.execute(insert(t.profiles), rows)

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
    """Return the keys of the newest revision of all judged windows of a team, which all slices of a window share."""
    key = [t.findings.c[name] for name in _WINDOW_COLUMNS[1:]]
    newest = func.max(t.findings.c.revision).label("revision")
    return select(*key, newest).where(t.findings.c.team == team).group_by(*key).subquery()


def is_newest(newest: Subquery) -> ColumnElement[bool]:
    """Return the condition that joins findings to `newest_revisions`."""
    return and_(*(t.findings.c[column.name] == column for column in newest.c))


def _audit_body(judgement: Judgement, documents: Sequence[str]) -> dict[str, Any]:
    """Return what the audit log says; the digest is that of the documents as stored, overall first, a line each."""
    pending = judgement.pending
    return {
        "model": pending.key.model,
        "version": pending.key.version,
        "window_start": pending.key.window.start.isoformat(),
        "window_end": pending.key.window.end.isoformat(),
        "revision": pending.revision,
        "verdict": judgement.verdict,
        "baseline": judgement.baseline,
        "configuration_hash": judgement.configuration_hash,
        "spans": [span.span_id for span in pending.spans],
        "findings_sha256": hashlib.sha256("\n".join(documents).encode()).hexdigest(),
    }
