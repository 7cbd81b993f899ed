"""A CloudEvent, version 1.0, in structured JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from monitor.alert.notification import Notification, Told
from monitor.alert.payloads.content import content_of
from monitor.clock import rfc3339

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
_ABOUT_ALERTS = (Told.FIRING, Told.REPEATED, Told.RESOLVED, Told.PAGE)


def cloud_event(notification: Notification, created_at: datetime) -> dict[str, Any]:
    """Return the event; its `id` is the message's, so that source and id are the same for a message that is sent again.

    `type` is driftline.alert.KIND for what is told of alerts, else driftline.KIND; `data` is the whole document, with all
    findings, and the `title` that other receivers show.
    """
    about = "alert." if notification.kind in _ABOUT_ALERTS else ""
    return {
        "specversion": "1.0",
        "id": notification.message_id,
        "source": "/driftline",
        "type": f"driftline.{about}{notification.kind}",
        "subject": notification.subject,
        "time": rfc3339(created_at),
        "datacontenttype": "application/json",
        "data": {"title": content_of(notification).title, **notification.document},
    }
