"""A token bucket: how many messages a receiver may be sent now; changes with how rates are limited."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tokens, one a message; in any minute at most `per_minute` and a full bucket are taken.

    Attributes:
        tokens: as of `at`.
    """

    per_minute: int
    tokens: float
    at: datetime

    @classmethod
    def full(cls, per_minute: int, now: datetime) -> Self:
        """Return a bucket as it is at first."""
        return cls(per_minute, _most(per_minute), now)

    def filled(self, now: datetime) -> Bucket:
        """Return what it holds at `now`; a clock that went back adds nothing, and begins anew from there."""
        gained = max(0.0, (now - self.at).total_seconds()) * self.per_minute / 60
        return Bucket(self.per_minute, min(_most(self.per_minute), self.tokens + gained), now)

    @property
    def room(self) -> int:
        """How many whole tokens there are."""
        return int(self.tokens)

    def taken(self) -> Bucket:
        """Return it with one token less; raises ValueError where there is none."""
        if self.tokens < 1:
            raise ValueError("the bucket is empty")
        return Bucket(self.per_minute, self.tokens - 1, self.at)


def _most(per_minute: int) -> float:
    return max(1.0, per_minute / 10)
