"""From decoded rows to those that a collector holds until the next cut; changes with what is done before anything is buffered.

That is: privacy, the rates at which records were captured before they reached us, hashes, windows, strata, and the sampler's
first cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collectors.privacy import Privacy
from collectors.sampler import KEEP_ALL, Hashes, below, theta_of
from collectors.strata import strata_of
from collectors.wire.blocks import HASH_RATE, LATENCY, RATE, STATUS
from monitor.clock import EPOCH, from_micros, to_micros
from monitor.config.settings import ModelSettings
from monitor.hashing import hash_ids
from monitor.records import EVENT_TIME, REQUEST_ID, VERSION, WEIGHT, SpanKind, Window, WindowKey
from monitor.window.strata import DEFAULT, Floors

_SMALLEST_RATE = 1e-6
"""A lower rate of capture is taken for this one, so that a slip in a header gives no row all of the weight."""

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One stratum of a window."""

    key: WindowKey
    stratum: str = DEFAULT


@dataclass(frozen=True, slots=True)
class Held:
    """Rows of one model that may be kept, and in which of `cells` each lies.

    Attributes:
        table: columns of `part_schema` without what only this module reads; `hash_rate` only where one is below 1.
        hashes: uint64 (n,), of the original request ids.
        group: int64 (n,), places in `cells`.
        records: int64, how many records of each cell there were before any was dropped.
        newest: newest event time of these, in microseconds.
    """

    table: pa.Table
    hashes: Hashes
    group: Places
    cells: Sequence[Cell]
    records: Places
    newest: int


