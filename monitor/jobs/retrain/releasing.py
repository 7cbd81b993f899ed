"""The steps of a retrain from a candidate to its end: the gate, the canary, promotion, roll-back; changes with these.

What is done outside is written down as begun before it is done, and as done after it: whoever takes over in between does
it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from monitor.act.lifecycle import Event
from monitor.act.retrain import Confirmation, Retrain, RetrainState
from monitor.act.steps import CanaryVerdict, Found, GateVerdict
from monitor.act.timing import GIVE_UP_AFTER, lasts
from monitor.clock import rfc3339
from monitor.errors import InputError, TransientError
from monitor.jobs.retrain.after import AT_PROMOTION, at_promotion
from monitor.jobs.retrain.work import Work, as_document

PROMOTING = "promoting"
"""In the details: the promotion has begun, and cannot be cancelled any more."""
ROLLING_BACK = "rolling_back"
"""In the details: why it is being taken out of service."""


def evaluating(work: Work, retrain: Retrain) -> Retrain:
    """Have the candidate judged; one that passed goes on to the canary, or into service where there is none."""
    if ROLLING_BACK in retrain.details:
        return _roll_back(work, retrain, Event.FAIL)
    if PROMOTING in retrain.details:
        return _promote(work, retrain)
    gate = retrain.details.get("gate")
    if gate is None:
        return _judge(work, retrain)
    if work.settings.canary is None:
        return work.change(
            retrain, Event.BEGIN_PROMOTION, "promoting it: no canary is asked for", found=_begun(work, PROMOTING)
        )
    return work.change(retrain, Event.BEGIN_CANARY, "bringing it into service beside the present version")


def canary(work: Work, retrain: Retrain) -> Retrain:
    """Have the candidate serve a part of the traffic, watch it, and promote it or roll it back."""
    asked = retrain.details.get("asked", {})
    if ROLLING_BACK in retrain.details:
        return _roll_back(work, retrain, Event.ROLL_BACK)
    if PROMOTING in retrain.details:
        return _promote(work, retrain)
    if "roll_back" in asked:
        return _begin_roll_back(work, retrain, asked["roll_back"]["reason"], {})
    if "canary" not in retrain.details:
        return _begin_canary(work, retrain)
    return _watch(work, retrain, asked.get("promote"))


STEPS: dict[RetrainState, Callable[[Work, Retrain], Retrain]] = {
    RetrainState.EVALUATING: evaluating,
    RetrainState.CANARY: canary,
}
"""What is done in each of these states."""


def _judge(work: Work, retrain: Retrain) -> Retrain:
    try:
        found = work.long.done("gate", work.gate.judge, retrain)
    except InputError as error:
        return work.end(retrain, Event.REJECT, f"the candidate cannot be judged: {error}")
    except TransientError as error:
        if _tried_for(work, retrain) >= GIVE_UP_AFTER:
            return work.end(retrain, Event.FAIL, f"the candidate could not be judged: {error}")
        return work.later(retrain, f"the candidate cannot be judged yet: {error}")
    if found is None:
        return retrain
    document = {"gate": as_document(found)}
    if found.verdict != GateVerdict.PASSED:
        return work.end(retrain, Event.REJECT, f"the gate rejected it: {found.reason}", found=document)
    return work.change(retrain, Event.PASS_GATE, f"it passed the gate: {found.reason}", found=document)


def _begin_canary(work: Work, retrain: Retrain) -> Retrain:
    try:
        found = work.long.done("canary", work.rollout.begin, retrain)
    except InputError as error:
        return _begin_roll_back(work, retrain, f"it cannot serve: {error}", {})
    except TransientError as error:
        if _tried_for(work, retrain) >= GIVE_UP_AFTER:
            return _begin_roll_back(work, retrain, f"it did not come into service: {error}", {})
        return work.later(retrain, f"it is not in service yet: {error}")
    if found is None:
        return retrain
    document = {"canary": as_document(found) | {"begun_at": rfc3339(work.now)}}
    if found.verdict == CanaryVerdict.BAD:
        return _begin_roll_back(work, retrain, found.reason, document)
    return work.change(
        retrain,
        Event.DEFER,
        f"it serves as a canary: {found.reason}",
        found=document,
        due_at=work.now + work.poll_every,
    )


def _watch(work: Work, retrain: Retrain, asked: Mapping[str, Any] | None) -> Retrain:
    try:
        found = work.long.done("watch", work.rollout.watch, retrain)
    except InputError as error:
        return _begin_roll_back(work, retrain, f"it cannot be watched: {error}", {})
    except TransientError as error:
        return work.later(retrain, f"the canary cannot be watched: {error}")
    if found is None:
        return retrain
    document = {"canary": {**retrain.details["canary"], **as_document(found)}}
    if found.verdict == CanaryVerdict.BAD:
        return _begin_roll_back(work, retrain, found.reason, document)
    if found.verdict == CanaryVerdict.WAITING and asked is None:
        return work.later(retrain, f"the canary is watched: {found.reason}", found=document, wait=work.poll_every)
    reason = f"promoting it: {found.reason if asked is None else asked['reason']}"
    return work.change(retrain, Event.BEGIN_PROMOTION, reason, found={**document, **_begun(work, PROMOTING)})


def _promote(work: Work, retrain: Retrain) -> Retrain:
    try:
        found = work.long.done("promote", work.rollout.promote, retrain)
    except InputError as error:
        found = Found(CanaryVerdict.BAD, str(error))
    except TransientError as error:
        if _since(retrain, PROMOTING, work) >= GIVE_UP_AFTER:
            return _begin_roll_back(work, retrain, f"it could not be promoted: {error}", {})
        return work.later(retrain, f"the promotion is not done yet: {error}")
    if found is None:
        return retrain
    document: dict[str, Any] = {"promotion": as_document(found)}
    if found.verdict == CanaryVerdict.BAD:
        return _begin_roll_back(work, retrain, f"it could not be promoted: {found.reason}", document)
    awaits = bool(retrain.fingerprint)
    if awaits:
        document[AT_PROMOTION] = at_promotion(work.ledger, retrain)
    return work.end(
        retrain,
        Event.PROMOTE,
        f"promoted: {found.reason}",
        found=document,
        confirmation=Confirmation.WAITING if awaits else Confirmation.NONE,
        confirm_until=work.now + work.settings.confirm_within if awaits else None,
    )


def _begin_roll_back(work: Work, retrain: Retrain, reason: str, document: Mapping[str, Any]) -> Retrain:
    found = {**document, ROLLING_BACK: {"at": rfc3339(work.now), "reason": reason}}
    return work.change(retrain, Event.DEFER, f"rolling it back: {reason}", found=found)


def _roll_back(work: Work, retrain: Retrain, event: Event) -> Retrain:
    reason = retrain.details[ROLLING_BACK]["reason"]
    try:
        found = work.long.done("roll back", work.rollout.roll_back, retrain)
    except InputError as error:
        return work.end(retrain, Event.FAIL, f"it could not be rolled back: {error}; it was to be because: {reason}")
    except TransientError as error:
        if _since(retrain, ROLLING_BACK, work) >= GIVE_UP_AFTER:
            said = f"it could not be rolled back: {error}; it was to be because: {reason}"
            return work.end(retrain, Event.FAIL, f"{said}; look at what serves the model")
        return work.later(retrain, f"the roll-back is not done yet: {error}; it is to be because: {reason}")
    if found is None:
        return retrain
    return work.end(retrain, event, f"rolled back: {reason}", found={"roll_back": as_document(found)})


def _begun(work: Work, what: str) -> dict[str, Any]:
    return {what: {"at": rfc3339(work.now)}}


def _since(retrain: Retrain, what: str, work: Work) -> timedelta:
    return lasts(datetime.fromisoformat(retrain.details[what]["at"]), work.now)


def _tried_for(work: Work, retrain: Retrain) -> timedelta:
    entered = retrain.details.get("entered", {}).get(str(retrain.state))
    return lasts(retrain.created_at if entered is None else datetime.fromisoformat(entered), work.now)
