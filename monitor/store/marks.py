"""What people said of findings: false alarms, and windows that are normal now; changes with what is remembered of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import delete, insert, select

from monitor.clock import from_micros, rfc3339, to_micros
from monitor.store import audit
from monitor.store import tables as t
from monitor.store.database import Database


class MarkSort(StrEnum):
    """What somebody said of a finding."""

    FALSE_ALARM = "false_alarm"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True)
class Mark:
    """What somebody said of one finding.

    Attributes:
        slice: name of the slice, empty for all rows.
        value: that was flagged.
        baseline: number of the baseline that it was compared with; the mark counts while that is the active one.
    """

    model: str
    version: str
    window_start: datetime
    slice: str
    feature: str
    reference: str
    measure: str
    sort: MarkSort
    value: float
    baseline: int
    actor: str
    note: str
    created_at: datetime

    @property
    def said(self) -> str:
        """What a later finding says of it."""
        what = "called a false alarm" if self.sort is MarkSort.FALSE_ALARM else "taken for normal"
        note = f": {self.note}" if self.note else ""
        return f"{what} at {rfc3339(self.window_start)} by {self.actor}{note}"


class SqlMarks:
    """Marks in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def add(self, marks: Sequence[Mark], now: datetime) -> None:
        """Remember marks, each in the stead of what was said of the same finding before, and write them into the audit log."""
        with self._database.write() as connection:
            for mark in marks:
                values = asdict(mark) | {
                    "team": self._team,
                    "window_start": to_micros(mark.window_start),
                    "created_at": to_micros(mark.created_at),
                    "sort": str(mark.sort),
                }
                same = [t.marks.c[column.name] == values[column.name] for column in t.marks.primary_key]
                connection.execute(delete(t.marks).where(*same))
                connection.execute(insert(t.marks).values(values))
                body = asdict(mark) | {
                    "window_start": rfc3339(mark.window_start),
                    "created_at": rfc3339(mark.created_at),
                    "sort": str(mark.sort),
                }
                audit.append(connection, self._team, mark.actor, "finding_marked", body, now)

    def of(self, model: str, baseline: int) -> list[Mark]:
        """Return what was said of the model's findings against a baseline, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(*(column for column in t.marks.c if column.name != "team"))
                .where(t.marks.c.team == self._team, t.marks.c.model == model, t.marks.c.baseline == baseline)
                .order_by(t.marks.c.created_at, t.marks.c.feature, t.marks.c.reference, t.marks.c.measure)
            ).all()
        return [
            Mark(
                **row._asdict()
                | {
                    "window_start": from_micros(row.window_start),
                    "created_at": from_micros(row.created_at),
                    "sort": MarkSort(row.sort),
                }
            )
            for row in rows
        ]
