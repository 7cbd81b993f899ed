"""What is left to do once a retrain has ended: see its alert clear, and tell a trainer that nobody waits; changes with these."""

from __future__ import annotations

from datetime import datetime

from monitor.act.lifecycle import Event
from monitor.act.retrain import Confirmation, Retrain
from monitor.act.timing import over, words
from monitor.alert.alert import Alert, AlertState
from monitor.clock import rfc3339
from monitor.errors import InputError, TransientError
from monitor.jobs.retrain.work import Work
from monitor.store.ledger import Ledger

LAST_WINDOW = "last_window"
"""In the details: start of the newest window that the alert was judged by when the candidate was promoted."""


def look_after(work: Work, retrain: Retrain) -> Retrain:
    """Do what an ended retrain leaves to do, where its time has come."""
    if retrain.confirmation is Confirmation.WAITING:
        return _confirm(work, retrain)
    return _stop(work, retrain) if retrain.deadline_at is not None else retrain


def newest_window(ledger: Ledger, fingerprint: str) -> tuple[datetime, bool] | None:
    """Return the newest window by which an alert was judged and whether that matched, None where it knows of none."""
    kept = ledger.alerts.kept([fingerprint]).get(fingerprint)
    return None if kept is None or not kept.memory.windows else kept.memory.windows[-1]


def cleared(alert: Alert | None, episode: int) -> str | None:
    """Return how the alert of an episode has cleared, None while it has not."""
    if alert is None:
        return "there is no such alert any more"
    if alert.episode > episode:
        return "it cleared, and fired anew since"
    if alert.state is AlertState.FIRING:
        return None
    return "it cleared" + (
        f" at {rfc3339(alert.resolved_at.replace(microsecond=0))}" if alert.resolved_at is not None else ""
    )


def _confirm(work: Work, retrain: Retrain) -> Retrain:
    alert = work.ledger.alerts.get(retrain.fingerprint)
    how = cleared(alert, retrain.episode) or _window_is_quiet(work, retrain)
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


def _window_is_quiet(work: Work, retrain: Retrain) -> str | None:
    """Say so where a window that was judged after the promotion does not match, though the alert is kept firing for a while."""
    newest = newest_window(work.ledger, retrain.fingerprint)
    at_promotion = retrain.details.get(LAST_WINDOW)
    if newest is None or newest[1] or (at_promotion is not None and newest[0] <= datetime.fromisoformat(at_promotion)):
        return None
    return f"the window of {rfc3339(newest[0])} no longer matches"


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
