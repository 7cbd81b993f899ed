"""From judged windows and evaluations to alerts and messages, a model at a time; changes with what is due when.

What is due comes from the ledger: windows of which something was recorded since, alerts that fire, data that does not come. All
that a look makes of a window is recorded in one transaction, with the messages that tell of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from monitor.alert.alert import Alert, AlertState
from monitor.alert.expression import Outcome, evaluate
from monitor.config.settings import Settings
from monitor.jobs.alert.rules import ModelRules
from monitor.jobs.alert.turn import Turn
from monitor.store.alert_ledger import Happened, Look
from monitor.store.alert_rows import KeptAlert
from monitor.store.leases import Lease
from monitor.store.ledger import Ledger

_log = structlog.get_logger(__name__)

_MOST_WINDOWS = 50
"""Windows that one transaction covers; a replay, or an hour of downtime, leaves many at once."""


_NO_RULE = "there is no such rule in the settings any more"
_NO_MODEL = "the model is not in the settings any more"


@dataclass
class Alerter:
    """Makes alerts of what the monitor finds, for all models of its settings. Not thread-safe."""

    ledger: Ledger
    settings: Settings
    _rules: dict[str, ModelRules] = field(default_factory=dict)
    _kept: dict[str, KeptAlert] = field(default_factory=dict)

    def tick(self, model_name: str, lease: Lease, now: datetime) -> list[Alert]:
        """Look at one model, and return its alerts whose state changed, or of which somebody was told.

        Raises:
            StaleClaim: the lease is lost, or somebody changed an alert meanwhile: the next tick looks again.
        """
        if model_name not in self._rules:
            self._rules[model_name] = ModelRules.of(self.settings, model_name)
        rules = self._rules[model_name]
        changed: dict[str, Alert] = {}
        more = True
        while more:
            look = self.ledger.alerts.look(model_name, _MOST_WINDOWS, rules.fingerprints, data=bool(rules.of_silence))
            more = len(look.due) == _MOST_WINDOWS
            if (
                look.due
                or rules.of_silence
                or any(self._may_be_due(rules, each, *at) for each, at in look.standing.items())
            ):
                changed |= self._turn(model_name, rules, look, lease, now)
        return list(changed.values())

    def retire_models(self, lease_of: Callable[[str], Lease | None], now: datetime) -> None:
        """End the alerts of models that the settings have no longer, and tell of that; raises as `tick` does.

        Args:
            lease_of: takes a model's lease; None while another monitor, with other settings, looks after it.
            now: wall clock.
        """
        for model in self.ledger.alerts.models_left(list(self.settings.models)):
            lease = lease_of(model)
            if lease is not None:
                self.tick(model, lease, now)

    def _may_be_due(self, rules: ModelRules, fingerprint: str, state: AlertState, revision: int) -> bool:
        """Say whether there may be something to do about an alert though nothing was found: tell, tell again, or forget it."""
        if state in (AlertState.FIRING, AlertState.PENDING) and fingerprint not in rules.fingerprints:
            return True
        known = self._kept.get(fingerprint)
        return state is AlertState.FIRING or known is None or known.revision != revision or bool(known.memory.told)

    def _turn(self, model: str, rules: ModelRules, look: Look, lease: Lease, now: datetime) -> dict[str, Alert]:
        self._load(look)
        turn = Turn(self.settings, lambda: self.ledger.silences.active(now), now, self._kept)
        for due in look.due if rules.of_windows else ():
            facts = self.ledger.alerts.facts(model, due.start, rules.sources)
            for rule, expression in rules.of_windows:
                found = evaluate(expression, facts)
                if found is None:
                    continue
                earlier = turn.window(rule, due.start, found)
                if earlier is not None:
                    again = evaluate(expression, self.ledger.alerts.facts(model, earlier, rules.sources))
                    turn.show(rule, again or Outcome(matched=True))
        for rule, limit in rules.of_silence:
            replays = self.settings.models[model].windows.time == "replay"
            turn.silence_of(rule, look.newest_data, look.watermark if replays else now, limit, replays=replays)
        for fingerprint in look.standing:
            if fingerprint not in rules.fingerprints:
                turn.retire(fingerprint, _NO_RULE if model in self.settings.models else _NO_MODEL)
            turn.tell(fingerprint)
        revised = turn.revised()
        if revised or look.due:
            self.ledger.alerts.record(model, revised, look.due, lease, now)
        for each in revised:
            self._kept[each.after.alert.fingerprint] = each.after
            for happened in each.happened:
                _say(happened)
        return {
            each.after.alert.fingerprint: each.after.alert for each in revised if each.happened or each.notifications
        }

    def _load(self, look: Look) -> None:
        """Have all alerts of a look at hand as the ledger holds them."""
        stale = [
            fingerprint
            for fingerprint, (_, revision) in look.standing.items()
            if fingerprint not in self._kept or self._kept[fingerprint].revision != revision
        ]
        if stale:
            self._kept |= self.ledger.alerts.kept(stale)


def _say(happened: Happened) -> None:
    alert = happened.alert
    if happened.before is alert.state:
        return
    level = _log.warning if alert.state is AlertState.FIRING else _log.info
    level(
        f"alert_{alert.state}",
        alert=alert.name,
        model=alert.model,
        fingerprint=alert.fingerprint,
        episode=alert.episode,
        reason=happened.reason,
    )
