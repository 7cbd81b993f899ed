"""Arrow columns as one array, and as a matrix; changes with the types that columns of rows may have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.profile.document import Floats


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def is_text(kind: pa.DataType) -> bool:
    """Say whether values are strings or bytes."""
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def is_vector(kind: pa.DataType) -> bool:
    """Say whether values are lists of numbers."""
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(listed and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))


def lengths_of(column: pa.Array) -> npt.NDArray[np.int64]:
    """Return the length of each list (n,), -1 for a missing one."""
    if pa.types.is_fixed_size_list(column.type):
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        return np.where(valid, column.type.list_size, -1)
    lengths = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False)
    return np.asarray(lengths, np.int64)


def matrix_of(column: pa.Array, size: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the lists of `size` finite numbers as rows (m, size), and which rows of the column they are, bool (n,)."""
    lengths = lengths_of(column)
    fits = lengths == size
    values = (column if fits.all() else column.filter(pa.array(fits))).flatten()
    numbers = values.to_numpy(zero_copy_only=False).astype(np.float64, copy=False).reshape(-1, size)
    finite = np.isfinite(numbers).all(axis=1)
    if finite.all():
        return numbers, fits
    fits[np.flatnonzero(fits)[~finite]] = False
    return numbers[finite], fits


def numbers_or_null(values: Floats) -> pa.Array:
    """Return numbers as a column in which NaN is null."""
    return pa.array(values, pa.float64(), from_pandas=True)


def spread_over(rows: npt.NDArray[np.bool_], values: Floats) -> Floats:
    """Return a value for each row (n,): those of `rows` in their order, NaN for the others."""
    spread = np.full(len(rows), np.nan)
    spread[rows] = values
    return spread


def evenly(rows: int, most: int) -> npt.NDArray[np.int64]:
    """Return at most `most` places of `rows`, spread evenly; all of them where there are no more."""
    if rows <= most:
        return np.arange(rows)
    return np.arange(most) * rows // most


def sums_by(numbers: npt.NDArray[np.int64], rows: Floats, size: int) -> Floats:
    """Return the sums (size, D) of the rows (n, D) of each number from 0 to size - 1."""
    sums = np.zeros((size, rows.shape[1]))
    if len(rows):
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        sums[ordered[starts]] = np.add.reduceat(rows[order], starts, axis=0)
    return sums
