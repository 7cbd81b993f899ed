"""Retrains and decisions for people and as JSON; changes with what is shown of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape

from monitor.act.decision import Outcome, RecordedDecision
from monitor.act.retrain import Confirmation, Retrain, RetrainEvent, RetrainState
from monitor.clock import rfc3339
from monitor.report.listing import listing, second

_COLORS = {
    RetrainState.PROMOTED: "green",
    RetrainState.REJECTED: "red",
    RetrainState.ROLLED_BACK: "red",
    RetrainState.FAILED: "red",
    RetrainState.CANCELLED: "dim",
}
_OUTCOMES = {Outcome.ACTED: "green", Outcome.ASKED: "yellow", Outcome.HELD: "dim", Outcome.UNMATCHED: "dim"}
_CONFIRMATIONS = {
    Confirmation.NONE: "",
    Confirmation.WAITING: "alert not cleared yet",
    Confirmation.CLEARED: "alert cleared",
    Confirmation.NOT_CLEARED: "alert did not clear",
}


def retrain_json(retrain: Retrain) -> dict[str, Any]:
    """Return the JSON object of a retrain, without what its steps found."""
    return {
        "retrain_id": retrain.retrain_id,
        "model": retrain.model,
        "state": str(retrain.state),
        "reason": retrain.reason,
        "created_by": retrain.created_by,
        "created_at": rfc3339(retrain.created_at),
        "updated_at": rfc3339(retrain.updated_at),
        "policy": retrain.policy,
        "fingerprint": retrain.fingerprint,
        "episode": retrain.episode,
        "attempts": retrain.attempts,
        "reference": retrain.reference,
        "candidate": dict(retrain.candidate),
        "confirmation": str(retrain.confirmation),
    }


def decision_json(decision: RecordedDecision) -> dict[str, Any]:
    """Return the JSON object of a decision."""
    decided = decision.decided
    return {
        "policy": decided.policy,
        "model": decided.model,
        "fingerprint": decided.fingerprint,
        "episode": decided.episode,
        "action": decided.decision.action,
        "outcome": str(decided.decision.outcome),
        "rule": str(decided.decision.rule),
        "reason": decided.decision.reason,
        "retrain_id": decided.retrain_id,
        "first_at": rfc3339(decision.first_at),
        "last_at": rfc3339(decision.last_at),
        "times": decision.times,
    }


def story_json(events: Sequence[RetrainEvent], decisions: Sequence[RecordedDecision]) -> dict[str, Any]:
    """Return what happened to a retrain, and the decisions behind it."""
    return {
        "events": [
            {
                "at": rfc3339(event.at),
                "from": event.from_state,
                "to": str(event.to_state),
                "actor": event.actor,
                "reason": event.reason,
                "document": dict(event.document),
            }
            for event in events
        ],
        "decisions": [decision_json(decision) for decision in decisions],
    }


def print_retrains(console: Console, retrains: Sequence[Retrain]) -> None:
    """Print a line for each retrain: where it is, since when, and why; who asked for it is in its story."""
    table = listing("retrain", "model", "state", "since (UTC)", "why", whole=("retrain", "model", "state"))
    for retrain in retrains:
        since = retrain.details.get("entered", {}).get(str(retrain.state))
        why = _joined(retrain.reason, _CONFIRMATIONS[retrain.confirmation])
        table.add_row(
            retrain.retrain_id,
            escape(retrain.model),
            _state(retrain.state),
            second(retrain.created_at if since is None else datetime.fromisoformat(since)),
            escape(why),
        )
    console.print(table)


def print_story(
    console: Console, retrain: Retrain, events: Sequence[RetrainEvent], decisions: Sequence[RecordedDecision]
) -> None:
    """Print what happened to a retrain, step by step, and the decisions behind it."""
    console.print(f"retrain {retrain.retrain_id} of {escape(retrain.model)}: {_state(retrain.state)}", highlight=False)
    if retrain.candidate:
        version, uri = retrain.candidate.get("version", ""), retrain.candidate.get("uri", "")
        console.print(
            f"candidate: version {escape(str(version))} at {escape(str(uri))}", highlight=False, soft_wrap=True
        )
    if retrain.confirmation is not Confirmation.NONE:
        console.print(_CONFIRMATIONS[retrain.confirmation])
    table = listing("at (UTC)", "state", "by", "what happened", whole=("at (UTC)", "state"))
    for event in events:
        table.add_row(second(event.at), _state(event.to_state), escape(event.actor), escape(event.reason))
    console.print(table)
    if decisions:
        print_decisions(console, decisions)


def print_decisions(console: Console, decisions: Sequence[RecordedDecision]) -> None:
    """Print a line for each decision: what came of which policy about which alert, and why."""
    table = listing(
        *("first at (UTC)", "times", "policy", "alert", "outcome", "why"),
        whole=("alert", "outcome"),
        numbers=("times",),
    )
    for each in decisions:
        decided, outcome = each.decided, each.decided.decision.outcome
        table.add_row(
            second(each.first_at),
            str(each.times),
            f"{escape(decided.policy)}: {decided.decision.action}",
            f"{escape(decided.model)}\n{decided.fingerprint}",
            f"[{_OUTCOMES[outcome]}]{outcome}[/]",
            escape(decided.decision.reason),
        )
    console.print(table)


def _state(state: RetrainState) -> str:
    return f"[{_COLORS.get(state, 'yellow')}]{state}[/]"


def _joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)
