"""Which rows belong to which slice, as in TFMA; changes when what a slice is does.

A slicing spec is a list of columns: `[origin, carrier]` makes a slice of each pair of values that occurs. A row without a value
in one of them is in no slice of that spec, and a row with a list of values is in the slice of each of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.records import Rows

Places = npt.NDArray[np.int64]

SliceKey = tuple[tuple[str, str], ...]
"""Columns in the order of their names, each with its value as text; the key of the overall slice is empty."""

OVERALL: SliceKey = ()
_LONGEST_NAME = 512


def slice_key(values: Mapping[str, str]) -> SliceKey:
    """Return the key that says the same as a JSON object of columns and values."""
    return tuple(sorted(values.items()))


def slice_columns(key: SliceKey) -> frozenset[str]:
    """Return the columns that a key has a value of."""
    return frozenset(column for column, _ in key)


def slice_name(key: SliceKey) -> str:
    """Return a name of at most 512 characters, different for different keys: canonical JSON, or the SHA-256 of a longer one.

    That of the overall slice is empty.
    """
    text = json.dumps(dict(key), sort_keys=True, separators=(",", ":")) if key else ""
    return text if len(text) <= _LONGEST_NAME else hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Slices:
    """The slices of one spec.

    Attributes:
        places: of each slice its rows, ascending; in the order of the keys.
        small: how many more slices there are, with too few rows.
    """

    places: Mapping[SliceKey, Places]
    small: int = 0


def slices_of(features: pa.Table, spec: Collection[str], least: int = 1) -> Slices:
    """Return the slices by the columns of `spec` that have `least` rows or more; none where a column is not there.

    Numbers are written as JSON writes them: 7 of a column of whole numbers, 7.0 of one of others. Rows with NaN have no value.
    """
    if not spec or any(column not in features.column_names for column in spec):
        return Slices({})
    each = [_by_value(column, features.column(column)) for column in sorted(set(spec))]
    members = reduce(lambda one, other: _crossed(one, other, features.num_rows), each)
    codes, numbers, sizes = np.unique(members.codes, return_inverse=True, return_counts=True)
    order = np.argsort(numbers.astype(np.uint16) if len(codes) < 1 << 16 else numbers, kind="stable")
    ends = np.cumsum(sizes)
    rows = members.rows[order]
    big = np.flatnonzero(sizes >= least)
    found = {members.key(int(codes[i])): rows[ends[i] - sizes[i] : ends[i]] for i in big}
    return Slices(dict(sorted(found.items())), len(codes) - len(big))


def rows_at(rows: Rows, places: Places) -> Rows:
    """Return the rows at `places`, in that order.

    How many of them were seen before sampling is not known, and values that fit no type are told of the whole window.
    """

    def at(array: npt.NDArray[Any] | None) -> Any:
        return None if array is None else array[places]

    return replace(
        rows,
        features=rows.features.take(pa.array(places)),
        weights=at(rows.weights),
        clusters=at(rows.clusters),
        event_times=at(rows.event_times),
        uniform=at(rows.uniform),
        misfits={},
        seen=len(places),
    )


@dataclass(frozen=True, slots=True)
class _Members:
    """Pairs of a row (ascending) and the code of a slice that it is in; a code says which value each column has."""

    rows: Places
    codes: Places
    values: tuple[tuple[str, pa.Array], ...]

    def key(self, code: int) -> SliceKey:
        parts = []
        for column, values in reversed(self.values):
            code, place = divmod(code, len(values))
            parts.append((column, _text(values[place].as_py())))
        return tuple(reversed(parts))


def _by_value(name: str, column: pa.ChunkedArray) -> _Members:
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0)
    rows = np.arange(len(array))
    listed = pa.types.is_list(array.type) or pa.types.is_large_list(array.type)
    if listed:
        rows = pc.list_parent_indices(array).to_numpy(zero_copy_only=False).astype(np.int64)
        array = array.flatten()
    if pa.types.is_floating(array.type):
        # Adding nothing makes one zero of -0.0 and 0.0.
        array = pc.add(pc.if_else(pc.is_nan(array), None, array), 0.0)
    encoded = array.dictionary_encode()
    there = encoded.indices.is_valid().to_numpy(zero_copy_only=False)
    rows = rows[there]
    codes = encoded.indices.drop_null().to_numpy(zero_copy_only=False).astype(np.int64)
    if listed:
        distinct = np.unique(rows * len(encoded.dictionary) + codes)
        rows, codes = np.divmod(distinct, max(1, len(encoded.dictionary)))
    return _Members(rows, codes, ((name, encoded.dictionary),))


def _crossed(one: _Members, other: _Members, rows: int) -> _Members:
    """Return the pairs of both whose rows are the same."""
    counts = np.bincount(other.rows, minlength=rows)
    times = counts[one.rows]
    left = np.repeat(np.arange(len(one.rows)), times)
    nth = np.arange(len(left)) - np.repeat(np.cumsum(times) - times, times)
    right = (np.cumsum(counts) - counts)[one.rows[left]] + nth
    size = max(1, len(other.values[0][1]))
    return _Members(one.rows[left], one.codes[left] * size + other.codes[right], one.values + other.values)


def _text(value: Any) -> str:
    return value.decode("utf-8", errors="backslashreplace") if isinstance(value, bytes) else str(value)
