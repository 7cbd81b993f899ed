"""Windows to be judged: null ones, natural ones, and both with one change; changes with how windows are drawn.

Every window is drawn from the baseline period. It depends on the data set, the kind, the size and its number alone, so that
fewer windows are the first of more, and all detectors see the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bench.detection.changes import CORRELATION, INSIDE_BLOCKS, KINDS, permuted
from bench.detection.columns import Traits, dependent_pairs, traits_of
from bench.detection.datasets import TIME, DataSet

NULL = "null"
NATURAL = "natural"
RUN = "run"
_AT_RANDOM = (NULL, *KINDS, CORRELATION)

LEAST_ROWS = 30
"""A natural block with fewer rows is no window."""
_SEED = 20_131_231

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Case:
    """One window.

    Attributes:
        group: size or length, as the table's line names it: "1,000 rows", "day".
        kind: NULL, NATURAL, RUN, or the change that was injected.
        changed: the column that is not as in the baseline; empty for the first three.
        block: length of the natural block; None for rows drawn at random.
        table: features and TIME.
    """

    data: str
    group: str
    kind: str
    number: int
    changed: tuple[str, ...]
    block: timedelta | None
    table: pa.Table

    @property
    def quiet(self) -> bool:
        """Nothing was injected, so that any flag is a false alarm."""
        return not self.changed

    @property
    def consecutive(self) -> bool:
        """The rows follow each other in time."""
        return self.kind == RUN or self.block is not None


@dataclass(frozen=True)
class Source:
    """The windows of one data set.

    Attributes:
        data: the data set.
        held_out: the baseline sees one half of the rows, and the windows come from the other; else both see all.
    """

    data: DataSet
    held_out: bool = False

    @cached_property
    def reference(self) -> pa.Table:
        """The rows of the baseline."""
        return self._half(0) if self.held_out else self.data.table

    @cached_property
    def period(self) -> pa.Table:
        """The rows that windows are drawn from."""
        return self._half(1) if self.held_out else self.data.table

    @cached_property
    def times(self) -> Places:
        """The period's times in microseconds, ascending."""
        times: Places = pc.cast(self.period.column(TIME), pa.int64()).to_numpy()
        return times

    def random(self, rows: int, kinds: Sequence[str], windows: int, changed: int) -> Iterator[Case]:
        """Yield windows of rows drawn without replacement.

        Args:
            rows: in each window; a period with fewer gives none.
            kinds: those of random rows: NULL, names of KINDS, CORRELATION; others are passed over.
            windows: how many null ones.
            changed: how many of each kind of change; kinds that no column suits give none.
        """
        if rows > self.period.num_rows:
            return
        group = rows_group(rows)
        for kind in (kind for kind in kinds if kind in _AT_RANDOM):
            for number in range(windows if kind == NULL else changed):
                rng = _rng(self.data.name, group, kind, number)
                places = np.sort(rng.choice(self.period.num_rows, rows, replace=False))
                yield from self._case(group, kind, number, None, self.period.take(pa.array(places)), rng)

    def runs(self, rows: int, kinds: Sequence[str], windows: int) -> Iterator[Case]:
        """Yield windows of rows that follow each other in time, from a random one on."""
        last = self.period.num_rows - rows
        if RUN not in kinds or last < 0:
            return
        for number in range(windows):
            start = int(_rng(self.data.name, rows_group(rows), RUN, number).integers(last + 1))
            yield Case(self.data.name, rows_group(rows), RUN, number, (), None, self.period.slice(start, rows))

    def natural(self, block: timedelta, kinds: Sequence[str], windows: int, changed: int) -> Iterator[Case]:
        """Yield the blocks of time of a length, picked at random where there are more than asked for.

        Args:
            block: its length.
            kinds: NATURAL, and those of INSIDE_BLOCKS to inject; others are passed over.
            windows: how many at most as they are.
            changed: how many at most with each change.
        """
        blocks = self._blocks(block)
        group = block_group(block)
        for kind in kinds:
            if kind != NATURAL and kind not in INSIDE_BLOCKS:
                continue
            most = min(len(blocks), windows if kind == NATURAL else changed)
            for number in _rng(self.data.name, group, "order").permutation(len(blocks))[:most].tolist():
                start, stop = blocks[number]
                rng = _rng(self.data.name, group, kind, number)
                yield from self._case(group, kind, number, block, self.period.slice(start, stop - start), rng)

    def _case(
        self,
        group: str,
        kind: str,
        number: int,
        block: timedelta | None,
        table: pa.Table,
        rng: np.random.Generator,
    ) -> Iterator[Case]:
        table = table.combine_chunks()
        changed: tuple[str, ...] = ()
        if kind == CORRELATION:
            if not self._pairs:
                return
            name = self._pairs[rng.integers(len(self._pairs))][rng.integers(2)]
            changed = (name,)
            table = _with(table, name, permuted(_array(table, name), rng))
        elif kind in KINDS:
            suitable = [name for name, traits in self._traits.items() if KINDS[kind].suits(traits)]
            if not suitable:
                return
            name = suitable[rng.integers(len(suitable))]
            changed = (name,)
            table = _with(table, name, KINDS[kind].apply(_array(table, name), self._traits[name], rng))
        yield Case(self.data.name, group, kind, number, changed, block, table)

    @cached_property
    def _traits(self) -> Mapping[str, Traits]:
        return traits_of(self.reference, self.data.features)

    @cached_property
    def _pairs(self) -> list[tuple[str, str]]:
        return dependent_pairs(self.reference, self.data.features)

    def _blocks(self, block: timedelta) -> list[tuple[int, int]]:
        numbers = self.times // (block // timedelta(microseconds=1))
        starts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
        stops = np.append(starts[1:], len(numbers))
        return [(int(a), int(b)) for a, b in zip(starts, stops, strict=True) if b - a >= LEAST_ROWS]

    def _half(self, side: int) -> pa.Table:
        sides = np.random.default_rng(_SEED).permutation(self.data.table.num_rows) % 2
        return self.data.table.filter(pa.array(sides == side)).combine_chunks()


def rows_group(rows: int) -> str:
    """Return how windows of so many rows are named."""
    return f"{rows:,} rows"


def block_group(block: timedelta) -> str:
    """Return how natural blocks of a length are named."""
    return {timedelta(hours=1): "hour", timedelta(days=1): "day", timedelta(weeks=1): "week"}.get(block, str(block))


def _rng(*named: object) -> np.random.Generator:
    return np.random.default_rng([_SEED, zlib.crc32("|".join(map(str, named)).encode())])


def _array(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _with(table: pa.Table, name: str, array: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), table.schema.field(name), array)
