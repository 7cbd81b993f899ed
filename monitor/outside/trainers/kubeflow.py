"""Kubeflow Pipelines as a trainer; changes with its API, v2beta1."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from monitor.act.retrain import Retrain
from monitor.act.steps import Progress, Report
from monitor.act.trainer_request import request_of
from monitor.config.json_paths import value_at
from monitor.config.trainers import KubeflowSettings
from monitor.errors import InputError
from monitor.outside.trainers.messages import SERVER_BYTES, fitting
from monitor.outside.trainers.reports import by_state, lost
from monitor.outside.trainers.server import Server, path_of

_RUNS = "/apis/v2beta1/runs"
_STATES = {
    "RUNTIME_STATE_UNSPECIFIED": Progress.WAITING,
    "PENDING": Progress.WAITING,
    "RUNNING": Progress.RUNNING,
    "PAUSED": Progress.RUNNING,
    "CANCELING": Progress.RUNNING,
    "SUCCEEDED": Progress.COMPLETED,
    "SKIPPED": Progress.FAILED,
    "FAILED": Progress.FAILED,
    "CANCELED": Progress.FAILED,
}


@dataclass(frozen=True)
class KubeflowTrainer:
    """`monitor.act.steps.Trainer` that runs a pipeline.

    Names of runs are not unique there, so a run of this name is looked for before one is made.
    """

    server: Server
    settings: KubeflowSettings

    def submit(self, retrain: Retrain) -> str:
        """Make the run, unless there is one of its name."""
        name = _name(retrain)
        found = self._known(retrain)
        if found is not None:
            return found
        pipeline = {
            "pipeline_id": self.settings.pipeline_id,
            "pipeline_version_id": self.settings.pipeline_version_id,
        }
        body: dict[str, Any] = {
            "display_name": name,
            "description": "asked for by Driftline",
            "pipeline_version_reference": {key: value for key, value in pipeline.items() if value is not None},
            "runtime_config": {"parameters": {self.settings.parameter: fitting(retrain, SERVER_BYTES)}},
        }
        if self.settings.experiment_id is not None:
            body["experiment_id"] = self.settings.experiment_id
        answer = self.server.ask("POST", _RUNS, json=body, headers={"Idempotency-Key": retrain.retrain_id})
        made = value_at(answer.json(), "run_id")
        if not isinstance(made, str) or not made:
            raise InputError(f"{self.server.where} made a run, and does not say which")
        return made

    def poll(self, retrain: Retrain) -> Report:
        """Ask for the state of the run; the candidate is the one that was asked for."""
        run = self.server.get(_RUNS + path_of(retrain.reference))
        if run is None:
            return lost(self.server.where)
        return by_state(run.get("state"), _STATES, None, request_of(retrain), value_at(run, "error.message"))

    def cancel(self, retrain: Retrain) -> None:
        """Terminate the run, also one that we were never told the id of."""
        run = retrain.reference or self._known(retrain)
        if run is not None:
            self.server.stop("POST", f"{_RUNS}{path_of(run)}:terminate")

    def _known(self, retrain: Retrain) -> str | None:
        of_name = {"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": _name(retrain)}]}
        asked = {"page_size": "1", "filter": json.dumps(of_name)}
        if self.settings.experiment_id is not None:
            asked["experiment_id"] = self.settings.experiment_id
        found = value_at(self.server.get(f"{_RUNS}?{urlencode(asked)}"), "runs[0].run_id")
        return found if isinstance(found, str) and found else None


def _name(retrain: Retrain) -> str:
    return f"driftline-{retrain.retrain_id}"
