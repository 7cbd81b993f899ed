"""What `retrain.trainer` may say: who trains a model anew, and how to ask; changes with the kinds of trainers."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from monitor.config.durations import Duration
from monitor.config.json_paths import JsonPath
from monitor.config.strict import Strict
from monitor.config.templates import check_templates

Name = Annotated[str, Field(min_length=1, max_length=250)]

_PLACES = re.compile(r"\{([^{}]*)\}")
_HEADER = re.compile(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")


class AirflowSettings(Strict):
    """Apache Airflow: a run of a DAG, with the request as its `conf`."""

    dag: Name = Field(description="Id of the DAG.")
    api: Literal["v2", "v1"] = Field("v2", description="Version of its REST API: v2 of Airflow 3, v1 of Airflow 2.")


class KubeflowSettings(Strict):
    """Kubeflow Pipelines: a run of a pipeline, with the request as one of its parameters."""

    pipeline_id: Name = Field(description="Id of the pipeline.")
    pipeline_version_id: Name | None = Field(None, description="Id of its version; the newest without it.")
    experiment_id: Name | None = Field(None, description="Id of the experiment that the run belongs to.")
    parameter: Name = Field("driftline_request", description="Parameter (of type dict) that gets the request.")


class VertexSettings(Strict):
    """Vertex AI Pipelines: a pipeline job, with the request as one of its parameters."""

    project: Name = Field(description="Project of the jobs.")
    location: Name = Field(description="Their location, as europe-west1.")
    template_uri: Name = Field(description="The compiled pipeline, in Artifact Registry.")
    output_directory: Name = Field(description="Folder of the jobs' artifacts, as gs://bucket/folder.")
    service_account: Name | None = Field(None, description="What the jobs run as; the project's default without it.")
    parameter: Name = Field("driftline_request", description="Parameter (of type dict) that gets the request.")


class JenkinsSettings(Strict):
    """Jenkins: a build of a job with the parameters DRIFTLINE_RETRAIN_ID and DRIFTLINE_REQUEST."""

    job: Name = Field(description="Name of the job, as folder/job.")


class GithubSettings(Strict):
    """GitHub Actions: a dispatch of a workflow with the inputs `retrain_id` and `request`."""

    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="Repository of the workflow, as owner/name.")
    workflow: Name = Field(description="File name of the workflow, or its id.")
    ref: Name = Field("main", description="Branch or tag whose workflow runs.")


class StatusSettings(Strict):
    """How a trainer with a `body` of your own is asked about a run."""

    url: SecretStr = Field(
        description="What is got; {reference} stands for the trainer's name of the run, {retrain_id} for ours."
    )
    state: JsonPath = Field(description="Where in the answer the state is, as run.state.")
    waiting: list[str] = Field(default_factory=list, description="States in which the run has not begun.")
    running: list[str] = Field(default_factory=list, description="States in which it runs; also any that is not told.")
    completed: list[str] = Field(min_length=1, description="States in which it has ended well.")
    failed: list[str] = Field(min_length=1, description="States in which it has ended otherwise.")
    reason: JsonPath | None = Field(None, description="Where in the answer it says why.")
    uri: JsonPath | None = Field(
        None, description="Where it says the URI of the candidate; the one that was asked for without it."
    )
    version: JsonPath | None = Field(
        None, description="Where it says the version of the candidate; the one that was asked for without it."
    )
    statistics: JsonPath | None = Field(None, description="Where it tells statistics of the training, an object.")

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        named = [*self.waiting, *self.running, *self.completed, *self.failed]
        twice = sorted({state for state in named if named.count(state) > 1})
        if twice:
            raise ValueError(f"the state {twice[0]!r} is named twice")
        _check_url(self.url)
        return self


class CancelSettings(Strict):
    """How a trainer with a `body` of your own is asked to stop a run."""

    url: SecretStr = Field(description="What is asked, with {reference} and {retrain_id} as in `status.url`.")
    method: Literal["POST", "PUT", "PATCH", "DELETE"] = Field("POST", description="HTTP method.")

    @model_validator(mode="after")
    def _address(self) -> Self:
        _check_url(self.url)
        return self


PRESETS = ("airflow", "kubeflow", "vertex", "jenkins", "github")
_OWN = ("body", "reference", "already", "status", "cancel", "method")
_HTTP = ("url", "headers", "token_file", "timeout", *PRESETS, *_OWN)
_COMMAND = ("command", "folder", "environment", "time_limit", "stop_grace", "max_output_bytes")
_KEYS = {"http": _HTTP, "command": _COMMAND, "kafka": ("topic",)}
_NEEDED = {"http": "url", "command": "command", "kafka": "topic"}


class TrainerSettings(Strict):
    """Who trains a model anew."""

    type: Literal["http", "command", "kafka"] = Field(
        description="How it is asked: over HTTP, as a local command, or by a message on a topic."
    )
    url: SecretStr | None = Field(
        None, description="With http: address of the server, or with `body` what the request is sent to."
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="With http: headers of each request; write ${NAME} for secrets."
    )
    token_file: str | None = Field(
        None, description="With http: file with a bearer token, read anew for each request, for tokens that expire."
    )
    timeout: Duration = Field(timedelta(seconds=10), description="With http: how long an answer may take.")
    airflow: AirflowSettings | None = None
    kubeflow: KubeflowSettings | None = None
    vertex: VertexSettings | None = None
    jenkins: JenkinsSettings | None = None
    github: GithubSettings | None = None
    body: dict[str, Any] | None = Field(
        None,
        description="With http and none of these: JSON to send; its texts are Jinja templates over the request, and one that is "
        "a single expression stands for the value itself.",
    )
    method: Literal["POST", "PUT"] = Field("POST", description="With `body`: HTTP method.")
    reference: JsonPath | None = Field(
        None, description="With `body`: where the answer says the name of the run; the retrain's id without it."
    )
    already: list[Annotated[int, Field(ge=400, le=499)]] = Field(
        default_factory=lambda: [409], description="With `body`: statuses that say that the run was asked for before."
    )
    status: StatusSettings | None = Field(
        None, description="With `body`: how to ask about a run; without it the trainer reports to the API by itself."
    )
    cancel: CancelSettings | None = None
    command: list[Name] | None = Field(
        None, min_length=1, description="With command: program and arguments; no shell, and nothing is put in."
    )
    folder: str = Field(".", description="With command: folder that it runs in.")
    environment: list[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]] = Field(
        default_factory=list, description="With command: variables of Driftline's own that it sees; no others."
    )
    time_limit: Duration = Field(timedelta(hours=24), description="With command: how long it may run.")
    stop_grace: Duration = Field(
        timedelta(seconds=30), description="With command: time between asking it to end (TERM) and ending it (KILL)."
    )
    max_output_bytes: int = Field(
        10 * 2**20, ge=2**10, le=2**34, description="With command: how much of its output is kept, the newest."
    )
    topic: Name | None = Field(None, description="With kafka: topic of the requests.")

    @field_validator("body")
    @classmethod
    def _templates(cls, body: dict[str, Any] | None) -> dict[str, Any] | None:
        if body is not None:
            check_templates(body)
        return body

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = self.model_fields_set - {"type"}
        foreign = sorted(given - set(_KEYS[self.type]))
        if foreign:
            raise ValueError(f"`{foreign[0]}` does not go with `type: {self.type}`")
        needed = _NEEDED[self.type]
        if getattr(self, needed) is None:
            raise ValueError(f"`type: {self.type}` needs `{needed}`")
        if self.type == "http":
            self._check_http()
        return self

    def _check_http(self) -> None:
        chosen = [name for name in (*PRESETS, "body") if getattr(self, name) is not None]
        if len(chosen) != 1:
            raise ValueError(f"give one of {', '.join(f'`{name}`' for name in PRESETS)} and `body`")
        own = sorted(self.model_fields_set & set(_OWN))
        if self.body is None and own:
            raise ValueError(f"`{own[0]}` goes with `body`")
        if self.url is not None:
            _check_url(self.url, places=False)
        names = [name.lower() for name in self.headers]
        if len(set(names)) < len(names):
            raise ValueError("`headers` has a name twice")
        for name, value in self.headers.items():
            if not _HEADER.match(name) or not value.get_secret_value().isprintable():
                raise ValueError(f"the header {name!r} cannot be sent")
        if self.token_file is not None and "authorization" in names:
            raise ValueError("give either `token_file` or a header `Authorization`")


def _check_url(url: SecretStr, *, places: bool = True) -> None:
    """Raise ValueError for what is no address, or lets what a trainer says choose where to connect; texts show nothing of it."""
    text = url.get_secret_value()
    try:
        parts = urlsplit(text)
        port_and_host = parts.hostname, parts.port
    except ValueError:
        raise ValueError("this is not an http or https address") from None
    if parts.scheme not in {"http", "https"} or not port_and_host[0]:
        raise ValueError("this is not an http or https address")
    named = set(_PLACES.findall(text))
    if not places and named:
        raise ValueError("nothing is put into this address")
    if named - {"reference", "retrain_id"}:
        raise ValueError("an address knows {reference} and {retrain_id} only")
    if _PLACES.search(parts.netloc) or not named <= set(_PLACES.findall(parts.path + parts.query)):
        raise ValueError("{reference} and {retrain_id} go into the path or the query of an address, not elsewhere")
