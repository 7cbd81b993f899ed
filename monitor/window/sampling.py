"""The sampler's last cut and the weights of what it keeps, made by the reader; changes when the sampling contract does.

Kept are the rows of a window below its limit: the smallest theta of its spans, or the (max_rows + 1)-th smallest hash. Of a
stratum with a floor the N rows with the smallest hashes are kept as well, and those that share the N-th smallest hash.
`collectors/sampler.py` holds the proof that collectors keep all of these.

Weights (Horvitz and Thompson, 1952) are the inverse of a row's chance to be kept. Where nobody sampled before us this is seen /
kept of its stratum, so that weights add up to exactly what was seen. A row that was captured at a rate `a` applied to the same
hash had the chance min(a, T): T is the stratum's threshold, for a bottom-k sample the first hash that is not in it (Cohen and
Kaplan, 2007: rank conditioning). Rates independent of the hash are in the stored weights already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.window.strata import DEFAULT, Floors

KEEP_ALL = 2**64

_Bools = npt.NDArray[np.bool_]
_Floats = npt.NDArray[np.float64]
_Hashes = npt.NDArray[np.uint64]
_Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LastCut:
    """What becomes of n rows.

    Attributes:
        kept: bool (n,).
        uniform: bool (n,), those kept whatever their stratum: a uniform sample of the window.
        factors: float64 (n,), by which the weight of a kept row is to be multiplied; anything elsewhere.
    """

    kept: _Bools
    uniform: _Bools
    factors: _Floats


def last_cut(
    hashes: _Hashes,
    strata: tuple[_Places, Sequence[str]] | None,
    rates: _Floats | None,
    *,
    theta: int,
    max_rows: int,
    floors: Floors,
    seen: Mapping[str, int],
) -> LastCut:
    """Return which rows of a window are kept, and what each stands for.

    Args:
        hashes: uint64 (n,).
        strata: of each row the index of its stratum's name, int64 (n,), and the names; None where there is but the default one.
        rates: float64 (n,), rates applied to `hashes` before a collector read them; None where there were none.
        theta: the smallest of the spans.
        max_rows: rows that are kept at most, but for floors.
        floors: of the model.
        seen: records by stratum; empty where that is not known, and then floors keep nothing, and strata have no weight.
    """
    limit = _limit(hashes, theta, max_rows)
    uniform = _below(hashes, limit)
    kept = uniform.copy()
    factors = np.ones(len(hashes))
    names = floors.first(seen)
    default = np.ones(len(hashes), dtype=np.bool_)
    for name, members in _named(strata, names):
        bound, threshold = _floor(hashes[members], floors.rows(name))
        kept[members] |= _below(hashes[members], bound)
        default[members] = False
        mine = members[kept[members]]
        factors[mine] = _factors(mine, rates, max(limit, threshold), seen[name])
    rest = sum(records for name, records in seen.items() if name not in names)
    mine = np.flatnonzero(kept & default)
    factors[mine] = _factors(mine, rates, limit, rest if seen else None)
    return LastCut(kept, uniform, factors)


def _named(strata: tuple[_Places, Sequence[str]] | None, names: frozenset[str]) -> Iterator[tuple[str, _Places]]:
    """Yield the strata among `names` that have rows, with the places of these."""
    if strata is None or not names:
        return
    codes, known = strata
    for code, name in enumerate(known):
        if name != DEFAULT and name in names:
            yield name, np.flatnonzero(codes == code)


def _limit(hashes: _Hashes, theta: int, max_rows: int) -> int:
    below = hashes[_below(hashes, theta)]
    return int(np.partition(below, max_rows)[max_rows]) if len(below) > max_rows else theta


def _floor(hashes: _Hashes, rows: int) -> tuple[int, int]:
    """Return below what the rows of a floor lie, and the first hash that is not needed to fill it."""
    if len(hashes) <= rows:
        return KEEP_ALL, KEEP_ALL
    smallest = np.partition(hashes, [rows - 1, rows])
    return int(smallest[rows - 1]) + 1, int(smallest[rows])


def _below(hashes: _Hashes, limit: int) -> _Bools:
    if limit >= KEEP_ALL:
        return np.ones(len(hashes), dtype=np.bool_)
    return np.asarray(hashes < np.uint64(limit), dtype=np.bool_)


def _factors(kept: _Places, rates: _Floats | None, threshold: int, seen: int | None) -> _Floats | float:
    mine = None if rates is None else rates[kept]
    if mine is not None and bool(np.any(mine < 1.0)):
        return np.asarray(1.0 / np.minimum(mine, threshold / KEEP_ALL), dtype=np.float64)
    return seen / len(kept) if seen is not None and len(kept) else 1.0
