"""What a data break is; changes with which breaks are told apart."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """What happened to a column on its way here."""

    TYPE_CHANGED = "type_changed"
    GONE_NULL = "gone_null"
    GONE_CONSTANT = "gone_constant"
    DUPLICATED = "duplicated"
    SWAPPED = "swapped"
    NEW_UNIT = "new_unit"
    SIGN_FLIPPED = "sign_flipped"
    TIME_SHIFTED = "time_shifted"
    RECODED = "recoded"
    TRUNCATED = "truncated"
    ROUNDED = "rounded"


@dataclass(frozen=True, slots=True)
class Break:
    """One column whose values changed because of how they were made or sent, not because the world did.

    Attributes:
        feature: the column.
        cause: which break.
        detail: its parameter, such as "times 1.609: miles to kilometres".
        share: share of the window's values that are where the break would put them, from 0 to 1.
        explanation: one sentence that a human reads.
        partner: the other column of a swap or a copy.
    """

    feature: str
    cause: Cause
    detail: str
    share: float
    explanation: str
    partner: str | None = None


def broken(feature: str, cause: Cause, detail: str, share: float, said: str, partner: str | None = None) -> Break:
    """Make a break of what is `said` of a feature, without the feature's name and the conclusion."""
    return Break(feature, cause, detail, share, f"{feature}: {said}; this is a data break, not drift", partner)
