"""Jenkins as a trainer; changes with its remote access API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from monitor.act.retrain import Retrain
from monitor.act.steps import Progress, Report
from monitor.act.trainer_request import request_of
from monitor.config.json_paths import value_at
from monitor.config.trainers import JenkinsSettings
from monitor.errors import InputError
from monitor.outside.trainers.messages import PARAMETER_BYTES, fitting, text_of
from monitor.outside.trainers.reports import by_state, lost
from monitor.outside.trainers.server import Server, path_of

ID, REQUEST = "DRIFTLINE_RETRAIN_ID", "DRIFTLINE_REQUEST"
_PARAMETERS = "actions[parameters[name,value]]"
_BUILDS = f"/api/json?tree={quote(f'builds[number,building,result,{_PARAMETERS}]{{0,200}}', safe='')}"
_QUEUE = f"/queue/api/json?tree={quote(f'items[id,{_PARAMETERS}]', safe='')}"
_ITEM = re.compile(r"/queue/item/(\d+)")
_FORM = "application/x-www-form-urlencoded"
_RUNNING = "RUNNING"
_STATES = {
    _RUNNING: Progress.RUNNING,
    "SUCCESS": Progress.COMPLETED,
    "UNSTABLE": Progress.FAILED,
    "FAILURE": Progress.FAILED,
    "NOT_BUILT": Progress.FAILED,
    "ABORTED": Progress.FAILED,
}


@dataclass(frozen=True)
class JenkinsTrainer:
    """`monitor.act.steps.Trainer` that starts a build with parameters.

    A build is found again by its parameter with the id of the retrain, since Jenkins forgets a place in its queue five minutes
    after the build has begun; among the newest 200 builds of the job.
    """

    server: Server
    settings: JenkinsSettings

    def submit(self, retrain: Retrain) -> str:
        """Put the build into the queue, unless it is there, or has begun."""
        build, item = self._build(retrain), self._waiting(retrain)
        if build is not None or item is not None:
            return f"queue/{item}" if build is None else f"build/{build['number']}"
        form = {ID: retrain.retrain_id, REQUEST: text_of(fitting(retrain, PARAMETER_BYTES))}
        headers = {"Content-Type": _FORM, "Idempotency-Key": retrain.retrain_id}
        url = f"{self._job()}/buildWithParameters"
        answer = self.server.ask("POST", url, content=urlencode(form).encode(), headers=headers)
        found = _ITEM.search(answer.headers.get("location", ""))
        if found is None:
            raise InputError(f"{self.server.where} took the build, and does not say its place in the queue")
        return f"queue/{found[1]}"

    def poll(self, retrain: Retrain) -> Report:
        """Look for the build, or else its place in the queue; the candidate is the one that was asked for."""
        build = self._build(retrain)
        if build is not None:
            return by_state(_state(build), _STATES, None, request_of(retrain))
        kind, _, number = retrain.reference.partition("/")
        if kind != "queue" or not number.isdigit():
            return lost(self.server.where)
        item = self.server.get(f"/queue/item/{number}/api/json")
        if value_at(item, "cancelled") is True:
            return Report(Progress.FAILED, "the build was taken out of the queue")
        if item is not None:
            return Report(Progress.WAITING, "the build waits in the queue")
        # It may have begun between the two looks.
        build = self._build(retrain)
        if build is None:
            return lost(self.server.where)
        return by_state(_state(build), _STATES, None, request_of(retrain))

    def cancel(self, retrain: Retrain) -> None:
        """Stop the build, or take it out of the queue."""
        build = self._build(retrain)
        if build is not None and _state(build) == _RUNNING:
            self.server.stop("POST", f"{self._job()}/{int(build['number'])}/stop")
        item = self._waiting(retrain)
        if build is None and item is not None:
            self.server.stop("POST", f"/queue/cancelItem?id={item}")

    def _job(self) -> str:
        return "".join(f"/job{path_of(name)}" for name in self.settings.job.strip("/").split("/"))

    def _build(self, retrain: Retrain) -> dict[str, Any] | None:
        job = self.server.get(self._job() + _BUILDS)
        if job is None:
            raise InputError(f"{self.server.where} has no job {self.settings.job!r} that we may see")
        return _of_retrain(job.get("builds"), retrain, "number")

    def _waiting(self, retrain: Retrain) -> int | None:
        item = _of_retrain(value_at(self.server.get(_QUEUE), "items"), retrain, "id")
        return None if item is None else int(item["id"])


def _state(build: Mapping[str, Any]) -> Any:
    return _RUNNING if build.get("building") or build.get("result") is None else build["result"]


def _of_retrain(entries: Any, retrain: Retrain, key: str) -> dict[str, Any] | None:
    """Return the entry that has the id of the retrain as a parameter, None where there is none."""
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get(key), int) and retrain.retrain_id in _ids(entry):
            return entry
    return None


def _ids(entry: Mapping[str, Any]) -> Iterable[str]:
    actions = entry.get("actions")
    for action in actions if isinstance(actions, list) else []:
        parameters = value_at(action, "parameters")
        for parameter in parameters if isinstance(parameters, list) else []:
            if value_at(parameter, "name") == ID and isinstance(value_at(parameter, "value"), str):
                yield parameter["value"]
