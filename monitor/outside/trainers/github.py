"""GitHub Actions as a trainer; changes with its REST API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monitor.act.retrain import Retrain
from monitor.act.steps import Progress, Report
from monitor.act.trainer_request import request_of
from monitor.config.json_paths import value_at
from monitor.config.trainers import GithubSettings
from monitor.errors import TransientError
from monitor.outside.trainers.messages import PARAMETER_BYTES, fitting, text_of
from monitor.outside.trainers.reports import by_state, lost
from monitor.outside.trainers.server import Server, path_of

_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_BY_TITLE = "title/"
_STATES = {
    "requested": Progress.WAITING,
    "waiting": Progress.WAITING,
    "pending": Progress.WAITING,
    "queued": Progress.WAITING,
    "in_progress": Progress.RUNNING,
    "success": Progress.COMPLETED,
    "failure": Progress.FAILED,
    "cancelled": Progress.FAILED,
    "timed_out": Progress.FAILED,
    "startup_failure": Progress.FAILED,
    "action_required": Progress.FAILED,
    "neutral": Progress.FAILED,
    "skipped": Progress.FAILED,
    "stale": Progress.FAILED,
}


@dataclass(frozen=True)
class GithubTrainer:
    """`monitor.act.steps.Trainer` that dispatches a workflow.

    The workflow must say `run-name: ... ${{ inputs.retrain_id }}`: by that title a run is found before another is dispatched, and
    where a server tells nothing of the run that it dispatched.
    """

    server: Server
    settings: GithubSettings

    def submit(self, retrain: Retrain) -> str:
        """Dispatch the workflow, unless one of its newest 100 runs is of this retrain."""
        known = self._found(retrain)
        if known is not None:
            return str(known["id"])
        body = {
            "ref": self.settings.ref,
            "inputs": {"retrain_id": retrain.retrain_id, "request": text_of(fitting(retrain, PARAMETER_BYTES))},
            "return_run_details": True,  # known since 2026; without it, and from servers before, the answer is empty
        }
        headers = _HEADERS | {"Idempotency-Key": retrain.retrain_id}
        answer = self.server.ask("POST", f"{self._workflow()}/dispatches", json=body, headers=headers)
        run = value_at(answer.json(), "workflow_run_id") if answer.body else None
        return str(run) if isinstance(run, int) else _BY_TITLE + retrain.retrain_id

    def poll(self, retrain: Retrain) -> Report:
        """Ask for status and conclusion of the run; the candidate is the one that was asked for."""
        if retrain.reference.startswith(_BY_TITLE):
            run = self._found(retrain)
            if run is None:
                return Report(Progress.WAITING, "no run has this retrain in its title yet")
        else:
            run = self.server.get(self._run(retrain.reference))
            if run is None:
                return lost(self.server.where)
        status = value_at(run, "status")
        state = value_at(run, "conclusion") if status == "completed" else status
        return by_state(state, _STATES, None, request_of(retrain))

    def cancel(self, retrain: Retrain) -> None:
        """Cancel the run."""
        reference = retrain.reference
        if not reference or reference.startswith(_BY_TITLE):
            run = self._found(retrain)
            if run is None:
                raise TransientError("GitHub does not list the run yet")
            reference = str(run["id"])
        self.server.stop("POST", f"{self._run(reference)}/cancel")

    def _found(self, retrain: Retrain) -> dict[str, Any] | None:
        url = f"{self._workflow()}/runs?event=workflow_dispatch&per_page=100"
        runs = value_at(self.server.get(url), "workflow_runs")
        for run in runs if isinstance(runs, list) else []:
            title = value_at(run, "display_title")
            if isinstance(title, str) and retrain.retrain_id in title and isinstance(run.get("id"), int):
                found: dict[str, Any] = run
                return found
        return None

    def _actions(self) -> str:
        return f"/repos{path_of(*self.settings.repository.split('/'))}/actions"

    def _workflow(self) -> str:
        return f"{self._actions()}/workflows{path_of(self.settings.workflow)}"

    def _run(self, reference: str) -> str:
        return f"{self._actions()}/runs{path_of(reference)}"
