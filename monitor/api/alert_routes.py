"""`/v1/alerts` and `/v1/silences`: what fires, who looks after it, what is muted; changes with what people do about alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Path, Query, Response

from monitor.alert.alert import Alert, AlertState
from monitor.alert.silence import Silence
from monitor.api.answers import AlertAnswer, AlertEventAnswer, AlertWithEvents, SilenceAnswer
from monitor.api.bodies import Acknowledge, Assign, NewSilence
from monitor.api.routing import Asked, guarded
from monitor.errors import InputError
from monitor.store.alert_ledger import UnknownAlert
from monitor.store.token_ledger import Scope

reading = guarded(Scope.READ, "alerts")
operating = guarded(Scope.OPERATE, "alerts")

Fingerprint = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="Of the alert.")]
SilenceId = Annotated[str, Path(min_length=1, max_length=100)]


@reading.get("/v1/alerts")
def list_alerts(
    call: Asked,
    model: Annotated[str | None, Query(max_length=512, description="Only of this model.")] = None,
    state: Annotated[AlertState | None, Query(description="Only in this state.")] = None,
) -> list[AlertAnswer]:
    """List the alerts of one state; without a state those that are not inactive."""
    silences = call.ledger.silences.active(call.now)
    return [_shown(alert, silences) for alert in call.ledger.alerts.list(model, state)]


@reading.get("/v1/alerts/{fingerprint}", responses={404: {}})
def show_alert(call: Asked, fingerprint: Fingerprint) -> AlertWithEvents:
    """Show an alert and what happened to it."""
    alert = call.ledger.alerts.get(fingerprint)
    if alert is None:
        raise UnknownAlert("there is no alert of this fingerprint; see /v1/alerts")
    shown = _shown(alert, call.ledger.silences.active(call.now))
    events = list(map(AlertEventAnswer.model_validate, call.ledger.alerts.events(fingerprint)))
    return AlertWithEvents(**shown.model_dump(), events=events)


@operating.post("/v1/alerts/{fingerprint}/acknowledge", responses={404: {}, 409: {}})
def acknowledge_alert(call: Asked, fingerprint: Fingerprint, body: Acknowledge | None = None) -> AlertAnswer:
    """Take note of a firing alert: nobody is told again until it fires anew."""
    alert = call.ledger.alerts.acknowledge(fingerprint, call.by(body.by if body else None), call.now)
    return _shown(alert, call.ledger.silences.active(call.now))


@operating.post("/v1/alerts/{fingerprint}/assign", responses={404: {}, 409: {}})
def assign_alert(call: Asked, fingerprint: Fingerprint, body: Assign) -> AlertAnswer:
    """Say who looks after an alert."""
    alert = call.ledger.alerts.assign(fingerprint, body.to, call.by(body.by), call.now)
    return _shown(alert, call.ledger.silences.active(call.now))


@reading.get("/v1/silences")
def list_silences(
    call: Asked, expired: Annotated[bool, Query(description="Those that are over too.")] = False
) -> list[SilenceAnswer]:
    """List silences that last or are to come."""
    return list(map(_silence, call.ledger.silences.list(call.now, with_expired=expired)))


@operating.post("/v1/silences", status_code=201)
def add_silence(call: Asked, body: NewSilence, response: Response) -> SilenceAnswer:
    """Mute alerts for a time."""
    starts = body.starts_at or call.now
    by = call.by(body.by)
    added = call.ledger.silences.add(body.matchers, starts, _end(body, starts), by, body.comment, call.now)
    response.headers["Location"] = f"/v1/silences/{added}"
    return next(_silence(each) for each in call.ledger.silences.list(call.now) if each.silence_id == added)


@operating.delete("/v1/silences/{silence_id}", status_code=204, responses={404: {}})
def expire_silence(call: Asked, silence_id: SilenceId) -> None:
    """End a silence now; one that is over stays over."""
    call.ledger.silences.expire(silence_id, call.actor, call.now)


def _end(body: NewSilence, starts: datetime) -> datetime:
    if body.ends_at is not None:
        return body.ends_at
    assert body.duration is not None  # noqa: S101 - the body has one of the two
    try:
        return starts + body.duration
    except OverflowError:
        raise InputError("a silence ends before the year 10000") from None


def _shown(alert: Alert, silences: list[Silence]) -> AlertAnswer:
    shown = AlertAnswer.model_validate(alert)
    shown.silenced = any(silence.mutes(alert.labels) for silence in silences)
    return shown


def _silence(silence: Silence) -> SilenceAnswer:
    return SilenceAnswer.model_validate(silence)
