"""Builds what alerts, decides and retrains; a part of the composition root."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from sqlalchemy import make_url

from monitor.act.steps import Gpus, Trainer
from monitor.clock import Clock
from monitor.config.settings import Settings
from monitor.cuts import SpanStorage
from monitor.jobs.act.acting import Actor
from monitor.jobs.alert.alerting import Alerter
from monitor.jobs.alert.notifying import Notifier
from monitor.jobs.looping import Loop
from monitor.jobs.release.gate import CandidateGate
from monitor.jobs.release.rollout import ServingRollout
from monitor.jobs.retrain.requests import request_for
from monitor.jobs.retrain.retraining import Retrainer
from monitor.metrics import MonitorMetrics
from monitor.outside.candidates.running import run
from monitor.outside.gpu.watched import WatchedGpus, gpus_of
from monitor.outside.http import HttpClient
from monitor.outside.receivers.sending import senders_of
from monitor.outside.trainers.choice import trainer_of
from monitor.store.ledger import Ledger

_TICKS = 5
"""A run and a canary are asked about every so many looks at a model."""


def build_gpus(settings: Settings, clock: Clock) -> dict[str, WatchedGpus]:
    """Return the GPUs of the settings; they are to be looked at regularly, since some remember no more than was looked at."""
    http = HttpClient(clock)
    return {name: gpus_of(each, http, clock) for name, each in settings.gpus.items()}


def build_loop(
    settings: Settings,
    ledger: Ledger,
    storage: SpanStorage,
    clock: Clock,
    executor: Executor,
    gpus: Mapping[str, Gpus],
    stopping: threading.Event | None = None,
) -> Loop:
    """Return what alerts and acts for a monitor; nothing outside is connected to yet.

    Args:
        settings: of all models.
        ledger: what is known.
        storage: of the spans.
        clock: of the process.
        executor: runs the steps that last; those of one retrain come after each other all the same.
        gpus: those of the settings, by name.
        stopping: set to have the steps that last end soon, by a TransientError.

    Raises:
        ConfigError: a trainer lacks a section of the settings.
    """
    http, stopping = HttpClient(clock), stopping or threading.Event()
    asking = partial(request_for, ledger, storage, settings)
    return Loop(
        Alerter(ledger, settings),
        Actor(ledger, settings, asking, gpus, executor=executor),
        _retrainer(settings, ledger, storage, clock, executor, http, gpus, stopping),
        clock,
    )


def build_notifier(settings: Settings, ledger: Ledger, clock: Clock, holder: str, metrics: MonitorMetrics) -> Notifier:
    """Return what sends messages to the receivers of the settings; `holder` is this process's name."""
    senders = senders_of(settings.receivers, HttpClient(clock))
    return Notifier(ledger, settings, clock, holder, senders, metrics)


def _retrainer(
    settings: Settings,
    ledger: Ledger,
    storage: SpanStorage,
    clock: Clock,
    executor: Executor,
    http: HttpClient,
    gpus: Mapping[str, Gpus],
    stopping: threading.Event,
) -> Retrainer:
    trainers: dict[str, Trainer] = {
        name: trainer_of(
            model.retrain.trainer, http=http, kafka=settings.kafka, state_folder=_state_folder(settings), clock=clock
        )
        for name, model in settings.models.items()
        if model.retrain is not None
    }
    gate = CandidateGate(ledger, storage, settings, clock, partial(run, stopping=stopping))
    rollout = ServingRollout(ledger, storage, settings, http, clock, stopping=stopping)
    return Retrainer(ledger, settings, trainers, gpus, gate, rollout, executor, _TICKS * settings.monitor.tick)


def _state_folder(settings: Settings) -> Path:
    """Return the local folder beside the ledger, or `state` where that is on a server."""
    url = make_url(settings.store)
    return Path(url.database).parent if url.get_backend_name() == "sqlite" and url.database else Path("state")
