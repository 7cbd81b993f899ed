"""Drives retrains through their states, one step a look; changes with how looks are made."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from monitor.act.lifecycle import Event, allows
from monitor.act.retrain import Confirmation, Retrain, RetrainState
from monitor.act.steps import Gate, Gpus, Rollout, Trainer
from monitor.act.timing import due
from monitor.config.settings import Settings
from monitor.errors import InvariantBroken, TransientError
from monitor.jobs.retrain import after, releasing, training
from monitor.jobs.retrain.events import stop_until
from monitor.jobs.retrain.news import News
from monitor.jobs.retrain.work import ACTOR, LongSteps, Work
from monitor.store.leases import Lease
from monitor.store.ledger import Ledger

_log = structlog.get_logger(__name__)
_STEPS = {**training.STEPS, **releasing.STEPS}


@dataclass
class Retrainer:
    """Takes each model's live retrain one step further at each look. Used by one thread.

    Attributes:
        trainers: by model.
        gpus: by their name in the settings.
        executor: for steps that last or ask somebody else; without one they are done within the look.
        poll_every: time between two questions about a run or a canary.
    """

    ledger: Ledger
    settings: Settings
    trainers: Mapping[str, Trainer]
    gpus: Mapping[str, Gpus]
    gate: Gate
    rollout: Rollout
    executor: Executor | None = None
    poll_every: timedelta = timedelta(seconds=5)

    def __post_init__(self) -> None:
        """Set up what lives as long as the retrainer."""
        self._long = LongSteps(self.executor)
        self._news = News(self.settings)

    def tick(self, model: str, lease: Lease, now: datetime) -> bool:
        """Do what is due for a model, one step of its live retrain at most, and say whether its state has changed.

        Raises:
            StaleClaim: the lease was lost, or somebody else changed the retrain meanwhile: the next look sees how.
            TransientError: the ledger does not answer.
        """
        work = self._work(model, lease, now)
        live, over = self.ledger.retrains.live(model), self.ledger.retrains.to_look_after(model)
        self._long.keep(lease, model, {each.retrain_id for each in (*over, *([] if live is None else [live]))})
        for ended in over:
            if work is None:
                self._told(ended, self._forsaken(ended, lease, now))
            elif due(ended, now):
                self._told(ended, after.look_after(work, ended))
        if live is None:
            return False
        if work is None:
            return self._told(live, self._orphaned(live, lease, now))
        if not due(live, now) and live.state is not RetrainState.PROPOSED:
            return False
        return self._told(live, self._step(work, live))

    def _step(self, work: Work, retrain: Retrain) -> Retrain:
        try:
            return _STEPS[retrain.state](work, retrain)
        except (InvariantBroken, TransientError):
            raise
        except Exception as error:
            # A step that breaks is not tried every second for ever; the error is loud where the look was asked for.
            work.later(retrain, f"an internal error: {type(error).__name__}")
            raise

    def _work(self, model: str, lease: Lease, now: datetime) -> Work | None:
        settings = self.settings.models[model].retrain
        if settings is None:
            return None
        gpus = None if settings.headroom is None else self.gpus.get(settings.headroom.gpus)
        return Work(
            self.ledger,
            settings,
            lease,
            now,
            self.trainers[model],
            gpus,
            self.gate,
            self.rollout,
            self._news,
            self._long,
            self.poll_every,
        )

    def _orphaned(self, retrain: Retrain, lease: Lease, now: datetime) -> Retrain:
        """End a retrain of a model whose settings no longer say how to go on."""
        event = Event.FAIL if allows(retrain.state, Event.FAIL) else Event.CANCEL
        reason = f"the settings of {retrain.model} no longer say how it is retrained"
        if retrain.state is RetrainState.CANARY:
            reason += "; its canary may still be in service"
        told = self._news.of(retrain, f"The retrain of {retrain.model} ends", reason, part="orphaned")
        return self.ledger.retrains.change(
            retrain, event, ACTOR, reason, now, lease=lease, notify=told, deadline_at=stop_until(retrain, now)
        )

    def _forsaken(self, retrain: Retrain, lease: Lease, now: datetime) -> Retrain:
        """Leave off what an ended retrain would have left to do, now that nothing says how."""
        why = f"the settings of {retrain.model} no longer say how it is retrained"
        if retrain.confirmation is Confirmation.WAITING:
            reason = f"whether its alert clears is not looked at any more: {why}"
            fields: dict[str, Any] = {"confirmation": Confirmation.NOT_CLEARED, "confirm_until": None}
            return self.ledger.retrains.change(retrain, Event.NOT_CLEAR, ACTOR, reason, now, lease=lease, **fields)
        reason = f"{retrain.reason}; the trainer could not be told to stop: {why}"
        return self.ledger.retrains.change(retrain, Event.STOP, ACTOR, reason, now, lease=lease, deadline_at=None)

    @staticmethod
    def _told(before: Retrain, after: Retrain) -> bool:
        if after.state is before.state:
            return False
        said = {"model": after.model, "retrain": after.retrain_id, "state": str(after.state), "reason": after.reason}
        _log.info("retrain_moved", **said)
        return True
