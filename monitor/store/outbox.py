"""Messages to be sent: written in the transaction of what they tell, sent at least once, those of one subject in order."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, or_, select, update

from monitor.alert.notification import Notification, Told
from monitor.clock import from_micros, to_micros
from monitor.errors import InputError
from monitor.store import audit
from monitor.store import loop_tables as t
from monitor.store.database import Database, moment

LONGEST_WAIT = timedelta(hours=1)
"""Between two tries of a message, and for a claim: what is said to last longer was written while the clock was ahead."""

_NOBODY: Mapping[str, Any] = {"holder": None, "held_until": None}


class MessageState(StrEnum):
    """What has become of a message."""

    WAITING = "waiting"
    SENT = "sent"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class Message:
    """A message and where it stands.

    Attributes:
        attempts: that were in vain; a person who sends it again has them counted anew.
        created_at: when it was put, or last sent again by a person: its age counts from there.
        due_at: when it may be tried next; at once where nobody tried yet.
        error: why the last attempt was in vain, or why it was given up.
    """

    notification: Notification
    state: MessageState
    attempts: int
    created_at: datetime
    due_at: datetime
    ended_at: datetime | None
    error: str


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for one receiver; `oldest` is when the oldest of it was put."""

    waiting: int
    oldest: datetime


def put(connection: Connection, team: str, notifications: Iterable[Notification], now: datetime) -> int:
    """Add messages in the caller's transaction and return how many were new: an id that is there already is left alone."""
    added = 0
    columns = t.outbox.c
    for each in notifications:
        there = select(columns.message_id).where(columns.team == team, columns.message_id == each.message_id)
        if connection.execute(there).one_or_none() is not None:
            continue
        queue = (columns.team == team, columns.receiver == each.receiver, columns.subject == each.subject)
        last = connection.execute(select(func.max(columns.sequence)).where(*queue)).scalar_one()
        row = {
            "team": team,
            "message_id": each.message_id,
            "sequence": (last or 0) + 1,
            "receiver": each.receiver,
            "subject": each.subject,
            "kind": str(each.kind),
            "document": json.dumps(each.document, allow_nan=False),
            "state": MessageState.WAITING,
            "attempts": 0,
            "created_at": to_micros(now),
            "due_at": to_micros(now),
            "error": "",
        }
        connection.execute(insert(t.outbox).values(row))
        added += 1
    return added


