"""Messages to be sent: written in the transaction of what they tell, sent at least once, those of one subject in order."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from monitor.alert.notification import Notification
from monitor.clock import to_micros
from monitor.store import loop_tables as t

WAITING = "waiting"


def put(connection: Connection, team: str, notifications: Iterable[Notification], now: datetime) -> int:
    """Add messages in the caller's transaction and return how many were new: an id that is there already is left alone."""
    added = 0
    for each in notifications:
        there = select(t.outbox.c.message_id).where(t.outbox.c.team == team, t.outbox.c.message_id == each.message_id)
        if connection.execute(there).one_or_none() is not None:
            continue
        last = connection.execute(select(func.max(t.outbox.c.sequence)).where(t.outbox.c.team == team)).scalar_one()
        row = {
            "team": team,
            "message_id": each.message_id,
            "sequence": (last or 0) + 1,
            "receiver": each.receiver,
            "subject": each.subject,
            "kind": str(each.kind),
            "document": json.dumps(each.document, allow_nan=False),
            "state": WAITING,
            "attempts": 0,
            "created_at": to_micros(now),
            "due_at": to_micros(now),
            "error": "",
        }
        connection.execute(insert(t.outbox).values(row))
        added += 1
    return added
