"""The roles of a process: what each is built of, how it starts, and what stops it; a part of the composition root."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib import import_module

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, JobExecutionEvent
from apscheduler.schedulers.background import BackgroundScheduler
from prometheus_client import CollectorRegistry

from collectors.forwarding import Forwarder
from collectors.letter_topic import KafkaLetterTopic
from collectors.metrics import CollectorMetrics
from collectors.runner import Collector, Turned
from collectors.sources import open_sources
from monitor.clock import Clock, SystemClock
from monitor.config.settings import Settings
from monitor.errors import InvariantBroken
from monitor.health import Health
from monitor.jobs.monitoring import Monitor
from monitor.loop import build_gpus, build_loop, build_notifier
from monitor.metrics import MonitorMetrics
from monitor.profile.tfdv import warm_up
from monitor.store.ledger import Ledger
from monitor.store.span_storage import open_storage

_CLEAN_EVERY_SECONDS = 60
_TURN_SECONDS = 180.0
"""A collector's threads turn every second, and between two turns wait for a server's time-outs at worst."""
_JUDGE_SECONDS = 900.0
"""Between two looks at a model lies at worst the judging of a large window, with the import of TensorFlow."""
_FORWARD_LEASE = timedelta(minutes=2)
_NOTIFY_EVERY_SECONDS = 1
_GPUS_EVERY_SECONDS = 30
"""As often as exporters read by themselves."""
_LASTING_AT_ONCE = 4
"""So that one trainer or server that is slow does not keep the retrains of all models waiting."""
_BESIDE = ("notify", "gpus")
"""Jobs beside those that judge, each with a thread of its own: that they go on says nothing of those."""


@dataclass(frozen=True, slots=True)
class Process:
    """What the roles of one process share.

    Attributes:
        pause: set when they are to drain.
        fail: told of what ends a role by itself.
        alone: whether it has one role only.
    """

    settings: Settings
    ledger: Ledger
    registry: CollectorRegistry
    health: Health
    pause: threading.Event
    fail: Callable[[BaseException], None]
    alone: bool = False


def start_collector(process: Process) -> Callable[[], None]:
    """Start the role and return what stops it."""
    settings, ledger, health, pause = process.settings, process.ledger, process.health, process.pause
    clock = SystemClock()
    storage = open_storage(settings.spans.uri)
    sources = open_sources(settings, clock, ledger.cuts.column_types)
    threads = ThreadPoolExecutor(len(sources) + 1, thread_name_prefix="collector")

    def ended(future: Future[None]) -> None:
        error = future.exception()
        if error is not None:
            process.fail(error)

    for name, model in settings.models.items():
        CollectorMetrics.on(process.registry).expect(name, "traffic")
        if model.labels is not None:
            CollectorMetrics.on(process.registry).expect(name, "labels")
    for kind, (streams, source) in sources.items():
        collector = Collector(
            f"{process_name()}:{kind}",
            streams,
            settings.collector,
            ledger=ledger.cuts,
            storage=storage,
            source=source,
            clock=clock,
            registry=process.registry,
            turned=Turned(
                health.loop(f"{kind} reader", _TURN_SECONDS), health.loop(f"{kind} committer", _TURN_SECONDS)
            ),
        )
        health.need(kind, collector.connected)
        threads.submit(collector.run, pause).add_done_callback(ended)
    if settings.kafka is not None and settings.collector.dead_letters.topic is not None:
        forwarder = Forwarder(
            ledger.dead_letters,
            KafkaLetterTopic(settings.kafka, settings.collector.dead_letters.topic),
            partial(_may_forward, ledger, clock, process_name()),
            CollectorMetrics.on(process.registry),
        )
        threads.submit(forwarder.run, pause).add_done_callback(ended)
    return threads.shutdown


def _may_forward(ledger: Ledger, clock: Clock, holder: str) -> bool:
    """Take or renew the lease of the one process that forwards dead letters."""
    return ledger.leases.acquire("dead letters", holder, clock.now(), _FORWARD_LEASE) is not None


def start_monitor(process: Process) -> Callable[[], None]:
    """Start the role and return what stops it."""
    settings, ledger, health, pause = process.settings, process.ledger, process.health, process.pause
    metrics, clock, holder = MonitorMetrics.on(process.registry), SystemClock(), process_name()
    storage = open_storage(settings.spans.uri)
    # The steps of a retrain that last must not keep windows from being judged.
    lasting, stopping = ThreadPoolExecutor(_LASTING_AT_ONCE, thread_name_prefix="retrain"), threading.Event()
    gpus = build_gpus(settings, clock)
    monitor = Monitor(
        settings=settings,
        ledger=ledger,
        storage=storage,
        clock=clock,
        holder=holder,
        metrics=metrics,
        loop=build_loop(settings, ledger, storage, clock, lasting, gpus, stopping),
        stop=pause,
    )
    notifier = build_notifier(settings, ledger, clock, holder, metrics)
    # One thread: what the jobs do holds Python's lock anyway, and TFDV's first import must not happen twice at once.
    scheduler = BackgroundScheduler(
        executors={name: {"type": "threadpool", "max_workers": 1} for name in ("default", *_BESIDE)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        timezone="UTC",
    )

    looked = health.loop("monitor", _JUDGE_SECONDS)

    def failed(event: JobExecutionEvent) -> None:
        # A job a model: a window that breaks a library does not blind the other models. It stays due, loudly.
        judged, _, name = event.job_id.partition(" ")
        metrics.errors.labels(name if judged == "judge" else "").inc()
        if isinstance(event.exception, InvariantBroken):
            process.fail(event.exception)

    scheduler.add_listener(failed, EVENT_JOB_ERROR)

    def went_on(event: JobExecutionEvent) -> None:
        if event.job_id.split(" ")[0] not in _BESIDE:
            looked()

    scheduler.add_listener(went_on, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
    # TFDV takes seconds to import, and so does TFMA: have that done before the first window is due, not while it waits.
    scheduler.add_job(warm_up, id="import TFDV")
    if any(model.evaluation is not None for model in settings.models.values()):
        scheduler.add_job(import_module, args=["monitor.evaluate.live"], id="import TFMA")
    seconds = settings.monitor.tick.total_seconds()
    for name in settings.models:
        scheduler.add_job(monitor.tick, "interval", args=[name], seconds=seconds, id=f"judge {name}")
    scheduler.add_job(monitor.clean, "interval", seconds=_CLEAN_EVERY_SECONDS, id="clean spans")
    if settings.receivers:
        scheduler.add_job(
            notifier.tick, "interval", args=[pause], seconds=_NOTIFY_EVERY_SECONDS, id="notify", executor="notify"
        )
    for name, watched in gpus.items():
        job = {"id": f"gpus {name}", "executor": "gpus", "next_run_time": clock.now()}
        scheduler.add_job(watched.look, "interval", seconds=_GPUS_EVERY_SECONDS, **job)
    scheduler.start()

    def finish() -> None:
        scheduler.shutdown(wait=True)
        notifier.close()
        # What is begun ends before the ledger is closed and the leases go to others, who would be at it too.
        stopping.set()
        lasting.shutdown(wait=True, cancel_futures=True)
        monitor.release()

    return finish


def start_api(process: Process) -> Callable[[], None]:
    """Serve the API, and with it metrics and probes, and return what stops it."""
    # FastAPI takes half a second to import, which a collector alone need not wait for.
    from monitor.api.application import application
    from monitor.api.serving import serve_api

    settings = process.settings
    app = application(settings, process.ledger, process.registry, process.health, SystemClock())
    return serve_api(settings.api.listen, app, process.fail if process.alone else None)


def process_name() -> str:
    """Return a name that no other process has, now or after a restart, for claims and leases."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
