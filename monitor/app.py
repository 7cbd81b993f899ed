"""The composition root: builds the roles from settings, starts them, reloads them, and stops them in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from monitor.clock import SystemClock
from monitor.config.loading import load_settings
from monitor.config.settings import Settings
from monitor.errors import ConfigError
from monitor.health import Health
from monitor.roles import Process, start_api, start_collector, start_monitor
from monitor.serving import serve
from monitor.store.ledger import Ledger
from monitor.store.metrics import LedgerMetrics

_log = structlog.get_logger(__name__)

_ROLES = {"collect": start_collector, "monitor": start_monitor, "api": start_api}


@dataclass
class App:
    """One process with one or several roles.

    Attributes:
        config: the settings file, read again on SIGHUP.
        roles: of "collect", "monitor" and "api".
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
            if "api" not in self.roles:
                undo.callback(serve(self._listen(settings), registry, health))
            pause = threading.Event()
            process = Process(settings, ledger, registry, health, pause, self._failure.append, len(self.roles) == 1)
            for role in self.roles:
                undo.callback(_ROLES[role](process))
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
