"""Times of day moved by whole hours; changes with the ways in which a column writes a time of day."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monitor.compare.breaks.columns import Numbers
from monitor.compare.breaks.envelope import Envelope
from monitor.profile.document import Floats

_HOURS = 24
_DAY_MINUTES = 1440.0


def rotations(now: Numbers, before: Numbers) -> Iterator[tuple[int, Envelope, Envelope]]:
    """Yield (hours, the baseline moved by them, the window) for -11 to 12 hours, where both sides are times of day.

    A column is one of hours where it holds whole numbers from 0 to 23 and the baseline reaches 20, and one of hhmm (as 1430
    for half past two) where the baseline reaches 2000, none is above 2400, and no cut has more than 59 minutes.
    """
    last = before.cuts[-1]
    if last >= 20.0 and _hours(before) and _hours(now):
        yield from _moved(now.envelope, before.envelope, 1.0, float(_HOURS))
    elif last >= 2000.0 and _clock_times(before) and _clock_times(now):
        yield from _moved(now.envelope.mapped(_minutes), before.envelope.mapped(_minutes), 60.0, _DAY_MINUTES)


def _moved(actual: Envelope, usual: Envelope, hour: float, period: float) -> Iterator[tuple[int, Envelope, Envelope]]:
    for by in range(1, _HOURS):
        yield (by if by <= _HOURS // 2 else by - _HOURS), usual.rotated(by * hour, period), actual


def _hours(column: Numbers) -> bool:
    return column.step >= 1.0 and column.cuts[0] >= 0.0 and column.cuts[-1] <= 23.0


def _clock_times(column: Numbers) -> bool:
    whole = column.step >= 1.0 and column.cuts[0] >= 0.0 and column.cuts[-1] <= 2400.0
    return whole and bool((column.cuts % 100.0 < 60.0).all())


def _minutes(times: Floats) -> Floats:
    """Return hhmm as minutes since midnight; an edge just below an hour stays just below it."""
    hours = np.floor(times / 100.0)
    minutes: Floats = hours * 60.0 + np.minimum(times - 100.0 * hours, 60.0)
    return minutes
