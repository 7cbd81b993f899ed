"""What the capture kit tells Prometheus; changes when a metric does."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter, Gauge


class Dropped(StrEnum):
    """Why a request that the sampler kept was given up before it went to Kafka."""

    BUFFER_FULL = "buffer_full"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    UNANSWERED = "unanswered"
    SHUTDOWN = "shutdown"


class CaptureMetrics:
    """The counters of one process: requests seen = sampled out + sent + dropped + failed + those still buffered."""

    _registered: ClassVar[WeakKeyDictionary[CollectorRegistry, CaptureMetrics]] = WeakKeyDictionary()

    @classmethod
    def on(cls, registry: CollectorRegistry) -> CaptureMetrics:
        """Return the metrics of a registry; the producers of one process share them."""
        found = cls._registered.get(registry)
        if found is None:
            found = cls._registered[registry] = cls(registry)
        return found

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the metrics; see `on`."""

        def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"driftline_capture_{name}", text, labels, registry=registry)

        self.sent = counter("sent", "Captured requests that Kafka has acknowledged.")
        self.sampled_out = counter("sampled_out", "Requests that the sampler left out.")
        self._dropped = counter("dropped", "Requests given up before they went to Kafka, by reason.", ("reason",))
        self.failed = counter("failed", "Captured requests that Kafka did not take.")
        self.buffered_bytes = Gauge(
            "driftline_capture_buffered_bytes",
            "Memory held by requests that Kafka has not acknowledged yet.",
            registry=registry,
        )
        for reason in Dropped:
            self._dropped.labels(reason)

    def dropped(self, reason: Dropped, count: int = 1) -> None:
        """Count requests that were given up."""
        self._dropped.labels(reason).inc(count)


class ProxyMetrics:
    """The counters of one proxy, besides those of its producer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the metrics."""
        self.requests = Counter(
            "driftline_proxy_requests",
            "Requests answered through the proxy, captured or not, by HTTP status.",
            ("code",),
            registry=registry,
        )
        self.failures = Counter(
            "driftline_proxy_upstream_failures",
            "Requests that the model server did not answer to the end, by the status that stands for it.",
            ("code",),
            registry=registry,
        )
