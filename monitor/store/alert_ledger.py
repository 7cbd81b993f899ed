"""Alerts in the ledger: their state, what happened to them and who is to be told, in one transaction; changes with what is kept.

Alerting and people change an alert by compare-and-set on its revision: who comes second finds out and looks again.
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, func, insert, or_, select, update

from monitor.alert.alert import Alert, AlertState, Origin
from monitor.alert.facts import Facts, Source
from monitor.alert.notification import Notification
from monitor.clock import to_micros
from monitor.errors import InputError, StaleClaim
from monitor.store import audit, outbox
from monitor.store import loop_tables as t
from monitor.store import tables as base
from monitor.store.alert_due import DueWindow, done, due_windows
from monitor.store.alert_facts import facts_of, newest_data
from monitor.store.alert_rows import AlertEvent, KeptAlert, event_of, kept_of, values_of
from monitor.store.alert_taking import ending, taken
from monitor.store.database import Database, moment
from monitor.store.leases import Lease, require


class UnknownAlert(InputError):
    """There is no alert of this fingerprint."""


class NotFiring(InputError):
    """The alert does not fire, so that there is nothing to take note of."""


@dataclass(frozen=True, slots=True)
class Happened:
    """What is to be recorded of an alert: a change of state, or something else while it is in one state."""

    before: AlertState
    alert: Alert
    reason: str


@dataclass(frozen=True, slots=True)
class Revised:
    """What became of one alert, to be recorded whole or not at all.

    Attributes:
        before: as it was read.
        after: as it is to be; its revision is not looked at.
        happened: in order.
        notifications: what is to be sent.
    """

    before: KeptAlert
    after: KeptAlert
    happened: Sequence[Happened] = ()
    notifications: Sequence[Notification] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """What there may be to do about a model's alerts.

    Attributes:
        due: windows to look at, the oldest.
        standing: of each alert its state and revision, by fingerprint.
        newest_data, watermark: where they were asked for.
    """

    due: Sequence[DueWindow] = ()
    standing: Mapping[str, tuple[AlertState, int]] = field(default_factory=dict)
    newest_data: datetime | None = None
    watermark: datetime | None = None


class SqlAlerts:
    """Alerts in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def list(self, model: str | None = None, state: AlertState | None = None) -> builtins.list[Alert]:
        """Return alerts by model and name: of one model, in one state; without a state those that are not inactive."""
        wanted = [t.alerts.c.team == self._team]
        wanted += [t.alerts.c.state != AlertState.INACTIVE] if state is None else [t.alerts.c.state == str(state)]
        wanted += [] if model is None else [t.alerts.c.model == model]
        order = (t.alerts.c.model, t.alerts.c.rule, t.alerts.c.fingerprint)
        with self._database.read() as connection:
            rows = connection.execute(select(t.alerts).where(*wanted).order_by(*order)).all()
        return [kept_of(row).alert for row in rows]

    def firing(self) -> builtins.list[Alert]:
        """Return the alerts of all models that fire."""
        return self.list(state=AlertState.FIRING)

    def standing(self) -> builtins.list[tuple[Mapping[str, str], AlertState, Origin]]:
        """Return labels, state and origin of all alerts that are not inactive, without what is behind them."""
        wanted = (t.alerts.c.team == self._team, t.alerts.c.state != AlertState.INACTIVE)
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.alerts.c.labels, t.alerts.c.state, t.alerts.c.origin).where(*wanted)
            ).all()
        return [(json.loads(row.labels), AlertState(row.state), Origin(row.origin)) for row in rows]

    def models_left(self, known: Collection[str]) -> builtins.list[str]:
        """Return the models that are not `known` with alerts of Driftline's own rules that stand, or whose end is to be told."""
        alerts = t.alerts.c
        stands = alerts.state.in_([str(AlertState.PENDING), str(AlertState.FIRING)])
        wanted = (
            alerts.team == self._team,
            alerts.origin == str(Origin.DRIFTLINE),
            or_(stands, alerts.notified_at.is_not(None)),
            alerts.model.not_in(list(known)),
        )
        with self._database.read() as connection:
            return sorted(connection.execute(select(alerts.model).where(*wanted).distinct()).scalars())

    def get(self, fingerprint: str) -> Alert | None:
        """Return one alert, None where there is none."""
        with self._database.read() as connection:
            row = connection.execute(select(t.alerts).where(self._is(fingerprint))).one_or_none()
        return None if row is None else kept_of(row).alert

    def events(self, fingerprint: str) -> builtins.list[AlertEvent]:
        """Return what happened to an alert, in order."""
        events = t.alert_events.c
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.alert_events)
                .where(events.team == self._team, events.fingerprint == fingerprint)
                .order_by(events.number)
            ).all()
        return [event_of(row) for row in rows]

    def acknowledge(self, fingerprint: str, by: str, now: datetime) -> Alert:
        """Note that somebody has taken note, so that the alert is not repeated in this episode.

        Doing so again changes nothing.

        Raises:
            UnknownAlert: there is none.
            NotFiring: it does not fire.
        """
        with self._database.write() as connection:
            kept = self._locked(connection, fingerprint)
            alert = kept.alert
            if alert.state is not AlertState.FIRING:
                raise NotFiring(f"alert {fingerprint} is {alert.state}, not firing: there is nothing to acknowledge")
            if alert.acknowledged_by is not None:
                return alert
            after = replace(alert, acknowledged_by=by, acknowledged_at=now, updated_at=now)
            happened = Happened(alert.state, after, f"acknowledged by {by}")
            self._revise(connection, Revised(kept, replace(kept, alert=after), [happened]), by, now)
        return after

    def assign(self, fingerprint: str, to: str, by: str, now: datetime) -> Alert:
        """Note who looks after an alert; an empty name is nobody. Raises UnknownAlert."""
        with self._database.write() as connection:
            kept = self._locked(connection, fingerprint)
            alert = kept.alert
            if (alert.assignee or "") == to:
                return alert
            after = replace(alert, assignee=to or None, updated_at=now)
            happened = Happened(alert.state, after, f"assigned to {to} by {by}" if to else f"unassigned by {by}")
            self._revise(connection, Revised(kept, replace(kept, alert=after), [happened]), by, now)
        return after

    def take(self, alert: Alert, now: datetime) -> Alert:
        """Take what an Alertmanager says of an alert, and return how it stands: what was said before changes nothing.

        An alert that Driftline's own rules make is left alone: it came from here.
        """
        with self._database.write() as connection:
            row = connection.execute(
                select(t.alerts).where(self._is(alert.fingerprint)).with_for_update()
            ).one_or_none()
            kept = KeptAlert(replace(alert, state=AlertState.INACTIVE, episode=0)) if row is None else kept_of(row)
            after = taken(None if row is None else kept.alert, alert, now)
            if after is None:
                return kept.alert
            changed = kept.alert.state is not after.state or kept.alert.episode != after.episode
            happened = [Happened(kept.alert.state, after, f"Alertmanager says {after.state}")] if changed else []
            told = ending(kept.alert, after, kept.memory.told, now)
            memory = replace(kept.memory, told={}) if told else kept.memory
            revised = Revised(kept, replace(kept, alert=after, memory=memory), happened, told)
            self._revise(connection, revised, str(Origin.ALERTMANAGER), now)
        return after

    def paged(self, connection: Connection, alert: Alert, receiver: str, now: datetime) -> None:
        """Note in the caller's transaction that a receiver was paged, so that it is told of the episode's end.

        Raises:
            StaleClaim: the episode has ended meanwhile.
        """
        kept = self._locked(connection, alert.fingerprint)
        if (kept.alert.state, kept.alert.episode) != (AlertState.FIRING, alert.episode):
            raise StaleClaim(f"alert {alert.fingerprint} has ended meanwhile")
        memory = replace(kept.memory, told={**kept.memory.told, receiver: now})
        self._revise(connection, Revised(kept, replace(kept, memory=memory)), "", now)

    def look(self, model: str, most: int, rules: Collection[str] = (), *, data: bool) -> Look:
        """Return what there may be to do about a model: at most so many windows, and with `data` how far its data goes.

        The alerts of `rules`, by fingerprint, stand there whoever found them: an Alertmanager may have been quicker.
        """
        ours = or_(t.alerts.c.origin == str(Origin.DRIFTLINE), t.alerts.c.fingerprint.in_(list(rules)))
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.alerts.c.fingerprint, t.alerts.c.state, t.alerts.c.revision).where(
                    t.alerts.c.team == self._team, t.alerts.c.model == model, ours
                )
            ).all()
            mark = None
            if data:
                of = and_(base.streams.c.team == self._team, base.streams.c.model == model)
                mark = connection.execute(select(base.streams.c.watermark).where(of)).scalar_one_or_none()
            return Look(
                due_windows(connection, self._team, model, most),
                {row.fingerprint: (AlertState(row.state), row.revision) for row in rows},
                newest_data(connection, self._team, model) if data else None,
                moment(mark),
            )

    def facts(self, model: str, start: datetime, wanted: Collection[Source]) -> Facts:
        """Return what is known of a window."""
        with self._database.read() as connection:
            return facts_of(connection, self._team, model, start, wanted)

    def kept(self, fingerprints: Collection[str]) -> dict[str, KeptAlert]:
        """Return alerts with what their rules remember, by fingerprint; those that are not there are left out."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.alerts).where(t.alerts.c.team == self._team, t.alerts.c.fingerprint.in_(list(fingerprints)))
            ).all()
        return {row.fingerprint: kept_of(row) for row in rows}

    def record(
        self, model: str, revised: Sequence[Revised], looked_at: Sequence[DueWindow], lease: Lease, now: datetime
    ) -> None:
        """Record what alerting made of a model's windows: alerts, events, audit entries and messages, all or nothing.

        Raises:
            StaleClaim: the lease is lost, or somebody changed one of the alerts meanwhile.
        """
        with self._database.write() as connection:
            require(connection, self._team, lease)
            for each in revised:
                self._revise(connection, each, lease.holder, now)
            done(connection, self._team, model, looked_at)

    def _locked(self, connection: Connection, fingerprint: str) -> KeptAlert:
        row = connection.execute(select(t.alerts).where(self._is(fingerprint)).with_for_update()).one_or_none()
        if row is None:
            raise UnknownAlert(f"there is no alert {fingerprint}; see `driftline alerts list`")
        return kept_of(row)

    def _revise(self, connection: Connection, revised: Revised, actor: str, now: datetime) -> None:
        before = revised.before
        values = values_of(replace(revised.after, revision=before.revision + 1))
        if before.revision == 0:
            connection.execute(insert(t.alerts).values({"team": self._team} | values))
        else:
            same = and_(self._is(before.alert.fingerprint), t.alerts.c.revision == before.revision)
            if connection.execute(update(t.alerts).where(same).values(values)).rowcount != 1:
                raise StaleClaim(f"alert {before.alert.fingerprint} was changed by somebody else meanwhile")
        self._note(connection, revised, actor, now)
        outbox.put(connection, self._team, revised.notifications, now)

    def _note(self, connection: Connection, revised: Revised, actor: str, now: datetime) -> None:
        if not revised.happened:
            return
        fingerprint = revised.after.alert.fingerprint
        events = t.alert_events.c
        of = and_(events.team == self._team, events.fingerprint == fingerprint)
        number = connection.execute(select(func.max(events.number)).where(of)).scalar_one() or 0
        for place, each in enumerate(revised.happened, start=number + 1):
            said = {
                "fingerprint": fingerprint,
                "model": each.alert.model,
                "episode": each.alert.episode,
                "from_state": str(each.before),
                "to_state": str(each.alert.state),
                "reason": each.reason,
            }
            row = said | {"team": self._team, "number": place, "at": to_micros(now), "actor": actor}
            connection.execute(insert(t.alert_events).values(row))
            audit.append(
                connection, self._team, actor, "alert_changed", said | {"labels": dict(each.alert.labels)}, now
            )

    def _is(self, fingerprint: str) -> ColumnElement[bool]:
        return and_(t.alerts.c.team == self._team, t.alerts.c.fingerprint == fingerprint)
