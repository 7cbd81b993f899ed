"""Notifications for tests of what sends them: one of each kind, and one with everything odd."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.alert.alert import Alert, AlertState, Origin
from monitor.alert.notification import Notification, Told, alert_document, message_id

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LINKS = {"Alert": "https://driftline.example/alerts/1?a=1&b=2"}


def finding(feature: str, value: float = 0.41) -> dict[str, Any]:
    return {
        "kind": "skew",
        "feature": feature,
        "reference": "training",
        "measure": "cohens_d",
        "value": value,
        "threshold": 0.2,
        "p_value": 1e-9,
        "flagged": True,
        "reason": None,
        "explanation": "the mean moved from 12.6 to 21.7",
        "version": "3",
        "slice": {"origin": "JFK"},
        "window_start": "2026-03-01T10:00:00Z",
        "window_end": "2026-03-01T11:00:00Z",
    }


def alert(state: AlertState = AlertState.FIRING, *, features: int = 2, **labels: str) -> Alert:
    return Alert(
        labels={"alertname": "TrafficChanged", "model": "flights", "severity": "warning", "team": "ops", **labels},
        annotations={
            "summary": "flights: traffic differs from its reference",
            "description": "Departure delays are longer than in training.",
            "runbook_url": "https://driftline.example/runbooks#TrafficChanged",
            "owner": "ada",
        },
        state=state,
        origin=Origin.DRIFTLINE,
        updated_at=NOON,
        episode=2,
        active_at=NOON - timedelta(hours=1),
        fired_at=NOON,
        resolved_at=NOON + timedelta(hours=3) if state is AlertState.RESOLVED else None,
        findings=[finding(f"feature_{number}") for number in range(features)],
    )


def notification(kind: Told = Told.FIRING, receiver: str = "team", **changed: Any) -> Notification:
    """Return a message of that kind, about the alert above or of a retrain; `changed` replaces parts of the document."""
    if kind in (Told.APPROVAL, Told.NEWS, Told.TEST):
        subject = "retrain-7"
        document: dict[str, Any] = {
            "retrain": subject,
            "model": "flights",
            "state": "proposed",
            "fingerprint": alert().fingerprint,
            "title": "flights: retraining waits for you",
            "text": "Quality fell to 0.71.\nThe GPU has room.",
            "links": {"Approve or cancel": "https://driftline.example/approvals/abc"},
        }
    else:
        about = alert(AlertState.RESOLVED if kind is Told.RESOLVED else AlertState.FIRING)
        subject = about.fingerprint
        text = "Policy `night` pages: the alert has fired for 3 hours." if kind is Told.PAGE else ""
        document = alert_document(about, LINKS, text)
    return Notification(message_id(subject, "2", kind, receiver), receiver, subject, kind, {**document, **changed})


NASTY = (
    "<!channel> & </b><script>alert(1)</script> [x](http://evil.example) \r\nBcc: eve@evil.example \x00\u2028"
    + "ü" * 4000
)


def nasty(kind: Told = Told.FIRING) -> Notification:
    """Return a message whose every text tries to be something else, and is too long."""
    named = {f"label_{number}": "*<&>*" for number in range(600)} | {f"long_{number}": NASTY for number in range(10)}
    return notification(
        kind,
        labels={"alertname": NASTY, "model": NASTY, "severity": "page", **named},
        annotations={"summary": NASTY, "description": NASTY, "runbook": "javascript:alert(1)", **named},
        findings=[{**finding(NASTY), "slice": {NASTY: NASTY}, "explanation": NASTY} for _ in range(100)],
        links={NASTY: "javascript:alert(1)", "file": "file:///etc/passwd", "ok": "https://a.example/?<b>"},
        text=NASTY,
        title=NASTY,
    )
