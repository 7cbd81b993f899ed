"""Apache Airflow as a trainer; changes with its REST API (v2 of Airflow 3, v1 of Airflow 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monitor.act.retrain import Retrain
from monitor.act.steps import Progress, Report
from monitor.act.trainer_request import request_of
from monitor.config.trainers import AirflowSettings
from monitor.outside.trainers.messages import SERVER_BYTES, fitting
from monitor.outside.trainers.reports import by_state, lost
from monitor.outside.trainers.server import Server, path_of

_STATES = {
    "queued": Progress.WAITING,
    "running": Progress.RUNNING,
    "success": Progress.COMPLETED,
    "failed": Progress.FAILED,
}


@dataclass(frozen=True)
class AirflowTrainer:
    """`monitor.act.steps.Trainer` that triggers a DAG; the id of its run is made of the retrain's, so there is one at most."""

    server: Server
    settings: AirflowSettings

    def submit(self, retrain: Retrain) -> str:
        """Trigger the DAG; that the run exists already is as good."""
        run = _name(retrain)
        body: dict[str, Any] = {"dag_run_id": run, "conf": fitting(retrain, SERVER_BYTES)}
        if self.settings.api == "v2":
            body["logical_date"] = None  # required there, and null for a run that stands for no interval
        headers = {"Idempotency-Key": retrain.retrain_id}
        self.server.ask("POST", self._runs(), json=body, headers=headers, also=(409,))
        return run

    def poll(self, retrain: Retrain) -> Report:
        """Ask for the state of the run; the candidate is the one that was asked for."""
        run = self.server.get(self._run(retrain))
        if run is None:
            return lost(self.server.where)
        return by_state(run.get("state"), _STATES, None, request_of(retrain))

    def cancel(self, retrain: Retrain) -> None:
        """Mark the run as failed, which ends its tasks."""
        self.server.stop("PATCH", self._run(retrain), {"state": "failed"})

    def _runs(self) -> str:
        return f"/api/{self.settings.api}/dags{path_of(self.settings.dag)}/dagRuns"

    def _run(self, retrain: Retrain) -> str:
        return self._runs() + path_of(_name(retrain))


def _name(retrain: Retrain) -> str:
    return f"driftline__{retrain.retrain_id}"
