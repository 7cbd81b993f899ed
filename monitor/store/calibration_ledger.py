"""What estimates of performance without labels are made from: numbered, never overwritten, the newest counts, ten are kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, func, insert, select

from monitor.store import audit
from monitor.store import tables as t
from monitor.store.database import Database, micros
from monitor.store.documents import decode_document, encode_document
from monitor.store.leases import Lease, require

_KEPT = 10
"""Calibrations of a version that are kept; each is made of the one before, and older ones are of no use."""


class SqlCalibrations:
    """Calibrations of all model versions, in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def add(self, model: str, version: str, document: Mapping[str, Any], lease: Lease, now: datetime) -> int:
        """Store a new calibration and return its number, from 1; raises StaleClaim when the lease is lost."""
        mine = and_(*(t.calibrations.c[name] == value for name, value in self._of(model, version).items()))
        with self._database.write() as connection:
            require(connection, self._team, lease)
            number = connection.execute(select(func.max(t.calibrations.c.number)).where(mine)).scalar_one()
            number = (number or 0) + 1
            connection.execute(
                insert(t.calibrations).values(
                    **self._of(model, version),
                    number=number,
                    fencing_token=lease.token,
                    created_at=micros(now),
                    document=encode_document(document),
                )
            )
            connection.execute(delete(t.calibrations).where(mine, t.calibrations.c.number <= number - _KEPT))
            body = {"model": model, "version": version, "number": number}
            audit.append(connection, self._team, lease.holder, "calibration_created", body, now)
        return int(number)

    def newest(self, model: str, version: str) -> tuple[int, dict[str, Any]] | None:
        """Return number and document of the newest calibration, None where there is none."""
        mine = and_(*(t.calibrations.c[name] == value for name, value in self._of(model, version).items()))
        with self._database.read() as connection:
            row = connection.execute(
                select(t.calibrations.c.number, t.calibrations.c.document)
                .where(mine)
                .order_by(t.calibrations.c.number.desc())
                .limit(1)
            ).one_or_none()
        return None if row is None else (int(row.number), decode_document(row.document))

    def _of(self, model: str, version: str) -> dict[str, str]:
        return {"team": self._team, "model": model, "version": version}
