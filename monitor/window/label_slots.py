"""Finding rows by the hash of their id and their instance; changes with how rows are looked up."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Slots:
    """n rows by (hash, instance), in memory: at most 40 bytes a row, 16 where no request has several instances.

    Rows of different ids whose hashes are equal share a slot: whoever must not confuse them compares the ids.
    """

    def __init__(self, hashes: Hashes, instances: Places) -> None:
        """Make ready to find rows; the fastest where they are sorted by (hash, instance), as the canonical order is."""
        self._order: Places | None = None
        if not _ascending(hashes, instances):
            self._order = np.lexsort((instances, hashes))
            hashes, instances = hashes[self._order], instances[self._order]
        first = np.ones(len(hashes), dtype=np.bool_)
        first[1:] = (hashes[1:] != hashes[:-1]) | (instances[1:] != instances[:-1])
        starts = np.flatnonzero(first)
        self._starts = np.append(starts, len(hashes))
        self._rows = len(hashes)
        self._hashes = hashes[starts]
        self._codes: Places | None = None
        self._instances = np.unique(instances)
        if len(self._instances) > 1:
            known, ranks = np.unique(self._hashes, return_inverse=True)
            # Less than n * n, which fits.
            self._codes = ranks * len(self._instances) + np.searchsorted(self._instances, instances[starts])
            self._hashes = known

    def pairs(self, hashes: Hashes, instances: Places) -> tuple[Places, Places]:
        """Return all pairs of a row and a place in the arguments (m,) that have the same hash and instance.

        Returns:
            Rows and places, int64 (k,) each, in order of the places.
        """
        slots, hit = self._find(hashes, instances)
        places = np.flatnonzero(hit)
        slots = slots[places]
        if len(self._starts) == self._rows + 1:
            rows = self._starts[slots]
        else:
            sizes = self._starts[slots + 1] - self._starts[slots]
            ends = np.cumsum(sizes)
            within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)
            rows = np.repeat(self._starts[slots], sizes) + within
            places = np.repeat(places, sizes)
        return rows if self._order is None else self._order[rows], places

    def _find(self, hashes: Hashes, instances: Places) -> tuple[Places, Mask]:
        """Return for each place its slot, and whether it has one."""
        if not self._rows:
            return np.zeros(len(hashes), dtype=np.int64), np.zeros(len(hashes), dtype=np.bool_)
        ranks, hit = _search(self._hashes, hashes)
        numbers, known = _search(self._instances, instances)
        hit &= known
        if self._codes is None:
            return ranks, hit
        slots, found = _search(self._codes, ranks * len(self._instances) + numbers)
        return slots, hit & found


def _search(known: npt.NDArray[np.generic], wanted: npt.NDArray[np.generic]) -> tuple[Places, Mask]:
    """Return the places of `wanted` (m,) in `known`, ascending and not empty, and whether they are there."""
    if len(known) == 1:
        return np.zeros(len(wanted), dtype=np.int64), np.asarray(wanted == known[0], dtype=np.bool_)
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return places, np.asarray(known[places] == wanted, dtype=np.bool_)


def _ascending(hashes: Hashes, instances: Places) -> bool:
    after = hashes[1:] > hashes[:-1]
    return bool(np.all(after | ((hashes[1:] == hashes[:-1]) & (instances[1:] >= instances[:-1]))))
