"""What is left to do once a retrain has ended: see its alert clear, and tell a trainer that nobody waits; changes with these."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from monitor.act.lifecycle import Event
from monitor.act.retrain import Confirmation, Retrain
from monitor.act.timing import over, words
from monitor.alert.alert import Alert, AlertState
from monitor.clock import rfc3339
from monitor.errors import InputError, TransientError
from monitor.jobs.retrain.work import Work
from monitor.store.ledger import Ledger

AT_PROMOTION = "at_promotion"
"""In the details: how the alert stood when the candidate was promoted, and up to which event time traffic was complete."""


def look_after(work: Work, retrain: Retrain) -> Retrain:
    """Do what an ended retrain leaves to do, where its time has come."""
    if retrain.confirmation is Confirmation.WAITING:
        return _confirm(work, retrain)
    return _stop(work, retrain) if retrain.deadline_at is not None else retrain


def at_promotion(ledger: Ledger, retrain: Retrain) -> dict[str, Any]:
    """Return what the clearing of the alert is later held against."""
    alert = ledger.alerts.get(retrain.fingerprint)
    watermark = ledger.watermarks().get(retrain.model)
    return {
        "episode": retrain.episode if alert is None else alert.episode,
        "firing": alert is not None and alert.state is AlertState.FIRING,
        "watermark": None if watermark is None else rfc3339(watermark),
    }


def cleared(alert: Alert | None, newest: tuple[datetime, bool] | None, noted: Mapping[str, Any]) -> str | None:
    """Return how an alert has cleared since a promotion, None while it has not.

    Windows of before say nothing of the new version, nor does an alert that had cleared before, or that fired anew before.

    Args:
        alert: as it is; None where it is gone.
        newest: start of the newest window by which it was judged, and whether that matched; None for alerts without windows.
        noted: what `at_promotion` told.
    """
    if alert is None:
        return "there is no such alert any more"
    since = noted.get("watermark")
    of_new_version = newest is not None and (since is None or newest[0] >= datetime.fromisoformat(since))
    if alert.state is not AlertState.FIRING:
        if newest is not None and not of_new_version:
            return None
        return "it cleared" + (
            f" at {rfc3339(alert.resolved_at.replace(microsecond=0))}" if alert.resolved_at is not None else ""
        )
    if noted["firing"] and alert.episode > noted["episode"]:
        return "it cleared, and fired anew since"
    if newest is not None and of_new_version and not newest[1]:
        return f"the window of {rfc3339(newest[0])} no longer matches"
    return None


def _confirm(work: Work, retrain: Retrain) -> Retrain:
    alert = work.ledger.alerts.get(retrain.fingerprint)
    newest = _newest_window(work.ledger, retrain.fingerprint)
    how = cleared(alert, newest, retrain.details[AT_PROMOTION])
    name = retrain.fingerprint if alert is None else alert.name
    if how is not None:
        told = work.news.of(
            retrain, f"{name} of {retrain.model} has cleared", f"{how}, after the retrain", part="cleared"
        )
        return work.change(
            retrain,
            Event.CLEAR,
            f"the alert {name} has cleared: {how}",
            notify=told,
            confirmation=Confirmation.CLEARED,
            confirm_until=None,
        )
    if not over(retrain.confirm_until, work.now):
        return retrain
    still = (
        "still fires" if alert is not None and alert.state is AlertState.FIRING else "has not been seen to stay away"
    )
    reason = f"the alert {name} {still} {words(work.settings.confirm_within)} after the promotion"
    told = work.news.of(retrain, f"{name} of {retrain.model} has not cleared", reason, part="not cleared")
    return work.change(
        retrain,
        Event.NOT_CLEAR,
        reason,
        notify=told,
        confirmation=Confirmation.NOT_CLEARED,
        confirm_until=None,
    )


def _newest_window(ledger: Ledger, fingerprint: str) -> tuple[datetime, bool] | None:
    kept = ledger.alerts.kept([fingerprint]).get(fingerprint)
    return None if kept is None or not kept.memory.windows else kept.memory.windows[-1]


def _stop(work: Work, retrain: Retrain) -> Retrain:
    ended = work.long.ended("stop", work.trainer.cancel, retrain)
    if ended is None:
        return retrain
    try:
        ended.result()
    except TransientError as error:
        if not over(retrain.deadline_at, work.now):
            return work.later(retrain, retrain.reason)
        said = f"the trainer could not be told to stop: {error}"
    except InputError as error:
        said = f"the trainer will not stop: {error}"
    else:
        said = "the trainer was told to stop"
    return work.change(retrain, Event.STOP, f"{retrain.reason}; {said}", deadline_at=None)
