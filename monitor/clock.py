"""The only place that reads time; everything else is handed `now`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """What the shell asks for time."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary start."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary start."""
        return time.monotonic()


@dataclass
class ManualClock:
    """A clock for tests; it moves only when `advance` is called."""

    at: datetime = EPOCH + timedelta(days=20_000)

    def now(self) -> datetime:
        """Return the time that was set."""
        return self.at

    def monotonic(self) -> float:
        """Return the set time as seconds since the epoch."""
        return (self.at - EPOCH).total_seconds()

    def advance(self, seconds: float) -> None:
        """Move on by `seconds` (not negative)."""
        if seconds < 0:
            raise ValueError("a clock does not go back")
        self.at += timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Deadline:
    """One time budget that several calls share, on the monotonic clock."""

    clock: Clock
    at: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Deadline:
        """Return the deadline `seconds` from now."""
        return cls(clock, clock.monotonic() + seconds)

    def remaining(self) -> float:
        """Return the seconds left, zero once the deadline has passed."""
        return max(0.0, self.at - self.clock.monotonic())

    def expired(self) -> bool:
        """Say whether nothing is left."""
        return self.remaining() == 0.0


def to_micros(moment: datetime) -> int:
    """Return microseconds since the epoch, exactly (no float on the way); `moment` must be aware."""
    delta = moment - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_micros(micros: int) -> datetime:
    """Return the aware UTC time of `micros` since the epoch."""
    return EPOCH + timedelta(microseconds=micros)


def rfc3339(moment: datetime) -> str:
    """Return `moment` in UTC as RFC 3339 with a Z, fractions only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
