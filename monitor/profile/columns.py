"""One column of rows as numpy arrays: which values are present, and what they are; changes with `Rows`' column types."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.profile.bins import Bins, NumericBins
from monitor.profile.counts import Indices
from monitor.profile.document import Floats

_MAX_TABLE = 1 << 16
"""Whole numbers within a range of this size are looked up in a table instead of being searched one by one."""


@dataclass(frozen=True, slots=True)
class Column:
    """The present values of a feature; a list counts each of its values, and is missing when null or empty.

    Attributes:
        present: (n,) which rows hold a value; None where all do.
        owners: the row of each value; None where it is value i of the present rows.
        numbers: float64 values without NaN; None for categories.
        whole: the numbers are whole and lie within a small range from `lowest` on.
        codes: index of each value into `distinct`, for categories.
        distinct: binary, without nulls.
    """

    rows: int
    present: npt.NDArray[np.bool_] | None
    owners: Indices | None = None
    numbers: Floats | None = None
    whole: Indices | None = None
    lowest: int = 0
    highest: int = 0
    codes: Indices | None = None
    distinct: pa.Array | None = None

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Column:
        """Read a column of numbers, strings or binary, or of lists of them."""
        array = _one_chunk(column)
        rows = len(array)
        if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
            owners = pc.list_parent_indices(array).to_numpy(zero_copy_only=False).astype(np.int64)
            values, kept = _values(array.flatten())
            owners = owners if kept is None else owners[kept]
            present = np.zeros(rows, bool)
            present[owners] = True
            return cls._with(values, rows, None if present.all() else present, owners)
        values, kept = _values(array)
        return cls._with(values, rows, kept, None)

    @classmethod
    def _with(
        cls,
        values: pa.Array,
        rows: int,
        present: npt.NDArray[np.bool_] | None,
        owners: Indices | None,
    ) -> Column:
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            encoded = values.dictionary_encode()
            codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
            return cls(rows, present, owners, codes=codes, distinct=encoded.dictionary.cast(pa.binary()))
        raw = values.to_numpy(zero_copy_only=False)
        numbers = raw.astype(np.float64)
        if pa.types.is_integer(values.type) and len(raw):
            lowest, highest = int(raw.min()), int(raw.max())
            if highest - lowest < _MAX_TABLE:
                return cls(rows, present, owners, numbers, raw - lowest, lowest, highest)
        return cls(rows, present, owners, numbers)

    def cells(self, bins: Bins) -> Indices:
        """Return the cell of each value."""
        if isinstance(bins, NumericBins):
            if self.numbers is None:
                raise TypeError("a column of categories meets cells of numbers")
            if self.whole is not None:
                return bins.cells(self._table())[self.whole]
            return bins.cells(self.numbers)
        if self.codes is None or self.distinct is None:
            raise TypeError("a column of numbers meets cells of categories")
        table = bins.cells(self.distinct)
        return table[self.codes] if len(table) else self.codes

    def scores(self, bins: NumericBins) -> Floats:
        """Return the location score of each value."""
        if self.numbers is None:
            raise TypeError("categories have no location")
        if self.whole is not None:
            return bins.scores(self._table())[self.whole]
        return bins.scores(self.numbers)

    def part(self, rows: npt.NDArray[np.bool_]) -> Column:
        """Return the column of the rows of a mask (n,); its distinct categories stay those of all rows."""
        values = self.of_values(rows)
        kept = np.zeros(0, bool) if values is None else values.astype(bool, copy=False)
        return Column(
            int(rows.sum()),
            None if self.present is None else self.present[rows],
            None if self.owners is None else (np.cumsum(rows) - 1)[self.owners[kept]],
            None if self.numbers is None else self.numbers[kept],
            None if self.whole is None else self.whole[kept],
            self.lowest,
            self.highest,
            None if self.codes is None else self.codes[kept],
            self.distinct,
        )

    def of_values(self, per_row: npt.NDArray[np.generic] | None) -> npt.NDArray[np.generic] | None:
        """Return, for each value, what `per_row` (n,) says of its row."""
        if per_row is None:
            return None
        if self.owners is not None:
            return per_row[self.owners]
        return per_row if self.present is None else per_row[self.present]

    def _table(self) -> Floats:
        return np.arange(self.lowest, self.highest + 1, dtype=np.float64)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return array.chunk(0) if isinstance(array, pa.ChunkedArray) else array


def _values(array: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_] | None]:
    """Return the present values, and which they are (None where all are)."""
    if pa.types.is_floating(array.type):
        numbers = array.to_numpy(zero_copy_only=False)
        there = ~np.isnan(numbers)
        return (pa.array(numbers), None) if there.all() else (pa.array(numbers[there]), there)
    if array.null_count == 0:
        return array, None
    return array.drop_null(), array.is_valid().to_numpy(zero_copy_only=False)
