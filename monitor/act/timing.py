"""When a step of a retrain is tried again, and when it has lasted too long; changes with how patient the loop is."""

from __future__ import annotations

from datetime import datetime, timedelta

from monitor.act.retrain import Retrain

FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=10)
GIVE_UP_AFTER = timedelta(hours=12)
"""How long a step is tried that has no setting of its own for that."""


def backoff(attempts: int) -> timedelta:
    """Return how long to wait after so many tries, at least one: twice as long each time, up to `LONGEST_WAIT`."""
    doublings = min(max(attempts - 1, 0), 16)  # beyond that it is the longest wait anyway
    return min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)


def due(retrain: Retrain, now: datetime) -> bool:
    """Say whether the next step may be tried; also where a clock that was ahead had put it further off than waits are."""
    return retrain.due_at <= now or retrain.due_at - now > LONGEST_WAIT


def over(deadline: datetime | None, now: datetime) -> bool:
    """Say whether a deadline has passed; what has none may last."""
    return deadline is not None and deadline <= now


def lasts(since: datetime, now: datetime) -> timedelta:
    """Return the time since then; none where the clock has gone back."""
    return max(now - since, timedelta(0))


def words(duration: timedelta) -> str:
    """Return a duration for a person, in its two largest units: `1d 6h`, `45m`, `8s`."""
    seconds = int(duration.total_seconds())
    parts = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"
