"""Durations as people write them; changes with how they may be written."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")


def parse_duration(text: object) -> timedelta:
    """Read `90s`, `10m`, `1h`, `1d` or `1h30m`; raises ValueError for anything else, negative or zero-length text too."""
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or not re.fullmatch(rf"(?:{_DURATION.pattern}\s*)+", text.strip()):
        raise ValueError(f"{text!r} is not a duration; write for example 90s, 10m, 1h, 1d or 1h30m")
    try:
        return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text)))
    except OverflowError:
        raise ValueError(f"{text[:40]!r} is longer than any duration that can be reckoned with") from None


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
