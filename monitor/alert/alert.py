"""An alert and its states, as Prometheus names them; changes with what is known of an alert."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

ALERT_NAME = "alertname"
MODEL = "model"
SEVERITY = "severity"
TEAM = "team"


class AlertState(StrEnum):
    """Where an alert stands; `resolved` is an alert that fired and no longer does, until it begins anew."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class Origin(StrEnum):
    """Who found out."""

    DRIFTLINE = "driftline"
    ALERTMANAGER = "alertmanager"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of one model, whatever number of features is behind it.

    Attributes:
        labels: with `alertname`, `model` and `severity`; what routes, silences and policies match.
        annotations: texts for people, templates filled.
        episode: counts from 1 each time the alert fires anew; 0 before it ever fired.
        active_at: when its condition began to hold; None while inactive.
        fired_at: when it last began to fire; `startsAt` of its notifications.
        resolved_at: when it last ceased to; `endsAt`.
        findings: the flagged findings behind it, the strongest first: objects of DESIGN's "Findings", each with the `version`,
            `slice` (a mapping), `window_start` and `window_end` that it is about.
        acknowledged_by: who has taken note: it is not repeated in this episode.
        assignee: who looks after it.
        muted: findings of its last window that a data break explains, each with `muted_by`: they count for nothing.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    state: AlertState
    origin: Origin
    updated_at: datetime
    episode: int = 0
    active_at: datetime | None = None
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    findings: Sequence[Mapping[str, Any]] = field(default=())
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    assignee: str | None = None
    muted: Sequence[Mapping[str, Any]] = field(default=())

    @property
    def fingerprint(self) -> str:
        """Identity of the alert."""
        return fingerprint_of(self.labels)

    @property
    def name(self) -> str:
        """Name of its rule."""
        return self.labels.get(ALERT_NAME, "")

    @property
    def model(self) -> str:
        """The model that it is about; empty where an Alertmanager's alert names none."""
        return self.labels.get(MODEL, "")


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """Return 16 hexadecimal digits of SHA-256 over the sorted labels."""
    text = json.dumps(sorted(labels.items()), separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
