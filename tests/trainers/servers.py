"""Servers that answer as the documented APIs of training systems do, strictly, with runs that tests move on."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from tests.loopback import Reply, Request


@dataclass
class Run:
    """One run: what it was asked, and how it goes (`waiting`, `running`, `done`, `failed`)."""

    name: str
    asked: dict[str, Any]
    state: str = "waiting"


@dataclass
class TrainingServer(ABC):
    """Its runs by the server's own name of them.

    Attributes:
        status: what it answers to everything instead, where that is not 0.
        forgotten_answers: how many submissions it takes without an answer that arrives (503).
    """

    runs: dict[str, Run] = field(default_factory=dict)
    status: int = 0
    forgotten_answers: int = 0

    def answer(self, request: Request) -> Reply:
        """Answer a request."""
        if self.status:
            return said(self.status, {"detail": f"sent: {request.headers.get('authorization', '')}"})
        if request.headers.get("authorization") != "Bearer t0k3n-of-tests":
            return said(401, {"detail": "who are you?"})
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        reply = self.route(request, parts.path, query)
        if self.forgotten_answers and request.method == "POST" and reply.status < 300:
            self.forgotten_answers -= 1
            return said(503, {})
        return reply

    @abstractmethod
    def route(self, request: Request, path: str, query: Mapping[str, str]) -> Reply:
        """Answer a request of somebody who may ask."""

    def add(self, name: str, asked: dict[str, Any]) -> Run:
        """Make a run."""
        return self.runs.setdefault(name, Run(name, asked))


class Airflow(TrainingServer):
    """Airflow 3's API, v2 (and v1 of Airflow 2)."""

    api = "v2"
    states: ClassVar = {"waiting": "queued", "running": "running", "done": "success", "failed": "failed"}

    def route(self, request: Request, path: str, query: Mapping[str, str]) -> Reply:
        base = f"/api/{self.api}/dags/train%2Fflights/dagRuns"
        if path == base and request.method == "POST":
            body = json.loads(request.body)
            known = {"dag_run_id", "conf", "note"} | ({"logical_date"} if self.api == "v2" else set())
            if set(body) - known or (self.api == "v2" and "logical_date" not in body):
                return said(422, {"detail": "unprocessable"})
            if not re.fullmatch(r"[A-Za-z0-9_.~:+-]+", body["dag_run_id"]):
                return said(400, {"detail": "the run id does not match the allowed pattern"})
            if body["dag_run_id"] in self.runs:
                return said(409, {"detail": "the run exists"})
            self.add(body["dag_run_id"], body["conf"])
            return said(200, {"dag_run_id": body["dag_run_id"], "state": "queued"})
        run = self.runs.get(unquote(path.removeprefix(f"{base}/")))
        if run is None:
            return said(404, {"detail": "not found"})
        if request.method == "PATCH":
            run.state = {"failed": "failed", "success": "done"}[json.loads(request.body)["state"]]
        return said(200, {"dag_run_id": run.name, "state": self.states[run.state]})


class OldAirflow(Airflow):
    """Airflow 2's."""

    api = "v1"


class Kubeflow(TrainingServer):
    """Kubeflow Pipelines' API, v2beta1: names are not unique, ids are made by the server."""

    states: ClassVar = {"waiting": "PENDING", "running": "RUNNING", "done": "SUCCEEDED", "failed": "FAILED"}

    def route(self, request: Request, path: str, query: Mapping[str, str]) -> Reply:
        if path == "/apis/v2beta1/runs" and request.method == "POST":
            body = json.loads(request.body)
            if not body.get("pipeline_version_reference", {}).get("pipeline_id"):
                return said(400, {"error": "no pipeline", "code": 3, "message": "no pipeline"})
            run = self.add(f"uid-{len(self.runs)}", body["runtime_config"]["parameters"]["driftline_request"])
            run.asked = {**run.asked, "display_name": body["display_name"]}
            return said(200, self._told(run))
        if path == "/apis/v2beta1/runs":
            wanted = json.loads(query["filter"])["predicates"][0]
            assert (wanted["operation"], wanted["key"]) == ("EQUALS", "display_name")
            found = [run for run in self.runs.values() if run.asked["display_name"] == wanted["stringValue"]]
            return said(200, {"runs": [self._told(run) for run in found]} if found else {})
        name, _, verb = path.removeprefix("/apis/v2beta1/runs/").partition(":")
        run_or_none = self.runs.get(name)
        if run_or_none is None:
            return said(404, {"error": "not found", "code": 5})
        if verb == "terminate":
            run_or_none.state = "failed"
            return said(200, {})
        return said(200, self._told(run_or_none))

    def _told(self, run: Run) -> dict[str, Any]:
        error = {"error": {"code": 13, "message": "out of memory"}} if run.state == "failed" else {}
        return {"run_id": run.name, "display_name": run.asked["display_name"], "state": self.states[run.state]} | error


