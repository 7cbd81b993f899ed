"""What a receiver is to be told, apart from how it is sent; changes with what can be told."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from monitor.alert.alert import Alert, AlertState
from monitor.clock import rfc3339


class Told(StrEnum):
    """Why somebody is told."""

    FIRING = "firing"
    REPEATED = "repeated"
    RESOLVED = "resolved"
    PAGE = "page"
    APPROVAL = "approval"
    NEWS = "news"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Notification:
    """One message for one receiver.

    Attributes:
        message_id: the same for the same message, whoever makes it, however often: receivers drop repetitions by it.
        subject: what it is about, an alert's fingerprint or a retrain's id: messages of one subject are sent in their order.
        document: `alert_document`, or of a retrain: title, text, links.
    """

    message_id: str
    receiver: str
    subject: str
    kind: Told
    document: Mapping[str, Any] = field(default_factory=dict)


def message_id(*parts: str) -> str:
    """Return the id of a message that these parts, in their order, tell from all others."""
    return f"msg_{hashlib.sha256(chr(31).join(parts).encode()).hexdigest()[:32]}"


def alert_document(alert: Alert, links: Mapping[str, str], text: str = "") -> dict[str, Any]:
    """Return what is told of an alert as JSON.

    Args:
        alert: firing or resolved.
        links: addresses for people by their title.
        text: what is to be said beside the alert's annotations, such as why it is sent as a page.
    """
    return {
        "fingerprint": alert.fingerprint,
        "episode": alert.episode,
        "status": "resolved" if alert.state is AlertState.RESOLVED else "firing",
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "starts_at": _text(alert.fired_at),
        "ends_at": _text(alert.resolved_at),
        "findings": [dict(finding) for finding in alert.findings],
        "links": dict(links),
        "text": text,
    }


def told_to(
    receivers: Sequence[str], kind: Told, alert: Alert, document: Mapping[str, Any], part: str = ""
) -> list[Notification]:
    """Return the messages about an alert, one a receiver; `part` tells repetitions apart."""
    fingerprint = alert.fingerprint
    return [
        Notification(
            message_id(fingerprint, str(alert.episode), kind, receiver, part), receiver, fingerprint, kind, document
        )
        for receiver in receivers
    ]


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
