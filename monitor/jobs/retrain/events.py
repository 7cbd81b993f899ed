"""What people, programs and trainers say of retrains; each may be said again, and changes nothing then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeAlias

from monitor.act.lifecycle import Event, allows
from monitor.act.retrain import Confirmation, Retrain, RetrainState
from monitor.alert.alert import Alert
from monitor.clock import rfc3339
from monitor.config.settings import Settings
from monitor.errors import InputError, StaleClaim
from monitor.store.ledger import Ledger

_RACES = 5
TOLD_TO_STOP_FOR = timedelta(hours=1)
"""How long a trainer that does not answer is asked to stop a run that nobody waits for any more."""


RequestFor: TypeAlias = Callable[[str, Alert | None, str, datetime], Mapping[str, Any]]
"""What makes a trainer's request: of a model, the alert behind it if any, a reason, and the time."""


class UnknownRetrain(InputError):
    """There is no retrain of this id."""


class NotAllowed(InputError):
    """The retrain is in a state in which this cannot be said."""


def approve(ledger: Ledger, retrain_id: str, actor: str, now: datetime) -> Retrain:
    """Agree to a proposed retrain; raises UnknownRetrain or NotAllowed."""

    def change(retrain: Retrain) -> Retrain:
        if retrain.state is not RetrainState.PROPOSED:
            if retrain.ended and "approval" not in retrain.details:
                raise NotAllowed(f"retrain {retrain_id} has ended: it is {retrain.state}")
            return retrain
        found = {"approval": {"by": actor, "at": rfc3339(now)}}
        return ledger.retrains.change(retrain, Event.APPROVE, actor, f"approved by {actor}", now, found=found)

    return _said(ledger, retrain_id, change)


def cancel(ledger: Ledger, retrain_id: str, actor: str, now: datetime, reason: str = "") -> Retrain:
    """Stop a retrain; a canary is rolled back, which the monitor does at its next look.

    A run that the trainer has is ended there by the monitor too. Raises UnknownRetrain, and NotAllowed once it is being promoted
    or has ended otherwise.
    """
    why = f"cancelled by {actor}" + (f": {reason}" if reason else "")

    def change(retrain: Retrain) -> Retrain:
        if retrain.state is RetrainState.CANCELLED or "roll_back" in retrain.details.get("asked", {}):
            return retrain
        if retrain.state is RetrainState.CANARY:
            event, found = asked(retrain, "roll_back", actor, why, now)
            return ledger.retrains.change(retrain, event, actor, why, now, found=found)
        if not allows(retrain.state, Event.CANCEL):
            raise NotAllowed(f"retrain {retrain_id} has ended: it is {retrain.state}")
        _need_time(retrain)
        return ledger.retrains.change(retrain, Event.CANCEL, actor, why, now, deadline_at=stop_until(retrain, now))

    return _said(ledger, retrain_id, change)


def complete(ledger: Ledger, retrain_id: str, actor: str, candidate: Mapping[str, Any], now: datetime) -> Retrain:
    """Take what a trainer has made; raises UnknownRetrain, and NotAllowed for a run that is not awaited."""

    def change(retrain: Retrain) -> Retrain:
        if retrain.candidate:
            if dict(retrain.candidate) != dict(candidate):
                raise NotAllowed(f"retrain {retrain_id} was completed with another candidate before")
            return retrain
        _need_run(retrain)
        why = f"{actor} reports version {candidate.get('version', '')}"
        return ledger.retrains.change(retrain, Event.COMPLETE, actor, why, now, candidate=dict(candidate))

    return _said(ledger, retrain_id, change)


def fail(ledger: Ledger, retrain_id: str, actor: str, reason: str, now: datetime) -> Retrain:
    """Take a trainer's word that its run has failed; raises UnknownRetrain, and NotAllowed for one that is not awaited."""

    def change(retrain: Retrain) -> Retrain:
        if retrain.state is RetrainState.FAILED and retrain.details.get("trainer_failed") == reason:
            return retrain
        _need_run(retrain)
        why = f"the trainer failed: {reason}" if reason else "the trainer failed"
        return ledger.retrains.change(retrain, Event.FAIL, actor, why, now, found={"trainer_failed": reason})

    return _said(ledger, retrain_id, change)


def heartbeat(ledger: Ledger, retrain_id: str, actor: str, now: datetime) -> Retrain:
    """Take a sign of life of a run; of one that has reported already it says nothing new. Raises as `fail` does."""

    def change(retrain: Retrain) -> Retrain:
        if retrain.candidate:
            return retrain
        _need_run(retrain)
        return ledger.retrains.note(retrain, now, found={"heard_at": rfc3339(now), "heard_from": actor})

    return _said(ledger, retrain_id, change)


