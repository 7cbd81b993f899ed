"""The life of a retrain as one table of transitions; changes with the states that it can be in."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType

from monitor.act.retrain import RetrainState
from monitor.errors import InvariantBroken


class Event(StrEnum):
    """What happens to a retrain."""

    APPROVE = "approve"
    CHECK_GPUS = "check_gpus"
    SUBMIT = "submit"
    START = "start"
    COMPLETE = "complete"
    PASS_GATE = "pass_gate"  # noqa: S105, a gate and no password
    BEGIN_CANARY = "begin_canary"
    ASK_PROMOTION = "ask_promotion"
    ASK_ROLL_BACK = "ask_roll_back"
    BEGIN_PROMOTION = "begin_promotion"
    PROMOTE = "promote"
    REJECT = "reject"
    ROLL_BACK = "roll_back"
    FAIL = "fail"
    CANCEL = "cancel"
    EXPIRE = "expire"
    DEFER = "defer"
    STOP = "stop"
    CLEAR = "clear"
    NOT_CLEAR = "not_clear"


class IllegalTransition(InvariantBroken):
    """An event that cannot happen in this state."""


_S, _E = RetrainState, Event

_WAYS: dict[RetrainState, dict[Event, RetrainState]] = {
    _S.PROPOSED: {_E.APPROVE: _S.APPROVED, _E.EXPIRE: _S.CANCELLED, _E.CANCEL: _S.CANCELLED},
    _S.APPROVED: {
        _E.CHECK_GPUS: _S.GPU_CHECK,
        _E.SUBMIT: _S.SUBMITTED,
        _E.FAIL: _S.FAILED,
        _E.CANCEL: _S.CANCELLED,
    },
    _S.GPU_CHECK: {_E.DEFER: _S.GPU_CHECK, _E.SUBMIT: _S.SUBMITTED, _E.FAIL: _S.FAILED, _E.CANCEL: _S.CANCELLED},
    _S.SUBMITTED: {
        _E.DEFER: _S.SUBMITTED,
        _E.START: _S.RUNNING,
        _E.COMPLETE: _S.EVALUATING,  # a fast trainer reports before its answer to the request is written down
        _E.FAIL: _S.FAILED,
        _E.CANCEL: _S.CANCELLED,
    },
    _S.RUNNING: {_E.COMPLETE: _S.EVALUATING, _E.FAIL: _S.FAILED, _E.CANCEL: _S.CANCELLED},
    _S.EVALUATING: {
        _E.DEFER: _S.EVALUATING,
        _E.PASS_GATE: _S.EVALUATING,
        _E.BEGIN_CANARY: _S.CANARY,
        _E.BEGIN_PROMOTION: _S.EVALUATING,
        _E.PROMOTE: _S.PROMOTED,  # of a model without a canary
        _E.REJECT: _S.REJECTED,
        _E.FAIL: _S.FAILED,
        _E.CANCEL: _S.CANCELLED,
    },
    _S.CANARY: {
        _E.DEFER: _S.CANARY,
        _E.ASK_PROMOTION: _S.CANARY,
        _E.ASK_ROLL_BACK: _S.CANARY,
        _E.BEGIN_PROMOTION: _S.CANARY,
        _E.PROMOTE: _S.PROMOTED,
        _E.ROLL_BACK: _S.ROLLED_BACK,
        _E.FAIL: _S.FAILED,
    },
    _S.PROMOTED: {_E.CLEAR: _S.PROMOTED, _E.NOT_CLEAR: _S.PROMOTED},
    _S.REJECTED: {},
    _S.ROLLED_BACK: {},
    _S.FAILED: {_E.STOP: _S.FAILED},
    _S.CANCELLED: {_E.STOP: _S.CANCELLED},
}

TRANSITIONS = MappingProxyType({(state, event): to for state, ways in _WAYS.items() for event, to in ways.items()})
"""Every event that can happen, by state: where it leads."""


def step(state: RetrainState, event: Event) -> RetrainState:
    """Return the state that follows; raises IllegalTransition where the event cannot happen."""
    to = TRANSITIONS.get((state, event))
    if to is None:
        raise IllegalTransition(f"a retrain that is {state} cannot {event.replace('_', ' ')}")
    return to


def allows(state: RetrainState, event: Event) -> bool:
    """Say whether the event can happen."""
    return (state, event) in TRANSITIONS


def transition_table() -> str:
    """Return the transitions as a Markdown table, a row a state."""
    lines = ["| state | what can happen, and where it leads |", "|---|---|"]
    for state in RetrainState:
        ways = [f"{event} → {to}" for (of, event), to in TRANSITIONS.items() if of is state and to is not state]
        stays = [str(event) for (of, event), to in TRANSITIONS.items() if of is state and to is state]
        told = [", ".join(ways) or "none: it ends here", *(["stays: " + ", ".join(stays)] if stays else [])]
        lines.append(f"| `{state}` | {'; '.join(told)} |")
    return "\n".join(lines)
