"""Retrains as rows of the ledger; changes with the columns of its tables."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from monitor.act.retrain import Confirmation, Retrain, RetrainEvent, RetrainState
from monitor.clock import from_micros, rfc3339
from monitor.store.database import micros, moment

_TIMES = frozenset({"created_at", "updated_at", "due_at", "deadline_at", "confirm_until"})
_DOCUMENTS = frozenset({"request", "candidate", "details"})


def new_retrain_id() -> str:
    """Return an id that no other retrain has: letters and digits only, as schedulers want names of runs."""
    return f"r{uuid.uuid4().hex[:15]}"


def wish(
    model: str,
    *,
    created_by: str,
    now: datetime,
    request: Mapping[str, Any],
    policy: str = "",
    fingerprint: str = "",
    episode: int = 0,
    state: RetrainState = RetrainState.PROPOSED,
    due_at: datetime | None = None,
    deadline_at: datetime | None = None,
    reason: str = "",
) -> Retrain:
    """Return a new retrain, which is nowhere yet."""
    return Retrain(
        retrain_id=new_retrain_id(),
        model=model,
        state=state,
        revision=1,
        created_by=created_by,
        created_at=now,
        updated_at=now,
        due_at=due_at or now,
        policy=policy,
        fingerprint=fingerprint,
        episode=episode,
        deadline_at=deadline_at,
        request=request,
        details={"entered": {str(state): rfc3339(now)}},
        reason=reason,
    )


def retrain_row(retrain: Retrain) -> dict[str, Any]:
    """Return the columns of a retrain that follow from it."""
    row: dict[str, Any] = {}
    for field in fields(Retrain):
        value = getattr(retrain, field.name)
        if field.name in _TIMES:
            value = micros(value)
        elif field.name in _DOCUMENTS:
            value = document_text(value)
        row[field.name] = value
    return row | {"state": str(retrain.state), "confirmation": str(retrain.confirmation)}


def retrain_of(row: Row[Any]) -> Retrain:
    """Read `retrain_row`."""
    values = {field.name: getattr(row, field.name) for field in fields(Retrain)}
    values |= {name: moment(values[name]) for name in _TIMES}
    values |= {name: json.loads(values[name]) for name in _DOCUMENTS}
    return Retrain(**values | {"state": RetrainState(row.state), "confirmation": Confirmation(row.confirmation)})


def document_text(document: Mapping[str, Any]) -> str:
    """Return a JSON document as a column holds it; raises ValueError for NaN and infinity."""
    return json.dumps(document, sort_keys=True, allow_nan=False)


def event_of(row: Row[Any]) -> RetrainEvent:
    """Return an event from its row."""
    return RetrainEvent(
        row.number,
        from_micros(row.at),
        row.from_state,
        RetrainState(row.to_state),
        row.actor,
        row.reason,
        json.loads(row.document),
    )
