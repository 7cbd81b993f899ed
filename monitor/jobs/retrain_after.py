"""What is left to do once a retrain has ended: see its alert clear, and tell a trainer that nobody waits; changes with these."""

from __future__ import annotations

from monitor.act.lifecycle import Event
from monitor.act.retrain import Confirmation, Retrain
from monitor.act.timing import over, words
from monitor.alert.alert import Alert, AlertState
from monitor.clock import rfc3339
from monitor.errors import InputError, TransientError
from monitor.jobs.retrain_work import Work


def look_after(work: Work, retrain: Retrain) -> Retrain:
    """Do what an ended retrain leaves to do, where its time has come."""
    if retrain.confirmation is Confirmation.WAITING:
        return _confirm(work, retrain, work.ledger.alerts.get(retrain.fingerprint))
    return _stop(work, retrain) if retrain.deadline_at is not None else retrain


def cleared(alert: Alert | None, episode: int) -> str | None:
    """Return how the alert of an episode has cleared, None while it has not."""
    if alert is None:
        return "there is no such alert any more"
    if alert.episode > episode:
        return "it cleared, and fired anew since"
    if alert.state is AlertState.FIRING:
        return None
    return "it cleared" + (f" at {rfc3339(alert.resolved_at)}" if alert.resolved_at is not None else "")


def _confirm(work: Work, retrain: Retrain, alert: Alert | None) -> Retrain:
    how = cleared(alert, retrain.episode)
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
    reason = f"the alert {name} still fires {words(work.settings.confirm_within)} after the promotion"
    told = work.news.of(retrain, f"{name} of {retrain.model} has not cleared", reason, part="not cleared")
    return work.change(
        retrain,
        Event.NOT_CLEAR,
        reason,
        notify=told,
        confirmation=Confirmation.NOT_CLEARED,
        confirm_until=None,
    )


def _stop(work: Work, retrain: Retrain) -> Retrain:
    try:
        work.trainer.cancel(retrain)
    except TransientError as error:
        if not over(retrain.deadline_at, work.now):
            return work.later(retrain, retrain.reason)
        said = f"the trainer could not be told to stop: {error}"
    except InputError as error:
        said = f"the trainer will not stop: {error}"
    else:
        said = "the trainer was told to stop"
    return work.change(retrain, Event.STOP, f"{retrain.reason}; {said}", deadline_at=None)
