"""What policies decided, the negative decisions too; a repeated one only counts on, one that acted stands by itself."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, insert, select, update

from monitor.act.decision import ACTIONS, Decided, Decision, Outcome, RecordedDecision, Rule
from monitor.clock import from_micros, to_micros
from monitor.store import audit
from monitor.store import loop_tables as t
from monitor.store.database import Database
from monitor.store.leases import Lease, require


class SqlDecisions:
    """Decisions in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def record(
        self,
        decided: Iterable[Decided],
        now: datetime,
        *,
        lease: Lease | None = None,
        also: Callable[[Connection], None] | None = None,
    ) -> None:
        """Record decisions, and do in the same transaction what comes of them.

        One that acts is a row and an audit entry of its own; so is any other unless it says the same, by the same rule, as the
        one before about this alert: that one is counted on.

        Args:
            decided: in their order.
            now: the time.
            lease: that must still be held.
            also: what else is written; what it raises undoes the decisions too.

        Raises:
            StaleClaim: the lease was lost.
        """
        with self._database.write() as connection:
            if lease is not None:
                require(connection, self._team, lease)
            if also is not None:
                # First, for its rows are locked before the audit log's head everywhere else too.
                also(connection)
            for each in decided:
                self._record(connection, each, now)

    def list(
        self,
        model: str | None = None,
        policy: str | None = None,
        fingerprint: str | None = None,
        retrain_id: str | None = None,
        limit: int = 100,
    ) -> builtins.list[RecordedDecision]:
        """Return the newest decisions, newest first."""
        c = t.decisions.c
        wanted = ((c.model, model), (c.policy, policy), (c.fingerprint, fingerprint), (c.retrain_id, retrain_id))
        where = [c.team == self._team, *(column == value for column, value in wanted if value is not None)]
        newest = select(t.decisions).where(*where).order_by(c.first_at.desc(), c.policy, c.fingerprint, c.number.desc())
        with self._database.read() as connection:
            return [_recorded(row) for row in connection.execute(newest.limit(limit))]

    def actions(self, model: str) -> dict[str, tuple[datetime, ...]]:
        """Return when policies acted on a model, by policy, newest first."""
        c = t.decisions.c
        acted = select(c.policy, c.first_at).where(
            c.team == self._team, c.model == model, c.outcome.in_([str(each) for each in ACTIONS])
        )
        found: dict[str, tuple[datetime, ...]] = {}
        with self._database.read() as connection:
            for row in connection.execute(acted.order_by(c.first_at.desc())):
                found[row.policy] = (*found.get(row.policy, ()), from_micros(row.first_at))
        return found

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how often decisions were made by (policy, outcome)."""
        by = (t.decisions.c.policy, t.decisions.c.outcome)
        counted = select(*by, func.sum(t.decisions.c.times).label("number"))
        with self._database.read() as connection:
            rows = connection.execute(counted.where(t.decisions.c.team == self._team).group_by(*by)).all()
        return {(row.policy, row.outcome): int(row.number) for row in rows}

    def _record(self, connection: Connection, decided: Decided, now: datetime) -> None:
        mine = self._about(decided)
        last = connection.execute(
            select(t.decisions).where(mine).order_by(t.decisions.c.number.desc()).limit(1).with_for_update()
        ).one_or_none()
        decision = decided.decision
        acted = decision.outcome in ACTIONS
        same = last is not None and (last.outcome, last.rule) == (str(decision.outcome), str(decision.rule))
        if last is not None and same and not acted:
            values = {"times": last.times + 1, "last_at": to_micros(now), "reason": decision.reason}
            connection.execute(update(t.decisions).where(mine, t.decisions.c.number == last.number).values(values))
            return
        row: dict[str, Any] = {
            "team": self._team,
            "policy": decided.policy,
            "fingerprint": decided.fingerprint,
            "episode": decided.episode,
            "number": 1 if last is None else last.number + 1,
            "model": decided.model,
            "action": decision.action,
            "outcome": str(decision.outcome),
            "rule": str(decision.rule),
            "reason": decision.reason,
            "retrain_id": decided.retrain_id,
        }
        times = {"first_at": to_micros(now), "last_at": to_micros(now), "times": 1}
        connection.execute(insert(t.decisions).values(row | times))
        body = {name: value for name, value in row.items() if name != "team"}
        audit.append(connection, self._team, f"policy {decided.policy}", "policy_decided", body, now)

    def _about(self, decided: Decided) -> ColumnElement[bool]:
        c = t.decisions.c
        return and_(
            c.team == self._team,
            c.policy == decided.policy,
            c.fingerprint == decided.fingerprint,
            c.episode == decided.episode,
        )


def _recorded(row: Row[Any]) -> RecordedDecision:
    decision = Decision(Outcome(row.outcome), Rule(row.rule), row.reason, row.action)
    return RecordedDecision(
        Decided(row.policy, row.fingerprint, row.episode, row.model, decision, row.retrain_id),
        row.number,
        from_micros(row.first_at),
        from_micros(row.last_at),
        int(row.times),
    )
