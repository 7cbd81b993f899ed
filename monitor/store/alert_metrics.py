"""What Prometheus learns of alerts and silences from the ledger, read at every scrape; changes with what is told of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily

from monitor.alert.alert import ALERT_NAME, MODEL, SEVERITY
from monitor.store.ledger import Ledger


def alert_gauges(ledger: Ledger, now: datetime) -> Iterable[GaugeMetricFamily]:
    """Yield the gauges; raises TransientError while the database does not answer."""
    alerts = GaugeMetricFamily(
        "driftline_alerts",
        "Alerts that are pending, firing or resolved, by who found them: driftline or an alertmanager.",
        labels=[MODEL, ALERT_NAME, SEVERITY, "state", "origin"],
    )
    counts = Counter(
        (*(labels.get(name, "") for name in (MODEL, ALERT_NAME, SEVERITY)), str(state), str(origin))
        for labels, state, origin in ledger.alerts.standing()
    )
    for key, count in sorted(counts.items()):
        alerts.add_metric(list(key), count)
    yield alerts
    active = len(ledger.silences.active(now))
    yield GaugeMetricFamily("driftline_silences", "Silences that hold now.", value=active)
