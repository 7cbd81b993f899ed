"""Values as text, whatever type they were decoded to; changes when strata or privacy shall tell values apart otherwise."""

from __future__ import annotations

import math

_INT64_LIMIT = 2**63


def plain_text(value: object) -> str | None:
    """Return text as it is, and a number so that 3, 3.0 and "3" are one, true is 1; None for a missing value or an object."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and abs(value) < _INT64_LIMIT:
        return str(int(value))
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    if math.isnan(number):
        return None
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return str(int(number)) if number.is_integer() and abs(number) < _INT64_LIMIT else repr(number)