def trigger(
    ledger: Ledger,
    settings: Settings,
    model: str,
    actor: str,
    reason: str,
    now: datetime,
    idempotency_key: str | None = None,
    digest: str | None = None,
    *,
    request_for: RequestFor | None = None,
) -> Retrain:
    """Ask for a retrain of a model by hand: neither cooldown nor quiet hours hold it back, a required approval does.

    Raises:
        InputError: there is no such model, or nothing says how to retrain it.
        LiveRetrain: it is being retrained already.
        KeyReused: the key came with another request before.
    """
    same = ledger.retrains.of_key(idempotency_key, digest)
    if same is not None:
        return same
    configured = settings.models.get(model)
    if configured is None:
        raise InputError(f"there is no model {model!r}; there is: {', '.join(sorted(settings.models))}")
    if configured.retrain is None:
        raise InputError(f"model {model!r} has no `retrain` settings: nothing says who trains it")
    request = (request_for or _bound_request(ledger, settings))(model, None, reason, now)
    waits = configured.retrain.approval == "required"
    return ledger.retrains.propose(
        model,
        created_by=actor,
        now=now,
        request=request,
        idempotency_key=idempotency_key,
        digest=digest,
        state=RetrainState.PROPOSED if waits else RetrainState.APPROVED,
        deadline_at=now + configured.retrain.approve_within if waits else None,
        reason=reason,
    )


def confirm(ledger: Ledger, retrain_id: str, actor: str, now: datetime) -> Retrain:
    """Say that a promoted retrain did what it was for, whatever its alert says; raises UnknownRetrain or NotAllowed."""

    def change(retrain: Retrain) -> Retrain:
        if not allows(retrain.state, Event.CLEAR):
            raise NotAllowed(f"retrain {retrain_id} was not promoted: it is {retrain.state}")
        if retrain.confirmation is Confirmation.CLEARED:
            return retrain
        why = f"taken as cleared by {actor}"
        return ledger.retrains.change(
            retrain, Event.CLEAR, actor, why, now, confirmation=Confirmation.CLEARED, confirm_until=None
        )

    return _said(ledger, retrain_id, change)


def asked(retrain: Retrain, what: str, actor: str, reason: str, now: datetime) -> tuple[Event, Mapping[str, Any]]:
    """Return the event, and what is found with it, by which the monitor is asked to `promote` or `roll_back` a canary.

    Raises:
        NotAllowed: there is no canary, or its promotion has begun.
    """
    event = Event.ASK_PROMOTION if what == "promote" else Event.ASK_ROLL_BACK
    if not allows(retrain.state, event):
        raise NotAllowed(f"retrain {retrain.retrain_id} has no canary: it is {retrain.state}")
    _need_time(retrain)
    before = retrain.details.get("asked", {})
    return event, {"asked": {**before, what: {"by": actor, "at": rfc3339(now), "reason": reason}}}


def stop_until(retrain: Retrain, now: datetime) -> datetime | None:
    """Return until when the trainer is to be told that nobody waits for the run; None where it has none."""
    return now + TOLD_TO_STOP_FOR if retrain.state in (RetrainState.SUBMITTED, RetrainState.RUNNING) else None


def _need_run(retrain: Retrain) -> None:
    if retrain.state not in (RetrainState.SUBMITTED, RetrainState.RUNNING):
        raise NotAllowed(f"retrain {retrain.retrain_id} is {retrain.state}: no run of it is awaited")


def _need_time(retrain: Retrain) -> None:
    if "promoting" in retrain.details:
        raise NotAllowed(f"retrain {retrain.retrain_id} is being promoted: it is too late for that")


def _said(ledger: Ledger, retrain_id: str, change: Callable[[Retrain], Retrain]) -> Retrain:
    """Apply a change to the retrain as it is now; again where somebody else was quicker."""
    for left in reversed(range(_RACES)):
        retrain = ledger.retrains.get(retrain_id)
        if retrain is None:
            raise UnknownRetrain(f"there is no retrain {retrain_id!r}")
        try:
            return change(retrain)
        except StaleClaim:
            if not left:
                raise
    raise AssertionError("unreachable")


def _bound_request(ledger: Ledger, settings: Settings) -> RequestFor:
    # Imported here: they read spans, which nothing else that is said of retrains has need of.
    from monitor.jobs.retrain.requests import request_for
    from monitor.store.span_storage import open_storage

    return partial(request_for, ledger, open_storage(settings.spans.uri), settings)
