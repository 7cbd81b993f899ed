"""Alertmanager's webhook payload, version 4, as its configuration documentation gives it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from monitor.alert.alert import ALERT_NAME, MODEL
from monitor.alert.notification import Notification
from monitor.alert.payloads.alertmanager_alert import alertmanager_alert

NO_END = "0001-01-01T00:00:00Z"
"""Go's zero time, which Alertmanager writes while there is no end."""


def alertmanager_webhook(notification: Notification, created_at: datetime) -> dict[str, Any]:
    """Return the payload of a group with one alert; `fingerprint` is Driftline's own, not what Alertmanager would compute."""
    alert = alertmanager_alert(notification, created_at)
    status = "resolved" if alert.resolved else "firing"
    group = {name: alert.labels[name] for name in (ALERT_NAME, MODEL) if name in alert.labels}
    quoted = ", ".join(f'{name}="{_quoted(value)}"' for name, value in group.items())
    return {
        "version": "4",
        "groupKey": f"{{}}:{{{quoted}}}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": notification.receiver,
        "groupLabels": group,
        "commonLabels": dict(alert.labels),
        "commonAnnotations": dict(alert.annotations),
        "externalURL": alert.link,
        "alerts": [
            {
                "status": status,
                "labels": dict(alert.labels),
                "annotations": dict(alert.annotations),
                "startsAt": alert.starts_at,
                "endsAt": (alert.ends_at if alert.resolved else None) or NO_END,
                "generatorURL": alert.link,
                "fingerprint": alert.fingerprint,
            }
        ],
    }


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
