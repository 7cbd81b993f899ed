"""A trainer in memory, for tests and for whoever tries policies; changes with the port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitor.act.retrain import Retrain
from monitor.act.steps import Progress, Report
from monitor.act.trainer_request import request_of
from monitor.errors import InputError, TransientError
from monitor.outside.trainers.reports import completed


@dataclass
class MemoryTrainer:
    """`monitor.act.steps.Trainer` that trains nothing, and does what it is told.

    Attributes:
        requests: what was asked, by id of the retrain.
        reports: what is said of the runs, by id of the retrain.
        down: whether it answers nobody.
        refuses: whether it takes no request.
    """

    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    down: bool = False
    refuses: bool = False

    def submit(self, retrain: Retrain) -> str:
        """Note the request, once."""
        self._answer()
        if self.refuses:
            raise InputError("the trainer refuses")
        if retrain.retrain_id not in self.requests:
            self.requests[retrain.retrain_id] = request_of(retrain)
            self.reports[retrain.retrain_id] = Report(Progress.WAITING)
        return f"memory-{retrain.retrain_id}"

    def poll(self, retrain: Retrain) -> Report:
        """Return what was said last."""
        self._answer()
        return self.reports.get(retrain.retrain_id, Report(Progress.LOST, "no such run"))

    def cancel(self, retrain: Retrain) -> None:
        """End a run that has not ended."""
        self._answer()
        report = self.reports.get(retrain.retrain_id)
        if report is not None and report.progress in (Progress.WAITING, Progress.RUNNING):
            self.reports[retrain.retrain_id] = Report(Progress.FAILED, "cancelled")

    def run(self, retrain_id: str) -> None:
        """Let a run begin."""
        self.reports[retrain_id] = Report(Progress.RUNNING)

    def finish(self, retrain_id: str, candidate: Mapping[str, Any] | None = None) -> None:
        """Let a run end well, with what it tells of the candidate."""
        self.reports[retrain_id] = completed(candidate, self.requests[retrain_id])

    def fail(self, retrain_id: str, reason: str = "it failed") -> None:
        """Let a run fail."""
        self.reports[retrain_id] = Report(Progress.FAILED, reason)

    def lose(self, retrain_id: str) -> None:
        """Forget a run."""
        del self.reports[retrain_id]

    def _answer(self) -> None:
        if self.down:
            raise TransientError("the trainer does not answer")
