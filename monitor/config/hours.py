"""Hours of the day as people write them: 22:00-06:00; changes with how they may be written."""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]):([0-5]\d)")


def parse_hours(text: str) -> tuple[time, time]:
    """Return the first minute and the one after the last; the second is the earlier one over midnight.

    Raises:
        ValueError: the text is none, or begins and ends at once.
    """
    match = _HOURS.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no part of a day; write for example 22:00-06:00")
    start, end = time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4]))
    if start == end:
        raise ValueError(f"{text!r} begins and ends at once; for a whole day leave the policy out")
    return start, end


def _hours(text: str) -> str:
    parse_hours(text)
    return text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, OSError, ValueError):  # not found, a folder, or a path out of the database
        raise ValueError(f"{text!r} is no time zone; write for example Europe/Berlin") from None
    return text


Hours = Annotated[str, AfterValidator(_hours)]
"""Text of a part of the day, as settings hold it."""
Zone = Annotated[str, AfterValidator(_zone)]
"""Name of a time zone, as settings hold it."""
