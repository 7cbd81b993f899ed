"""Numbers that add up over parts of the data, field by field."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Self


class Additive:
    """Base of a dataclass whose instances are added field by field; its fields are numbers, arrays or additive themselves."""

    __slots__ = ()

    def __add__(self, other: Self) -> Self:
        """Return the sums of both; what they were counted from must not overlap."""
        mine: Any = self
        return type(self)(*(getattr(mine, each.name) + getattr(other, each.name) for each in fields(mine)))
