"""What the engine adds up: for each metric, values of each example in cells, summed by slice; changes with how sums are made.

Every metric here is a function of sums over examples. Sums of parts add up to the sum of the whole, so that slices, hours and
resamples are all made by adding; the numbers are TFMA's up to the order of additions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from monitor.evaluate.engine.inputs import Selection
from monitor.evaluate.examples import Examples, Floats, Places

_CELLS_AT_ONCE = 40_000_000
"""Sums held in memory at once (320 MB): more slices than that are done in several goes."""


@dataclass(frozen=True, slots=True)
class Entries:
    """What n examples add.

    Attributes:
        values: of each channel, (n,) or (n, r) where an example has r entries, such as one for each class.
        cell: number of the cell of each entry, of the same shape; None where there is only one.
        cells: how many there are.
    """

    values: Sequence[Floats]
    cell: Places | None = None
    cells: int = 1


class Statistic(Protocol):
    """One of TFMA's combiners, for all examples and slices at once."""

    @property
    def selection(self) -> Selection:
        """What it is about."""

    def entries(self, examples: Examples) -> Entries:
        """Return what the examples add; raises NotVectorised where only TFMA knows what to do with them."""

    def outputs(self, sums: Floats) -> Mapping[Any, Any]:
        """Return what TFMA's combiner would: values by key, from the sums (channels, cells) of one slice."""


@dataclass(frozen=True, slots=True)
class Membership:
    """The slices of one slicing, and the examples in them.

    Attributes:
        keys: TFMA's slice keys.
        codes: (m,) number of a slice, an example in none has -1.
        rows: (m,) which example each code is of, where an example can be in several; else None, and m is n.
    """

    keys: Sequence[Any]
    codes: Places
    rows: Places | None = None

    def sizes(self, counted: Floats | None = None) -> Places:
        """Return how many examples each slice has, those not counted (of which `counted` (n,) is 0) left out."""
        codes = self.codes
        if counted is not None:
            codes = np.where((counted if self.rows is None else counted[self.rows]) > 0, codes, -1)
        return np.bincount(codes[codes >= 0], minlength=len(self.keys))


def sums_by_slice(
    entries: Entries, membership: Membership, times: Floats | None = None
) -> Iterator[tuple[int, Floats]]:
    """Yield the number of each slice and its sums (channels, cells).

    Args:
        entries: what the examples add.
        membership: the slices.
        times: (n,) how often each example counts; once without.
    """
    step = max(1, _CELLS_AT_ONCE // (entries.cells * len(entries.values)))
    for first in range(0, len(membership.keys), step):
        last = min(first + step, len(membership.keys))
        with np.errstate(invalid="ignore", over="ignore"):  # infinite scores add up to what TFMA's do
            sums = _sums(entries, membership, first, last, times)
        for number in range(first, last):
            yield number, sums[number - first]


def _sums(entries: Entries, membership: Membership, first: int, last: int, times: Floats | None) -> Floats:
    codes, rows = membership.codes, membership.rows
    inside = (codes >= first) & (codes < last)
    if not inside.all():
        places = np.flatnonzero(inside)
        codes, rows = codes[places], places if rows is None else rows[places]
    codes = codes - first if first else codes
    slices = last - first
    repeats = None if times is None else _rows(times, rows)
    index = codes
    if entries.cell is not None:
        cell = _rows(entries.cell, rows)
        index = (codes if cell.ndim == 1 else codes[:, None]) * entries.cells + cell
    found = np.empty((slices, len(entries.values), entries.cells))
    for channel, values in enumerate(entries.values):
        weights = _rows(values, rows)
        if entries.cell is None and weights.ndim == 2:
            weights = weights.sum(axis=1)
        if repeats is not None:
            weights = weights * (repeats if weights.ndim == 1 else repeats[:, None])
        if not slices:
            continue
        if slices == 1 and entries.cells == 1:
            found[0, channel, 0] = weights.sum()
        else:
            counted = np.bincount(index.ravel(), weights=weights.ravel(), minlength=slices * entries.cells)
            found[:, channel, :] = counted.reshape(slices, entries.cells)
    return found


def _rows(values: npt.NDArray[Any], rows: Places | None) -> npt.NDArray[Any]:
    return values if rows is None else values[rows]
