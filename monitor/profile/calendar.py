"""How a baseline's rows lie in time: blocks as long as the windows to come, and seasons; changes with what a season is.

The season of a row is its hour of day where blocks are shorter than a day, else its day of week, in UTC: what a window is
compared with is put together from the same seasons, so that a normal Monday, or a normal night, is no change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from monitor.profile.counts import Indices
from monitor.profile.document import Floats, pack_floats, unpack_floats

MIN_BLOCKS: Final = 5
"""Fewer blocks of time say nothing about how much a reference varies by itself."""
MAX_BLOCKS: Final = 100
ENOUGH_BLOCKS: Final = 20
"""Where no block is as long as the window, blocks of which there are so many tell more than a few long ones."""
_MICROSECOND: Final = timedelta(microseconds=1)
_HOUR: Final = timedelta(hours=1) // _MICROSECOND
_DAY: Final = 24 * _HOUR
_CYCLES: Final = 4
"""A season is told apart once the rows span so many of its cycles."""
LENGTHS: Final = tuple(timedelta(hours=h) for h in (1, 2, 3, 4, 6, 8, 12, 24, 48, 72, 96, 168, 336, 672, 1344))


class Cycle(StrEnum):
    """What the season of a row is."""

    HOUR = "hour of day"
    WEEKDAY = "day of week"
    NONE = "none"

    @classmethod
    def of(cls, length: int, span: int) -> Cycle:
        """Return the cycle to tell apart with blocks of `length` in rows that cover `span`, both in microseconds."""
        if length < _DAY:
            return cls.HOUR if span >= _CYCLES * _DAY else cls.NONE
        return cls.WEEKDAY if span >= 7 * _CYCLES * _DAY else cls.NONE

    @property
    def slots(self) -> int:
        """How many seasons there are."""
        return {Cycle.HOUR: 24, Cycle.WEEKDAY: 7, Cycle.NONE: 1}[self]

    def slots_of(self, times: Indices) -> Indices:
        """Return the season of each time (n,), from 0; Monday is the first day of the week."""
        if self is Cycle.HOUR:
            return times // _HOUR % 24
        if self is Cycle.WEEKDAY:
            return (times // _DAY + 3) % 7  # the epoch was a Thursday
        return np.zeros(len(times), np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Calendar:
    """The blocks and seasons of a baseline's rows.

    Attributes:
        length: of a block, in microseconds; block i is [i length, (i + 1) length) since the epoch.
        cycle: what the seasons are; there are S.
        numbers: (B,) the blocks that are kept one by one, ascending.
        mixes: (B, S) shares of a block's rows in each season.
        seasons: (S,) number of blocks, kept or not, with rows in each season.
    """

    length: int
    cycle: Cycle
    numbers: Indices
    mixes: Floats
    seasons: Floats

    def mix_of(self, times: Indices | None, weights: Floats | None) -> tuple[float, ...] | None:
        """Return the shares (S) of some rows in each season; None where they have no time."""
        if times is None or len(times) == 0:
            return None
        mass = np.bincount(self.cycle.slots_of(times), weights, self.cycle.slots).astype(np.float64)
        return tuple((mass / mass.sum()).tolist())

    @property
    def neighbours(self) -> Indices:
        """Places (P,) of the kept blocks that the next one follows without a gap."""
        return np.flatnonzero(np.diff(self.numbers) == 1)

    def __eq__(self, other: object) -> bool:
        """Compare exactly."""
        return isinstance(other, Calendar) and self.to_document() == other.to_document()

    __hash__ = None  # type: ignore[assignment]

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "length": self.length,
            "cycle": str(self.cycle),
            "numbers": self.numbers.tolist(),
            "mixes": pack_floats(self.mixes),
            "seasons": pack_floats(self.seasons),
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Calendar:
        """Undo `to_document`."""
        return cls(
            int(document["length"]),
            Cycle(document["cycle"]),
            np.array(document["numbers"], np.int64),
            unpack_floats(document["mixes"]),
            unpack_floats(document["seasons"]),
        )


@dataclass(frozen=True, slots=True)
class BlockNumbers:
    """The block of time and the season of each row.

    Attributes:
        of_rows: (n,) numbers from 0; those from `kept` on belong to blocks that are not kept one by one.
        kept: how many blocks are kept.
        total: how many there are to number, at most kept + 1.
        seasons: (n,) season of each row, from 0.
        slots: S, how many seasons there are.
    """

    of_rows: Indices
    kept: int
    total: int
    seasons: Indices
    slots: int

    def part(self, rows: npt.NDArray[np.bool_]) -> BlockNumbers:
        """Return the numbers of the rows of a mask (n,); a block may hold none of them."""
        return BlockNumbers(self.of_rows[rows], self.kept, self.total, self.seasons[rows], self.slots)


def calendar_of(times: Indices, length: int, weights: Floats | None) -> tuple[Calendar, BlockNumbers] | None:
    """Cut rows into blocks of `length` microseconds; None where there are fewer than five.

    Of more than a hundred blocks fifty pairs of neighbours are drawn, by a fixed seed: a regular step could meet the same hour of
    every day, and neighbours tell how long a deviation lasts.
    """
    distinct, of_rows = np.unique(times // length, return_inverse=True)
    count = len(distinct)
    if count < MIN_BLOCKS:
        return None
    cycle = Cycle.of(length, int(times.max() - times.min()))
    seasons, slots = cycle.slots_of(times), cycle.slots
    held = np.bincount(of_rows * slots + seasons, minlength=count * slots).reshape(count, slots) > 0
    chosen = np.arange(count)
    if count > MAX_BLOCKS:
        first = np.random.default_rng(0).choice(count - 1, MAX_BLOCKS // 2, replace=False)
        chosen = np.unique(np.concatenate([first, first + 1]))
    kept = len(chosen)
    place = np.full(count, kept)
    place[chosen] = np.arange(kept)
    total = kept + (kept < count)
    numbers = place[of_rows].astype(np.int64)
    mass = np.bincount(numbers * slots + seasons, weights, total * slots).reshape(total, slots)[:kept]
    mixes = mass / mass.sum(axis=1, keepdims=True)
    calendar = Calendar(length, cycle, distinct[chosen], mixes.astype(np.float64), held.sum(axis=0).astype(np.float64))
    return calendar, BlockNumbers(numbers, kept, total, seasons, slots)


def block_length(times: Indices | None, window: timedelta | None) -> timedelta | None:
    """Return the blocks of time in which a reference's own variation is measured, best as long as the window to judge.

    The shortest usual length that is no shorter than the window and of which the times (microseconds) hold five; where there is
    none, the longest of which they hold twenty, or else five. None where they hold less, or there are none.

    Args:
        times: of the reference's rows.
        window: length of the windows, or the time that the rows to judge cover; None where that is not known.
    """
    if times is None or not len(times):
        return None
    span = (int(times.max()) - int(times.min())) * _MICROSECOND
    wanted = timedelta(days=1) if window is None else window
    longer = [length for length in LENGTHS if length >= wanted]
    own = [] if window is None or window in LENGTHS else [window]
    fitting = [length for length in (*own, *longer) if span >= MIN_BLOCKS * length]
    if fitting:
        return fitting[0]
    shorter = [length for length in reversed(LENGTHS) if length < wanted]
    for blocks in (ENOUGH_BLOCKS, MIN_BLOCKS):
        for length in shorter:
            if span >= blocks * length:
                return length
    return None
