"""Which labelled rows a calibration remembers: the newest, in blocks of time; changes with how soon the past is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self, TypeVar

MOST_LABELS = 50_000
"""Effective labelled rows that are enough: older blocks are dropped where the newer ones hold as many."""
SINGLE = 32
"""Newest windows that are a block each, so that a calibration can be made anew on some of them."""
FEWEST = 10
"""Blocks that are kept however many labels the newer ones hold: how windows differ by themselves only several of them tell."""
_BLOCKS = 30
"""Blocks that `MOST_LABELS` are kept in beyond those; smaller windows are joined."""


class Sums(Protocol):
    """Sums over labelled rows."""

    @property
    def effective(self) -> float:
        """How many rows of weight one would tell as much."""

    def __add__(self, other: Self, /) -> Self:
        """Return the sums over the rows of both."""


S = TypeVar("S", bound=Sums)


def with_newest(blocks: Sequence[S], newest: S) -> tuple[S, ...]:
    """Return blocks, oldest first, with one more window, and without the oldest ones that are no longer needed."""
    kept = [*blocks, newest]
    older = len(kept) - SINGLE
    if older >= 2 and kept[older - 2].effective < MOST_LABELS / _BLOCKS:
        kept[older - 2 : older] = [kept[older - 2] + kept[older - 1]]
    rows = sum(block.effective for block in kept)
    while len(kept) > FEWEST and rows - kept[0].effective >= MOST_LABELS:
        rows -= kept.pop(0).effective
    return tuple(kept)
