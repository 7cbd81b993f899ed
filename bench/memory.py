"""Whether a collector's memory stays flat over millions of records: what it holds is bounded by its settings, not by its input.

Usage: python bench/memory.py [--records 5000000] [--windows 400] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from collectors.runner import Collector
from collectors.source import Block, Started
from collectors.streams import streams_of
from monitor.clock import SystemClock
from monitor.config.settings import Settings
from monitor.cuts import Claim, Partition, SpanStorage
from monitor.records import ColumnTypes, FeatureType, ValueType
from monitor.store.cut_ledger import SqlCutLedger
from monitor.store.ledger import Ledger
from monitor.store.span_storage import open_storage

GROWTH_TARGET = 0.05
"""The last million may take so much more memory than the first."""

MODELS = ("fares", "tips")
VERSIONS = ("1", "2", "3")
PARTITIONS = 2
BLOCK = 5_000
MILLION = 1_000_000
_FIRST_HOUR = 1_772_323_200
"""2026-03-01T00:00:00Z."""


TYPES = {
    **dict.fromkeys(("miles", "minutes", "tip"), FeatureType(ValueType.FLOAT)),
    "hour": FeatureType(ValueType.INT),
    "company": FeatureType(ValueType.BYTES),
}


class Typed(SqlCutLedger):
    """The SQL ledger, with models that have a baseline."""

    def column_types(self, model: str) -> ColumnTypes:
        """Return the types of every model."""
        del model
        return TYPES


class Endless:
    """`collectors.source.Source` of records that are made as they are read, all different, and kept nowhere."""

    def __init__(self, records: int, windows: int) -> None:
        """Spread `records` evenly over so many hours."""
        self._records = records
        self._step = windows * 3600 / records
        self._claims: dict[Partition, Claim] = {}
        self._read: dict[Partition, int] = {}
        self._paused = False
        self._draw = np.random.default_rng(7)

    def discover(self) -> Sequence[Partition]:
        """Return two partitions."""
        return [Partition("endless", number, "requests") for number in range(PARTITIONS)]

    def poll(self, timeout_seconds: float) -> Sequence[Block]:
        """Return the next block of each partition, until all records are read."""
        if self._paused or not self._claims:
            threading.Event().wait(timeout_seconds)
            return []
        blocks = [self._block(claim) for claim in self._claims.values() if self._left(claim.partition)]
        if not blocks:
            threading.Event().wait(timeout_seconds)
        return blocks

    def unclaimed(self) -> Sequence[Partition]:
        """Return what is not started."""
        return [partition for partition in self.discover() if partition not in self._claims]

    def start(self, claim: Claim) -> Started:
        """Begin."""
        self._claims[claim.partition] = claim
        position = self._read[claim.partition] = claim.next_offset or 0
        return Started(position, position)

    def release(self) -> None:
        """Forget all claims."""
        self._claims = {}

    def ends(self) -> Mapping[Partition, int]:
        """Return what is read to its end."""
        return {partition: self._read[partition] for partition in self._claims if not self._left(partition)}

    def lag(self) -> Mapping[str, int]:
        """Return what is left."""
        return {"requests": sum(self._left(partition) for partition in self._claims)}

    def pause(self) -> None:
        """Return nothing for now."""
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        self._paused = False

    def acknowledge(self, committed: Mapping[Partition, int]) -> None:
        """Take no note."""

    def on_revoke(self, callback: Callable[[], None]) -> None:
        """Nobody else reads this."""

    def close(self) -> None:
        """Nothing is open."""

    def _left(self, partition: Partition) -> int:
        return self._records // PARTITIONS - self._read[partition]

    def _block(self, claim: Claim) -> Block:
        first = self._read[claim.partition]
        count = min(BLOCK, self._left(claim.partition))
        self._read[claim.partition] = first + count
        offsets = np.arange(first, first + count, dtype=np.int64)
        return Block(claim.partition, claim.epoch, first, first + count, offsets, self._values(claim, offsets.tolist()))

    def _values(self, claim: Claim, places: Sequence[int]) -> list[bytes]:
        drawn = self._draw.random((len(places), 3)).tolist()
        number = claim.partition.number
        return [
            (
                f'{{"model":"{MODELS[place % 2]}","version":"{VERSIONS[place % 3]}","request_id":"{number}-{place:012d}",'
                f'"event_time":{_FIRST_HOUR + place * PARTITIONS * self._step:.3f},"prediction":{tip},"features":{{'
                f'"miles":{miles},"minutes":{minutes},"tip":{tip},"hour":{place % 24},"company":"company {place % 50}"}}}}'
            ).encode()
            for place, (miles, minutes, tip) in zip(places, drawn, strict=True)
        ]


@dataclass
class Passing:
    """A folder of spans in which nothing stays, so that the disk does not fill up."""

    folder: SpanStorage
    spans: int = 0

    def put(self, name: str, content: bytes) -> None:
        """Write the file as ever, and delete it."""
        self.folder.put(name, content)
        self.folder.delete(name)
        self.spans += 1

    def get(self, name: str) -> bytes:
        """Nothing is left to read."""
        return self.folder.get(name)

    def delete(self, name: str) -> None:
        """Nothing is left to delete."""
        self.folder.delete(name)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Nothing is left to name."""
        return self.folder.list(prefix)


