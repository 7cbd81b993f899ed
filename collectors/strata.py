"""Which stratum a decoded row belongs to; changes when a floor can be by something else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collectors.texts import plain_text
from collectors.wire.blocks import LATENCY, STATUS
from monitor.config.settings import FloorSettings
from monitor.records import FEATURE_PREFIX, UNTYPED, VERSION
from monitor.window.strata import DEFAULT, stratum_name

_Places = npt.NDArray[np.int64]
_Values = tuple[_Places, list[str | None]]
"""Of each row the index of its value, int64 (n,), and the values; None is no value that a stratum is named by."""

_OK = frozenset({"", "OK"})
_FIRST_ERROR = 400


def strata_of(table: pa.Table, floors: Sequence[FloorSettings]) -> tuple[_Places, list[str]]:
    """Return of each row the index of its stratum's name, int64 (n,), and the names, the default one first.

    `table` has the columns of `part_schema`. A row belongs to the first floor all of whose columns name something: `version`
    always does, `status` where it is an error, `latency` where the answer was slow, a feature where it has one value.
    """
    names = {DEFAULT: 0}
    codes = np.zeros(table.num_rows, dtype=np.int64)
    for floor in floors:
        free = codes == 0
        columns = [_values(table, column, floor.slow_over) for column in floor.by]
        combined = np.zeros(table.num_rows, dtype=np.int64)
        for places, values in columns:
            free &= np.array([value is not None for value in values], dtype=np.bool_)[places]
            combined = combined * len(values) + places
        distinct, inverse = np.unique(combined[free], return_inverse=True)
        found = [
            names.setdefault(stratum_name(floor.by, _texts(columns, code)), len(names)) for code in distinct.tolist()
        ]
        codes[free] = np.array(found, dtype=np.int64)[inverse]
    return codes, list(names)


def _texts(columns: Sequence[_Values], code: int) -> list[str]:
    """Return the values that were combined to `code`."""
    texts = []
    for _, values in reversed(columns):
        code, place = divmod(code, len(values))
        texts.append(values[place] or "")
    return texts[::-1]


def _values(table: pa.Table, column: str, slow_over: timedelta) -> _Values:
    if column == "version":
        return _of_texts(table, VERSION, lambda text: text)
    if column == "status":
        return _of_texts(table, STATUS, _error)
    if column == "latency":
        if LATENCY not in table.column_names:
            return _none(table)
        seconds = table.column(LATENCY).to_numpy()
        return (seconds > slow_over.total_seconds()).astype(np.int64), [None, "slow"]
    return _of_feature(table, column.removeprefix(FEATURE_PREFIX))


def _none(table: pa.Table) -> _Values:
    return np.zeros(table.num_rows, dtype=np.int64), [None]


def _error(status: str) -> str | None:
    """Return "error" for an HTTP status from 400 on, and for a gRPC code other than OK."""
    fine = int(status) < _FIRST_ERROR if status.isascii() and status.isdigit() else status.upper() in _OK
    return None if fine else "error"


def _of_texts(table: pa.Table, name: str, text_of: Callable[[str], str | None]) -> _Values:
    if name not in table.column_names or table.column(name).null_count == table.num_rows:
        return _none(table)
    return _coded(table.column(name), lambda value: text_of(str(value)))


def _of_feature(table: pa.Table, name: str) -> _Values:
    """Return a feature's values, be they in its typed column or, where it has none or they do not fit, kept apart."""
    typed = FEATURE_PREFIX + name
    places, values = _none(table)
    if typed in table.column_names and not pa.types.is_list(table.schema.field(typed).type):
        places, values = _coded(table.column(typed), plain_text)
    apart = table.column(UNTYPED) if UNTYPED in table.column_names else None
    if apart is None or apart.null_count == len(apart):
        return places, values
    known = {value: place for place, value in enumerate(values)}
    rows = np.flatnonzero(np.asarray(pc.is_valid(apart)))
    for row, text in zip(rows.tolist(), apart.drop_null().to_pylist(), strict=True):
        value = plain_text(json.loads(text).get(name))
        if value is not None:
            places[row] = known.setdefault(value, len(known))
    return places, list(known)


def _coded(column: pa.ChunkedArray, text_of: Callable[[object], str | None]) -> _Values:
    """Return the values of a column, None first."""
    encoded = column.combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    known: dict[str | None, int] = {None: 0}
    texts = (None if value is None else text_of(value) for value in encoded.dictionary.to_pylist())
    place_of = np.array([*(known.setdefault(text, len(known)) for text in texts), 0], dtype=np.int64)
    indices = pc.fill_null(encoded.indices, len(place_of) - 1).to_numpy()
    return place_of[indices], list(known)
