"""Reads dead letters again, and makes records of those that can be read by now; changes with the guarantee of that.

A message is read again at its place in the topic or file, or taken from the bytes that were kept. What today's decoder reads is
committed as one more cut, whose transaction takes the letters out of the dead ones by compare-and-set: killed at any instant,
and run by two people at once, a letter becomes records once or stays a letter. Nothing is written to Kafka.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import pyarrow as pa

from collectors.buffer import Buffer
from collectors.cutting import Committer
from collectors.dead_letter import digest
from collectors.decoders import decoder_of
from collectors.sampler import Sampler
from collectors.source import Block, Source, Started
from collectors.streams import Stream
from monitor.clock import Clock, Deadline
from monitor.cuts import Claim, CutLedger, Partition, SpanStorage
from monitor.dead_letters import StoredLetter
from monitor.errors import TransientError

_NEAR = 10_000
"""Offsets that are rather read over than jumped over."""
_POLL_SECONDS = 0.25
_EPOCH = 0


@dataclass(slots=True)
class Replayed:
    """What came of a replay: how many letters became records, and for what reasons others did not."""

    became_records: int = 0
    still_dead: Counter[str] = field(default_factory=Counter)
    gone: int = 0
    """Letters whose message no longer lies at its place, and whose bytes were not kept."""


@dataclass(slots=True)
class Found:
    """Messages of dead letters: blocks that hold only them, and the letters whose message is nowhere."""

    blocks: list[Block] = field(default_factory=list)
    gone: list[StoredLetter] = field(default_factory=list)


def find(source: Source, letters: Sequence[StoredLetter], clock: Clock, limit_seconds: float) -> Found:
    """Read the messages of `letters`, at most one letter a place, all of streams that `source` brings.

    Raises:
        TransientError: the input cannot be reached, or `limit_seconds` pass without a message.
    """
    wanted: dict[Partition, dict[int, StoredLetter]] = defaultdict(dict)
    for stored in letters:
        wanted[stored.letter.partition][stored.letter.offset] = stored
    there = _assigned(source, set(wanted), Deadline.after(clock, limit_seconds))
    found = Found()
    for partition, by_offset in sorted(wanted.items()):
        missing = dict(by_offset)
        if partition in there:
            for block in _read(source, partition, sorted(by_offset), clock, limit_seconds):
                rows = [
                    row for row, offset in enumerate(block.offsets.tolist()) if _same(block, row, missing.get(offset))
                ]
                for row in rows:
                    del missing[int(block.offsets[row])]
                if rows:
                    found.blocks.append(_take(block, rows))
        for stored in missing.values():
            if stored.letter.content is None:
                found.gone.append(stored)
            else:
                found.blocks.append(_kept(stored))
    return found


class Replayer:
    """Commits what can be read now. One instance serves one command."""

    def __init__(
        self, name: str, streams: Sequence[Stream], ledger: CutLedger, storage: SpanStorage, clock: Clock
    ) -> None:
        """Commit in the name of `name`; `streams` are all of which letters may be replayed."""
        self._ledger = ledger
        self._committer = Committer(ledger, storage)
        self._clock = clock
        self._buffer = Buffer(name, streams, Sampler(ledger.smallest_theta), decoder_of, max_dead_letter_ratio=1.0)
        self._buffer.set_types({model: ledger.column_types(model) for model in self._buffer.models})

    def replay(self, found: Found, *, dry_run: bool) -> Replayed:
        """Make records of what was found, all in one cut or, on an error, nothing; only decode it with `dry_run`.

        Raises:
            StaleClaim: somebody else replayed one of the letters meanwhile.
            TransientError: the store cannot be reached.
        """
        now = self._clock.now()
        self._buffer.discard()
        fed = self._feed(found.blocks, now)
        prepared = self._buffer.prepare(now)
        result = Replayed(gone=len(found.gone))
        if prepared is None:
            return result
        dead = {(letter.partition, letter.offset): letter.reason for letter in prepared.cut.dead_letters}
        revived = [place for place in fed if place not in dead]
        result.still_dead = Counter(dead.values())
        result.became_records = len(revived)
        if revived and not dry_run:
            cut = replace(prepared.cut, ranges=(), messages=0, dead_letters=(), replayed=revived)
            self._committer.commit(lambda _: replace(prepared, cut=cut), now)
        return result

    def _feed(self, blocks: Sequence[Block], now: datetime) -> list[tuple[Partition, int]]:
        """Hand the blocks to the buffer one after another, as if they lay next to each other."""
        ends: dict[Partition, int] = {}
        fed: list[tuple[Partition, int]] = []
        for block in blocks:
            start = ends.get(block.partition)
            if start is None:
                start = 0
                self._buffer.start(Claim(block.partition, 0, _EPOCH), Started(0, 0), now)
            ends[block.partition] = start + len(block)
            self._buffer.accept(replace(block, epoch=_EPOCH, start=start, end=start + len(block)), now)
            fed.extend((block.partition, offset) for offset in block.offsets.tolist())
        return fed


def _assigned(source: Source, wanted: set[Partition], deadline: Deadline) -> set[Partition]:
    """Wait until all wanted partitions that exist are assigned, and return them."""
    existing = wanted & set(source.discover())
    while not existing <= set(source.unclaimed()):
        if deadline.expired():
            raise TransientError("Kafka does not assign the partitions in time; is the group id allowed to this user?")
        source.poll(_POLL_SECONDS)
    return existing


def _read(
    source: Source, partition: Partition, offsets: Sequence[int], clock: Clock, limit_seconds: float
) -> Iterator[Block]:
    """Yield blocks that hold the messages at `offsets` (ascending), as far as they exist, and others."""
    waiting = list(offsets)
    while waiting:
        source.release()
        position = source.start(Claim(partition, waiting[0], _EPOCH)).position
        deadline = Deadline.after(clock, limit_seconds)
        waiting = [offset for offset in waiting if offset >= position]
        while waiting and waiting[0] < position + _NEAR:
            blocks = [block for block in source.poll(_POLL_SECONDS) if block.partition == partition]
            for block in blocks:
                yield block
                position = block.end
            waiting = [offset for offset in waiting if offset >= position]
            if blocks:
                deadline = Deadline.after(clock, limit_seconds)
            elif source.ends().get(partition) == position:
                return
            elif deadline.expired():
                raise TransientError(f"{partition.name}/{partition.number} does not bring offset {waiting[0]}")


def _same(block: Block, row: int, stored: StoredLetter | None) -> bool:
    """Say whether a message is the one that became the letter; rows of tables have no bytes to tell by."""
    if stored is None:
        return False
    return block.table is not None or digest(block.values[row]) == stored.letter.digest


def _take(block: Block, rows: Sequence[int]) -> Block:
    return replace(
        block,
        offsets=block.offsets[rows],
        values=[block.values[row] for row in rows] if len(block.values) else (),
        table=None if block.table is None else block.table.take(pa.array(rows)),
        headers=[block.headers[row] for row in rows] if len(block.headers) else (),
        counterparts=[block.counterparts[row] for row in rows] if len(block.counterparts) else (),
        timestamps=None if block.timestamps is None else block.timestamps[rows],
    )


def _kept(stored: StoredLetter) -> Block:
    letter = stored.letter
    return Block(
        letter.partition,
        _EPOCH,
        letter.offset,
        letter.offset + 1,
        np.array([letter.offset], dtype=np.int64),
        [letter.content],
        headers=[letter.headers] if letter.headers else (),
    )
