from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from monitor.act.retrain import Retrain, RetrainState
from monitor.demo.captured import Captured
from monitor.demo.pace import AHEAD, AHEAD_OF_A_CANARY, AHEAD_REQUESTS, Pace
from monitor.demo.replay import Progress
from monitor.errors import TransientError
from monitor.store.ledger import Ledger

START = datetime(2013, 6, 20, tzinfo=UTC)
RETRAIN = Retrain("r1", "flights", RetrainState.RUNNING, 1, "policy retrain", START, START, START)
CANARY = replace(RETRAIN, state=RetrainState.CANARY, details={"canary": {"verdict": "waiting"}})


@dataclass
class Known:
    """As much of a ledger as the pace looks at: days that are evaluated, and the live retrain."""

    days: int = 0
    retrain: Retrain | None = None
    busy: bool = False
    evaluations: Any = field(init=False)
    retrains: Any = field(init=False)

    def __post_init__(self) -> None:
        self.evaluations = SimpleNamespace(latest=self._latest)
        self.retrains = SimpleNamespace(live=lambda _model: self.retrain)

    def _latest(self) -> list[Any]:
        if self.busy:
            raise TransientError("locked")
        end = START + timedelta(days=self.days)
        return [SimpleNamespace(key=SimpleNamespace(window=SimpleNamespace(end=end)))] if self.days else []


@pytest.mark.parametrize(
    ("known", "ahead", "captured", "goes_on"),
    [
        pytest.param(Known(), timedelta(0), Captured(sent=10), True, id="nothing is behind"),
        pytest.param(Known(), AHEAD, Captured(sent=10), False, id="no day is evaluated yet"),
        pytest.param(Known(days=1), AHEAD, Captured(sent=10), True, id="one more day is evaluated"),
        pytest.param(Known(), timedelta(0), Captured(), False, id="the proxy holds too many copies"),
        pytest.param(Known(), timedelta(0), None, True, id="the proxy does not say"),
        pytest.param(Known(retrain=RETRAIN), timedelta(0), Captured(sent=10), False, id="a model is trained"),
        pytest.param(Known(retrain=CANARY), timedelta(0), Captured(sent=10), True, id="a canary is watched"),
        pytest.param(Known(retrain=CANARY), AHEAD_OF_A_CANARY, Captured(sent=10), False, id="and closely"),
        pytest.param(
            Known(retrain=replace(CANARY, details={})),
            timedelta(0),
            Captured(sent=10),
            False,
            id="it does not serve yet",
        ),
        pytest.param(
            Known(retrain=replace(CANARY, details={**CANARY.details, "promoting": {}})),
            timedelta(0),
            Captured(sent=10),
            False,
            id="it is being promoted",
        ),
        pytest.param(Known(busy=True), timedelta(hours=1), Captured(sent=10), False, id="the ledger is busy"),
    ],
)
def test_the_replay_waits_for_what_would_come_first_in_production(
    known: Known, ahead: timedelta, captured: Captured | None, goes_on: bool
) -> None:
    progress = Progress(np.empty(0), answered=AHEAD_REQUESTS, at=START + ahead)
    pace = Pace(cast("Ledger", known), START, progress, lambda: captured)
    assert pace.may_go_on() is goes_on
