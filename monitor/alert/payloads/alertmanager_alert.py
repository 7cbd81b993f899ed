"""A notification as an alert in Alertmanager's words, for its webhook and its API; changes with what is told in labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.alert.alert import ALERT_NAME, MODEL, SEVERITY, fingerprint_of
from monitor.alert.notification import Notification, Told
from monitor.alert.payloads.content import content_of
from monitor.clock import rfc3339

_NAMES = {Told.APPROVAL: "DriftlineApproval", Told.NEWS: "DriftlineNews", Told.TEST: "DriftlineTest"}
MESSAGE_LASTS = timedelta(hours=1)
"""What is no alert, and so has no end, is told as one that ends by itself after this time."""


@dataclass(frozen=True, slots=True)
class AlertmanagerAlert:
    """Labels, annotations and times (RFC 3339) as Alertmanager has them; `ends_at` is None while there is no end."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    fingerprint: str
    resolved: bool
    starts_at: str
    ends_at: str | None
    link: str


def alertmanager_alert(notification: Notification, created_at: datetime) -> AlertmanagerAlert:
    """Return an alert, or what is no alert as one of the name DriftlineApproval, DriftlineNews or DriftlineTest.

    Findings and texts go into the annotations `findings`, `text` and `links`, unless the alert has such of its own.
    """
    document, content = notification.document, content_of(notification)
    more = {
        "findings": "\n".join(content.findings),
        "text": document.get("text", ""),
        "links": "\n".join(f"{title}: {address}" for title, address in content.links.items()),
    }
    if notification.kind in _NAMES:
        labels = {ALERT_NAME: _NAMES[notification.kind], SEVERITY: "info", "subject": notification.subject}
        labels |= {MODEL: document.get("model", ""), **(document.get("labels") or {})}
        annotations, fingerprint = {"summary": content.title}, fingerprint_of(labels)
        starts, ends = rfc3339(created_at), rfc3339(created_at + MESSAGE_LASTS)
    else:
        labels, annotations, fingerprint = document["labels"], document["annotations"], document["fingerprint"]
        starts, ends = document["starts_at"] or rfc3339(created_at), document["ends_at"]
    labels = {name: value for name, value in labels.items() if value}  # Alertmanager has no empty labels
    return AlertmanagerAlert(
        labels=labels,
        annotations={name: value for name, value in {**more, **annotations}.items() if value},
        fingerprint=fingerprint,
        resolved=content.over,
        starts_at=starts,
        ends_at=ends,
        link=next(iter(content.links.values()), ""),
    )
