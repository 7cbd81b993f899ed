"""The trainer that settings ask for; changes with the kinds of trainers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from monitor.act.retrain import Retrain
from monitor.act.steps import Progress, Report, Trainer
from monitor.clock import Clock
from monitor.config.settings import KafkaSettings
from monitor.config.trainers import TrainerSettings
from monitor.errors import ConfigError, InputError, TransientError
from monitor.outside.http import HttpClient
from monitor.outside.trainers.airflow import AirflowTrainer
from monitor.outside.trainers.command import CommandTrainer
from monitor.outside.trainers.github import GithubTrainer
from monitor.outside.trainers.jenkins import JenkinsTrainer
from monitor.outside.trainers.kafka import KafkaTrainer
from monitor.outside.trainers.kubeflow import KubeflowTrainer
from monitor.outside.trainers.own import OwnTrainer
from monitor.outside.trainers.server import Server
from monitor.outside.trainers.vertex import VertexTrainer


def trainer_of(
    settings: TrainerSettings, *, http: HttpClient, kafka: KafkaSettings | None, state_folder: Path, clock: Clock
) -> Trainer:
    """Return the trainer that settings name; nothing is connected yet. Safe to share between threads.

    Args:
        settings: of the trainer.
        http: what servers are asked with.
        kafka: the brokers of the settings.
        state_folder: local folder that stays, for what local commands do; each retrain gets a folder in `trainings` there.
        clock: for the age of what lies there.

    Raises:
        ConfigError: it needs a section that is not there.
    """
    if settings.type == "command":
        return CommandTrainer(settings, state_folder / "trainings", clock)
    if settings.type == "kafka":
        if kafka is None or settings.topic is None:
            raise ConfigError("a trainer of `type: kafka` needs a `kafka` section")
        return KafkaTrainer(kafka, settings.topic)
    return Patient(_of_http(settings, http))


@dataclass(frozen=True)
class Patient:
    """A trainer on a server: a refusal to tell of a run, or to stop it, may pass, since the run goes on all the same.

    So may that a server does not know the run: it may not list it yet, or somebody else may answer in its place for a while.
    """

    trainer: Trainer

    def submit(self, retrain: Retrain) -> str:
        """Ask for a run, where a refusal counts."""
        return self.trainer.submit(retrain)

    def poll(self, retrain: Retrain) -> Report | None:
        """Ask about the run."""
        try:
            report = self.trainer.poll(retrain)
        except InputError as error:
            raise TransientError(str(error)) from None
        if report is not None and report.progress is Progress.LOST:
            raise TransientError(report.reason)
        return report

    def cancel(self, retrain: Retrain) -> None:
        """Ask to stop the run."""
        try:
            self.trainer.cancel(retrain)
        except InputError as error:
            raise TransientError(str(error)) from None


def _of_http(settings: TrainerSettings, http: HttpClient) -> Trainer:
    server = Server(
        http,
        "" if settings.url is None else settings.url.get_secret_value(),
        {name: value.get_secret_value() for name, value in settings.headers.items()},
        None if settings.token_file is None else Path(settings.token_file),
        settings.timeout.total_seconds(),
    )
    if settings.airflow is not None:
        return AirflowTrainer(server, settings.airflow)
    if settings.kubeflow is not None:
        return KubeflowTrainer(server, settings.kubeflow)
    if settings.vertex is not None:
        return VertexTrainer(server, settings.vertex)
    if settings.jenkins is not None:
        return JenkinsTrainer(server, settings.jenkins)
    if settings.github is not None:
        return GithubTrainer(server, settings.github)
    return OwnTrainer(
        server,
        settings.body or {},
        settings.method,
        settings.reference,
        tuple(settings.already),
        settings.status,
        settings.cancel,
    )