class Vertex(TrainingServer):
    """Vertex AI's pipeline jobs, v1."""

    base = "/v1/projects/p/locations/europe-west1/pipelineJobs"
    states: ClassVar = {
        "waiting": "PIPELINE_STATE_PENDING",
        "running": "PIPELINE_STATE_RUNNING",
        "done": "PIPELINE_STATE_SUCCEEDED",
        "failed": "PIPELINE_STATE_FAILED",
    }

    def route(self, request: Request, path: str, query: Mapping[str, str]) -> Reply:
        if path == self.base and request.method == "POST":
            name = query["pipelineJobId"]
            body = json.loads(request.body)
            if not re.fullmatch(r"[a-z][-a-z0-9]{0,127}", name) or not body["runtimeConfig"]["gcsOutputDirectory"]:
                return said(400, {"error": {"code": 400, "message": "invalid", "status": "INVALID_ARGUMENT"}})
            if name in self.runs:
                return said(409, {"error": {"code": 409, "message": "it exists", "status": "ALREADY_EXISTS"}})
            run = self.add(name, body["runtimeConfig"]["parameterValues"]["driftline_request"])
            return said(200, self._told(run))
        name, _, verb = path.removeprefix(f"{self.base}/").partition(":")
        run_or_none = self.runs.get(name)
        if run_or_none is None:
            return said(404, {"error": {"code": 404, "message": "not found"}})
        if verb == "cancel":
            run_or_none.state = "failed"
            return said(200, {})
        return said(200, self._told(run_or_none))

    def _told(self, run: Run) -> dict[str, Any]:
        error = {"error": {"code": 13, "message": "out of memory"}} if run.state == "failed" else {}
        return {"name": f"{self.base.lstrip('/')}/{run.name}", "state": self.states[run.state]} | error


class Jenkins(TrainingServer):
    """Jenkins: builds wait in a queue that forgets them once they have begun, and are numbered then."""

    job = "/job/models/job/train%20flights"

    def route(self, request: Request, path: str, query: Mapping[str, str]) -> Reply:
        numbers = {name: number for number, name in enumerate(self.runs, start=101)}
        if path == f"{self.job}/buildWithParameters" and request.method == "POST":
            assert request.headers["content-type"] == "application/x-www-form-urlencoded"
            form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
            name = f"item-{len(self.runs)}"
            self.add(name, json.loads(form["DRIFTLINE_REQUEST"]) | {"parameter": form["DRIFTLINE_RETRAIN_ID"]})
            # The address of the server as it knows itself, which need not be the one that it is reached by.
            return Reply(201, {"Location": f"http://jenkins.internal/queue/item/{len(self.runs) + 100}/"})
        if path == "/queue/api/json":
            waiting = [run for run in self.runs.values() if run.state == "waiting"]
            return said(200, {"items": [{"id": numbers[run.name], **_parameters(run)} for run in waiting]})
        if path == f"{self.job}/api/json":
            begun = [run for run in self.runs.values() if run.state not in ("waiting", "dropped")]
            return said(200, {"builds": [self._build(run, numbers[run.name]) for run in reversed(begun)]})
        if path == "/queue/cancelItem":
            self._by_number(numbers, query["id"]).state = "dropped"
            return Reply(302, {"Location": "/queue/"})
        if path == "/queue/":
            return Reply(200, {}, b"<html>")
        if found := re.fullmatch(r"/queue/item/(\d+)/api/json", path):
            run_or_none = self._by_number(numbers, found[1])
            cancelled = run_or_none.state == "dropped"
            return said(200, {"id": int(found[1]), "cancelled": cancelled}) if run_or_none.name else said(404, {})
        if found := re.fullmatch(rf"{re.escape(self.job)}/(\d+)/stop", path):
            self._by_number(numbers, found[1]).state = "failed"
            return Reply(302, {"Location": f"{self.job}/{found[1]}/"})
        return Reply(404 if not path.startswith(f"{self.job}/1") else 200, {}, b"<html>")

    def _by_number(self, numbers: Mapping[str, int], number: str) -> Run:
        named = {str(known): name for name, known in numbers.items()}
        return self.runs[named[number]] if number in named else Run("", {})

    def _build(self, run: Run, number: int) -> dict[str, Any]:
        result = {"running": None, "done": "SUCCESS", "failed": "FAILURE"}[run.state]
        return {"number": number, "building": run.state == "running", "result": result, **_parameters(run)}


