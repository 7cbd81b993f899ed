"""`/v1/decisions` and `/v1/audit`: what was done and why, for whoever looks it up later; changes with what is kept of that."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import Query

from monitor.act.decision import RecordedDecision
from monitor.api.answers import AuditAnswer, DecisionAnswer
from monitor.api.routing import Asked, guarded
from monitor.store.token_ledger import Scope

reading = guarded(Scope.READ, "records")
administrating = guarded(Scope.ADMIN, "records")

Limit = Annotated[int, Query(ge=1, le=1_000)]


@reading.get("/v1/decisions")
def list_decisions(
    call: Asked,
    model: Annotated[str | None, Query(max_length=512, description="Only about this model.")] = None,
    limit: Limit = 100,
) -> list[DecisionAnswer]:
    """List what policies decided, newest first: what was done, and what was not and why."""
    return list(map(_decision, call.ledger.decisions.list(model, limit=limit)))


@administrating.get("/v1/audit")
def list_audit_entries(
    call: Asked,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="Number of the last entry that is known.")] = 0,
    limit: Limit = 100,
) -> list[AuditAnswer]:
    """List the entries of the audit log that follow a number, oldest first."""
    return [
        AuditAnswer(
            sequence=entry.sequence,
            recorded_at=entry.recorded_at,
            actor=entry.actor,
            action=entry.action,
            body=orjson.loads(entry.body),
            previous_hash=entry.previous_hash,
            hash=entry.hash,
        )
        for entry in call.ledger.pages.audit(after, limit)
    ]


def _decision(recorded: RecordedDecision) -> DecisionAnswer:
    decided = recorded.decided
    return DecisionAnswer(
        policy=decided.policy,
        fingerprint=decided.fingerprint,
        episode=decided.episode,
        number=recorded.number,
        model=decided.model,
        action=decided.decision.action,
        outcome=decided.decision.outcome,
        rule=decided.decision.rule,
        reason=decided.decision.reason,
        retrain_id=decided.retrain_id,
        first_at=recorded.first_at,
        last_at=recorded.last_at,
        times=recorded.times,
    )
