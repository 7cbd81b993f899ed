"""The loop's part of a look at a model: alerts of what was found, decisions about them, the next step of a retrain."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.clock import Clock
from monitor.jobs.act.acting import Actor
from monitor.jobs.alert.alerting import Alerter
from monitor.jobs.retrain.retraining import Retrainer
from monitor.store.leases import Lease


@dataclass(frozen=True, slots=True)
class Loop:
    """Alerts, decides and retrains, a model at a time. Used by one thread."""

    alerter: Alerter
    actor: Actor
    retrainer: Retrainer
    clock: Clock

    def tick(self, model: str, lease: Lease) -> None:
        """Look at one model.

        Raises:
            StaleClaim: the lease was lost, or somebody else changed what was looked at: the next look sees how.
            TransientError: the ledger or an outside thing does not answer.
        """
        self.alerter.tick(model, lease, self.clock.now())
        self.actor.tick(model, lease, self.clock.now())
        self.retrainer.tick(model, lease, self.clock.now())
