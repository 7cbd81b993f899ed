"""One world for each kind of trainer: the trainer, and a hand on what it asks."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from monitor.act.retrain import Retrain, RetrainState
from monitor.act.steps import Progress, Trainer
from monitor.clock import Clock, Deadline, SystemClock
from monitor.config.trainers import TrainerSettings
from monitor.outside.http import HttpClient
from monitor.outside.trainers.choice import trainer_of
from monitor.outside.trainers.command import held
from monitor.outside.trainers.memory import MemoryTrainer
from tests.ledgers import NOON
from tests.loopback import HttpServer, http_server
from tests.trainers import servers

TOKEN = "t0k3n-of-tests"  # noqa: S105 - of these tests
CLOCK: Clock = SystemClock()
HTTP = HttpClient(CLOCK)
REQUEST: dict[str, Any] = {
    "schema_version": 1,
    "model": "flights",
    "why": {"reason": "quality fell", "findings": [{"feature": "distance"}]},
    "data": {"spans": [{"uri": "file:///spans/a.parquet", "kind": "traffic"}]},
    "baseline": {"number": 3},
    "expected": {"candidate_uri": "file:///candidates/flights/{retrain_id}", "version": "42"},
    "callbacks": {"complete": "http://driftline/v1/retrains/{retrain_id}/complete"},
}


def a_retrain(retrain_id: str = "a1b2c3", **changes: Any) -> Retrain:
    """Return a retrain that is ready to be submitted."""
    retrain = Retrain(
        retrain_id,
        "flights",
        RetrainState.SUBMITTED,
        1,
        "test",
        NOON,
        NOON,
        NOON,
        request=json.loads(json.dumps(REQUEST)),
    )
    return replace(retrain, **changes)


def until(what: Any, seconds: float = 20.0) -> Any:
    """Return what `what` returns once that is true; it is asked again and again, for a time."""
    deadline, pause = Deadline.after(CLOCK, seconds), Event()
    while not (found := what()):
        assert not deadline.expired(), "it did not happen in time"
        pause.wait(0.01)
    return found


def ended(trainer: Trainer, retrain: Retrain) -> Any:
    """Return the report of a run once it has ended."""

    def report() -> Any:
        found = trainer.poll(retrain)
        return found if found is None or found.progress not in (Progress.WAITING, Progress.RUNNING) else None

    return until(report)


class World(Protocol):
    """A trainer and its surroundings."""

    @property
    def trainer(self) -> Trainer:
        """The trainer."""
        ...

    def asked(self) -> list[dict[str, Any]]:
        """Return the requests of all runs."""
        ...

    def finish(self) -> None:
        """Let the run end well."""
        ...

    def fail(self) -> None:
        """Let the run fail."""
        ...

    def lose(self) -> None:
        """Let the run be gone without a trace."""
        ...

    def break_down(self) -> None:
        """Let nobody answer."""
        ...

    def refuse(self) -> None:
        """Let nothing be accepted."""
        ...


@dataclass
class MemoryWorld:
    """The twin in memory."""

    trainer: MemoryTrainer

    def asked(self) -> list[dict[str, Any]]:
        return list(self.trainer.requests.values())

    def finish(self) -> None:
        for each in self.trainer.requests:
            self.trainer.finish(each)

    def fail(self) -> None:
        for each in self.trainer.requests:
            self.trainer.fail(each)

    def lose(self) -> None:
        for each in self.trainer.requests:
            self.trainer.lose(each)

    def break_down(self) -> None:
        self.trainer.down = True

    def refuse(self) -> None:
        self.trainer.refuses = True


@dataclass
class ServerWorld:
    """A server on the loopback."""

    trainer: Trainer
    server: servers.TrainingServer
    loopback: HttpServer

    def asked(self) -> list[dict[str, Any]]:
        return [run.asked for run in self.server.runs.values()]

    def finish(self) -> None:
        self._set("done")

    def fail(self) -> None:
        self._set("failed")

    def lose(self) -> None:
        self.server.runs.clear()

    def break_down(self) -> None:
        self.server.status = 503

    def refuse(self) -> None:
        self.server.status = 403

    def _set(self, state: str) -> None:
        for run in self.server.runs.values():
            run.state = state


SCRIPT = """
import json, os, signal, sys
request = json.load(sys.stdin)
go = sys.argv[1]
with open(go + ".ran", "a") as ran:
    ran.write(json.dumps(request) + "\\n")
with open(go) as fifo:  # until the test writes
    order = fifo.read().strip()
if order == "fail":
    sys.exit(3)
