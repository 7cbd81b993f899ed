"""The join of both sides on their keys, and the counts that TFDV calls match stats; changes with how rows are paired.

Keys are encoded exactly (dictionary codes over both sides), so no two keys can be taken for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.compare.row_skew.columns import Column, Kind, Presence, comparable
from monitor.compare.row_skew.rounding import as_compared
from monitor.errors import InputError
from monitor.window.plain import time_text

MAX_PAIRS = 100_000_000
"""More pairs come from a key that does not identify rows, and would fill memory with them."""
_MAX_CODE = 2**62

_Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MatchStats:
    """How the rows were paired, by the names of TFDV's MatchStats; base is training, test is served."""

    base_with_id_count: int
    test_with_id_count: int
    identifiers_count: int
    ids_missing_in_base_count: int
    ids_missing_in_test_count: int
    matching_pairs_count: int
    base_missing_id_count: int
    test_missing_id_count: int
    duplicate_id_count: int

    def to_json(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Joined:
    """The pairs to compare: pair i is row training[i] of one side and row served[i] of the other, in the order of the former."""

    training: _Places
    served: _Places
    stats: MatchStats


def join(training: Sequence[Column], served: Sequence[Column], *, digits: int | None, duplicates: bool) -> Joined:
    """Pair the rows whose keys are equal.

    Args:
        training: one column a key, in the same order as in `served`; rows without a value in one of them are left out.
        served: likewise.
        digits: decimals to which floats are rounded before, as TFDV does.
        duplicates: whether the rows of a key that a side has several times are all paired with each other, instead of none.

    Raises:
        InputError: a key holds lists, or there are more than MAX_PAIRS pairs.
    """
    rows = [_with_key(side) for side in (training, served)]
    codes = _codes(training, served, rows, digits)
    counts = [np.bincount(side, minlength=codes[2]) for side in codes[:2]]
    stats = _stats(
        counts, [len(side[0].presence) - len(kept) for side, kept in zip((training, served), rows, strict=True)]
    )
    if duplicates:
        if stats.matching_pairs_count > MAX_PAIRS:
            raise InputError(
                f"these keys make {stats.matching_pairs_count:,} pairs of rows: name the columns that identify a row"
            )
        places = _all_pairs(codes[0], codes[1], counts[1])
    else:
        places = _unique_pairs(codes[0], codes[1], counts)
    return Joined(rows[0][places[0]], rows[1][places[1]], stats)


def _with_key(keys: Sequence[Column]) -> _Places:
    for key in keys:
        if key.multivalent:
            raise InputError("a key column holds lists; a key is one value a row")
    filled = np.logical_and.reduce([key.presence == Presence.FILLED for key in keys])
    return np.flatnonzero(filled)


def _codes(
    training: Sequence[Column], served: Sequence[Column], rows: Sequence[_Places], digits: int | None
) -> tuple[_Places, _Places, int]:
    """Return a number for each row's key on either side, equal where the keys are, and how many numbers there are."""
    codes, size = np.zeros(len(rows[0]) + len(rows[1]), dtype=np.int64), 1
    for one, other in zip(training, served, strict=True):
        values = _one_type(one.take(rows[0]), other.take(rows[1]), digits)
        encoded = pa.concat_arrays(values).dictionary_encode()
        more = max(len(encoded.dictionary), 1)
        if size * more > _MAX_CODE:
            codes, size = _dense(codes)
        codes = codes * more + encoded.indices.to_numpy(zero_copy_only=False)
        size *= more
    if len(training) > 1:
        codes, size = _dense(codes)
    return codes[: len(rows[0])], codes[len(rows[0]) :], size


def _dense(codes: _Places) -> tuple[_Places, int]:
    known, dense = np.unique(codes, return_inverse=True)
    return dense.astype(np.int64), max(len(known), 1)


def _one_type(one: Column, other: Column, digits: int | None) -> list[pa.Array]:
    same = comparable(one, other)
    if same is not None and same[0].kind is not Kind.FLOAT:
        return [side.values for side in same]
    return [_key_text(side, digits) for side in (one, other)]


def _key_text(column: Column, digits: int | None) -> pa.Array:
    """Return keys as text in which 7, 7.0 and "7" are one, and floats are rounded as they are compared."""
    if column.kind is Kind.FLOAT:
        floats = as_compared(column.values.to_numpy(zero_copy_only=False), digits)
        whole = np.isfinite(floats) & (np.trunc(floats) == floats) & (np.abs(floats) < 2.0**63)
        written = pc.cast(pa.array(np.where(whole, 0.0, floats)), pa.large_string())
        return pc.if_else(
            pa.array(whole),
            pc.cast(pa.array(np.where(whole, floats, 0.0).astype(np.int64)), pa.large_string()),
            written,
        )
    values = time_text(column.values) if column.kind is Kind.TIME else column.values
    if pa.types.is_large_binary(values.type):
        return pa.array([value.decode(errors="backslashreplace") for value in values.to_pylist()], pa.large_string())
    return pc.cast(values, pa.large_string())


def _stats(counts: Sequence[_Places], without: Sequence[int]) -> MatchStats:
    base, test = counts
    return MatchStats(
        base_with_id_count=int(base.sum()),
        test_with_id_count=int(test.sum()),
        identifiers_count=int(((base > 0) | (test > 0)).sum()),
        ids_missing_in_base_count=int(((base == 0) & (test > 0)).sum()),
        ids_missing_in_test_count=int(((test == 0) & (base > 0)).sum()),
        matching_pairs_count=int((base * test).sum()),
        base_missing_id_count=without[0],
        test_missing_id_count=without[1],
        duplicate_id_count=int(((base > 1) | (test > 1)).sum()),
    )


def _unique_pairs(training: _Places, served: _Places, counts: Sequence[_Places]) -> tuple[_Places, _Places]:
    once = (counts[0] == 1) & (counts[1] == 1)
    place = np.zeros(len(once), dtype=np.int64)
    place[served] = np.arange(len(served))
    kept = np.flatnonzero(once[training]) if len(training) else np.empty(0, np.int64)
    return kept, place[training[kept]]


def _all_pairs(training: _Places, served: _Places, counts: _Places) -> tuple[_Places, _Places]:
    order = np.argsort(served, kind="stable")
    starts = np.cumsum(counts) - counts
    partners = counts[training]
    ends = np.cumsum(partners)
    left = np.repeat(np.arange(len(training)), partners)
    within = np.arange(len(left)) - np.repeat(ends - partners, partners)
    return left, order[starts[training[left]] + within]
