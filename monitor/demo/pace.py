"""How far the demo's replay may run ahead of Driftline. Changes with what the replay waits for.

In production a day of traffic takes a day. Here it takes a moment: without waiting, the year would be over before the first day
was judged, let alone a model trained and brought into service.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.act.retrain import Retrain
from monitor.demo.captured import Captured
from monitor.demo.flights import MODEL
from monitor.demo.replay import Progress
from monitor.errors import TransientError
from monitor.jobs.retrain.releasing import PROMOTING, ROLLING_BACK
from monitor.store.ledger import Ledger

AHEAD_REQUESTS = 3_000
"""About a third of what the proxy's buffer holds by default."""
_LABELS_IN = timedelta(days=2)
"""From the end of a day that is evaluated until the labels of the next are in: its length, their horizon, and lateness."""
AHEAD = _LABELS_IN + timedelta(days=2)
"""Some days are judged side by side."""
AHEAD_OF_A_CANARY = _LABELS_IN
"""A canary is watched day by day, as it would be in production."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What holds the replay back.

    Attributes:
        start: begin of the first day.
        captured: asks what the proxy has passed on.
    """

    ledger: Ledger
    start: datetime
    progress: Progress
    captured: Callable[[], Captured | None]

    def may_go_on(self) -> bool:
        """Say whether Driftline has kept up: copies are passed on, days are evaluated, and no model is being trained."""
        try:
            retrain = self.ledger.retrains.live(MODEL)
            ahead = AHEAD if retrain is None else AHEAD_OF_A_CANARY
            return self._passed_on() and self._evaluated(ahead) and not _busy(retrain)
        except TransientError:  # the ledger is busy: ask again
            return False

    def _passed_on(self) -> bool:
        """The proxy never makes a client wait, and drops copies when it holds too many; this client waits by itself."""
        counted = self.captured()
        return counted is None or self.progress.answered - counted.settled < AHEAD_REQUESTS

    def _evaluated(self, ahead: timedelta) -> bool:
        return self.progress.at is None or self.progress.at - evaluated_until(self.ledger, self.start) < ahead


def _busy(retrain: Retrain | None) -> bool:
    """Say whether a model is being trained, checked or brought into service or out: all but being watched."""
    if retrain is None:
        return False
    watched = "canary" in retrain.details and PROMOTING not in retrain.details and ROLLING_BACK not in retrain.details
    return not watched


def evaluated_until(ledger: Ledger, start: datetime) -> datetime:
    """Return the end of the last window whose quality is known; `start` before the first."""
    return max((each.key.window.end for each in ledger.evaluations.latest()), default=start)