class Intake:
    """Takes the decoded rows of one model, of one kind."""

    def __init__(self, kind: SpanKind, options: ModelSettings) -> None:
        """Take rows as the model's settings say."""
        self._settings = options.sampling.floors if kind is SpanKind.TRAFFIC else []
        self.floors = Floors(self._settings)
        self.max_rows = options.sampling.max_rows_per_window
        # A label does not say whether its request was kept for a floor.
        all_labels = kind is SpanKind.LABELS and bool(options.sampling.floors)
        self.theta = KEEP_ALL if all_labels else theta_of(options.sampling.rate)
        self._length = to_micros(EPOCH + options.windows.length)
        self._privacy = Privacy(options.privacy)

    def take(self, model: str, table: pa.Table) -> Held:
        """Return what is to be held of decoded rows (at least one) of `model`."""
        table = _with_rates(self._privacy.treat_decoded(table))
        micros = table.column(EVENT_TIME).cast(pa.int64()).to_numpy()
        group, keys = _windows(model, table.column(VERSION), micros, self._length)
        cells = [Cell(key) for key in keys]
        if self.floors:
            group, cells = self._strata(table, group, keys)
        hashes = hash_ids(table.column(REQUEST_ID))
        kept = below(hashes, self.theta)
        if self.floors and not kept.all():
            kept |= self._above(hashes, group, cells)
        table = self._privacy.treat_ids(table.select([name for name in table.column_names if name not in _OURS]))
        records, newest = np.bincount(group, minlength=len(cells)), int(micros.max())
        if not kept.all():
            table, hashes, group = table.filter(pa.array(kept)), hashes[kept], group[kept]
        return Held(table, hashes, group, cells, records, newest)

    def _strata(self, table: pa.Table, group: Places, keys: Sequence[WindowKey]) -> tuple[Places, list[Cell]]:
        codes, names = strata_of(table, self._settings)
        distinct, group = np.unique(group * len(names) + codes, return_inverse=True)
        cells = [Cell(keys[code // len(names)], names[code % len(names)]) for code in distinct.tolist()]
        return merged(group.astype(np.int64), cells, counting(self.floors, cells))

    def _above(self, hashes: Hashes, group: Places, cells: Sequence[Cell]) -> npt.NDArray[np.bool_]:
        """Return which rows may be kept for a floor: those with the smallest hashes of their stratum here."""
        kept = np.zeros(len(hashes), dtype=np.bool_)
        for place, cell in enumerate(cells):
            rows = self.floors.rows(cell.stratum)
            if rows:
                members = np.flatnonzero(group == place)
                own = hashes[members]
                kept[members] = True if len(own) <= rows else own <= np.partition(own, rows)[rows]
        return kept


_OURS = frozenset({RATE, LATENCY, STATUS})


def counting(floors: Floors, cells: Iterable[Cell]) -> Mapping[Cell, Cell]:
    """Return for each cell the one that it counts as: itself, or the default one of its window."""
    counts_as: dict[Cell, Cell] = {}
    for _, of_window in groupby(sorted(cells), key=lambda cell: cell.key):
        mine = list(of_window)
        first = floors.first(cell.stratum for cell in mine)
        counts_as |= {cell: cell if cell.stratum in first else Cell(cell.key) for cell in mine}
    return counts_as


def merged(group: Places, cells: Sequence[Cell], counts_as: Mapping[Cell, Cell]) -> tuple[Places, list[Cell]]:
    """Return rows grouped by the cells that theirs count as."""
    index: dict[Cell, int] = {}
    moved = np.array([index.setdefault(counts_as[cell], len(index)) for cell in cells], dtype=np.int64)
    return moved[group], list(index)


def windows_of(pieces: Sequence[Held]) -> list[tuple[WindowKey, Held]]:
    """Put the rows of one kind and model together and split them by window; windows in order."""
    index: dict[Cell, int] = {}
    for piece in pieces:
        for cell in piece.cells:
            index.setdefault(cell, len(index))
    cells = list(index)
    whole = Held(
        _joined([piece.table for piece in pieces]),
        np.concatenate([piece.hashes for piece in pieces]),
        np.concatenate([np.array([index[cell] for cell in piece.cells])[piece.group] for piece in pieces]),
        cells,
        np.zeros(len(cells), dtype=np.int64),
        max(piece.newest for piece in pieces),
    )
    keys = sorted({cell.key for cell in cells})
    if len(keys) == 1:
        return [(keys[0], whole)]
    number = {key: place for place, key in enumerate(keys)}
    window = np.array([number[cell.key] for cell in cells], dtype=np.int64)[whole.group]
    order = np.argsort(window, kind="stable")
    edges = np.searchsorted(window[order], np.arange(len(keys) + 1))
    split = []
    for place, key in enumerate(keys):
        rows = order[edges[place] : edges[place + 1]]
        mine = replace(
            whole, table=whole.table.take(pa.array(rows)), hashes=whole.hashes[rows], group=whole.group[rows]
        )
        split.append((key, mine))
    return split


def _with_rates(table: pa.Table) -> pa.Table:
    """Put independent rates of capture into the weights, and leave the others out where all are 1."""
    if RATE in table.column_names:
        rates = table.column(RATE).to_numpy()
        if np.any(rates < 1.0):
            weights = table.column(WEIGHT).to_numpy() / np.maximum(rates, _SMALLEST_RATE)
            table = _replaced(table, WEIGHT, weights)
    if HASH_RATE in table.column_names:
        rates = table.column(HASH_RATE).to_numpy()
        if np.any(rates < 1.0):
            return _replaced(table, HASH_RATE, np.maximum(rates, _SMALLEST_RATE))
        table = table.drop([HASH_RATE])
    return table


def _replaced(table: pa.Table, name: str, values: npt.NDArray[np.float64]) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(place), pa.array(values))


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    rated = next((table.schema.field(HASH_RATE) for table in tables if HASH_RATE in table.column_names), None)
    if rated is not None:
        names = [name for name in tables[0].column_names if name != HASH_RATE]
        tables = [
            table.select(names).append_column(
                rated,
                table.column(HASH_RATE) if HASH_RATE in table.column_names else pa.array(np.ones(table.num_rows)),
            )
            for table in tables
        ]
    return pa.concat_tables(tables).combine_chunks()


def _windows(
    model: str, versions: pa.ChunkedArray, micros: npt.NDArray[np.int64], length: int
) -> tuple[Places, list[WindowKey]]:
    """Return for each row the index of its window, int64 (n,), and the windows."""
    encoded = versions.combine_chunks().dictionary_encode()
    encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
    names = encoded.dictionary.to_pylist()
    number = micros // length
    first = int(number.min())
    codes = (number - first) * len(names) + encoded.indices.to_numpy()
    distinct, group = np.unique(codes, return_inverse=True)
    keys = []
    for code in distinct.tolist():
        start = (code // len(names) + first) * length
        keys.append(WindowKey(model, names[code % len(names)], Window(from_micros(start), from_micros(start + length))))
    return group.astype(np.int64), keys
