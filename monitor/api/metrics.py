"""Metrics of the API."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram


@dataclass(frozen=True, slots=True)
class ApiMetrics:
    """Numbers of one process that answers HTTP."""

    requests: Counter
    seconds: Histogram
    refused: Counter
    received: Counter

    @classmethod
    def on(cls, registry: CollectorRegistry) -> ApiMetrics:
        """Register the metrics."""
        return cls(
            requests=Counter(
                "driftline_api_requests",
                "Requests answered; the route is empty where there is none.",
                ["route", "method", "status"],
                registry=registry,
            ),
            seconds=Histogram(
                "driftline_api_request_seconds",
                "Time from a request's first byte to the end of its answer.",
                ["route"],
                buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 30),
                registry=registry,
            ),
            refused=Counter(
                "driftline_api_refused",
                "Requests refused for their token: missing, wrong (unknown, revoked, expired), scope, or too many wrong ones.",
                ["reason"],
                registry=registry,
            ),
            received=Counter(
                "driftline_api_alerts_received",
                "Alerts that an Alertmanager posted: taken; repeated (and late), ignored or refused ones, which change nothing.",
                ["outcome"],
                registry=registry,
            ),
        )
