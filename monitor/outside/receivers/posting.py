"""Receivers that are posted JSON: how it is signed, and what their answers mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from pydantic import SecretStr
from standardwebhooks import Webhook

from monitor.alert.notification import Notification
from monitor.outside.http import Answer, HttpClient, Refused, TooLong, place
from monitor.outside.receivers.sender import Busy, rendering

_LATER = {408, 425, 429}
Render = Callable[[Notification, datetime, datetime], Any]
"""Makes the JSON of a message, of when it was created, and of now."""


@dataclass(frozen=True)
class Poster:
    """Posts messages to one address.

    Every request carries the message's id as `webhook-id` and as `Idempotency-Key`, and `webhook-timestamp`; with a
    `signing_secret` also `webhook-signature`, as https://www.standardwebhooks.com describes.
    """

    http: HttpClient
    url: SecretStr
    render: Render
    timeout: timedelta
    content_type: str = "application/json"
    headers: Mapping[str, SecretStr] = field(default_factory=dict)
    signing_secret: SecretStr | None = None

    def send(self, notification: Notification, created_at: datetime, now: datetime) -> None:
        """Post a message; see `Sender`."""
        body = self._body(notification, created_at, now)
        url = self.url.get_secret_value()
        try:
            answer = self.http.send(
                "POST",
                url,
                headers=self._headers(notification.message_id, now, body),
                content=body.encode(),
                timeout_seconds=self.timeout.total_seconds(),
            )
        except TooLong as long:  # its status says all that is asked of it
            answer = long.answer
        judge(place(url), answer, now)

    def _body(self, notification: Notification, created_at: datetime, now: datetime) -> str:
        with rendering():
            text = json.dumps(self.render(notification, created_at, now), ensure_ascii=False, allow_nan=False)
            text.encode()
        return text

    def _headers(self, message_id: str, now: datetime, body: str) -> dict[str, str]:
        headers = {name: value.get_secret_value() for name, value in self.headers.items()}
        headers |= {
            "Content-Type": self.content_type,
            "Idempotency-Key": message_id,
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if self.signing_secret is not None:
            headers["webhook-signature"] = Webhook(self.signing_secret.get_secret_value()).sign(message_id, now, body)
        return headers


def judge(where: str, answer: Answer, now: datetime) -> None:
    """Return where an answer says that the message was taken, else raise Busy or Refused."""
    said = f"{where} answered {answer.status}{_phrase(answer.status)}"
    if answer.method != "POST":
        raise Refused(f"{where} redirects so that the message would be lost: only 307 and 308 keep it")
    if 200 <= answer.status < 300:
        return
    if answer.status in _LATER or answer.status >= 500:
        raise Busy(said, retry_after(answer.headers.get("retry-after", ""), now))
    raise Refused(said)


def retry_after(text: str, now: datetime) -> timedelta | None:
    """Return what a Retry-After header asks for, in seconds or as a date; None for what is neither, or in the past."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return timedelta(seconds=int(text))
    try:
        moment = parsedate_to_datetime(text)
        wait = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    except (ValueError, OverflowError):  # years and offsets that no calendar has
        return None
    return wait if wait > timedelta(0) else None


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""
