"""Metrics of the monitor's work, and the HTTP endpoint that shows a process's registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MonitorMetrics:
    """Counters of one monitor process."""

    tick_seconds: Histogram
    windows: Counter
    errors: Counter

    @classmethod
    def on(cls, registry: CollectorRegistry) -> MonitorMetrics:
        """Register the metrics."""
        return cls(
            tick_seconds=Histogram(
                "driftline_monitor_tick_seconds",
                "Duration of a look at one model, judging included.",
                buckets=(0.01, 0.1, 0.5, 1, 5, 15, 60, 180, 600),
                registry=registry,
            ),
            windows=Counter(
                "driftline_monitor_windows_judged",
                "Revisions of windows judged by this process.",
                ["model", "verdict"],
                registry=registry,
            ),
            errors=Counter(
                "driftline_monitor_errors",
                "Looks at a model that an error ended; the model is empty for housekeeping.",
                ["model"],
                registry=registry,
            ),
        )


def serve(listen: str, registry: CollectorRegistry) -> Callable[[], None]:
    """Serve /metrics at `host:port` and return what stops it; a taken port is logged, and the process works without.

    Several roles of one machine may share a settings file; only the first of them gets its port.
    """
    host, _, port = listen.rpartition(":")
    try:
        server, thread = start_http_server(int(port), addr=host.strip("[]"), registry=registry)
    except OSError as error:
        _log.warning("metrics_not_served", listen=listen, reason=error.strerror)
        return lambda: None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    _log.info("metrics_served", listen=listen)
    return stop
