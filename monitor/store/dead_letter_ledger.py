"""Dead letters in SQL: what is known of them, and which are still to be forwarded or replayed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, select, update

from monitor.clock import from_micros
from monitor.cuts import DeadLetter, Partition
from monitor.dead_letters import Choice, StoredLetter
from monitor.store import tables as t
from monitor.store.cut_ledger import decode_headers
from monitor.store.database import Database, micros, moment


class SqlDeadLetters:
    """The dead letters of one team; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def count(self, choice: Choice) -> int:
        """Return how many there are."""
        with self._database.read() as connection:
            found = connection.execute(select(func.count()).select_from(t.dead_letters).where(*self._chosen(choice)))
            return int(found.scalar_one())

    def find(self, choice: Choice, limit: int, *, newest: bool = False) -> list[StoredLetter]:
        """Return at most `limit` of them in the order in which they were recorded; the oldest or the newest ones."""
        columns = t.dead_letters.c
        order = (columns.recorded_at, columns.source, columns.number, columns.offset)
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.dead_letters)
                .where(*self._chosen(choice))
                .order_by(*(each.desc() if newest else each for each in order))
                .limit(limit)
            ).all()
        return [_stored(row) for row in (reversed(rows) if newest else rows)]

    def unforwarded(self, limit: int) -> list[StoredLetter]:
        """Return at most `limit` letters that the dead letters' topic does not have yet, oldest first."""
        columns = t.dead_letters.c
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.dead_letters)
                .where(columns.team == self._team, columns.forwarded.is_(False))
                .order_by(columns.recorded_at, columns.source, columns.number, columns.offset)
                .limit(limit)
            ).all()
        return [_stored(row) for row in rows]

    def mark_forwarded(self, letters: Sequence[StoredLetter]) -> None:
        """Note that the topic has them; idempotent."""
        with self._database.write() as connection:
            for stored in letters:
                connection.execute(update(t.dead_letters).where(self._is(stored.letter)).values(forwarded=True))

    def mark_copied(self, letters: Sequence[StoredLetter], topic: str, now: datetime) -> None:
        """Note that copies were sent to `topic`; letters that became records meanwhile stay what they are."""
        with self._database.write() as connection:
            for stored in letters:
                connection.execute(
                    update(t.dead_letters)
                    .where(self._is(stored.letter), t.dead_letters.c.replayed_at.is_(None))
                    .values(replayed_at=micros(now), replayed_to=topic)
                )

    def _chosen(self, choice: Choice) -> list[ColumnElement[bool]]:
        columns = t.dead_letters.c
        wanted: list[ColumnElement[bool]] = [columns.team == self._team]
        if choice.topic is not None:
            wanted.append(columns.name == choice.topic)
        if choice.reason is not None:
            wanted.append(func.lower(columns.reason).contains(choice.reason.lower(), autoescape=True))
        if choice.since is not None:
            wanted.append(columns.recorded_at >= (micros(choice.since) or 0))
        if choice.waiting:
            wanted.append(columns.replayed_at.is_(None))
        return wanted

    def _is(self, letter: DeadLetter) -> ColumnElement[bool]:
        columns = t.dead_letters.c
        return and_(
            columns.team == self._team,
            columns.source == letter.partition.source,
            columns.number == letter.partition.number,
            columns.offset == letter.offset,
        )


def _stored(row: Row[Any]) -> StoredLetter:
    letter = DeadLetter(
        Partition(row.source, row.number, row.name),
        row.offset,
        row.reason,
        row.digest,
        row.size_bytes,
        row.content,
        tuple(decode_headers(row.headers)),
    )
    return StoredLetter(letter, from_micros(row.recorded_at), row.forwarded, moment(row.replayed_at), row.replayed_to)
