"""Files as a source: each file is a partition, read by whoever runs; changes with how files are followed.

In JSON Lines and in TFRecord files of messages an offset is a position in bytes (`collectors.growing`); in tables the number
of the row. New files are found when the partitions are discovered anew.
"""

from __future__ import annotations

import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import structlog

from collectors.files import DataFile, iter_tables, matching_files
from collectors.growing import Lines, Records, size_of
from collectors.source import Block, Started
from collectors.streams import Stream
from monitor.clock import Clock
from monitor.cuts import Claim, Lost, Partition
from monitor.errors import InputError, TransientError
from monitor.records import ColumnTypes

_BATCH_ROWS = 10_000
_FILES_A_POLL = 8
_IDLE_SECONDS = 0.05

_log = structlog.get_logger("driftline.files")


@dataclass(slots=True)
class _Table:
    """Reads the rows of one table file from a position on."""

    batches: Iterator[pa.Table]
    position: int
    skip: int = field(init=False)
    at_end: bool = False

    def __post_init__(self) -> None:
        self.skip = self.position

    def read(self) -> pa.Table | None:
        while True:
            table = next(self.batches, None)
            if table is None:
                self.at_end = True
                return None
            passed = min(self.skip, table.num_rows)
            self.skip -= passed
            if passed < table.num_rows:
                self.position += table.num_rows - passed
                return table.slice(passed)


@dataclass(slots=True)
class _Cursor:
    epoch: int
    reader: Lines | Records | _Table


class FileSource:
    """`collectors.source.Source` of files; all of them belong to this process, so run one collector on them."""

    def __init__(self, streams: Sequence[Stream], clock: Clock, types_of: Callable[[str], ColumnTypes]) -> None:
        """Read the files of `streams`; `types_of` tells the column types of a model, which CSV files need."""
        self._streams = {stream.name: stream for stream in streams}
        self._clock = clock
        self._types_of = types_of
        self._files: dict[Partition, DataFile] = {}
        self._cursors: dict[Partition, _Cursor] = {}
        self._silent: set[str] = set()
        self._next = 0
        self._paused = False

    def discover(self) -> Sequence[Partition]:
        """Return a partition for each file there is; says once of a pattern that it stands for none."""
        for name in self._streams:
            try:
                files = matching_files(name)
            except InputError as error:
                if name not in self._silent:
                    _log.warning("waiting for files", files=name, error=str(error))
                self._silent.add(name)
                continue
            self._silent.discard(name)
            for file in files:
                self._files.setdefault(Partition(str(file.filesystem.unstrip_protocol(file.path)), 0, name), file)
        return sorted(self._files)

    def poll(self, timeout_seconds: float) -> Sequence[Block]:
        """Return new lines and rows of some of the files."""
        blocks: list[Block] = []
        partitions = [] if self._paused else list(self._cursors)
        for turn in range(len(partitions)):
            partition = partitions[(self._next + turn) % len(partitions)]
            block = self._read(partition, self._cursors[partition])
            if block is not None:
                blocks.append(block)
            if len(blocks) == _FILES_A_POLL:
                self._next = (self._next + turn + 1) % len(partitions)
                break
        if not blocks:
            threading.Event().wait(min(timeout_seconds, _IDLE_SECONDS))
        return blocks

    def unclaimed(self) -> Sequence[Partition]:
        """Return the files that are not started."""
        return [partition for partition in sorted(self._files) if partition not in self._cursors]

    def start(self, claim: Claim) -> Started:
        """Read on from the claim's position."""
        partition = claim.partition
        file = self._files[partition]
        stored = claim.next_offset or 0
        stream = self._streams[partition.name]
        lost = None
        position = stored
        reader: Lines | Records | _Table
        if stream.source.columns is None:
            # Of a packed file only reading tells how long it is.
            size = stored if file.path.endswith(".gz") else size_of(file)
            if stored > size:
                position, lost = size, Lost(partition, size, stored)
            framed = stream.source.format in ("prediction_log", "tf_example")
            reader = Records(file, position) if framed else Lines(file, position)
        else:
            (model,) = stream.models
            types = self._types_of(model)
            uri = str(file.filesystem.unstrip_protocol(file.path))
            reader = _Table(iter_tables(uri, _BATCH_ROWS, types=types), position)
        self._cursors[partition] = _Cursor(claim.epoch, reader)
        return Started(stored, position, lost)

    def release(self) -> None:
        """Stop reading all files."""
        self._cursors.clear()

    def ends(self) -> Mapping[Partition, int]:
        """Return the files that are read to their end."""
        return {
            partition: cursor.reader.position for partition, cursor in self._cursors.items() if cursor.reader.at_end
        }

    def lag(self) -> Mapping[str, int]:
        """Return the number of files that are not read to their end; messages cannot be counted without reading."""
        waiting: Counter[str] = Counter()
        for partition, cursor in self._cursors.items():
            waiting[partition.name] += not cursor.reader.at_end
        return waiting

    def pause(self) -> None:
        """Read nothing until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Go on after `pause`."""
        self._paused = False

    def acknowledge(self, committed: Mapping[Partition, int]) -> None:
        """Do nothing: files keep no positions."""

    def on_revoke(self, callback: Callable[[], None]) -> None:
        """Do nothing: files are never taken away."""

    def close(self) -> None:
        """Stop reading."""
        self._cursors.clear()

    def _read(self, partition: Partition, cursor: _Cursor) -> Block | None:
        reader, start = cursor.reader, cursor.reader.position
        if isinstance(reader, _Table):
            table = reader.read()
            if table is None:
                return None
            rows = np.arange(start, reader.position, dtype=np.int64)
            return Block(partition, cursor.epoch, start, reader.position, rows, table=table)
        try:
            end, starts, values = reader.read(self._clock.monotonic())
        except (OSError, EOFError, zlib.error) as error:
            raise TransientError(f"{reader.file.name}: cannot be read ({type(error).__name__})") from error
        if end == start:
            return None
        return Block(partition, cursor.epoch, start, end, np.array(starts, dtype=np.int64), values)
