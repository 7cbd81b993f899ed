"""The same window, seasons ago: the hour of the day, the day of the week; changes with what the same window is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from monitor.records import Window


def seasonal_starts(window: Window, seasons: Sequence[timedelta], count: int) -> Iterator[list[datetime]]:
    """Yield for each season the starts of the same window 1, 2, ... `count` seasons before, nearest first.

    A season that is no whole number of windows holds no same window, and one of a single window would be the previous window:
    both are passed over. Seasons are spans of UTC: a shift to or from summer time moves them by an hour of local time.
    """
    length = window.end - window.start
    for season in seasons:
        if season > length and not season % length:
            yield [window.start - number * season for number in range(1, count + 1)]
