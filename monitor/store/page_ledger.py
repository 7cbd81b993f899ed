"""What is shown of windows, findings and the audit log, a page at a time; changes with what people leaf through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, select

from monitor.clock import from_micros
from monitor.store import tables as t
from monitor.store.audit import Entry
from monitor.store.database import Database, micros, moment
from monitor.store.verdict_ledger import is_newest, newest_revisions


@dataclass(frozen=True, slots=True)
class Page:
    """Which windows: those that start within [since, until), of them the newest `limit`."""

    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100

    def holds(self, start: Any) -> list[ColumnElement[bool]]:
        """Return the conditions on a column of starts."""
        since = [] if self.since is None else [start >= micros(self.since)]
        return since + ([] if self.until is None else [start < micros(self.until)])


@dataclass(frozen=True, slots=True)
class ShownWindow:
    """A closed window; verdict and baseline, of its newest revision, are None before it was judged (revision 0)."""

    version: str
    start: datetime
    end: datetime
    revision: int
    closed_at: datetime
    judged_at: datetime | None
    verdict: str | None
    baseline: int | None


class SqlPages:
    """Pages from SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def windows(self, model: str, page: Page) -> list[ShownWindow]:
        """Return the model's closed windows, oldest first; a window is flagged where any slice of it is."""
        windows, found = t.windows.c, t.findings.c
        chosen = (
            select(t.windows)
            .where(windows.team == self._team, windows.model == model, *page.holds(windows.window_start))
            .order_by(windows.window_start.desc(), windows.version.desc())
            .limit(page.limit)
            .subquery()
        )
        same = [found[name] == chosen.c[name] for name in ("team", "model", "version", "window_start", "revision")]
        with self._database.read() as connection:
            rows = connection.execute(
                select(chosen, found.slice, found.verdict, found.baseline)
                .join(t.findings, and_(*same), isouter=True)
                .order_by(chosen.c.window_start, chosen.c.version, found.slice)
            ).all()
        # The overall slice comes first, whose name is empty; another slice only ever turns a verdict into "flagged".
        shown: dict[tuple[int, str], ShownWindow] = {}
        for row in rows:
            key = (row.window_start, row.version)
            if key not in shown:
                shown[key] = _shown(row)
            elif row.verdict == "flagged":
                shown[key] = replace(shown[key], verdict=row.verdict)
        return list(shown.values())

    def findings(self, model: str | None, page: Page) -> list[str]:
        """Return DESIGN's findings objects of judged windows, as JSON, of one model or of all, in their newest revision.

        They come by window, model and version, the oldest window first; of one window the overall slice comes first. The limit
        is one of windows, not of objects.
        """
        newest = newest_revisions(self._team)
        wanted = [*page.holds(newest.c.window_start), *([] if model is None else [newest.c.model == model])]
        with self._database.read() as connection:
            chosen = (
                select(newest)
                .where(*wanted)
                .order_by(newest.c.window_start.desc(), newest.c.model.desc(), newest.c.version.desc())
                .limit(page.limit)
                .subquery()
            )
            found = t.findings.c
            rows = connection.execute(
                select(found.document)
                .join(chosen, is_newest(chosen))
                .where(found.team == self._team)
                .order_by(found.window_start, found.model, found.version, found.slice)
            )
            return [row.document for row in rows]

    def audit(self, after: int, limit: int) -> Sequence[Entry]:
        """Return the entries that follow the number `after`, oldest first."""
        entries = t.audit_entries.c
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.audit_entries)
                .where(entries.team == self._team, entries.sequence > after)
                .order_by(entries.sequence)
                .limit(limit)
            ).all()
        return [Entry(**row._asdict() | {"recorded_at": from_micros(row.recorded_at)}) for row in rows]


def _shown(row: Row[Any]) -> ShownWindow:
    return ShownWindow(
        row.version,
        from_micros(row.window_start),
        from_micros(row.window_end),
        row.revision,
        from_micros(row.closed_at),
        moment(row.judged_at),
        row.verdict,
        row.baseline,
    )
