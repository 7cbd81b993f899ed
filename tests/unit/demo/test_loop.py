from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from monitor.act.retrain import Confirmation, Retrain, RetrainEvent, RetrainState
from monitor.alert.alert import AlertState
from monitor.demo.loop import story, where
from monitor.store.ledger import Ledger

START = datetime(2026, 3, 1, tzinfo=UTC)
RETRAIN = Retrain("r1", "flights", RetrainState.PROMOTED, 9, "policy retrain", START, START, START)


def event(second: int, to: RetrainState, name: str, reason: str) -> RetrainEvent:
    return RetrainEvent(second, START + timedelta(seconds=second), "", to, "driftline", reason, {"event": name})


EVENTS = [
    event(1, RetrainState.APPROVED, "propose", "policy retrain: QualityLost fires"),
    event(2, RetrainState.GPU_CHECK, "defer", "waiting for the GPUs: busy"),
    event(3, RetrainState.GPU_CHECK, "defer", "waiting for the GPUs: busy"),
    event(4, RetrainState.EVALUATING, "pass_gate", "it passed the gate: better"),
    event(5, RetrainState.CANARY, "begin_canary", "it passed the gate: better"),
    event(6, RetrainState.CANARY, "defer", "it serves as a canary: version 2 beside 1"),
    event(7, RetrainState.PROMOTED, "promote", "promoted: version 2"),
]


def ledger(retrain: Retrain, state: AlertState = AlertState.RESOLVED) -> Ledger:
    """As much of a ledger as the story is read from: an alert that fired, was looked at again, and cleared."""

    def alerts_in(model: str, state_asked: AlertState | None = None) -> list[Any]:
        shown = state is not AlertState.INACTIVE if state_asked is None else state is state_asked
        return [SimpleNamespace(fingerprint="f", name="QualityLost")] if shown else []

    moves = [
        (0, "pending", "firing", "2 of 2"),
        (3, "firing", "firing", "acknowledged"),
        (8, "firing", "resolved", "0 of 2"),
    ]
    happened = [
        SimpleNamespace(at=START + timedelta(seconds=at), from_state=old, to_state=new, reason=reason)
        for at, old, new, reason in moves
    ]
    alerts: Any = SimpleNamespace(
        list=lambda model, state=None: alerts_in(model, state), events=lambda fingerprint: happened
    )
    retrains: Any = SimpleNamespace(list=lambda model: [retrain], events=lambda retrain_id: EVENTS)
    return cast("Ledger", SimpleNamespace(alerts=alerts, retrains=retrains))


@pytest.mark.parametrize("state", [AlertState.RESOLVED, AlertState.INACTIVE])
def test_the_story_tells_alert_and_retrain_in_order_and_nothing_twice(state: AlertState) -> None:
    told = [((each.at - START).total_seconds(), each.title, each.said) for each in story(ledger(RETRAIN, state))]
    assert told == [
        (0, "Alert", "QualityLost fires: 2 of 2"),
        (1, "Retrain", "policy retrain: QualityLost fires"),
        (2, "Waiting", "waiting for the GPUs: busy (2 times)"),
        (4, "Gate passed", "better"),
        (6, "Canary", "version 2 beside 1"),
        (7, "Promoted", "version 2"),
        (8, "Alert clears", "QualityLost is resolved: 0 of 2"),
    ]


@pytest.mark.parametrize(
    ("state", "confirmation", "over"),
    [
        pytest.param(RetrainState.CANARY, Confirmation.NONE, False, id="a canary is watched"),
        pytest.param(RetrainState.PROMOTED, Confirmation.WAITING, False, id="the alert is still to clear"),
        pytest.param(RetrainState.PROMOTED, Confirmation.CLEARED, True, id="it has cleared"),
        pytest.param(RetrainState.REJECTED, Confirmation.NONE, True, id="the candidate was rejected"),
    ],
)
def test_it_is_over_once_nothing_is_waited_for(state: RetrainState, confirmation: Confirmation, over: bool) -> None:
    retrain = Retrain("r1", "flights", state, 9, "", START, START, START, confirmation=confirmation)
    assert where(ledger(retrain)).over is over
