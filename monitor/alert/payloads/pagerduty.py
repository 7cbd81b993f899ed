"""An event for PagerDuty's Events API, version 2: one incident an episode of an alert."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from monitor.alert.alert import ALERT_NAME, MODEL, TEAM
from monitor.alert.notification import Notification
from monitor.alert.payloads.content import content_of
from monitor.alert.payloads.texts import fitted
from monitor.clock import rfc3339

URL = "https://events.pagerduty.com/v2/enqueue"
_SUMMARY, _DEDUP = 1024, 255
_SEVERITIES = {"critical": "critical", "error": "error", "warning": "warning", "info": "info", "page": "critical"}


def pagerduty(notification: Notification, routing_key: str, created_at: datetime) -> dict[str, Any]:
    """Return the event: a trigger, or a resolve.

    Whatever is told of one episode of an alert has the same `dedup_key`: repetitions and pages add to the open incident, and
    its end closes it. A severity that PagerDuty does not know is told as `error`.
    """
    document, content = notification.document, content_of(notification)
    labels = document.get("labels") or {}
    episode = f"/{document['episode']}" if "episode" in document else ""
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": "resolve" if content.over else "trigger",
        "dedup_key": f"{notification.subject[: _DEDUP - len(episode)]}{episode}",
        "client": "Driftline",
        "payload": {
            "summary": fitted(content.title, _SUMMARY),
            "source": labels.get(MODEL) or document.get("model") or "driftline",
            "severity": _SEVERITIES.get(content.severity, "error"),
            "timestamp": document.get("starts_at") or rfc3339(created_at),
            **_where(labels),
            "custom_details": {
                "text": "\n\n".join(content.paragraphs),
                "findings": list(content.findings),
                **dict(content.facts),
            },
        },
        "links": [{"href": address, "text": title} for title, address in content.links.items()],
    }
    return event


def _where(labels: dict[str, str]) -> dict[str, str]:
    named = {"component": labels.get(MODEL), "group": labels.get(TEAM), "class": labels.get(ALERT_NAME)}
    return {name: value for name, value in named.items() if value}
