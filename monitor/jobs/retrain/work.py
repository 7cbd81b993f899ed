"""What every step of a retrain does alike: try, write down, try again later, give up; changes with how steps are driven."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

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
ALONE = "gate"
"""The step that only one retrain of all is at, at a time: it loads models, and takes memory and processors for that."""

_Result = TypeVar("_Result")


class _Key(NamedTuple):
    """A step that lasts; `token` is of the lease that it was begun under."""

    model: str
    retrain_id: str
    name: str
    token: int


@dataclass
class LongSteps:
    """Steps that last, done beside the monitor's own thread where there is an executor, so that leases go on being renewed.

    What was not written down when the process ends, or when the lease changes hands, is done again. Used by one thread.
    """

    executor: Executor | None = None
    _running: dict[_Key, Future[Any]] = field(default_factory=dict)
    _tokens: dict[str, int] = field(default_factory=dict)

    def done(self, name: str, do: Callable[[Retrain], _Result], retrain: Retrain) -> _Result | None:
        """Begin a step, or look after it: what it found, None while it is at it; raises what it raised."""
        ended = self.ended(name, do, retrain)
        return None if ended is None else ended.result()

    def ended(self, name: str, do: Callable[[Retrain], _Result], retrain: Retrain) -> Future[_Result] | None:
        """Do as `done` does, for steps that may find nothing: the step once it has ended, None while it is at it."""
        if self.executor is None:
            return _ended_at_once(do, retrain)
        key = _Key(retrain.model, retrain.retrain_id, name, self._tokens.get(retrain.model, 0))
        for other in [each for each in self._running if each.retrain_id == key.retrain_id and each != key]:
            # Somebody has asked for another way meanwhile, such as back, or what was found under an earlier lease is old: two
            # steps of one retrain never run at once.
            if not self._running[other].done():
                return None
            del self._running[other]
        if key not in self._running:
            if name == ALONE and any(each.name == ALONE for each in self._running):
                return None
            self._running[key] = self.executor.submit(do, retrain)
        return self._running.pop(key) if self._running[key].done() else None

    def keep(self, lease: Lease, model: str, retrain_ids: Collection[str]) -> None:
        """Forget the steps of a model's retrains other than these, which nobody waits for; the rest is done under this lease."""
        self._tokens[model] = lease.token
        for key in [key for key in self._running if key.model == model and key.retrain_id not in retrain_ids]:
            self._running[key].cancel()
            if self._running[key].done():
                del self._running[key]


def _ended_at_once(do: Callable[[Retrain], _Result], retrain: Retrain) -> Future[_Result]:
    future: Future[_Result] = Future()
    try:
        future.set_result(do(retrain))
    except Exception as error:  # noqa: BLE001 - told to whoever asks for the result
        future.set_exception(error)
    return future


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
        self,
        retrain: Retrain,
        reason: str,
        *,
        found: Mapping[str, Any] | None = None,
        wait: timedelta | None = None,
        at_latest: datetime | None = None,
    ) -> Retrain:
        """Write down that the step is to be tried again: after `wait`, or after a backoff that grows with the tries."""
        attempts = retrain.attempts + 1 if wait is None else 0
        due = self.now + (backoff(attempts) if wait is None else wait)
        if retrain.deadline_at is not None and not over(retrain.deadline_at, self.now):
            due = min(due, retrain.deadline_at)
        if at_latest is not None:
            due = min(due, at_latest)
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
