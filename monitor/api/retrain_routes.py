"""`/v1/retrains`: asking for one, and what people and trainers say of it; changes with what can be said."""

from __future__ import annotations

import hashlib
import uuid
from typing import Annotated

import orjson
from fastapi import Header, Path, Query, Response

from monitor.act.retrain import Retrain, RetrainState
from monitor.act.trainer_request import request_of
from monitor.api.answers import RetrainAnswer, RetrainEventAnswer, RetrainWithEvents
from monitor.api.bodies import Cancel, Completed, Failed, NewRetrain
from monitor.api.routing import Asked, guarded
from monitor.jobs.retrain import events as retrain_events
from monitor.jobs.retrain.events import UnknownRetrain
from monitor.outside.candidates.resolve import below
from monitor.store.token_ledger import Scope

reading = guarded(Scope.READ, "retrains")
operating = guarded(Scope.OPERATE, "retrains")

RetrainId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Of the retrain.")]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="The same key with the same body asks once, however often it is sent; one is made where there is none.",
    ),
]


@reading.get("/v1/retrains")
def list_retrains(
    call: Asked,
    model: Annotated[str | None, Query(max_length=512, description="Only of this model.")] = None,
    state: Annotated[RetrainState | None, Query(description="Only in this state.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> list[RetrainAnswer]:
    """List retrains, newest first."""
    return list(map(RetrainAnswer.model_validate, call.ledger.retrains.list(model, state, limit)))


@reading.get("/v1/retrains/{retrain_id}", responses={404: {}})
def show_retrain(call: Asked, retrain_id: RetrainId) -> RetrainWithEvents:
    """Show a retrain and what happened to it."""
    found = call.ledger.retrains.get(retrain_id)
    if found is None:
        raise UnknownRetrain("there is no retrain of this id; see /v1/retrains")
    events = list(map(RetrainEventAnswer.model_validate, call.ledger.retrains.events(retrain_id)))
    return RetrainWithEvents(**_shown(found).model_dump(), request=request_of(found), events=events)


@operating.post("/v1/retrains", status_code=201, responses={200: {"model": RetrainAnswer}, 409: {}})
def trigger_retrain(call: Asked, body: NewRetrain, response: Response, key: Key = None) -> RetrainAnswer:
    """Ask for a retrain: 201 for a new one, 200 for what the same key gave before.

    409 while the model has a retrain that has not ended; 422 where the key came with another body.
    """
    key = key or str(uuid.uuid4())
    digest = hashlib.sha256(orjson.dumps(body.model_dump(), option=orjson.OPT_SORT_KEYS)).hexdigest()
    before = call.ledger.retrains.of_key(key, digest)
    retrain = before or retrain_events.trigger(
        call.ledger,
        call.settings,
        body.model,
        call.actor,
        body.reason,
        call.now,
        idempotency_key=key,
        digest=digest,
    )
    response.status_code = 201 if before is None else 200
    response.headers["Idempotency-Key"] = key
    response.headers["Location"] = f"/v1/retrains/{retrain.retrain_id}"
    return _shown(retrain)


@operating.post("/v1/retrains/{retrain_id}/approve", responses={404: {}, 409: {}})
def approve_retrain(call: Asked, retrain_id: RetrainId) -> RetrainAnswer:
    """Agree to a proposed retrain."""
    return _shown(retrain_events.approve(call.ledger, retrain_id, call.actor, call.now))


@operating.post("/v1/retrains/{retrain_id}/cancel", responses={404: {}, 409: {}})
def cancel_retrain(call: Asked, retrain_id: RetrainId, body: Cancel | None = None) -> RetrainAnswer:
    """End a retrain; a canary is rolled back at the monitor's next look."""
    reason = body.reason if body else ""
    return _shown(retrain_events.cancel(call.ledger, retrain_id, call.actor, call.now, reason))


@operating.post("/v1/retrains/{retrain_id}/complete", responses={404: {}, 409: {}})
def complete_retrain(call: Asked, retrain_id: RetrainId, body: Completed) -> RetrainAnswer:
    """Report what a training made: the trainer's last word. The same again changes nothing.

    The address is written down, no more: the monitor looks for it, under the configured `candidates` alone.
    """
    below(call.settings.candidates, body.uri)
    return _shown(retrain_events.complete(call.ledger, retrain_id, call.actor, body.model_dump(), call.now))


@operating.post("/v1/retrains/{retrain_id}/fail", responses={404: {}, 409: {}})
def fail_retrain(call: Asked, retrain_id: RetrainId, body: Failed) -> RetrainAnswer:
    """Report that a training failed. The same again changes nothing."""
    return _shown(retrain_events.fail(call.ledger, retrain_id, call.actor, body.reason, call.now))


@operating.post("/v1/retrains/{retrain_id}/heartbeat", responses={404: {}, 409: {}})
def hear_of_retrain(call: Asked, retrain_id: RetrainId) -> RetrainAnswer:
    """Say that a training goes on, so that its trainer does not count as lost."""
    return _shown(retrain_events.heartbeat(call.ledger, retrain_id, call.actor, call.now))


def _shown(retrain: Retrain) -> RetrainAnswer:
    return RetrainAnswer.model_validate(retrain)
