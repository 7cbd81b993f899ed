"""What a real Alertmanager takes: `postableAlerts` of its API, version 2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from monitor.alert.notification import Notification
from monitor.alert.payloads.alertmanager_alert import alertmanager_alert
from monitor.clock import rfc3339

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def alertmanager_api(
    notification: Notification, created_at: datetime, now: datetime, holds_for: timedelta
) -> list[dict[str, Any]]:
    """Return the body for `POST /api/v2/alerts`.

    A firing alert is said to end `holds_for` from now, unless Alertmanager hears of it again: without an end it would resolve it
    by itself after its `resolve_timeout`, five minutes.
    """
    alert = alertmanager_alert(notification, created_at)
    return [
        {
            "labels": _named(alert.labels),
            "annotations": _named(alert.annotations),
            "startsAt": alert.starts_at,
            "endsAt": alert.ends_at or rfc3339(now + holds_for),
            **({"generatorURL": alert.link} if alert.link else {}),
        }
    ]


def _named(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the texts under names that Alertmanager takes."""
    return {name if _NAME.fullmatch(name) else re.sub(r"\W|^(?=\d)", "_", name, flags=re.ASCII): text
            for name, text in texts.items()}  # fmt: skip
