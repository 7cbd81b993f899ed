"""Metrics of the monitor's work."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram


@dataclass(frozen=True, slots=True)
class MonitorMetrics:
    """Counters of one monitor process."""

    tick_seconds: Histogram
    windows: Counter
    evaluations: Counter
    errors: Counter
    notifications: Counter

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
            evaluations=Counter(
                "driftline_monitor_windows_evaluated",
                "Evaluations of windows by their labels, recorded by this process.",
                ["model", "stage", "verdict"],
                registry=registry,
            ),
            errors=Counter(
                "driftline_monitor_errors",
                "Looks at a model that an error ended; the model is empty for housekeeping.",
                ["model"],
                registry=registry,
            ),
            notifications=Counter(
                "driftline_notifications",
                "Attempts to send a message, by what came of it: sent, retried (later), refused (by the receiver, for good) or "
                "given_up (too old).",
                ["receiver", "kind", "outcome"],
                registry=registry,
            ),
        )
