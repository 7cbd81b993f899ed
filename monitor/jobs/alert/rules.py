"""The rules of the settings as alerting works with them, model by model; changes with what a rule settles beforehand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.alert.alert import ALERT_NAME, MODEL, SEVERITY, Alert, AlertState, Origin, fingerprint_of
from monitor.alert.expression import sources
from monitor.alert.facts import Source
from monitor.alert.state import Timing
from monitor.config.alerting import AlertSettings, Expression
from monitor.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of one model.

    Attributes:
        labels: of its alert.
        digest: of what it asks of a window: what was remembered by another digest was held against something else.
    """

    settings: AlertSettings
    labels: dict[str, str]
    fingerprint: str
    digest: str
    timing: Timing

    @classmethod
    def of(cls, settings: AlertSettings, model: str) -> Rule:
        """Return the rule for a model."""
        labels = {ALERT_NAME: settings.alert, MODEL: model, SEVERITY: settings.severity} | settings.labels
        expression = "" if settings.expr is None else settings.expr.model_dump_json(by_alias=True)
        return cls(
            settings,
            labels,
            fingerprint_of(labels),
            hashlib.sha256(expression.encode()).hexdigest()[:16],
            Timing(settings.for_, settings.of or settings.for_, settings.keep_firing_for),
        )

    def fresh(self, now: datetime) -> Alert:
        """Return its alert before anything happened."""
        return Alert(self.labels, {}, AlertState.INACTIVE, Origin.DRIFTLINE, now)


@dataclass(frozen=True, slots=True)
class ModelRules:
    """All rules of one model."""

    of_windows: Sequence[tuple[Rule, Expression]]
    of_silence: Sequence[tuple[Rule, timedelta]]
    sources: frozenset[Source]
    fingerprints: frozenset[str]

    @classmethod
    def of(cls, settings: Settings, model: str) -> ModelRules:
        """Return the rules that are about a model; of one that the settings do not have there are none."""
        known = settings.alerts if model in settings.models else ()
        rules = [Rule.of(each, model) for each in known if not each.models or model in each.models]
        of_windows = [(rule, rule.settings.expr) for rule in rules if rule.settings.expr is not None]
        of_silence = [(rule, rule.settings.no_data_for) for rule in rules if rule.settings.no_data_for is not None]
        wanted = frozenset[Source]().union(*(sources(expression) for _, expression in of_windows))
        return cls(of_windows, of_silence, wanted, frozenset(rule.fingerprint for rule in rules))
