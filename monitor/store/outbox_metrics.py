"""What Prometheus learns of the messages that wait, read from the ledger at every scrape."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily

from monitor.store.ledger import Ledger


def outbox_gauges(ledger: Ledger, now: datetime) -> Iterable[GaugeMetricFamily]:
    """Yield the gauges; a receiver for which nothing waits has no value. Raises TransientError."""
    waiting = GaugeMetricFamily(
        "driftline_notifications_waiting", "Messages that a receiver has not taken yet.", labels=["receiver"]
    )
    oldest = GaugeMetricFamily(
        "driftline_notification_oldest_seconds",
        "Age of the oldest message that a receiver has not taken yet.",
        labels=["receiver"],
    )
    for receiver, queue in ledger.outbox.queues().items():
        waiting.add_metric([receiver], queue.waiting)
        oldest.add_metric([receiver], max(0.0, (now - queue.oldest).total_seconds()))
    yield from (waiting, oldest)
