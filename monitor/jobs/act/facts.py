"""What is looked up for decisions about a model's alerts, once a look; changes with what policies ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from monitor.act.policy import Facts, unconfirmed_in_a_row
from monitor.act.retrain import Confirmation, Retrain
from monitor.alert.alert import Alert
from monitor.alert.silence import Silence
from monitor.config.policies import PolicySettings
from monitor.config.settings import ModelSettings
from monitor.store.labelled_rows import labelled_rows
from monitor.store.ledger import Ledger

_DAY = timedelta(days=1)
_REMEMBERED = 50
"""Retrains that are looked back at: more in a row than any policy allows to be in vain."""


@dataclass(frozen=True)
class Known:
    """What the ledger knows of a model at one moment; each thing is read when it is first asked for."""

    ledger: Ledger
    model: str
    settings: ModelSettings | None
    now: datetime

    def facts(self, policy: PolicySettings, alert: Alert) -> Facts:
        """Return what a policy's rules ask for about an alert."""
        actions = self._actions.get(policy.name, ())
        counts_rows = policy.action == "retrain" or policy.min_labelled_rows > 0
        retrains = self._retrains
        settings = self.settings
        return Facts(
            silenced=self._silenced(alert),
            last_action=actions[0] if actions else None,
            actions_today=sum(1 for at in actions if self.now - at < _DAY),
            last_retrain=retrains[0].created_at if retrains else None,
            labelled_rows=self._labelled_rows if counts_rows else 0,
            live=next((each for each in retrains if not each.ended), None),
            confirming=next((each for each in retrains if each.confirmation is Confirmation.WAITING), None),
            unconfirmed=unconfirmed_in_a_row(retrains),
            retrain=None if settings is None else settings.retrain,
            serving_gpus=None if settings is None else settings.serving_gpus,
        )

    def _silenced(self, alert: Alert) -> str:
        silence = next((each for each in self._silences if each.mutes(alert.labels)), None)
        return "" if silence is None else f"by {silence.created_by}: {silence.comment}"

    @cached_property
    def _silences(self) -> Sequence[Silence]:
        return self.ledger.silences.active(self.now)

    @cached_property
    def _actions(self) -> Mapping[str, Sequence[datetime]]:
        return self.ledger.decisions.actions(self.model)

    @cached_property
    def _retrains(self) -> Sequence[Retrain]:
        return self.ledger.retrains.list(self.model, limit=_REMEMBERED)

    @cached_property
    def _labelled_rows(self) -> int:
        if self.settings is None:
            return 0
        # Event time, as that of a replay, need not be near the wall clock's.
        end = self.ledger.watermarks().get(self.model, self.now)
        since = end - (timedelta(days=30) if self.settings.retrain is None else self.settings.retrain.data)
        return labelled_rows(self.ledger.database, self.ledger.team, self.model, since)
