"""Whether a step of a rollout that lasts may still write outside; changes with what can come in between."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from monitor.act.retrain import Retrain
from monitor.errors import TransientError
from monitor.jobs.retrain.releasing import ROLLING_BACK
from monitor.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class WhileUnchanged:
    """Called before each write outside: raises TransientError once the step is not to go on.

    A step may outlive the lease that it was begun under: whoever has that now may have begun the opposite.

    Attributes:
        retrain: as it was when the step began.
        stopping: set when the monitor ends.
    """

    ledger: Ledger
    retrain: Retrain
    stopping: threading.Event

    def __call__(self) -> None:
        """Look whether the monitor still runs and the retrain is where it was; signs of life do not matter."""
        if self.stopping.is_set():
            raise TransientError("the monitor is stopping")
        now = self.ledger.retrains.get(self.retrain.retrain_id)
        if now is None or _stage(now) != _stage(self.retrain):
            raise TransientError(f"retrain {self.retrain.retrain_id} has moved on meanwhile")


def _stage(retrain: Retrain) -> tuple[object, object]:
    return retrain.state, retrain.details.get(ROLLING_BACK)
