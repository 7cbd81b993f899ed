"""Baselines: immutable, numbered per model, one of them active."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, insert, select, update

from monitor.clock import from_micros, rfc3339, to_micros
from monitor.errors import InputError
from monitor.records import ColumnTypes
from monitor.store import audit
from monitor.store import tables as t
from monitor.store.cut_ledger import encode_types
from monitor.store.database import Database
from monitor.store.documents import decode_document, encode_document


@dataclass(frozen=True, slots=True)
class BaselineRow:
    """A baseline as it is listed: everything but its document."""

    number: int
    active: bool
    rows: int
    created_at: datetime
    created_by: str
    provenance: Mapping[str, Any]


class SqlBaselines:
    """The baselines of all models, in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def add(
        self,
        model: str,
        document: Mapping[str, Any],
        types: ColumnTypes,
        provenance: Mapping[str, Any],
        *,
        rows: int,
        actor: str,
        activate: bool,
        now: datetime,
    ) -> int:
        """Store a new baseline and return its number, from 1; a model's first baseline becomes active in any case."""
        with self._database.write() as connection:
            of_model = and_(t.baselines.c.team == self._team, t.baselines.c.model == model)
            newest = connection.execute(select(func.max(t.baselines.c.number)).where(of_model)).scalar_one()
            number = (newest or 0) + 1
            connection.execute(
                insert(t.baselines).values(
                    team=self._team,
                    model=model,
                    number=number,
                    created_at=to_micros(now),
                    created_by=actor,
                    rows=rows,
                    column_types=encode_types(types),
                    provenance=json.dumps(provenance, sort_keys=True),
                    document=encode_document(document),
                )
            )
            body = {"model": model, "number": number, "provenance": provenance}
            audit.append(connection, self._team, actor, "baseline_created", body, now)
            if activate or newest is None:
                self._activate(connection, model, number, actor, now)
        return number

    def activate(self, model: str, number: int, actor: str, now: datetime) -> None:
        """Judge the model's windows against baseline `number` from now on; raises InputError when there is none."""
        with self._database.write() as connection:
            known = connection.execute(
                select(t.baselines.c.number).where(
                    t.baselines.c.team == self._team, t.baselines.c.model == model, t.baselines.c.number == number
                )
            ).one_or_none()
            if known is None:
                raise InputError(f"model {model!r} has no baseline {number}; see: driftline baseline list {model}")
            self._activate(connection, model, number, actor, now)

    def active(self, model: str) -> tuple[int, dict[str, Any]] | None:
        """Return number and document of the active baseline, None where the model has none."""
        with self._database.read() as connection:
            number = connection.execute(self._active_number(model)).scalar_one_or_none()
            return None if number is None else (number, self._document(connection, model, number))

    def active_number(self, model: str) -> int | None:
        """Return the number of the active baseline, None where the model has none."""
        with self._database.read() as connection:
            number: int | None = connection.execute(self._active_number(model)).scalar_one_or_none()
        return number

    def document(self, model: str, number: int) -> dict[str, Any]:
        """Return one baseline's document; raises InputError when there is none."""
        with self._database.read() as connection:
            return self._document(connection, model, number)

    def all_of(self, model: str) -> list[BaselineRow]:
        """Return the model's baselines, oldest first."""
        with self._database.read() as connection:
            active = connection.execute(self._active_number(model)).scalar_one_or_none()
            rows = connection.execute(
                select(*(column for column in t.baselines.c if column.name != "document"))
                .where(t.baselines.c.team == self._team, t.baselines.c.model == model)
                .order_by(t.baselines.c.number)
            ).all()
        return [
            BaselineRow(
                row.number,
                row.number == active,
                row.rows,
                from_micros(row.created_at),
                row.created_by,
                json.loads(row.provenance),
            )
            for row in rows
        ]

    def _active_number(self, model: str) -> Any:
        return select(t.active_baselines.c.number).where(
            t.active_baselines.c.team == self._team, t.active_baselines.c.model == model
        )

    def _document(self, connection: Connection, model: str, number: int) -> dict[str, Any]:
        blob = connection.execute(
            select(t.baselines.c.document).where(
                t.baselines.c.team == self._team, t.baselines.c.model == model, t.baselines.c.number == number
            )
        ).scalar_one_or_none()
        if blob is None:
            raise InputError(f"model {model!r} has no baseline {number}; see: driftline baseline list {model}")
        return decode_document(blob)

    def _activate(self, connection: Connection, model: str, number: int, actor: str, now: datetime) -> None:
        values = {"number": number, "activated_at": to_micros(now)}
        changed = connection.execute(
            update(t.active_baselines)
            .where(t.active_baselines.c.team == self._team, t.active_baselines.c.model == model)
            .values(values)
        ).rowcount
        if not changed:
            connection.execute(insert(t.active_baselines).values(values | {"team": self._team, "model": model}))
        body = {"model": model, "number": number, "at": rfc3339(now)}
        audit.append(connection, self._team, actor, "baseline_activated", body, now)
