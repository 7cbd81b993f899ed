"""What an explanation of differing values is, and when there is enough evidence for one; changes with that rule.

An explanation is named only where

- it holds for at least 95% of the differing pairs, counted in rows;
- what was fitted (a factor, an offset) was fitted on one half of the distinct differing pairs and holds for 95% of the rows of
  the other half too, whose values it never saw;
- the values vary: four distinct pairs at least (five for two parameters), so that no constant against another is "an offset".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

NEARLY_ALL = 0.95


class Transformation(StrEnum):
    """What can explain that values differ."""

    TYPE = "type"
    PRECISION = "float32"
    ROUNDING = "rounding"
    TRUNCATION = "truncation"
    UNIT = "unit"
    SCALE = "scale"
    OFFSET = "offset"
    AFFINE = "scale_and_offset"
    TIME_SHIFT = "time_shift"
    CASE = "case"
    WHITESPACE = "whitespace"
    CATEGORY_MAP = "category_map"
    DEFAULT_FILL = "default_fill"
    ORDER = "order"


class Side(StrEnum):
    """The two sides."""

    TRAINING = "training"
    SERVED = "served"

    def other(self) -> Side:
        """Return the opposite side."""
        return Side.SERVED if self is Side.TRAINING else Side.TRAINING


@dataclass(frozen=True, slots=True)
class Explanation:
    """What turns the training side's values into the served ones.

    Attributes:
        kind: the transformation.
        sentence: what a person reads.
        explained: differing pairs that it explains.
        of: differing pairs that there are.
        parameters: numbers, texts, or maps of them, that JSON can hold.
    """

    kind: Transformation
    sentence: str
    explained: int
    of: int
    parameters: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of this explanation."""
        return {
            "kind": str(self.kind),
            "explained": self.explained,
            "of": self.of,
            "parameters": dict(self.parameters),
            "explanation": self.sentence,
        }


def enough(explained: int, of: int) -> bool:
    """Say whether nearly all of some rows are explained."""
    return of > 0 and explained >= NEARLY_ALL * of


def plain_number(value: float) -> str:
    """Return a number as people write it, without needless digits."""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.7g}"