print(json.dumps({"uri": request["expected"]["candidate_uri"], "version": 42, "statistics": {"auc": 0.75}}))
"""


@dataclass
class CommandWorld:
    """A command that waits for the test's word."""

    trainer: Trainer
    folder: Path
    settings: dict[str, Any]

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return next((self.folder / "trainings").iterdir())

    def asked(self) -> list[dict[str, Any]]:
        def lines() -> list[str]:
            ran = self.folder / "go.ran"
            return ran.read_text().splitlines() if ran.exists() else []

        return [json.loads(line) for line in until(lines)]

    def finish(self) -> None:
        self._say("finish")

    def fail(self) -> None:
        self._say("fail")

    def lose(self) -> None:
        until((self.run / "child.json").exists)
        for name, kill in (("started", os.kill), ("child", os.killpg)):
            kill(json.loads((self.run / f"{name}.json").read_text())["pid"], signal.SIGKILL)

    def break_down(self) -> None:
        (self.folder / "trainings").write_text("in the way")

    def refuse(self) -> None:
        (self.folder / "train.py").unlink()

    def _say(self, word: str) -> None:
        (self.folder / "go").write_text(word)


def http_settings(**more: Any) -> TrainerSettings:
    """Return settings of a trainer over HTTP with the token."""
    return TrainerSettings.model_validate({"type": "http", "headers": {"Authorization": f"Bearer {TOKEN}"}, **more})


def made(settings: TrainerSettings, folder: Path, clock: Clock = CLOCK) -> Trainer:
    """Return the trainer of settings."""
    return trainer_of(settings, http=HTTP, kafka=None, state_folder=folder, clock=clock)


def own_settings(url: str) -> dict[str, Any]:
    """Return settings of a service of a user's own."""
    return {
        "url": f"{url}/trainings",
        "body": {"into": "{{ expected.candidate_uri }}", "request": "{{ request }}", "why": "drift: {{ why.reason }}"},
        "reference": "training.id",
        "status": {
            "url": f"{url}/trainings/{{reference}}",
            "state": "training.state",
            "waiting": ["waiting"],
            "running": ["running"],
            "completed": ["done"],
            "failed": ["failed"],
            "reason": "training.why",
            "uri": "training.model.uri",
            "version": "training.model.version",
            "statistics": "training.model.statistics",
        },
        "cancel": {"url": f"{url}/trainings/{{reference}}/stop"},
    }


PRESETS: dict[str, tuple[type[servers.TrainingServer], dict[str, Any]]] = {
    "airflow": (servers.Airflow, {"airflow": {"dag": "train/flights"}}),
    "airflow 2": (servers.OldAirflow, {"airflow": {"dag": "train/flights", "api": "v1"}}),
    "kubeflow": (servers.Kubeflow, {"kubeflow": {"pipeline_id": "p-1"}}),
    "vertex": (
        servers.Vertex,
        {
            "vertex": {
                "project": "p",
                "location": "europe-west1",
                "template_uri": "https://registry/pipeline/v1",
                "output_directory": "gs://bucket/out",
            }
        },
    ),
    "jenkins": (servers.Jenkins, {"jenkins": {"job": "models/train flights"}}),
    "github": (servers.Github, {"github": {"repository": "acme/models", "workflow": "retrain.yml"}}),
    "github that tells nothing": (
        servers.OldGithub,
        {"github": {"repository": "acme/models", "workflow": "retrain.yml"}},
    ),
    "own": (servers.Own, {}),
}


@contextmanager
def server_world(kind: str, folder: Path) -> Iterator[ServerWorld]:
    """Return the world of a preset."""
    made_of, settings = PRESETS[kind]
    server = made_of()
    with http_server(server.answer) as loopback:
        given = {"url": loopback.url, **settings} if settings else own_settings(loopback.url)
        yield ServerWorld(made(http_settings(**given), folder), server, loopback)


@contextmanager
def command_world(folder: Path, script: str = SCRIPT, **more: Any) -> Iterator[CommandWorld]:
    """Return the world of a command; what still runs at the end is killed."""
    (folder / "train.py").write_text(f"#!{sys.executable}\n{script}")
    (folder / "train.py").chmod(0o755)
    os.mkfifo(folder / "go")
    settings = {"type": "command", "command": ["./train.py", str(folder / "go")], "folder": str(folder), **more}
    try:
        yield CommandWorld(made(TrainerSettings.model_validate(settings), folder), folder, settings)
    finally:
        for lock in folder.glob("trainings/*/lock"):
            _end(lock.parent)


def _end(run: Path) -> None:
    """Kill a command that still runs, which may be about to begin."""
    until(lambda: (run / "child.json").exists() or (run / "end.json").exists() or not held(run / "lock"))
    if (run / "child.json").exists() and not (run / "end.json").exists():
        _kill(json.loads((run / "child.json").read_text())["pid"])


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


@contextmanager
def world_of(kind: str, folder: Path) -> Iterator[World]:
    """Return the world of a kind of trainer."""
    if kind == "memory":
        yield MemoryWorld(MemoryTrainer())
    elif kind == "command":
        with command_world(folder) as world:
            yield world
    else:
        with server_world(kind, folder) as served:
            yield served


KINDS = ["memory", "command", *PRESETS]
