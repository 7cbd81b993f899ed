"""What every step of a retrain does alike: try, write down, try again later, give up; changes with how steps are driven."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from monitor.act.lifecycle import Event
from monitor.act.retrain import Retrain
from monitor.act.steps import Found, Gate, Gpus, Rollout, Trainer
from monitor.act.timing import backoff, over
from monitor.alert.notification import Notification
from monitor.config.retraining import RetrainSettings
from monitor.jobs.retrain.news import News
from monitor.store.leases import Lease
from monitor.store.ledger import Ledger

ACTOR = "driftline"
"""Who does what nobody else asked for."""


@dataclass
class LongSteps:
    """Steps that last, done beside the monitor's own thread where there is an executor, so that leases go on being renewed.

    What was not written down when the process ends is done again. Used by one thread.
    """

    executor: Executor | None = None
    _running: dict[tuple[str, str, str], Future[Found]] = field(default_factory=dict)

    def done(self, name: str, do: Callable[[Retrain], Found], retrain: Retrain) -> Found | None:
        """Begin a step, or look after it: what it found, None while it is at it; raises what it raised."""
        if self.executor is None:
            return do(retrain)
        key = (retrain.model, retrain.retrain_id, name)
        for other in [each for each in self._running if each[:2] == key[:2] and each != key]:
            # Somebody has asked for another way meanwhile, such as back: two steps of one retrain never run at once.
            if not self._running[other].done():
                return None
            del self._running[other]
        if key not in self._running:
            self._running[key] = self.executor.submit(do, retrain)
        if not self._running[key].done():
            return None
        return self._running.pop(key).result()

    def keep(self, model: str, retrain_id: str | None) -> None:
        """Forget the steps of a model's retrains other than this one; nobody waits for them."""
        for key in [key for key in self._running if key[0] == model and key[1] != retrain_id]:
            self._running.pop(key).cancel()


@dataclass(frozen=True, slots=True)
class Work:
    """One look at one model's retrain: the ports, and how what they say is written down."""

    ledger: Ledger
    settings: RetrainSettings
    lease: Lease
    now: datetime
    trainer: Trainer
    gpus: Gpus | None
    gate: Gate
    rollout: Rollout
    news: News
    long: LongSteps
    poll_every: timedelta

    def change(
        self,
        retrain: Retrain,
        event: Event,
        reason: str,
        *,
        found: Mapping[str, Any] | None = None,
        notify: Iterable[Notification] = (),
        **fields: Any,
    ) -> Retrain:
        """Have an event happen, under the lease."""
        return self.ledger.retrains.change(
            retrain, event, ACTOR, reason, self.now, found=found, lease=self.lease, notify=notify, **fields
        )

    def end(
        self,
        retrain: Retrain,
        event: Event,
        reason: str,
        *,
        found: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Retrain:
        """Have the event happen that ends a retrain, and tell people."""
        told = self.news.of(retrain, f"Retraining {retrain.model}: {event.replace('_', ' ')}", reason, part=str(event))
        return self.change(retrain, event, reason, found=found, notify=told, **fields)

    def later(
        self, retrain: Retrain, reason: str, *, found: Mapping[str, Any] | None = None, wait: timedelta | None = None
    ) -> Retrain:
        """Write down that the step is to be tried again: after `wait`, or after a backoff that grows with the tries."""
        attempts = retrain.attempts + 1 if wait is None else 0
        due = self.now + (backoff(attempts) if wait is None else wait)
        if retrain.deadline_at is not None and not over(retrain.deadline_at, self.now):
            due = min(due, retrain.deadline_at)
        return self.ledger.retrains.note(
            retrain,
            self.now,
            reason=reason,
            found=found,
            lease=self.lease,
            attempts=attempts,
            due_at=due,
        )


def as_document(found: Found) -> dict[str, Any]:
    """Return what a step found as the ledger holds it."""
    return {"verdict": str(found.verdict), "reason": found.reason, **found.details}
