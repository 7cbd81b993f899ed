"""Rollouts: what was planned before anything changed, and how far it came; changes with what a rollout must not forget."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, insert, select, update

from monitor.clock import from_micros, to_micros
from monitor.store import audit
from monitor.store import loop_tables as lt
from monitor.store import tables as t
from monitor.store.database import Database, micros, moment
from monitor.store.verdict_ledger import is_newest, newest_revisions


@dataclass(frozen=True, slots=True)
class Rollout:
    """A rollout as it is held.

    Attributes:
        began_at: wall clock, before anything changed.
        serving_at: wall clock when the candidate first answered; None before.
        since: event time up to which the model's traffic was complete then; None where there was none.
        document: what was planned, and what became of baselines.
    """

    retrain_id: str
    model: str
    began_at: datetime
    serving_at: datetime | None
    since: datetime | None
    document: Mapping[str, Any]


class SqlRollouts:
    """Rollouts in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def get(self, retrain_id: str) -> Rollout | None:
        """Return the rollout of a retrain; None where none began."""
        with self._database.read() as connection:
            row = connection.execute(select(lt.rollouts).where(self._is(retrain_id))).one_or_none()
        if row is None:
            return None
        document = json.loads(row.document)
        return Rollout(
            retrain_id, row.model, from_micros(row.began_at), moment(row.serving_at), moment(row.since), document
        )

    def begin(self, retrain_id: str, model: str, document: Mapping[str, Any], now: datetime) -> Rollout:
        """Write a plan down and return the rollout; the one that is there stays as it is."""
        with self._database.write() as connection:
            if connection.execute(select(lt.rollouts.c.model).where(self._is(retrain_id))).one_or_none() is None:
                row = {
                    "team": self._team,
                    "retrain_id": retrain_id,
                    "model": model,
                    "began_at": to_micros(now),
                    "document": json.dumps(document, allow_nan=False),
                }
                connection.execute(insert(lt.rollouts).values(row))
                body = {"retrain_id": retrain_id, "model": model, "document": document}
                audit.append(connection, self._team, "driftline", "rollout_planned", body, now)
        found = self.get(retrain_id)
        assert found is not None  # noqa: S101 - rollouts are never deleted
        return found

    def serves(self, retrain_id: str, since: datetime | None, now: datetime) -> None:
        """Write down when the candidate first answered; a second time changes nothing."""
        with self._database.write() as connection:
            connection.execute(
                update(lt.rollouts)
                .where(self._is(retrain_id), lt.rollouts.c.serving_at.is_(None))
                .values(serving_at=to_micros(now), since=micros(since))
            )

    def note(self, retrain_id: str, **more: Any) -> None:
        """Add to the document."""
        with self._database.write() as connection:
            text = connection.execute(select(lt.rollouts.c.document).where(self._is(retrain_id))).scalar_one()
            document = json.dumps(json.loads(text) | more, allow_nan=False)
            connection.execute(update(lt.rollouts).where(self._is(retrain_id)).values(document=document))

    def findings(self, model: str, since: datetime | None) -> list[dict[str, Any]]:
        """Return the newest findings objects of all rows of the judged windows from `since` on, oldest first."""
        newest = newest_revisions(self._team)
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.findings.c.document)
                .join(newest, is_newest(newest))
                .where(t.findings.c.team == self._team, t.findings.c.model == model, t.findings.c.slice == "")
                .where(*([] if since is None else [t.findings.c.window_start >= micros(since)]))
                .order_by(t.findings.c.window_start, t.findings.c.version)
            )
            return [json.loads(row.document) for row in rows]

    def _is(self, retrain_id: str) -> Any:
        return and_(lt.rollouts.c.team == self._team, lt.rollouts.c.retrain_id == retrain_id)
