"""Retrains in the ledger: changed by compare-and-set, each change with its event and audit entry; one live one a model."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, insert, select, update

from monitor.act.lifecycle import Event, step
from monitor.act.retrain import Confirmation, Retrain, RetrainEvent, RetrainState
from monitor.alert.notification import Notification
from monitor.clock import rfc3339, to_micros
from monitor.errors import InputError, StaleClaim
from monitor.store import audit, outbox
from monitor.store import loop_tables as t
from monitor.store.database import Database
from monitor.store.leases import Lease, require
from monitor.store.retrain_rows import document_text, event_of, retrain_of, retrain_row, wish

_MUTABLE = frozenset(
    {"due_at", "deadline_at", "attempts", "request", "reference", "candidate", "confirmation", "confirm_until"}
)


class LiveRetrain(InputError):
    """The model is being retrained already; `retrain_id` says by which."""

    def __init__(self, model: str, retrain_id: str) -> None:
        """Name the retrain that is on its way."""
        super().__init__(f"{model} is being retrained already, by {retrain_id}; cancel that first, or wait for its end")
        self.retrain_id = retrain_id


class KeyReused(InputError):
    """An idempotency key came again with another request."""


class SqlRetrains:
    """Retrains of all models, in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def propose(
        self,
        model: str,
        *,
        created_by: str,
        now: datetime,
        request: Mapping[str, Any],
        policy: str = "",
        fingerprint: str = "",
        episode: int = 0,
        idempotency_key: str | None = None,
        digest: str | None = None,
        state: RetrainState = RetrainState.PROPOSED,
        due_at: datetime | None = None,
        deadline_at: datetime | None = None,
        reason: str = "",
        notify: Iterable[Notification] = (),
    ) -> Retrain:
        """Begin a retrain: proposed, or approved at once.

        The same key with the same digest gives the retrain that it gave before, however far that has come.

        Raises:
            LiveRetrain: the model has one that has not ended.
            KeyReused: the key was given with another digest.
        """
        wished = wish(
            model,
            created_by=created_by,
            now=now,
            request=request,
            policy=policy,
            fingerprint=fingerprint,
            episode=episode,
            state=state,
            due_at=due_at,
            deadline_at=deadline_at,
            reason=reason,
        )
        told = tuple(notify)
        try:
            return self._propose(wished, idempotency_key, digest, told, now)
        except StaleClaim:  # who loses a race against another wish finds what that one has left
            return self._propose(wished, idempotency_key, digest, told, now)

    def propose_in(
        self,
        connection: Connection,
        wished: Retrain,
        now: datetime,
        idempotency_key: str | None = None,
        digest: str | None = None,
    ) -> None:
        """Begin the retrain `wished` in the caller's transaction; raises LiveRetrain, or StaleClaim in a race."""
        live = connection.execute(
            select(t.retrains.c.retrain_id).where(
                t.retrains.c.team == self._team, t.retrains.c.live_model == wished.model
            )
        ).scalar_one_or_none()
        if live is not None:
            raise LiveRetrain(wished.model, live)
        row = retrain_row(wished) | {
            "team": self._team,
            "live_model": wished.model,
            "idempotency_key": idempotency_key,
            "idempotency_digest": digest,
        }
        connection.execute(insert(t.retrains).values(row))
        document = {
            "event": "propose",
            "policy": wished.policy,
            "fingerprint": wished.fingerprint,
            "episode": wished.episode,
        }
        self._happened(connection, wished, "", wished.created_by, wished.reason, document, now)

    def of_key(self, idempotency_key: str | None, digest: str | None) -> Retrain | None:
        """Return what a key has given before, None where it is new; raises KeyReused."""
        with self._database.read() as connection:
            return self._of_key(connection, idempotency_key, digest)

    def get(self, retrain_id: str) -> Retrain | None:
        """Return one retrain, None where there is none of this id."""
        with self._database.read() as connection:
            row = connection.execute(select(t.retrains).where(self._is(retrain_id))).one_or_none()
        return None if row is None else retrain_of(row)

    def list(
        self, model: str | None = None, state: RetrainState | None = None, limit: int = 100
    ) -> builtins.list[Retrain]:
        """Return the newest retrains, newest first."""
        where = [t.retrains.c.team == self._team]
        if model is not None:
            where.append(t.retrains.c.model == model)
        if state is not None:
            where.append(t.retrains.c.state == str(state))
        newest = select(t.retrains).where(*where).order_by(t.retrains.c.created_at.desc(), t.retrains.c.retrain_id)
        with self._database.read() as connection:
            return [retrain_of(row) for row in connection.execute(newest.limit(limit))]

    def events(self, retrain_id: str) -> builtins.list[RetrainEvent]:
        """Return what happened to one, in order."""
        of = and_(t.retrain_events.c.team == self._team, t.retrain_events.c.retrain_id == retrain_id)
        with self._database.read() as connection:
            rows = connection.execute(select(t.retrain_events).where(of).order_by(t.retrain_events.c.number)).all()
        return [event_of(row) for row in rows]

    def live(self, model: str) -> Retrain | None:
        """Return the model's retrain that has not ended."""
        found = select(t.retrains).where(t.retrains.c.team == self._team, t.retrains.c.live_model == model)
        with self._database.read() as connection:
            row = connection.execute(found).one_or_none()
        return None if row is None else retrain_of(row)

    def live_all(self) -> builtins.list[Retrain]:
        """Return all retrains that have not ended, by model."""
        found = select(t.retrains).where(t.retrains.c.team == self._team, t.retrains.c.live_model.is_not(None))
        with self._database.read() as connection:
            return [retrain_of(row) for row in connection.execute(found.order_by(t.retrains.c.live_model))]

    def to_look_after(self, model: str) -> builtins.list[Retrain]:
        """Return the model's ended retrains that leave something to do, oldest first.

        Those are promoted ones whose alert is awaited to clear, and cancelled and failed ones whose trainer is to be told: they
        have a deadline.
        """
        awaited = t.retrains.c.confirmation == str(Confirmation.WAITING)
        found = select(t.retrains).where(
            t.retrains.c.team == self._team,
            t.retrains.c.model == model,
            t.retrains.c.live_model.is_(None),
            awaited | t.retrains.c.deadline_at.is_not(None),
        )
        with self._database.read() as connection:
            return [retrain_of(row) for row in connection.execute(found.order_by(t.retrains.c.created_at))]

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many retrains there are by (model, state)."""
        by = (t.retrains.c.model, t.retrains.c.state)
        counted = select(*by, func.count().label("number")).where(t.retrains.c.team == self._team).group_by(*by)
        with self._database.read() as connection:
            return {(row.model, row.state): int(row.number) for row in connection.execute(counted)}

    def confirmations(self) -> dict[tuple[str, str], int]:
        """Return how many promoted retrains there are by (model, whether their alert has cleared since)."""
        by = (t.retrains.c.model, t.retrains.c.confirmation)
        asked = (t.retrains.c.team == self._team, t.retrains.c.confirmation != str(Confirmation.NONE))
        counted = select(*by, func.count().label("number")).where(*asked).group_by(*by)
        with self._database.read() as connection:
            return {(row.model, row.confirmation): int(row.number) for row in connection.execute(counted)}

    def change(
        self,
        retrain: Retrain,
        event: Event,
        actor: str,
        reason: str,
        now: datetime,
        *,
        found: Mapping[str, Any] | None = None,
        lease: Lease | None = None,
        notify: Iterable[Notification] = (),
        **fields: Any,
    ) -> Retrain:
        """Have an event happen to a retrain as it was read, and return what became of it.

        A new state begins with no attempts and no deadline, and is due at once, unless `fields` say otherwise.

        Args:
            retrain: as it was read; its revision is the one that is replaced.
            event: that happens.
            actor: who says so.
            reason: for a person.
            now: the time.
            found: what is added to the details, and to the event's document.
            lease: that must still be held, where the caller works under one.
            notify: messages that are to be sent once this is written.
            fields: attributes of the retrain to set: due_at, deadline_at, attempts, request, reference, candidate, confirmation,
                confirm_until.

        Raises:
            IllegalTransition: the event cannot happen in that state.
            StaleClaim: the retrain has changed since it was read, or the lease was lost.
        """
        with self._database.write() as connection:
            if lease is not None:
                require(connection, self._team, lease)
            changed = self.change_in(connection, retrain, event, actor, reason, now, found=found, **fields)
            outbox.put(connection, self._team, notify, now)
        return changed

    def change_in(
        self,
        connection: Connection,
        retrain: Retrain,
        event: Event,
        actor: str,
        reason: str,
        now: datetime,
        *,
        found: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Retrain:
        """Do as `change` does in the caller's transaction."""
        changed = self._next(retrain, step(retrain.state, event), reason, now, found, fields)
        self._replace(connection, retrain, changed)
        document = {"event": str(event), **(found or {})}
        self._happened(connection, changed, str(retrain.state), actor, reason, document, now)
        return changed

    def note(
        self,
        retrain: Retrain,
        now: datetime,
        *,
        reason: str | None = None,
        found: Mapping[str, Any] | None = None,
        lease: Lease | None = None,
        **fields: Any,
    ) -> Retrain:
        """Change what is known of a retrain without an event: signs of life and tries; raises StaleClaim as `change` does."""
        changed = self._next(retrain, retrain.state, retrain.reason if reason is None else reason, now, found, fields)
        with self._database.write() as connection:
            if lease is not None:
                require(connection, self._team, lease)
            self._replace(connection, retrain, changed)
        return changed

    def _propose(
        self, wished: Retrain, key: str | None, digest: str | None, notify: Iterable[Notification], now: datetime
    ) -> Retrain:
        with self._database.write() as connection:
            same = self._of_key(connection, key, digest)
            if same is None:
                self.propose_in(connection, wished, now, key, digest)
                outbox.put(connection, self._team, notify, now)
            return same or wished

    def _next(
        self,
        retrain: Retrain,
        state: RetrainState,
        reason: str,
        now: datetime,
        found: Mapping[str, Any] | None,
        fields: Mapping[str, Any],
    ) -> Retrain:
        if unknown := set(fields) - _MUTABLE:
            raise TypeError(f"a retrain's {', '.join(sorted(unknown))} cannot be set")
        details = {**retrain.details, **(found or {})}
        begun: dict[str, Any] = {}
        if state is not retrain.state:
            details["entered"] = {**details.get("entered", {}), str(state): rfc3339(now)}
            begun = {"attempts": 0, "deadline_at": None, "due_at": now}
        return replace(
            retrain,
            **{**begun, **fields},
            state=state,
            revision=retrain.revision + 1,
            updated_at=now,
            reason=reason,
            details=details,
        )

    def _replace(self, connection: Connection, retrain: Retrain, changed: Retrain) -> None:
        row = retrain_row(changed) | {"live_model": None if changed.ended else changed.model}
        as_read = and_(self._is(retrain.retrain_id), t.retrains.c.revision == retrain.revision)
        if connection.execute(update(t.retrains).where(as_read).values(row)).rowcount != 1:
            raise StaleClaim(f"retrain {retrain.retrain_id} was changed by somebody else meanwhile")

    def _happened(
        self,
        connection: Connection,
        retrain: Retrain,
        from_state: str,
        actor: str,
        reason: str,
        document: Mapping[str, Any],
        now: datetime,
    ) -> None:
        of = and_(t.retrain_events.c.team == self._team, t.retrain_events.c.retrain_id == retrain.retrain_id)
        last = connection.execute(select(func.max(t.retrain_events.c.number)).where(of)).scalar_one()
        connection.execute(
            insert(t.retrain_events).values(
                team=self._team,
                retrain_id=retrain.retrain_id,
                number=(last or 0) + 1,
                at=to_micros(now),
                from_state=from_state,
                to_state=str(retrain.state),
                actor=actor,
                reason=reason,
                document=document_text(document),
            )
        )
        body = {"retrain": retrain.retrain_id, "model": retrain.model, "state": str(retrain.state), "reason": reason}
        audit.append(connection, self._team, actor, "retrain_changed", {**body, **document}, now)

    def _of_key(self, connection: Connection, key: str | None, digest: str | None) -> Retrain | None:
        if key is None:
            return None
        where = and_(t.retrains.c.team == self._team, t.retrains.c.idempotency_key == key)
        row = connection.execute(select(t.retrains).where(where)).one_or_none()
        if row is not None and row.idempotency_digest != digest:
            raise KeyReused("this idempotency key came with another request before; take a new key for a new request")
        return None if row is None else retrain_of(row)

    def _is(self, retrain_id: str) -> Any:
        return and_(t.retrains.c.team == self._team, t.retrains.c.retrain_id == retrain_id)
