"""The audit log: one hash chain per team, written in the transaction of what it records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from monitor.clock import from_micros, to_micros
from monitor.store import tables as t

GENESIS = "0" * 64
"""The previous hash of a team's first entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log; `hash` is SHA-256 over the previous hash and everything else in the entry."""

    team: str
    sequence: int
    recorded_at: datetime
    actor: str
    action: str
    body: str
    previous_hash: str
    hash: str


def append(connection: Connection, team: str, actor: str, action: str, body: Mapping[str, Any], now: datetime) -> None:
    """Add an entry in the caller's transaction; entries of one team are serialised by the head's row."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    bumped = connection.execute(
        update(t.audit_heads).where(t.audit_heads.c.team == team).values(sequence=t.audit_heads.c.sequence + 1)
    )
    if not bumped.rowcount:
        connection.execute(insert(t.audit_heads).values(team=team, sequence=1, hash=GENESIS))
    head = connection.execute(select(t.audit_heads).where(t.audit_heads.c.team == team)).one()
    digest = entry_hash(team, head.sequence, to_micros(now), actor, action, text, head.hash)
    connection.execute(
        insert(t.audit_entries).values(
            team=team,
            sequence=head.sequence,
            recorded_at=to_micros(now),
            actor=actor,
            action=action,
            body=text,
            previous_hash=head.hash,
            hash=digest,
        )
    )
    connection.execute(update(t.audit_heads).where(t.audit_heads.c.team == team).values(hash=digest))


def entries(connection: Connection, team: str) -> Iterator[Entry]:
    """Yield the team's entries from the first on."""
    for row in connection.execute(
        select(t.audit_entries).where(t.audit_entries.c.team == team).order_by(t.audit_entries.c.sequence)
    ):
        yield Entry(
            row.team,
            row.sequence,
            from_micros(row.recorded_at),
            row.actor,
            row.action,
            row.body,
            row.previous_hash,
            row.hash,
        )


def first_break(connection: Connection, team: str) -> str | None:
    """Say where the chain is broken (an entry changed, removed, added or cut off at the end), None where it is whole."""
    previous, sequence = GENESIS, 0
    for entry in entries(connection, team):
        sequence += 1
        if entry.sequence != sequence:
            return f"entry {sequence} is missing"
        content = (entry.actor, entry.action, entry.body)
        expected = entry_hash(team, sequence, to_micros(entry.recorded_at), *content, entry.previous_hash)
        if entry.previous_hash != previous or entry.hash != expected:
            return f"entry {sequence} was altered"
        previous = entry.hash
    head = connection.execute(select(t.audit_heads).where(t.audit_heads.c.team == team)).one_or_none()
    if head is not None and (head.sequence, head.hash) != (sequence, previous):
        return f"entries after {sequence} are missing"
    return None


def entry_hash(
    team: str, sequence: int, recorded_at: int, actor: str, action: str, body: str, previous_hash: str
) -> str:
    """Return the entry's hash, as 64 hexadecimal digits; fields are joined as JSON, so that none can run into the next."""
    fields = json.dumps([team, sequence, recorded_at, actor, action, body, previous_hash], separators=(",", ":"))
    return hashlib.sha256(fields.encode()).hexdigest()
