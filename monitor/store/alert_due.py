"""Windows that alerting has not looked at since something was recorded of them; changes with what alerting waits for.

A row is written in the transaction that records a judgement or an evaluation, and removed in the one that records what alerting
made of it, so that a crash between the two loses nothing. What was recorded before there were alerts has no row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from monitor.clock import from_micros, to_micros
from monitor.records import WindowKey
from monitor.store import loop_tables as t


@dataclass(frozen=True, slots=True)
class DueWindow:
    """A window of a model, of whatever versions; `changes` counts what was recorded of it since alerting looked last."""

    start: datetime
    changes: int


def note(connection: Connection, team: str, key: WindowKey) -> None:
    """Note in the caller's transaction that something was recorded of a window."""
    due = t.alert_due.c
    row = {"team": team, "model": key.model, "window_start": to_micros(key.window.start)}
    same = [due[name] == value for name, value in row.items()]
    if not connection.execute(update(t.alert_due).where(*same).values(changes=due.changes + 1)).rowcount:
        connection.execute(insert(t.alert_due).values(row | {"changes": 1}))


def due_windows(connection: Connection, team: str, model: str, most: int) -> list[DueWindow]:
    """Return the model's windows to look at, oldest first."""
    due = t.alert_due.c
    rows = connection.execute(
        select(due.window_start, due.changes)
        .where(due.team == team, due.model == model)
        .order_by(due.window_start)
        .limit(most)
    )
    return [DueWindow(from_micros(row.window_start), row.changes) for row in rows]


def done(connection: Connection, team: str, model: str, windows: Iterable[DueWindow]) -> None:
    """Remove windows in the caller's transaction; one of which more was recorded meanwhile stays due."""
    due = t.alert_due.c
    for window in windows:
        connection.execute(
            delete(t.alert_due).where(
                due.team == team,
                due.model == model,
                due.window_start == to_micros(window.start),
                due.changes == window.changes,
            )
        )
