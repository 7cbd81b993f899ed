"""Hours in which nothing is done; changes with how they are told."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from monitor.config.hours import parse_hours


def quiet(hours: Iterable[str], zone: str, now: datetime) -> str | None:
    """Return the quiet hours that `now` is in, None outside all of them.

    They are of the clock on the wall: the first minute is quiet and the last is not, and on days on which clocks change they
    are an hour longer or shorter where that hour is among them.
    """
    wall = now.astimezone(ZoneInfo(zone)).time()
    for text in hours:
        start, end = parse_hours(text)
        if (start <= wall < end) if start < end else (wall >= start or wall < end):
            return text
    return None
