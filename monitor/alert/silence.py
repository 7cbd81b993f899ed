"""A silence: a person mutes alerts for a time; changes with what is known of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from monitor.alert.matching import matches


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence, from `starts_at` to before `ends_at`.

    Attributes:
        matchers: text of matchers on the labels of alerts.
        comment: why.
        expired_by: who ended it early.
    """

    silence_id: str
    matchers: str
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str
    created_at: datetime
    expired_by: str | None = None

    def mutes(self, labels: Mapping[str, str]) -> bool:
        """Say whether it is about alerts with these labels."""
        return matches(self.matchers, labels)

    def active(self, now: datetime) -> bool:
        """Say whether it holds."""
        return self.starts_at <= now < self.ends_at
