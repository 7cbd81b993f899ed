"""What was done about the demo's alerts, read from the ledger. Changes with what is told of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from monitor.act.lifecycle import Event
from monitor.act.retrain import Confirmation, Retrain, RetrainEvent, RetrainState
from monitor.alert.alert import AlertState
from monitor.demo.flights import MODEL
from monitor.store.ledger import Ledger

_TITLES = {
    "propose": "Retrain",
    Event.CHECK_GPUS: "GPU check",
    Event.SUBMIT: "Trainer asked",
    Event.START: "Training",
    Event.COMPLETE: "Trained",
    Event.PASS_GATE: "Gate passed",
    Event.PROMOTE: "Promoted",
    Event.REJECT: "Rejected",
    Event.ROLL_BACK: "Rolled back",
    Event.FAIL: "Failed",
    Event.CANCEL: "Cancelled",
    Event.CLEAR: "Confirmed",
    Event.NOT_CLEAR: "Not confirmed",
}
"""Events of a retrain that are told; the others are steps between them."""
_REPEATED = ("it passed the gate: ", "it serves as a canary: ", "promoted: ", "the alert QualityLost has cleared: ")


@dataclass(frozen=True, slots=True)
class Where:
    """How far the loop has come.

    Attributes:
        steps: number of things that have happened.
        said: the newest of them.
        over: whether nothing more will happen without new traffic.
    """

    steps: int
    said: str
    over: bool


@dataclass(frozen=True, slots=True)
class Chapter:
    """One thing that happened: when by the wall clock, what in a word, and what was found."""

    at: datetime
    title: str
    said: str


def where(ledger: Ledger) -> Where:
    """Return how far the loop has come."""
    retrains = ledger.retrains.list(model=MODEL)
    told = story(ledger, retrains)
    waits = any(not each.ended or each.confirmation is Confirmation.WAITING for each in retrains)
    return Where(len(told), told[-1].title.lower() if told else "nothing to do yet", not waits)


def story(ledger: Ledger, retrains: Sequence[Retrain] | None = None) -> list[Chapter]:
    """Return what happened, in order; what happened again and again is told once, with its number."""
    retrains = ledger.retrains.list(model=MODEL) if retrains is None else retrains
    chapters = [*_alerts(ledger), *(each for retrain in retrains for each in _retrain(ledger, retrain))]
    chapters.sort(key=lambda chapter: chapter.at)
    return [_once(list(same)) for _, same in groupby(chapters, key=lambda chapter: (chapter.title, chapter.said))]


def _alerts(ledger: Ledger) -> Iterator[Chapter]:
    quiet = ledger.alerts.list(model=MODEL, state=AlertState.INACTIVE)
    for alert in [*ledger.alerts.list(model=MODEL), *quiet]:
        for event in ledger.alerts.events(alert.fingerprint):
            if event.to_state == AlertState.FIRING and event.from_state != AlertState.FIRING:
                yield Chapter(event.at, "Alert", f"{alert.name} fires: {event.reason}")
            elif event.to_state == AlertState.RESOLVED:
                yield Chapter(event.at, "Alert clears", f"{alert.name} is resolved: {event.reason}")


def _retrain(ledger: Ledger, retrain: Retrain) -> Iterator[Chapter]:
    for event in ledger.retrains.events(retrain.retrain_id):
        title = _title(event)
        if title is not None:
            yield Chapter(event.at, title, _said(event.reason))


def _said(reason: str) -> str:
    """Return a reason without what the title says already."""
    return next((reason.removeprefix(words) for words in _REPEATED if reason.startswith(words)), reason)


def _title(event: RetrainEvent) -> str | None:
    name = event.document.get("event", "")
    if name == Event.DEFER:
        return {RetrainState.CANARY: "Canary", RetrainState.GPU_CHECK: "Waiting"}.get(event.to_state)
    return _TITLES.get(name)


def _once(same: Sequence[Chapter]) -> Chapter:
    first = same[0]
    return first if len(same) == 1 else Chapter(first.at, first.title, f"{first.said} ({len(same)} times)")