class Github(TrainingServer):
    """GitHub's API for workflows; `tells` is whether a dispatch is answered with the run, as since 2026."""

    tells = True
    base = "/repos/acme/models/actions"

    def route(self, request: Request, path: str, query: Mapping[str, str]) -> Reply:
        if path == f"{self.base}/workflows/retrain.yml/dispatches":
            body = json.loads(request.body)
            if set(body) - {"ref", "inputs", "return_run_details"} or sum(map(len, body["inputs"].values())) > 65_535:
                return said(422, {"message": "inputs are too large"})
            name = str(9_000 + len(self.runs))
            self.add(name, json.loads(body["inputs"]["request"]) | {"title": f"Retrain {body['inputs']['retrain_id']}"})
            return said(200, {"workflow_run_id": int(name)}) if self.tells else Reply(204)
        if path == f"{self.base}/workflows/retrain.yml/runs":
            assert query == {"event": "workflow_dispatch", "per_page": "100"}
            return said(200, {"workflow_runs": [self._told(run) for run in reversed(self.runs.values())]})
        name, _, verb = path.removeprefix(f"{self.base}/runs/").partition("/")
        run = self.runs.get(name)
        if run is None:
            return said(404, {"message": "Not Found"})
        if verb == "cancel":
            if run.state in ("done", "failed"):
                return said(409, {"message": "Cannot cancel a workflow run that is completed."})
            run.state = "failed"
            return said(202, {})
        return said(200, self._told(run))

    def _told(self, run: Run) -> dict[str, Any]:
        status = {"waiting": "queued", "running": "in_progress"}.get(run.state, "completed")
        conclusion = {"done": "success", "failed": "failure"}.get(run.state)
        return {"id": int(run.name), "display_title": run.asked["title"], "status": status, "conclusion": conclusion}


class OldGithub(Github):
    """A server that tells nothing of the run that it dispatched."""

    tells = False


class Own(TrainingServer):
    """A service of a user's own that knows Idempotency-Key."""

    def route(self, request: Request, path: str, query: Mapping[str, str]) -> Reply:
        if path == "/trainings":
            body = json.loads(request.body)
            run = self.add(request.headers["idempotency-key"], body)
            return said(201, {"training": {"id": f"t/{run.name}"}})
        name = unquote(path.removeprefix("/trainings/").removesuffix("/stop")).removeprefix("t/")
        run_or_none = self.runs.get(name)
        if run_or_none is None:
            return said(404, {})
        if path.endswith("/stop"):
            run_or_none.state = "failed"
        model = {"uri": run_or_none.asked["into"], "version": 7, "statistics": {"auc": 0.75}}
        return said(200, {"training": {"state": run_or_none.state, "why": "out of memory", "model": model}})


def said(status: int, document: Any) -> Reply:
    """Return a JSON answer."""
    return Reply(status, {"Content-Type": "application/json"}, json.dumps(document).encode())


def _parameters(run: Run) -> dict[str, Any]:
    parameters = [{"name": "DRIFTLINE_RETRAIN_ID", "value": run.asked["parameter"]}, {"name": "OTHER"}]
    return {"actions": [{}, {"parameters": parameters}]}
