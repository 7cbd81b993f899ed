"""What a policy decides about an alert, and by which of its rules; changes with what can be decided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Outcome(StrEnum):
    """What comes of it."""

    ACTED = "acted"
    ASKED = "asked"
    HELD = "held"
    UNMATCHED = "unmatched"


ACTIONS = frozenset({Outcome.ACTED, Outcome.ASKED})
"""Outcomes after which something was done, be it that a person was asked."""


class Rule(StrEnum):
    """Which rule decided, in the order in which they are asked; the last where none held the action back."""

    MATCH = "match"
    SILENCED = "silenced"
    ACKNOWLEDGED = "acknowledged"
    DEBOUNCE = "debounce"
    QUIET_HOURS = "quiet_hours"
    QUORUM = "quorum"
    LABELLED_ROWS = "min_labelled_rows"
    COOLDOWN = "cooldown"
    BUDGET = "max_per_day"
    TARGET = "target"
    LIVE = "live_retrain"
    CONFIRMING = "confirming"
    CIRCLES = "max_unconfirmed"
    REQUEST = "request"
    APPROVAL = "approval"
    ALL_MET = "all_met"


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision: `reason` is a line for a person, `action` what the policy is for."""

    outcome: Outcome
    rule: Rule
    reason: str
    action: str


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision about one alert, to be recorded."""

    policy: str
    fingerprint: str
    episode: int
    model: str
    decision: Decision
    retrain_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """A decision as it was recorded; `number` counts from 1 within policy, alert and episode, `times` how often it was made."""

    decided: Decided
    number: int
    first_at: datetime
    last_at: datetime
    times: int
