"""Vertex AI Pipelines as a trainer; changes with its REST API, v1."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from monitor.act.retrain import Retrain
from monitor.act.steps import Progress, Report
from monitor.act.trainer_request import request_of
from monitor.config.json_paths import value_at
from monitor.config.trainers import VertexSettings
from monitor.outside.trainers.messages import SERVER_BYTES, fitting
from monitor.outside.trainers.reports import by_state, lost
from monitor.outside.trainers.server import Server, path_of

_NOT_IN_IDS = re.compile(r"[^a-z0-9-]")
_STATES = {
    "PIPELINE_STATE_UNSPECIFIED": Progress.WAITING,
    "PIPELINE_STATE_QUEUED": Progress.WAITING,
    "PIPELINE_STATE_PENDING": Progress.WAITING,
    "PIPELINE_STATE_RUNNING": Progress.RUNNING,
    "PIPELINE_STATE_PAUSED": Progress.RUNNING,
    "PIPELINE_STATE_CANCELLING": Progress.RUNNING,
    "PIPELINE_STATE_SUCCEEDED": Progress.COMPLETED,
    "PIPELINE_STATE_FAILED": Progress.FAILED,
    "PIPELINE_STATE_CANCELLED": Progress.FAILED,
}


@dataclass(frozen=True)
class VertexTrainer:
    """`monitor.act.steps.Trainer` that creates a pipeline job; its id is made of the retrain's, so there is one at most."""

    server: Server
    settings: VertexSettings

    def submit(self, retrain: Retrain) -> str:
        """Create the job; that it exists already is as good."""
        job = _name(retrain)
        body: dict[str, Any] = {
            "displayName": job,
            "templateUri": self.settings.template_uri,
            "runtimeConfig": {
                "gcsOutputDirectory": self.settings.output_directory,
                "parameterValues": {self.settings.parameter: fitting(retrain, SERVER_BYTES)},
            },
        }
        if self.settings.service_account is not None:
            body["serviceAccount"] = self.settings.service_account
        headers = {"Idempotency-Key": retrain.retrain_id}
        url = f"{self._jobs()}?pipelineJobId={quote(job, safe='')}"
        self.server.ask("POST", url, json=body, headers=headers, also=(409,))
        return job

    def poll(self, retrain: Retrain) -> Report:
        """Ask for the state of the job; the candidate is the one that was asked for."""
        job = self.server.get(self._job(retrain))
        if job is None:
            return lost(self.server.where)
        return by_state(job.get("state"), _STATES, None, request_of(retrain), value_at(job, "error.message"))

    def cancel(self, retrain: Retrain) -> None:
        """Cancel the job."""
        self.server.stop("POST", f"{self._job(retrain)}:cancel", {})

    def _jobs(self) -> str:
        return f"/v1{path_of('projects', self.settings.project, 'locations', self.settings.location, 'pipelineJobs')}"

    def _job(self, retrain: Retrain) -> str:
        return self._jobs() + path_of(_name(retrain))


def _name(retrain: Retrain) -> str:
    return "driftline-" + _NOT_IN_IDS.sub("-", retrain.retrain_id.lower())[:100]
