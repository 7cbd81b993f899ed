"""What Prometheus learns of retrains and decisions from the ledger, read at every scrape; changes with what is told of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily

from monitor.act.retrain import Retrain
from monitor.store.ledger import Ledger


def retrain_gauges(ledger: Ledger, now: datetime) -> Iterable[GaugeMetricFamily]:
    """Yield the gauges; raises TransientError while the database does not answer."""
    retrains = GaugeMetricFamily("driftline_retrains", "Retrains by the state they are in.", labels=["model", "state"])
    for (model, state), count in sorted(ledger.retrains.counts().items()):
        retrains.add_metric([model, state], count)
    confirmations = GaugeMetricFamily(
        "driftline_retrain_confirmations",
        "Promoted retrains by whether the alert that started them has cleared since: waiting, cleared or not_cleared.",
        labels=["model", "confirmation"],
    )
    for (model, confirmation), count in sorted(ledger.retrains.confirmations().items()):
        confirmations.add_metric([model, confirmation], count)
    lasting = GaugeMetricFamily(
        "driftline_retrain_state_seconds",
        "How long a model's retrain that has not ended has been in its state.",
        labels=["model"],
    )
    for live in ledger.retrains.live_all():
        lasting.add_metric([live.model], max(0.0, (now - _entered(live)).total_seconds()))
    decisions = GaugeMetricFamily(
        "driftline_decisions", "Decisions of policies, repeated ones too.", labels=["policy", "outcome"]
    )
    for (policy, outcome), count in sorted(ledger.decisions.counts().items()):
        decisions.add_metric([policy, outcome], count)
    yield from (retrains, confirmations, lasting, decisions)


def _entered(retrain: Retrain) -> datetime:
    text = retrain.details.get("entered", {}).get(str(retrain.state))
    return retrain.created_at if text is None else datetime.fromisoformat(text)
