"""Alerts as rows of the ledger; changes with what is kept of one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from monitor.alert.alert import Alert, AlertState, Origin
from monitor.alert.memory import Memory
from monitor.clock import from_micros
from monitor.store.database import micros, moment


@dataclass(frozen=True, slots=True)
class KeptAlert:
    """An alert with what its rule remembers; `revision` 0 is one that the ledger does not hold yet."""

    alert: Alert
    memory: Memory = field(default_factory=Memory)
    revision: int = 0


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """One thing that happened to an alert; where both states are the same, something else than its state changed."""

    number: int
    at: datetime
    episode: int
    from_state: AlertState
    to_state: AlertState
    actor: str
    reason: str


def kept_of(row: Row[Any]) -> KeptAlert:
    """Return what a row holds."""
    found = json.loads(row.findings)
    alert = Alert(
        labels=json.loads(row.labels),
        annotations=json.loads(row.annotations),
        state=AlertState(row.state),
        origin=Origin(row.origin),
        updated_at=from_micros(row.updated_at),
        episode=row.episode,
        active_at=moment(row.active_at),
        fired_at=moment(row.fired_at),
        resolved_at=moment(row.resolved_at),
        findings=tuple(found["findings"]),
        acknowledged_by=row.acknowledged_by,
        acknowledged_at=moment(row.acknowledged_at),
        assignee=row.assignee,
        muted=tuple(found["muted"]),
    )
    return KeptAlert(alert, Memory.from_document(json.loads(row.memory)), row.revision)


def values_of(kept: KeptAlert) -> dict[str, Any]:
    """Return the columns of a row, but for its team."""
    alert, told = kept.alert, kept.memory.told
    return {
        "fingerprint": alert.fingerprint,
        "rule": alert.name,
        "model": alert.model,
        "origin": str(alert.origin),
        "state": str(alert.state),
        "episode": alert.episode,
        "labels": _json(dict(alert.labels)),
        "annotations": _json(dict(alert.annotations)),
        "active_at": micros(alert.active_at),
        "fired_at": micros(alert.fired_at),
        "resolved_at": micros(alert.resolved_at),
        "updated_at": micros(alert.updated_at),
        "notified_at": micros(max(told.values(), default=None)),
        "acknowledged_by": alert.acknowledged_by,
        "acknowledged_at": micros(alert.acknowledged_at),
        "assignee": alert.assignee,
        "findings": _json({"findings": list(alert.findings), "muted": list(alert.muted)}),
        "memory": _json(kept.memory.to_document()),
        "revision": kept.revision,
    }


def event_of(row: Row[Any]) -> AlertEvent:
    """Return what a row of the events holds."""
    return AlertEvent(
        row.number,
        from_micros(row.at),
        row.episode,
        AlertState(row.from_state),
        AlertState(row.to_state),
        row.actor,
        row.reason,
    )


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