@dataclass
class Watch:
    """Notes this process's resident memory beside the number of committed records."""

    ledger: Ledger
    page_bytes: int = os.sysconf("SC_PAGE_SIZE")
    seen: list[tuple[int, int]] = field(default_factory=list)
    """Records and bytes."""

    def look(self) -> int:
        """Note both, and return the records."""
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * self.page_bytes
        records = self.ledger.identities()["records"]
        self.seen.append((records, resident))
        return records

    def of_million(self, number: int) -> list[int]:
        """Return the sizes noted while the n-th million, from 0 on, was committed."""
        return [size for records, size in self.seen if number * MILLION < records <= (number + 1) * MILLION]


def measure(records: int, windows: int, folder: Path) -> Watch:
    """Collect so many records, and return what was seen on the way."""
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": ["unused:1"]},
            "models": {name: {"traffic": {"topic": "requests"}} for name in MODELS},
            "collector": {"cut_interval": "1s"},
        }
    )
    ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", "bench")
    storage, watch, stop = Passing(open_storage(str(folder / "spans"))), Watch(ledger), threading.Event()
    collector = Collector(
        "bench",
        streams_of(settings),
        settings.collector,
        ledger=Typed(ledger.database, ledger.team),
        storage=storage,
        source=Endless(records, windows),
        clock=SystemClock(),
        registry=CollectorRegistry(),
    )
    thread = threading.Thread(target=collector.run, args=[stop], kwargs={"until_caught_up": True})
    began = time.perf_counter()
    thread.start()
    shown = 0
    while thread.is_alive():
        thread.join(0.25)
        if watch.look() >= shown:
            print(
                f"{watch.seen[-1][0]:>10,} records   {watch.seen[-1][1] / 2**20:7.1f} MiB   {storage.spans:>6,} spans"
            )
            shown += MILLION // 4
    watch.look()
    seconds = time.perf_counter() - began
    if watch.seen[-1][0] != records:
        raise SystemExit(f"{watch.seen[-1][0]} of {records} records were committed")
    print(f"{records:,} records in {seconds:.0f} s, {records / seconds:,.0f}/s")
    ledger.close()
    return watch


def main() -> int:
    """Measure, print, and exit with 1 when memory grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=5 * MILLION)
    parser.add_argument("--windows", type=int, default=400)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.records < 2 * MILLION:
        parser.error("the first million is compared with the last: take at least 2000000")
    with tempfile.TemporaryDirectory() as folder:
        watch = measure(arguments.records, arguments.windows, Path(folder))
    first, last = watch.of_million(0), watch.of_million((arguments.records - 1) // MILLION)
    growth = statistics.median(last) / statistics.median(first) - 1
    for name, sizes in (("first", first), ("last", last)):
        print(f"the {name} million: {_mib(statistics.median(sizes))} in the middle, {_mib(max(sizes))} at most")
    print(f"growth {growth:+.1%} in the middle (less than {GROWTH_TARGET:.0%} wanted)")
    if arguments.json:
        arguments.json.write_text(json.dumps({"seen": watch.seen, "growth": growth}))
    return 0 if growth < GROWTH_TARGET else 1


def _mib(size: float) -> str:
    return f"{size / 2**20:.1f} MiB"


if __name__ == "__main__":
    sys.exit(main())
