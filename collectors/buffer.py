"""What a collector has read and not committed: blocks in, cuts out; changes with what a cut consists of.

No threads, no clock, no network: the runner brings blocks, claims and `now`, and carries cuts to the store.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collectors.dead_letter import TooManyDeadLetters, dead_letter
from collectors.sampler import Sampler, below, theta_of
from collectors.source import Block, Started
from collectors.spans import Hashes, SpanFile, seal
from collectors.streams import Stream
from collectors.wire.blocks import Decoded, Envelope
from monitor.clock import EPOCH, from_micros, to_micros
from monitor.cuts import Claim, Count, Cut, DeadLetter, Lost, Partition, Range
from monitor.errors import InvariantBroken
from monitor.hashing import hash_ids
from monitor.records import EVENT_TIME, REQUEST_ID, VERSION, ColumnTypes, SpanKind, Window, WindowKey

Decode = Callable[[Block, datetime], Decoded]
"""How the blocks of one stream become rows."""

RATIO_FROM_MESSAGES = 100
"""The share of dead letters is judged in cuts of at least so many messages."""


@dataclass(slots=True)
class _Rows:
    """Rows of one model that are below the configured rate, and in which of `keys` each lies."""

    table: pa.Table
    hashes: Hashes
    group: npt.NDArray[np.int64]
    keys: Sequence[WindowKey]


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
    rows: dict[tuple[SpanKind, str], list[_Rows]] = field(default_factory=lambda: defaultdict(list))
    tallies: dict[tuple[SpanKind, WindowKey], _Tally] = field(default_factory=lambda: defaultdict(_Tally))
    dead: list[DeadLetter] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    messages: int = 0
    decoded: int = 0
    kept: int = 0


@dataclass(frozen=True, slots=True)
class PreparedCut:
    """A cut that is ready to be written: first the intents of `files`, then the files, then `cut`.

    Attributes:
        kept: hashes of the rows that it keeps, by traffic window.
        messages: how many messages it covers, by stream.
    """

    cut: Cut
    files: Sequence[SpanFile]
    kept: Mapping[WindowKey, Hashes]
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
    ) -> None:
        """Collect in the name of `collector`; `decoder_of` gives each stream its wire format."""
        self._collector = collector
        self._streams = {stream.name: stream for stream in streams}
        self._sampler = sampler
        self._decoder_of = decoder_of
        self._max_dead_letter_ratio = max_dead_letter_ratio
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
            reading.dead.append(dead_letter(block.partition, int(block.offsets[index]), reason, value))
        for model, table in decoded.parts.items():
            newest = _take(reading, stream, model, table)
            reading.newest = newest if reading.newest is None else max(reading.newest, newest)
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
        tallies: dict[tuple[SpanKind, WindowKey], _Tally] = defaultdict(_Tally)
        pieces: dict[tuple[SpanKind, str], list[_Rows]] = defaultdict(list)
        for reading in readings:
            for what, rows in reading.rows.items():
                pieces[what].extend(rows)
            for of, tally in reading.tallies.items():
                tallies[of].records += tally.records
                tallies[of].sampled_out += tally.sampled_out
        files: list[SpanFile] = []
        kept: dict[WindowKey, Hashes] = {}
        for (kind, model), rows_of_model in sorted(pieces.items()):
            for key, table, hashes in _windows_of(rows_of_model):
                theta = self._theta(kind, key, hashes)
                keep = below(hashes, theta)
                if kind is SpanKind.TRAFFIC:
                    kept[key] = hashes[keep]
                    tallies[kind, key].sampled_out += len(hashes) - int(keep.sum())
                if keep.any():
                    rows = table if keep.all() else table.filter(pa.array(keep))
                    files.append(seal(kind, key, rows, hashes[keep], theta=theta, types=self._types[model]))
        cut = Cut(
            cut_id=uuid.uuid4().hex,
            collector=self._collector,
            ranges=[_range(partition, reading, now) for partition, reading in sorted(self._readings.items())],
            spans=[file.span for file in files],
            counts=[Count(*of, tally.records, tally.sampled_out) for of, tally in sorted(tallies.items())],
            dead_letters=dead,
            lost=[lost for reading in readings for lost in reading.lost],
            messages=messages,
            decoded=sum(reading.decoded for reading in readings),
        )
        by_stream: Counter[str] = Counter()
        for partition, reading in self._readings.items():
            by_stream[partition.name] += reading.messages
        return PreparedCut(cut, files, kept, by_stream)

    def settle(self, prepared: PreparedCut) -> None:
        """Note that the cut, the last one prepared, is committed."""
        for key, hashes in prepared.kept.items():
            self._sampler.remember(key, hashes, self._max_rows(key.model))
        for step in prepared.cut.ranges:
            done = self._readings[step.partition]
            self._readings[step.partition] = _Reading(
                done.epoch, step.end, step.end, done.progressed_at, end_checked_at=done.end_checked_at
            )

    def _theta(self, kind: SpanKind, key: WindowKey, hashes: Hashes) -> int:
        stream = next(stream for stream in self._streams.values() if stream.kind is kind and key.model in stream.models)
        sampling = stream.models[key.model].sampling
        rate = theta_of(sampling.rate)
        if kind is not SpanKind.TRAFFIC:
            return rate
        return self._sampler.theta(key, hashes, rate, sampling.max_rows_per_window)

    def _max_rows(self, model: str) -> int:
        stream = next(stream for stream in self._streams.values() if model in stream.models)
        return stream.models[model].sampling.max_rows_per_window

    def _check_ratio(self, messages: int, dead: Sequence[DeadLetter]) -> None:
        if messages < RATIO_FROM_MESSAGES or len(dead) / messages <= self._max_dead_letter_ratio:
            return
        reason, count = Counter(letter.reason for letter in dead).most_common(1)[0]
        names = ", ".join(sorted({letter.partition.name for letter in dead}))
        raise TooManyDeadLetters(
            f"{len(dead)} of {messages} messages of {names} cannot be read ({count} times: {reason}); their offsets are not "
            "committed: correct the topic or the settings, or raise collector.max_dead_letter_ratio"
        )


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


def _take(reading: _Reading, stream: Stream, model: str, table: pa.Table) -> int:
    """Sample the rows of one model by the configured rate; return their newest event time in microseconds."""
    options = stream.models[model]
    micros = table.column(EVENT_TIME).cast(pa.int64()).to_numpy()
    group, keys = _group(model, table.column(VERSION), micros, to_micros(EPOCH + options.windows.length))
    hashes = hash_ids(table.column(REQUEST_ID))
    kept = below(hashes, theta_of(options.sampling.rate))
    records = np.bincount(group, minlength=len(keys))
    dropped = records - np.bincount(group[kept], minlength=len(keys))
    for key, read, out in zip(keys, records.tolist(), dropped.tolist(), strict=True):
        tally = reading.tallies[stream.kind, key]
        tally.records += read
        tally.sampled_out += out
    if not kept.all():
        table, hashes, group = table.filter(pa.array(kept)), hashes[kept], group[kept]
    reading.rows[stream.kind, model].append(_Rows(table, hashes, group, keys))
    reading.kept += len(hashes)
    return int(micros.max())


def _group(
    model: str, versions: pa.ChunkedArray, micros: npt.NDArray[np.int64], length: int
) -> tuple[npt.NDArray[np.int64], list[WindowKey]]:
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


def _windows_of(pieces: Sequence[_Rows]) -> list[tuple[WindowKey, pa.Table, Hashes]]:
    """Split the rows of one kind and model by window; windows in order."""
    index: dict[WindowKey, int] = {}
    for piece in pieces:
        for key in piece.keys:
            index.setdefault(key, len(index))
    table = pa.concat_tables([piece.table for piece in pieces]).combine_chunks()
    hashes = np.concatenate([piece.hashes for piece in pieces])
    group = np.concatenate([np.array([index[key] for key in piece.keys])[piece.group] for piece in pieces])
    if len(index) == 1:
        return [(next(iter(index)), table, hashes)]
    order = np.argsort(group, kind="stable")
    edges = np.searchsorted(group[order], np.arange(len(index) + 1))
    split = []
    for key, number in sorted(index.items()):
        rows = order[edges[number] : edges[number + 1]]
        split.append((key, table.take(pa.array(rows)), hashes[rows]))
    return split
