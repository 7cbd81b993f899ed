"""`/v1/alerts/alertmanager`: alerts that a Prometheus found; changes with what an Alertmanager posts."""

from __future__ import annotations

from datetime import datetime

import structlog

from monitor.alert.alert import Alert, AlertState, Origin
from monitor.api.answers import TakenAnswer
from monitor.api.bodies import PostedAlert, PostedAlerts
from monitor.api.routing import Asked, guarded
from monitor.store.token_ledger import Scope

router = guarded(Scope.OPERATE, "alerts", alertmanager=True)

_log = structlog.get_logger(__name__)


@router.post("/v1/alerts/alertmanager")
def take_alerts(call: Asked, body: PostedAlerts) -> TakenAnswer:
    """Take what an Alertmanager posts, as its webhook receiver.

    A message is of one alert, start and status: what was seen, and what is older than what was seen, changes nothing. After an
    answer of 5xx an Alertmanager posts all of it again, which is safe; after one of 4xx it does not, so an alert that cannot be
    taken is left out, and counted as refused.
    """
    taken = ignored = 0
    told = [posted for posted in body.alerts if posted is not None]
    for posted in told:
        alert = _alert(posted, call.now)
        if not call.ledger.inbox.news(alert.fingerprint, posted.startsAt, posted.status, call.now):
            continue
        stands = call.ledger.alerts.take(alert, call.now)
        if stands.origin is not Origin.ALERTMANAGER:
            ignored += 1
            continue
        if stands.state is not alert.state:  # a late word: to be looked at again when it is said again
            continue
        call.ledger.inbox.remember(alert.fingerprint, posted.startsAt, posted.status, call.now)
        taken += 1
    repeated, refused = len(told) - taken - ignored, len(body.alerts) - len(told)
    call.metrics.received.labels("taken").inc(taken)
    call.metrics.received.labels("repeated").inc(repeated)
    call.metrics.received.labels("ignored").inc(ignored)
    call.metrics.received.labels("refused").inc(refused)
    if body.truncatedAlerts:
        _log.warning("alerts_truncated", left_out=body.truncatedAlerts, hint="raise the receiver's max_alerts")
    return TakenAnswer(taken=taken, repeated=repeated, ignored=ignored, refused=refused)


def _alert(posted: PostedAlert, now: datetime) -> Alert:
    """Return an alert as ours; its fingerprint is that of its labels, whatever the message says."""
    resolved = posted.status == "resolved"
    ended = posted.endsAt if posted.endsAt is not None and posted.endsAt > posted.startsAt else now
    source = {"source": posted.generatorURL} if posted.generatorURL else {}
    return Alert(
        labels=posted.labels,
        annotations=source | posted.annotations,
        state=AlertState.RESOLVED if resolved else AlertState.FIRING,
        origin=Origin.ALERTMANAGER,
        updated_at=now,
        active_at=posted.startsAt,
        fired_at=posted.startsAt,
        resolved_at=ended if resolved else None,
    )
