"""The composition root: builds the roles from settings, starts them, reloads them, and stops them in order."""

from __future__ import annotations

import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, JobExecutionEvent
from apscheduler.schedulers.background import BackgroundScheduler
from prometheus_client import CollectorRegistry

from collectors.forwarding import Forwarder
from collectors.letter_topic import KafkaLetterTopic
from collectors.metrics import CollectorMetrics
from collectors.runner import Collector, Turned
from collectors.sources import open_sources
from monitor.clock import Clock, SystemClock
from monitor.config.loading import load_settings
from monitor.config.settings import Settings
from monitor.errors import ConfigError, InvariantBroken
from monitor.health import Health
from monitor.jobs.monitoring import Monitor
from monitor.metrics import MonitorMetrics
from monitor.profile.tfdv import warm_up
from monitor.serving import serve
from monitor.store.ledger import Ledger
from monitor.store.metrics import LedgerMetrics
from monitor.store.span_storage import open_storage

_log = structlog.get_logger(__name__)
_CLEAN_EVERY_SECONDS = 60
_TURN_SECONDS = 180.0
"""A collector's threads turn every second, and between two turns wait for a server's time-outs at worst."""
_JUDGE_SECONDS = 900.0
"""Between two looks at a model lies at worst the judging of a large window, with the import of TensorFlow."""
_FORWARD_LEASE = timedelta(minutes=2)


@dataclass
class App:
    """One process with one or several roles.

    Attributes:
        config: the settings file, read again on SIGHUP.
        roles: of "collect" and "monitor".
        stop: set to drain and return.
    """

    config: Path
    roles: Sequence[str]
    stop: threading.Event = field(default_factory=threading.Event)
    _reload: threading.Event = field(default_factory=threading.Event)
    _failure: list[BaseException] = field(default_factory=list)

    def run(self) -> None:
        """Work until SIGTERM or SIGINT, then drain; raises what made a role stop by itself."""
        settings: Settings | None = load_settings(self.config)
        with self._signals():
            while settings is not None:
                settings = self._run_with(settings)

    def _run_with(self, settings: Settings) -> Settings | None:
        """Run the roles until a stop (returns None) or until there are other settings; half a start is undone."""
        with ExitStack() as undo:
            ledger = Ledger.open(settings.store, settings.team)
            undo.callback(ledger.close)
            registry, health = CollectorRegistry(), Health(SystemClock())
            registry.register(LedgerMetrics(ledger))
            health.need("ledger", ledger.answers)
            undo.callback(serve(self._listen(settings), registry, health))
            pause = threading.Event()
            for role in self.roles:
                undo.callback(_ROLES[role](settings, ledger, registry, health, pause, self._failure.append))
                undo.callback(pause.set)  # before it is waited for, also when the next role does not start
            health.started()
            undo.callback(health.stopping)
            _log.info("started", roles=list(self.roles), models=sorted(settings.models))
            fresh = self._wait(settings)
            _log.info("draining")
        if self._failure:
            raise self._failure[0]
        _log.info("stopped")
        return fresh

    def _wait(self, settings: Settings) -> Settings | None:
        """Wait for a stop, a failure, or settings that are right and differ; a bad file changes nothing."""
        while not (self.stop.wait(0.2) or self._failure):
            if not self._reload.is_set():
                continue
            self._reload.clear()
            try:
                fresh = load_settings(self.config)
            except ConfigError as error:
                _log.error("reload_refused", reason=str(error))
                continue
            _log.info("reloaded", changed=fresh != settings)
            if fresh != settings:
                return fresh
        return None

    def _listen(self, settings: Settings) -> str:
        if len(self.roles) > 1:
            return settings.api.listen
        return settings.collector.listen if "collect" in self.roles else settings.monitor.listen

    @contextmanager
    def _signals(self) -> Iterator[None]:
        handlers: dict[signal.Signals, Callable[[int, Any], None]] = {
            signal.SIGTERM: lambda *_: self.stop.set(),
            signal.SIGINT: lambda *_: self.stop.set(),
            signal.SIGHUP: lambda *_: self._reload.set(),
        }
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


_Fail = Callable[[BaseException], None]


def _start_collector(
    settings: Settings,
    ledger: Ledger,
    registry: CollectorRegistry,
    health: Health,
    pause: threading.Event,
    fail: _Fail,
) -> Callable[[], None]:
    clock = SystemClock()
    storage = open_storage(settings.spans.uri)
    sources = open_sources(settings, clock, ledger.cuts.column_types)
    threads = ThreadPoolExecutor(len(sources) + 1, thread_name_prefix="collector")

    def ended(future: Future[None]) -> None:
        error = future.exception()
        if error is not None:
            fail(error)

    for kind, (streams, source) in sources.items():
        collector = Collector(
            f"{process_name()}:{kind}",
            streams,
            settings.collector,
            ledger=ledger.cuts,
            storage=storage,
            source=source,
            clock=clock,
            registry=registry,
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
            CollectorMetrics.on(registry),
        )
        threads.submit(forwarder.run, pause).add_done_callback(ended)
    return threads.shutdown


def _may_forward(ledger: Ledger, clock: Clock, holder: str) -> bool:
    """Take or renew the lease of the one process that forwards dead letters."""
    return ledger.leases.acquire("dead letters", holder, clock.now(), _FORWARD_LEASE) is not None


def _start_monitor(
    settings: Settings,
    ledger: Ledger,
    registry: CollectorRegistry,
    health: Health,
    pause: threading.Event,
    fail: _Fail,
) -> Callable[[], None]:
    metrics = MonitorMetrics.on(registry)
    monitor = Monitor(
        settings=settings,
        ledger=ledger,
        storage=open_storage(settings.spans.uri),
        clock=SystemClock(),
        holder=process_name(),
        metrics=metrics,
        stop=pause,
    )
    # One thread: what the jobs do holds Python's lock anyway, and TFDV's first import must not happen twice at once.
    scheduler = BackgroundScheduler(
        executors={"default": {"type": "threadpool", "max_workers": 1}},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        timezone="UTC",
    )

    looked = health.loop("monitor", _JUDGE_SECONDS)

    def failed(event: JobExecutionEvent) -> None:
        # A job a model: a window that breaks a library does not blind the other models. It stays due, loudly.
        judged, _, name = event.job_id.partition(" ")
        metrics.errors.labels(name if judged == "judge" else "").inc()
        if isinstance(event.exception, InvariantBroken):
            fail(event.exception)

    scheduler.add_listener(failed, EVENT_JOB_ERROR)
    scheduler.add_listener(lambda _: looked(), EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
    # TFDV takes seconds to import, and so does TFMA: have that done before the first window is due, not while it waits.
    scheduler.add_job(warm_up, id="import TFDV")
    if any(model.evaluation is not None for model in settings.models.values()):
        scheduler.add_job(import_module, args=["monitor.evaluate.live"], id="import TFMA")
    seconds = settings.monitor.tick.total_seconds()
    for name in settings.models:
        scheduler.add_job(monitor.tick, "interval", args=[name], seconds=seconds, id=f"judge {name}")
    scheduler.add_job(monitor.clean, "interval", seconds=_CLEAN_EVERY_SECONDS, id="clean spans")
    scheduler.start()

    def finish() -> None:
        scheduler.shutdown(wait=True)
        monitor.release()

    return finish


_ROLES = {"collect": _start_collector, "monitor": _start_monitor}


def process_name() -> str:
    """Return a name that no other process has, now or after a restart, for claims and leases."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
