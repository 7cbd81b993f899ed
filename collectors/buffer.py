"""What a collector has read and not committed: blocks in, cuts out; changes with what a cut consists of.

No threads, no clock, no network: the runner brings blocks, claims and `now`, and carries cuts to the store.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa

from collectors.dead_letter import TooManyDeadLetters, dead_letter
from collectors.intake import Cell, Held, Intake, Places, counting, merged, windows_of
from collectors.sampler import Sampler, below
from collectors.source import Block, Started
from collectors.spans import Hashes, SpanFile, seal
from collectors.streams import Stream
from collectors.wire.blocks import Decoded, Envelope
from monitor.clock import from_micros
from monitor.cuts import Claim, Count, Cut, DeadLetter, Lost, Partition, Range
from monitor.errors import InvariantBroken
from monitor.records import ColumnTypes, SpanKind, WindowKey

Decode = Callable[[Block, datetime], Decoded]
"""How the blocks of one stream become rows."""

RATIO_FROM_MESSAGES = 100
"""The share of dead letters is judged among at least so many messages: those of a cut, or of the newest cuts together."""


@dataclass(slots=True)
class _Tally:
    records: int = 0
    sampled_out: int = 0


@dataclass(slots=True)
class _Reading:
    """What one claim has read and not committed: the offsets [start, end), and what came of them."""

    epoch: int
    start: int
    end: int
    progressed_at: datetime
    newest: int | None = None
    end_checked_at: datetime | None = None
    """When nothing was left to read; None after something was read since."""
    rows: dict[tuple[SpanKind, str], list[Held]] = field(default_factory=lambda: defaultdict(list))
    tallies: dict[tuple[SpanKind, Cell], _Tally] = field(default_factory=lambda: defaultdict(_Tally))
    dead: list[DeadLetter] = field(default_factory=list)
    dead_bytes: int = 0
    lost: list[Lost] = field(default_factory=list)
    messages: int = 0
    decoded: int = 0
    kept: int = 0


@dataclass(frozen=True, slots=True)
class PreparedCut:
    """A cut that is ready to be written: first the intents of `files`, then the files, then `cut`.

    Attributes:
        kept: hashes of the rows that it keeps below the window's theta, by traffic window.
        kept_of_strata: hashes of the rows that it keeps of strata with a floor.
        messages: how many messages it covers, by stream.
    """

    cut: Cut
    files: Sequence[SpanFile]
    kept: Mapping[WindowKey, Hashes]
    kept_of_strata: Mapping[Cell, Hashes]
    messages: Mapping[str, int]


class Buffer:
    """Rows and counts between two cuts; not thread-safe."""

    def __init__(
        self,
        collector: str,
        streams: Sequence[Stream],
        sampler: Sampler,
        decoder_of: Callable[[Stream, Envelope], Decode],
        max_dead_letter_ratio: float,
        *,
        keep_bytes: bool = False,
    ) -> None:
        """Collect in the name of `collector`; `decoder_of` gives each stream its wire format."""
        self._collector = collector
        self._streams = {stream.name: stream for stream in streams}
        self._sampler = sampler
        self._decoder_of = decoder_of
        self._max_dead_letter_ratio = max_dead_letter_ratio
        self._keep_bytes = keep_bytes
        # Messages and dead letters of the newest committed cuts, as many as it takes to judge a trickle.
        self._recent: deque[tuple[int, int]] = deque()
        self._intakes = {
            (stream.kind, model): Intake(stream.kind, options)
            for stream in streams
            for model, options in stream.models.items()
        }
        self._types: dict[str, ColumnTypes] = {}
        self._decoders: dict[str, Decode] = {}
        self._readings: dict[Partition, _Reading] = {}
        self.set_types({})

    @property
    def models(self) -> Sequence[str]:
        """The models whose column types are needed."""
        return sorted({model for stream in self._streams.values() for model in stream.models})

    @property
    def rows(self) -> int:
        """Rows and dead letters that wait to be committed."""
        return sum(reading.kept + len(reading.dead) for reading in self._readings.values())

    @property
    def dead_bytes(self) -> int:
        """Bytes of dead letters that wait to be committed, where they are kept."""
        return sum(reading.dead_bytes for reading in self._readings.values())

    @property
    def claimed(self) -> bool:
        """Whether any partition is being read."""
        return bool(self._readings)

    @property
    def dirty(self) -> bool:
        """Whether there is anything to commit but the news that input is quiet."""
        return any(reading.messages or reading.lost for reading in self._readings.values())

    def set_types(self, types: Mapping[str, ColumnTypes]) -> None:
        """Decode from now on by these column types; raises InvariantBroken while rows of older types wait."""
        wanted = {model: types.get(model, {}) for model in self.models}
        if wanted == self._types:
            return
        if self.rows:
            raise InvariantBroken("column types changed in the middle of a cut")
        self._types = wanted
        for stream in self._streams.values():
            envelope = Envelope(
                stream.kind,
                {model: wanted[model] for model in stream.models},
                {model: options.windows.max_future for model, options in stream.models.items()},
            )
            self._decoders[stream.name] = self._decoder_of(stream, envelope)

    def start(self, claim: Claim, started: Started, now: datetime) -> None:
        """Begin to count for a claim; what an older claim of the partition read is forgotten, since it is read again."""
        reading = _Reading(claim.epoch, started.stored, started.position, now)
        if started.lost is not None:
            reading.lost.append(started.lost)
        self._readings[claim.partition] = reading

    def discard(self) -> None:
        """Forget all that is not committed, and all claims; the source must start its partitions again."""
        self._readings = {}

    def at_end(self, partition: Partition, epoch: int, position: int, now: datetime) -> None:
        """Note that at `now` nothing was left to read from `position` on."""
        reading = self._readings.get(partition)
        if reading is not None and reading.epoch == epoch and reading.end == position:
            reading.end_checked_at = now

    def accept(self, block: Block, now: datetime) -> Decoded | None:
        """Take a block; None when it was read under a claim that is no longer ours.

        Raises:
            InvariantBroken: the block does not start where the one before ended.
        """
        reading = self._readings.get(block.partition)
        if reading is None or reading.epoch != block.epoch:
            return None
        if block.start != reading.end:
            raise InvariantBroken(
                f"{block.partition.name}/{block.partition.number}: read up to {reading.end}, then from {block.start}"
            )
        stream = self._streams[block.partition.name]
        decoded = self._decoders[stream.name](block, now)
        for index, reason in decoded.dead:
            value = block.values[index] if len(block.values) else None
            headers = block.headers[index] if len(block.headers) else ()
            where = block.partition, int(block.offsets[index])
            letter = dead_letter(*where, reason, value, headers, keep_bytes=self._keep_bytes)
            reading.dead.append(letter)
            reading.dead_bytes += len(letter.content or b"")
        for model, table in decoded.parts.items():
            self._hold(reading, stream.kind, self._intakes[stream.kind, model].take(model, table))
        reading.messages += len(block)
        reading.decoded += decoded.decoded
        reading.end = block.end
        if len(block):
            reading.progressed_at = now
            reading.end_checked_at = None
        return decoded

    def prepare(self, now: datetime) -> PreparedCut | None:
        """Return all that is not committed as a cut, or None before the first claim; changes nothing but thetas.

        Raises:
            TooManyDeadLetters: see there.
        """
        if not self._readings:
            return None
        readings = [reading for _, reading in sorted(self._readings.items())]
        dead = [letter for reading in readings for letter in reading.dead]
        messages = sum(reading.messages for reading in readings)
        self._check_ratio(messages, dead)
        tallies, counts_as = self._tallies(readings)
        pieces: dict[tuple[SpanKind, str], list[Held]] = defaultdict(list)
        for reading in readings:
            for what, held in reading.rows.items():
                pieces[what].extend(held)
        files: list[SpanFile] = []
        kept: dict[WindowKey, Hashes] = {}
        kept_of_strata: dict[Cell, Hashes] = {}
        for (kind, model), held in sorted(pieces.items()):
            for key, rows in windows_of(held):
                group, cells = merged(rows.group, rows.cells, counts_as[kind])
                theta = self._theta(kind, key, rows.hashes)
                keep = below(rows.hashes, theta)
                if kind is SpanKind.TRAFFIC:
                    kept[key] = rows.hashes[keep]
                    if self._intakes[kind, model].floors:
                        floored = self._floored(key, rows.hashes, group, cells)
                        kept_of_strata |= {cell: rows.hashes[members] for cell, members in floored.items()}
                        for members in floored.values():
                            keep[members] = True
                for cell, dropped in zip(cells, np.bincount(group[~keep], minlength=len(cells)).tolist(), strict=True):
                    tallies[kind, cell].sampled_out += dropped
                if keep.any():
                    file = seal(
                        kind,
                        key,
                        rows.table if keep.all() else rows.table.filter(pa.array(keep)),
                        rows.hashes[keep],
                        theta=theta,
                        types=self._types[model],
                        strata=_names(cells, group[keep]) if self._intakes[kind, model].floors else None,
                    )
                    files.append(file)
        cut = Cut(
            cut_id=uuid.uuid4().hex,
            collector=self._collector,
            ranges=[_range(partition, reading, now) for partition, reading in sorted(self._readings.items())],
            spans=[file.span for file in files],
            counts=[
                Count(kind, cell.key, tally.records, tally.sampled_out, cell.stratum)
                for (kind, cell), tally in sorted(tallies.items())
                if tally.records
            ],
            dead_letters=dead,
            lost=[lost for reading in readings for lost in reading.lost],
            messages=messages,
            decoded=sum(reading.decoded for reading in readings),
        )
        by_stream: Counter[str] = Counter()
        for partition, reading in self._readings.items():
            by_stream[partition.name] += reading.messages
        return PreparedCut(cut, files, kept, kept_of_strata, by_stream)

    def settle(self, prepared: PreparedCut) -> None:
        """Note that the cut, the last one prepared, is committed."""
        if prepared.cut.messages:
            self._remember(prepared.cut.messages, len(prepared.cut.dead_letters))
        for key, hashes in prepared.kept.items():
            self._sampler.remember(key, hashes, self._intakes[SpanKind.TRAFFIC, key.model].max_rows)
        for cell, hashes in prepared.kept_of_strata.items():
            floors = self._intakes[SpanKind.TRAFFIC, cell.key.model].floors
            self._sampler.remember_floor(cell.key, cell.stratum, hashes, floors.rows(cell.stratum))
        for step in prepared.cut.ranges:
            done = self._readings[step.partition]
            self._readings[step.partition] = _Reading(
                done.epoch, step.end, step.end, done.progressed_at, end_checked_at=done.end_checked_at
            )

    def _hold(self, reading: _Reading, kind: SpanKind, held: Held) -> None:
        waiting = np.bincount(held.group, minlength=len(held.cells))
        for cell, records, kept in zip(held.cells, held.records.tolist(), waiting.tolist(), strict=True):
            tally = reading.tallies[kind, cell]
            tally.records += records
            tally.sampled_out += records - kept
        reading.rows[kind, held.cells[0].key.model].append(held)
        reading.kept += len(held.hashes)
        reading.newest = held.newest if reading.newest is None else max(reading.newest, held.newest)

    def _tallies(
        self, readings: Sequence[_Reading]
    ) -> tuple[dict[tuple[SpanKind, Cell], _Tally], Mapping[SpanKind, Mapping[Cell, Cell]]]:
        """Return the counts of all readings by the cells that count in this cut, and as which of these each cell counts."""
        cells: dict[tuple[SpanKind, str], set[Cell]] = defaultdict(set)
        for reading in readings:
            for kind, cell in reading.tallies:
                cells[kind, cell.key.model].add(cell)
        counts_as: dict[SpanKind, dict[Cell, Cell]] = defaultdict(dict)
        for (kind, model), mine in cells.items():
            counts_as[kind] |= counting(self._intakes[kind, model].floors, mine)
        tallies: dict[tuple[SpanKind, Cell], _Tally] = defaultdict(_Tally)
        for reading in readings:
            for (kind, cell), tally in reading.tallies.items():
                total = tallies[kind, counts_as[kind][cell]]
                total.records += tally.records
                total.sampled_out += tally.sampled_out
        return tallies, counts_as

    def _theta(self, kind: SpanKind, key: WindowKey, hashes: Hashes) -> int:
        intake = self._intakes[kind, key.model]
        if kind is not SpanKind.TRAFFIC:
            return intake.theta
        return self._sampler.theta(key, hashes, intake.theta, intake.max_rows)

    def _floored(self, key: WindowKey, hashes: Hashes, group: Places, cells: Sequence[Cell]) -> dict[Cell, Places]:
        """Return which rows of a window are kept for a floor, by stratum."""
        floors = self._intakes[SpanKind.TRAFFIC, key.model].floors
        kept = {}
        for place, cell in enumerate(cells):
            rows = floors.rows(cell.stratum)
            if rows and cell.key == key:
                members = np.flatnonzero(group == place)
                own = hashes[members]
                kept[cell] = members[below(own, self._sampler.floor(key, cell.stratum, own, rows))]
        return kept

    def _check_ratio(self, messages: int, dead: Sequence[DeadLetter]) -> None:
        """Judge the newest messages; small cuts are judged together with those before them, so that a trickle is too."""
        read, unreadable = messages, len(dead)
        for earlier, earlier_dead in reversed(self._recent):
            if read >= RATIO_FROM_MESSAGES:
                break
            read, unreadable = read + earlier, unreadable + earlier_dead
        if not dead or read < RATIO_FROM_MESSAGES or unreadable / read <= self._max_dead_letter_ratio:
            return
        reason, count = Counter(letter.reason for letter in dead).most_common(1)[0]
        names = ", ".join(sorted({letter.partition.name for letter in dead}))
        raise TooManyDeadLetters(
            f"{unreadable} of {read} messages of {names} cannot be read ({count} times: {reason}); the last {messages} are "
            "not committed: correct the topic or the settings, or raise collector.max_dead_letter_ratio"
        )

    def _remember(self, messages: int, dead: int) -> None:
        self._recent.append((messages, dead))
        while sum(read for read, _ in self._recent) - self._recent[0][0] >= RATIO_FROM_MESSAGES:
            self._recent.popleft()


def _names(cells: Sequence[Cell], group: Places) -> pa.Array:
    return pa.array([cell.stratum for cell in cells], pa.string()).take(pa.array(group))


def _range(partition: Partition, reading: _Reading, now: datetime) -> Range:
    return Range(
        partition=partition,
        epoch=reading.epoch,
        start=reading.start,
        end=reading.end,
        max_event_time=None if reading.newest is None else from_micros(reading.newest),
        at_end=reading.end_checked_at is not None,
        checked_at=reading.end_checked_at or now,
        progressed_at=reading.progressed_at,
    )
