"""Has the policies decide about firing alerts, and does what they say; changes with how looks are made."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from monitor.act.decision import ACTIONS, Decided, Decision, Outcome, Rule
from monitor.act.policy import Facts, decide, matches
from monitor.act.steps import Gpus
from monitor.alert.alert import Alert, AlertState
from monitor.config.policies import PolicySettings
from monitor.config.settings import Settings
from monitor.errors import InputError
from monitor.jobs.act.actions import Actions
from monitor.jobs.act.facts import Known
from monitor.jobs.retrain.events import RequestFor
from monitor.store.leases import Lease
from monitor.store.ledger import Ledger
from monitor.store.retrain_ledger import LiveRetrain

_log = structlog.get_logger(__name__)
_SAID_EVERY = timedelta(minutes=1)
"""A negative decision that stays the same is counted once in this time, not at every look."""

_About = tuple[str, str, int]
_Seen = tuple[str, int, str | None]
_Said = tuple[Outcome, Rule, datetime]


@dataclass
class Actor:
    """Looks at a model's firing alerts, and does what policies say of them. Used by one thread.

    Attributes:
        request_for: makes the request of a retrain.
        gpus: by their name in the settings.
        look_every: how often the same alerts are decided about.
        executor: asks GPUs, which are waited for a few seconds; without one, for as long as they take.
    """

    ledger: Ledger
    settings: Settings
    request_for: RequestFor
    gpus: Mapping[str, Gpus]
    look_every: timedelta = timedelta(seconds=5)
    executor: Executor | None = None
    _looked: dict[str, tuple[list[_Seen], datetime]] = field(default_factory=dict)
    _said: dict[str, dict[_About, _Said]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Set up what lives as long as the actor."""
        self._actions = Actions(self.ledger, self.settings, self.request_for, self.gpus, self.executor)

    def tick(self, model: str, lease: Lease, now: datetime) -> int:
        """Decide about the model's firing alerts, act, and return how many actions there were.

        An action is written in the transaction of its decision: a crash neither loses nor doubles it.

        Raises:
            StaleClaim: the lease was lost, or the model's retrain has changed meanwhile; nothing was done by halves.
            TransientError: something did not answer.
        """
        if not self.settings.policies:
            return 0
        alerts = self.ledger.alerts.list(model, AlertState.FIRING)
        seen = [(alert.fingerprint, alert.episode, alert.acknowledged_by) for alert in alerts]
        last = self._looked.get(model)
        if last is not None and last[0] == seen and abs(now - last[1]) < self.look_every:
            return 0
        said, acted = self._said.pop(model, {}), 0
        known, negative = self._known(model, now), dict[_About, Decided]()
        for alert in alerts:
            for policy in self.settings.policies:
                facts = known.facts(policy, alert) if matches(policy, alert) else Facts()
                decision = decide(policy, alert, facts, now)
                if decision.outcome in ACTIONS:
                    decision = self._act(policy, alert, decision, facts, lease, now)
                    known = self._known(model, now)
                if decision.outcome in ACTIONS:
                    acted += 1
                else:
                    about = (policy.name, alert.fingerprint, alert.episode)
                    negative[about] = Decided(*about, model, decision)
        self._said[model] = self._record(negative, said, lease, now)
        self._looked[model] = (seen, now)
        return acted

    def _record(
        self, negative: Mapping[_About, Decided], said: Mapping[_About, _Said], lease: Lease, now: datetime
    ) -> dict[_About, _Said]:
        """Record those that were not said a moment ago; returns what was said of all of them, and when."""
        news = {about for about, each in negative.items() if _is_news(each.decision, said.get(about), now)}
        if news:
            self.ledger.decisions.record([negative[about] for about in negative if about in news], now, lease=lease)
        return {
            about: (each.decision.outcome, each.decision.rule, now) if about in news else said[about]
            for about, each in negative.items()
        }

    def _known(self, model: str, now: datetime) -> Known:
        return Known(self.ledger, model, self.settings.models.get(model), now)

    def _act(
        self, policy: PolicySettings, alert: Alert, decision: Decision, facts: Facts, lease: Lease, now: datetime
    ) -> Decision:
        """Do it, with its decision; returns that, or a negative one that is still to be recorded."""
        try:
            action = self._actions.of(policy, alert, decision, facts, now)
            self.ledger.decisions.record([action.decided], now, lease=lease, also=action.write)
        except LiveRetrain as error:
            return Decision(Outcome.HELD, Rule.LIVE, str(error), policy.action)
        except InputError as error:
            return Decision(Outcome.HELD, Rule.REQUEST, str(error), policy.action)
        said = action.decided.decision
        _log.info(
            "policy_acted",
            policy=policy.name,
            model=alert.model,
            alert=alert.name,
            action=policy.action,
            outcome=str(said.outcome),
            reason=said.reason,
        )
        return said


def _is_news(decision: Decision, said: _Said | None, now: datetime) -> bool:
    if said is None or said[:2] != (decision.outcome, decision.rule):
        return True
    return abs(now - said[2]) >= _SAID_EVERY
