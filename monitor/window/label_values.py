"""Values of labels, numbers and texts alike, as arrays; changes with what a label can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor import records as r

NUMBER: Final = -1
"""The code of a value that is a number."""

_Codes = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]
_Chosen = _Codes | _Mask | slice


@dataclass(frozen=True, slots=True)
class Values:
    """n values.

    Attributes:
        numbers: float64 (n,), 0 where the value is a text.
        codes: int64 (n,), of texts as a `Texts` numbers them, NUMBER where the value is a number.
    """

    numbers: _Floats
    codes: _Codes

    @classmethod
    def none(cls, rows: int) -> Values:
        """Return room for n values."""
        return cls(np.zeros(rows), np.full(rows, NUMBER, dtype=np.int64))

    @classmethod
    def joined(cls, parts: Sequence[Values]) -> Values:
        """Return the values of all parts."""
        return cls(np.concatenate([part.numbers for part in parts]), np.concatenate([part.codes for part in parts]))

    def take(self, chosen: _Chosen) -> Values:
        """Return the chosen values."""
        return Values(self.numbers[chosen], self.codes[chosen])

    def put(self, rows: _Codes, values: Values) -> None:
        """Put values (k,) in the places `rows` (k,), in place."""
        self.numbers[rows] = values.numbers
        self.codes[rows] = values.codes

    def equal(self, others: Values) -> _Mask:
        """Return which values are equal, place by place; a number never equals a text."""
        return np.asarray((self.codes == others.codes) & (self.numbers == others.numbers), dtype=np.bool_)


class Texts:
    """The different texts of one join, numbered as they come. Numbers come before texts, and texts in order of their UTF-8."""

    def __init__(self) -> None:
        """Begin with none."""
        self._codes: dict[str, int] = {}
        self._known: list[str] = []

    def read(self, table: pa.Table) -> tuple[Values, _Mask]:
        """Return the labels (n,) of a table with the columns of labels, and where there is one at all."""
        numbers = numpy_of(pc.fill_null(table.column(r.LABEL), np.nan))
        codes = self._read(table.column(r.LABEL_TEXT))
        is_number = (codes == NUMBER) & ~np.isnan(numbers)
        # A zero has no sign here, so that equal numbers are equal bytes too.
        return Values(np.where(is_number, numbers, 0.0) + 0.0, codes), is_number | (codes != NUMBER)

    def spelled(self, codes: _Codes) -> pa.Array:
        """Return the texts of `codes` (n,), null for numbers."""
        known = pa.array(self._known, pa.string())
        return known.take(pa.array(codes, mask=codes == NUMBER))

    def ranks(self, codes: _Codes) -> _Codes:
        """Return numbers (n,) that order as the texts do; NUMBER for numbers."""
        present = np.unique(codes[codes != NUMBER])
        if not len(present):
            return codes
        order = sorted(range(len(present)), key=lambda place: self._known[present[place]])
        ranks = np.empty(len(present), dtype=np.int64)
        ranks[order] = np.arange(len(present))
        found = ranks[np.minimum(np.searchsorted(present, codes), len(present) - 1)]
        return np.where(codes == NUMBER, NUMBER, found)

    def greater(self, values: Values, others: Values) -> _Mask:
        """Return where `values` come after `others`, place by place."""
        ranks = self.ranks(np.concatenate([values.codes, others.codes]))
        mine, theirs = ranks[: len(values.codes)], ranks[len(values.codes) :]
        return np.asarray((mine > theirs) | ((mine == theirs) & (values.numbers > others.numbers)), dtype=np.bool_)

    def _read(self, texts: pa.ChunkedArray) -> _Codes:
        if texts.null_count == len(texts):
            return np.full(len(texts), NUMBER, dtype=np.int64)
        encoded = array_of(texts).dictionary_encode()
        numbered = np.array([self._number(text) for text in encoded.dictionary.to_pylist()], dtype=np.int64)
        places = numpy_of(pc.fill_null(encoded.indices, -1))
        return np.where(places < 0, NUMBER, numbered[places])

    def _number(self, text: str) -> int:
        code = self._codes.setdefault(text, len(self._known))
        if code == len(self._known):
            self._known.append(text)
        return code


def column_of(values: Values, given: _Mask, texts: Texts) -> pa.Array:
    """Return values as a column, null where none is given: of numbers, or of texts where any is one."""
    numbers = pa.array(values.numbers, mask=~given | (values.codes != NUMBER))
    if not np.any(given & (values.codes != NUMBER)):
        return numbers
    return pc.coalesce(texts.spelled(np.where(given, values.codes, NUMBER)), pc.cast(numbers, pa.string()))


def merged_columns(parts: Sequence[pa.Array]) -> pa.Array:
    """Return columns as `column_of` makes them as one: of texts where any is."""
    kinds = {part.type for part in parts}
    kind = pa.string() if pa.string() in kinds else pa.float64()
    return pa.concat_arrays([pc.cast(part, kind) for part in parts])


def array_of(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column in one piece."""
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def numpy_of(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[Any]:
    """Return a column of numbers or booleans without nulls as an array."""
    return np.asarray(
        column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)
    )


def times_of(table: pa.Table) -> npt.NDArray[np.int64]:
    """Return the event times of a table's rows, in microseconds."""
    return numpy_of(pc.cast(table.column(r.EVENT_TIME), pa.int64()))
