"""What an approval link may do now, and doing it; changes with how a person's yes or no is taken.

A link is used up first, and what it was used for is done then. Should the process end between the two, the same answer may be
given again: it is what the link was used for, and the retrain still waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.act.lifecycle import Event
from monitor.act.retrain import Retrain, RetrainState
from monitor.clock import rfc3339
from monitor.errors import StaleClaim
from monitor.jobs.retrain.events import NotAllowed
from monitor.store.approval_ledger import ApprovalLink
from monitor.store.ledger import Ledger

APPROVE, REJECT = "approve", "reject"
_CRASHED_AFTER = timedelta(minutes=1)
"""In which what a link was used for is done, unless the process ended meanwhile."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A link with its retrain.

    Attributes:
        actions: what the link may still do.
        why_not: in a line, where that is nothing.
    """

    link: ApprovalLink
    retrain: Retrain
    actions: tuple[str, ...]
    why_not: str = ""


def waiting(ledger: Ledger, token: str, now: datetime) -> Waiting | None:
    """Return what a link is about, None where there is no such link; looking changes nothing."""
    link = ledger.approvals.peek(token)
    retrain = None if link is None else ledger.retrains.get(link.retrain_id)
    if link is None or retrain is None:
        return None
    if now >= link.expires_at:
        return Waiting(link, retrain, (), f"It expired at {said(link.expires_at)}.")
    if retrain.state is not RetrainState.PROPOSED:
        return Waiting(link, retrain, (), f"The retrain does not wait for an answer: it is {retrain.state}.")
    if link.used_at is None:
        return Waiting(link, retrain, (APPROVE, REJECT))
    if link.used_for in (APPROVE, REJECT) and now - link.used_at > _CRASHED_AFTER:
        return Waiting(link, retrain, (link.used_for,))
    return Waiting(link, retrain, (), f"It was used at {said(link.used_at)}, to {link.used_for}.")


def answer(ledger: Ledger, token: str, action: str, actor: str, now: datetime) -> Retrain:
    """Approve or reject, once.

    Raises:
        NotAllowed: the link may not do that, or no longer: it expired, was used, or somebody was quicker.
    """
    found = waiting(ledger, token, now)
    if found is None or action not in found.actions:
        raise NotAllowed(found.why_not if found and found.why_not else "This link may not do that.")
    if found.link.used_at is None and ledger.approvals.use(token, action, now) is None:
        raise NotAllowed("It was used a moment ago.")
    return _decided(ledger, found.retrain, action, actor, now)


def _decided(ledger: Ledger, retrain: Retrain, action: str, actor: str, now: datetime) -> Retrain:
    """Change a retrain that still waits: another link to it may be used at the same moment, to say the opposite."""
    if action == APPROVE:
        event, why, found = Event.APPROVE, f"approved by {actor}", {"approval": {"by": actor, "at": rfc3339(now)}}
    else:
        event, why, found = Event.CANCEL, f"cancelled by {actor}: rejected", {}
    try:
        return ledger.retrains.change(retrain, event, actor, why, now, found=found)
    except StaleClaim:
        there = ledger.retrains.get(retrain.retrain_id) or retrain
        if there.state is RetrainState.PROPOSED:
            return _decided(ledger, there, action, actor, now)
        raise NotAllowed(f"Somebody else was quicker: the retrain is {there.state}.") from None


def said(moment: datetime) -> str:
    """Return a time as people read it: in UTC, to the second."""
    return rfc3339(moment.replace(microsecond=0))
