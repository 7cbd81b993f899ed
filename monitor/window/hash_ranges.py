"""Ranges of hashes: parts of rows that can be joined apart, because all rows of one id are in one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_HASHES = 2**64


@dataclass(frozen=True, slots=True)
class HashRange:
    """The hashes from `low` on, below `high`, which is at most 2**64."""

    low: int
    high: int

    def meets(self, least: int, most: int) -> bool:
        """Say whether rows whose hashes lie from `least` to `most` may be in it."""
        return least < self.high and most >= self.low

    def within(self, hashes: npt.NDArray[np.uint64]) -> slice:
        """Return where the hashes of this range stand among `hashes` (n,), which are ascending."""
        first = np.searchsorted(hashes, np.uint64(self.low))
        end = len(hashes) if self.high == _HASHES else np.searchsorted(hashes, np.uint64(self.high))
        return slice(int(first), int(end))


ALL_HASHES = HashRange(0, _HASHES)


def split(least: int, most: int, rows: int, at_most: int) -> list[HashRange]:
    """Return ranges, in order, that hold all hashes, with about `at_most` rows in each.

    Args:
        least: the smallest hash of the rows; hashes are spread evenly from it
        most: to this one, the largest.
        rows: how many rows there are.
        at_most: rows of a range; by chance a range may hold a few more.
    """
    parts = max(-(-rows // at_most), 1)
    edges = [least + (most - least) * part // parts for part in range(1, parts)]
    return [HashRange(low, high) for low, high in zip([0, *edges], [*edges, _HASHES], strict=True)]