class SqlOutbox:
    """The messages of a team; safe to share between threads and processes.

    A message is claimed, sent, and only then marked. Who dies in between loses its claim at `until`, and the message is sent
    again, with the same id. Only the oldest waiting message of a receiver and subject can be claimed: none overtakes another.
    """

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def receivers_with_due(self, now: datetime) -> list[str]:
        """Return the receivers for which something may be sent now, in the order of their names."""
        with self._database.read() as connection:
            found = connection.execute(select(t.outbox.c.receiver).where(*self._due(now), self._first()).distinct())
            return sorted(found.scalars())

    def claim(self, receiver: str, holder: str, now: datetime, until: datetime, limit: int) -> list[Message]:
        """Take up to `limit` messages that are due, the oldest first, which nobody else gets before `until`."""
        heads = (
            select(t.outbox)
            .where(*self._due(now), t.outbox.c.receiver == receiver, self._first())
            .order_by(t.outbox.c.created_at, t.outbox.c.sequence, t.outbox.c.message_id)
            .limit(limit)
        )
        with self._database.write() as connection:
            claimed = []
            for row in connection.execute(heads).all():
                # Somebody else may have taken or sent it since it was read.
                taken = connection.execute(
                    update(t.outbox)
                    .where(*self._due(now), t.outbox.c.message_id == row.message_id)
                    .values(holder=holder, held_until=to_micros(until))
                )
                if taken.rowcount:
                    claimed.append(_message(row))
            return claimed

    def sent(self, message: Message, holder: str, now: datetime) -> bool:
        """Note that the receiver took it; false where the claim was lost, and somebody else sends it too."""
        return self._ended(message, holder, MessageState.SENT, "", now)

    def give_up(self, message: Message, holder: str, reason: str, now: datetime) -> bool:
        """Note that it will not be sent, in the audit log too; false where the claim was lost."""
        return self._ended(message, holder, MessageState.GIVEN_UP, reason, now)

    def try_later(self, message: Message, holder: str, due: datetime, reason: str) -> bool:
        """Note that an attempt was in vain and when the next one is; false where the claim was lost."""
        values = {"attempts": message.attempts + 1, "due_at": to_micros(due), "error": reason, **_NOBODY}
        with self._database.write() as connection:
            return bool(connection.execute(update(t.outbox).where(self._held(message, holder)).values(values)).rowcount)

    def release(self, messages: Iterable[Message], holder: str) -> None:
        """Give claims back untried."""
        with self._database.write() as connection:
            for each in messages:
                connection.execute(update(t.outbox).where(self._held(each, holder)).values(_NOBODY))

    def queues(self) -> dict[str, Queue]:
        """Return what waits, by receiver."""
        columns = t.outbox.c
        query = (
            select(columns.receiver, func.count(), func.min(columns.created_at))
            .where(columns.team == self._team, columns.state == MessageState.WAITING)
            .group_by(columns.receiver)
        )
        with self._database.read() as connection:
            return {name: Queue(count, from_micros(oldest)) for name, count, oldest in connection.execute(query)}

    def find(
        self, state: MessageState | None = None, receiver: str | None = None, limit: int | None = None
    ) -> list[Message]:
        """Return the newest `limit` messages, oldest first."""
        wanted = [t.outbox.c.team == self._team]
        wanted += [] if state is None else [t.outbox.c.state == state]
        wanted += [] if receiver is None else [t.outbox.c.receiver == receiver]
        order = (t.outbox.c.created_at.desc(), t.outbox.c.sequence.desc(), t.outbox.c.message_id.desc())
        with self._database.read() as connection:
            rows = connection.execute(select(t.outbox).where(*wanted).order_by(*order).limit(limit)).all()
        return [_message(row) for row in reversed(rows)]

    def resend(self, message_id: str, actor: str, now: datetime) -> Message:
        """Have a message sent (again) now, with the same id; raises InputError where there is none of that id.

        What became of it is forgotten, and its age counts from now. While it waits, later messages of its subject wait for it.
        """
        where = and_(t.outbox.c.team == self._team, t.outbox.c.message_id == message_id)
        with self._database.write() as connection:
            row = connection.execute(select(t.outbox).where(where).with_for_update()).one_or_none()
            if row is None:
                raise InputError(f"there is no message {message_id}; `driftline notify list` has them")
            values = {"state": MessageState.WAITING, "attempts": 0, "error": "", "ended_at": None}
            times = {"created_at": to_micros(now), "due_at": to_micros(now)}
            connection.execute(update(t.outbox).where(where).values(values | times))
            body = {"message": message_id, "receiver": row.receiver, "subject": row.subject, "was": row.state}
            audit.append(connection, self._team, actor, "notification_resent", body, now)
            return _message(connection.execute(select(t.outbox).where(where)).one())

    def abandon(self, known: Collection[str], before: datetime, reason: str, now: datetime) -> int:
        """Give up what was put before a time for receivers that are not `known`, and return how many messages that were."""
        unknown = [t.outbox.c.team == self._team, t.outbox.c.state == MessageState.WAITING]
        unknown += [t.outbox.c.receiver.not_in(list(known)), t.outbox.c.created_at < to_micros(before)]
        with self._database.write() as connection:
            rows = connection.execute(select(t.outbox).where(*unknown).with_for_update()).all()
            for row in rows:
                self._end(connection, _message(row), and_(*unknown), MessageState.GIVEN_UP, reason, now)
        return len(rows)

    def clean(self, before: datetime) -> int:
        """Forget what ended before a time, and return how many messages that were."""
        old = (t.outbox.c.team == self._team, t.outbox.c.ended_at < to_micros(before))
        with self._database.write() as connection:
            return connection.execute(delete(t.outbox).where(*old)).rowcount

    def _due(self, now: datetime) -> list[ColumnElement[bool]]:
        at, ahead = to_micros(now), to_micros(now + LONGEST_WAIT)
        columns = t.outbox.c
        return [
            columns.team == self._team,
            columns.state == MessageState.WAITING,
            or_(columns.attempts == 0, columns.due_at <= at, columns.due_at > ahead),
            or_(columns.held_until.is_(None), columns.held_until <= at, columns.held_until > ahead),
        ]

    def _first(self) -> ColumnElement[bool]:
        """Return whether no earlier message of the same receiver and subject waits."""
        earlier = t.outbox.alias("earlier")
        waits = select(earlier.c.message_id).where(
            earlier.c.team == self._team,
            earlier.c.receiver == t.outbox.c.receiver,
            earlier.c.subject == t.outbox.c.subject,
            earlier.c.sequence < t.outbox.c.sequence,
            earlier.c.state == MessageState.WAITING,
        )
        return ~waits.exists()

    def _held(self, message: Message, holder: str) -> ColumnElement[bool]:
        return and_(
            t.outbox.c.team == self._team,
            t.outbox.c.message_id == message.notification.message_id,
            t.outbox.c.state == MessageState.WAITING,
            t.outbox.c.holder == holder,
        )

    def _ended(self, message: Message, holder: str, state: MessageState, reason: str, now: datetime) -> bool:
        with self._database.write() as connection:
            return self._end(connection, message, self._held(message, holder), state, reason, now)

    def _end(
        self,
        connection: Connection,
        message: Message,
        where: ColumnElement[bool],
        state: MessageState,
        reason: str,
        now: datetime,
    ) -> bool:
        told = message.notification
        values = {"state": state, "error": reason, "ended_at": to_micros(now), **_NOBODY}
        this = and_(where, t.outbox.c.message_id == told.message_id)
        if not connection.execute(update(t.outbox).where(this).values(values)).rowcount:
            return False
        if state is MessageState.GIVEN_UP:
            body = {"message": told.message_id, "receiver": told.receiver, "subject": told.subject, "kind": told.kind}
            audit.append(connection, self._team, "driftline", "notification_given_up", {**body, "reason": reason}, now)
        return True


def _message(row: Row[Any]) -> Message:
    return Message(
        Notification(row.message_id, row.receiver, row.subject, Told(row.kind), json.loads(row.document)),
        MessageState(row.state),
        row.attempts,
        from_micros(row.created_at),
        from_micros(row.due_at),
        moment(row.ended_at),
        row.error,
    )
