"""The sender of each type of receiver; changes with the types of receivers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import SecretStr

from monitor.alert.payloads.alertmanager_api import alertmanager_api
from monitor.alert.payloads.alertmanager_webhook import alertmanager_webhook
from monitor.alert.payloads.cloud_event import CONTENT_TYPE, cloud_event
from monitor.alert.payloads.pagerduty import URL, pagerduty
from monitor.alert.payloads.slack import slack
from monitor.alert.payloads.teams import teams
from monitor.config.receivers import ReceiverSettings
from monitor.errors import InvariantBroken
from monitor.outside.http import HttpClient
from monitor.outside.receivers.mailing import Mailer
from monitor.outside.receivers.posting import Poster, Render
from monitor.outside.receivers.sender import Sender


def senders_of(receivers: Mapping[str, ReceiverSettings], http: HttpClient) -> dict[str, Sender]:
    """Return what sends to each of the receivers, by their names."""
    return {name: sender_of(name, settings, http) for name, settings in receivers.items()}


def sender_of(name: str, settings: ReceiverSettings, http: HttpClient) -> Sender:
    """Return what sends to the receiver that settings call `name`."""
    if settings.type == "email":
        return Mailer(name, settings)
    return Poster(
        http,
        _url(settings),
        _RENDERS[settings.type](settings),
        settings.timeout,
        CONTENT_TYPE if settings.type == "cloudevents" else "application/json",
        settings.headers,
        settings.signing_secret,
    )


def _url(settings: ReceiverSettings) -> SecretStr:
    if settings.url is None:
        if settings.type != "pagerduty":
            raise InvariantBroken(f"settings let a receiver of the type {settings.type} through without `url`")
        return SecretStr(URL)
    if settings.type == "alertmanager":
        return SecretStr(f"{settings.url.get_secret_value().rstrip('/')}/api/v2/alerts")
    return settings.url


def _pagerduty(settings: ReceiverSettings) -> Render:
    key = settings.routing_key
    return lambda each, created_at, _: pagerduty(each, key.get_secret_value() if key else "", created_at)


_RENDERS: dict[str, Callable[[ReceiverSettings], Render]] = {
    "webhook": lambda _: lambda each, created_at, _: alertmanager_webhook(each, created_at),
    "cloudevents": lambda _: lambda each, created_at, _: cloud_event(each, created_at),
    "slack": lambda _: lambda each, *_: slack(each),
    "teams": lambda _: lambda each, *_: teams(each),
    "pagerduty": _pagerduty,
    "alertmanager": lambda settings: (
        lambda each, created_at, now: alertmanager_api(each, created_at, now, settings.holds_for)
    ),
}
