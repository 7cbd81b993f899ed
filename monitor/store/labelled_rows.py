"""How many labelled rows there are of a model lately; changes with where labels are counted."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, func, select

from monitor.clock import to_micros
from monitor.store import tables as t
from monitor.store.database import Database


def labelled_rows(database: Database, team: str, model: str, since: datetime) -> int:
    """Return how many predictions of windows from `since` on (event time) have a label.

    Labels are counted where they come as a stream of their own, and by evaluations; what knows of more of them counts.
    """
    counted, evaluated = t.label_counts.c, t.evaluations.c
    came = select(func.sum(counted.in_time + counted.early)).where(
        counted.team == team, counted.model == model, counted.window_start >= to_micros(since)
    )
    keys = ("team", "model", "version", "window_start")
    newest = (
        select(*(evaluated[name] for name in keys), func.max(evaluated.revision).label("revision"))
        .where(evaluated.team == team, evaluated.model == model, evaluated.window_start >= to_micros(since))
        .group_by(*(evaluated[name] for name in keys))
        .subquery()
    )
    same = and_(*(evaluated[column.name] == column for column in newest.c))
    found = select(func.sum(evaluated.labelled)).join(newest, same)
    with database.read() as connection:
        return max(int(connection.execute(each).scalar_one() or 0) for each in (came, found))
