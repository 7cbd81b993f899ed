"""Predictions joined with labels, from span files, in bounded memory: speed and peak memory beside DuckDB's and pyarrow's joins.

All read the same Parquet files, each in a process of its own, on one core. DuckDB is asked for the same: of each prediction the
newest label within the horizon. pyarrow's Table.join cannot choose, so it only pairs each prediction with all of its labels.

Usage: python bench/join.py [--predictions 10000000] [--labels 8000000] [--at-once 2500000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from bench.rig.timing import hold_to_one_core
from collectors.spans import seal
from monitor.clock import from_micros, to_micros
from monitor.cuts import SealedSpan
from monitor.hashing import hash_ids
from monitor.jobs.long_joining import join_in_ranges
from monitor.records import EVENT_TIME_TYPE, FeatureType, SpanKind, ValueType, Window, WindowKey
from monitor.store.label_ledger import StoredSpan
from monitor.store.span_storage import open_storage
from monitor.window.label_counts import LabelCounts
from monitor.window.label_reach import Reach

MEMORY_TARGET = 1024
"""MiB that the join may take at most, whatever the number of predictions."""
HORIZON = timedelta(days=7)
SPAN_ROWS = 200_000
"""A collector with default settings commits at least every so many rows."""

MIB = 2**20
_START = to_micros(datetime(2026, 1, 1, tzinfo=UTC))
_DAY = 86_400_000_000
_FEATURES = {name: FeatureType(ValueType.FLOAT) for name in ("miles", "minutes", "tip")}

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Result:
    """What one way of joining took, and found.

    Attributes:
        mib: peak resident memory beyond that of the process before it read anything.
        labelled: predictions with a label; of pairs for one that does not choose.
    """

    name: str
    cpu_seconds: float
    wall_seconds: float
    mib: float
    labelled: int
    label_sum: float


def write(folder: Path, predictions: int, labels: int) -> None:
    """Write days of traffic, and labels of four in five predictions, as collectors do: each span is of one day."""
    random = np.random.default_rng(11)
    days = max(-(-predictions // SPAN_ROWS), 1)
    at = _START + np.sort(random.integers(0, days * _DAY, predictions))
    suffix = random.integers(0, 10**12, predictions)
    for day, rows in _days(at):
        columns = {name: random.normal(size=len(rows)) for name in _FEATURES}
        features = {f"feature.{name}": pa.array(values) for name, values in columns.items()}
        outcome = {"prediction": pa.array(random.random(len(rows))), **features}
        _seal(folder, SpanKind.TRAFFIC, day, _ids(rows, suffix[rows]), at[rows], outcome)
    # One in a hundred labels is a correction, one a duplicate, and one in two hundred of nobody.
    extra, nobody = labels // 100, labels // 200
    first = random.permutation(predictions)[: labels - 2 * extra - nobody]
    again, corrected = random.choice(first, extra), random.choice(first, extra)
    of = np.concatenate([first, again, corrected, np.arange(nobody) + predictions])
    delay = random.exponential(_DAY / 2, len(of)).astype(np.int64)
    suffix = np.concatenate([suffix, np.zeros(nobody, dtype=np.int64)])
    predicted = np.concatenate([at, random.integers(_START, _START + days * _DAY, nobody)])
    value = (of % 7 == 0).astype(np.float64)
    value[len(first) + extra : len(first) + 2 * extra] += 1
    told = predicted[of] + delay
    for day, rows in _days(told):
        _seal(
            folder, SpanKind.LABELS, day, _ids(of[rows], suffix[of[rows]]), told[rows], {"label": pa.array(value[rows])}
        )


def _days(at: Numbers) -> Iterator[tuple[int, Numbers]]:
    """Yield days since the epoch, and the rows of each in pieces that make a span."""
    order = np.argsort(at // _DAY, kind="stable")
    days, first = np.unique(at[order] // _DAY, return_index=True)
    for day, rows in zip(days.tolist(), np.split(order, first[1:]), strict=True):
        for start in range(0, len(rows), SPAN_ROWS):
            yield day, rows[start : start + SPAN_ROWS]


def _ids(numbers: Numbers, suffix: Numbers) -> pa.Array:
    """Return ids as long as those that people use."""
    head = pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), 8, "0")
    return pc.binary_join_element_wise(head, pc.utf8_lpad(pc.cast(pa.array(suffix), pa.string()), 12, "0"), "-")


def _seal(folder: Path, kind: SpanKind, day: int, ids: pa.Array, at: Numbers, columns: dict[str, pa.Array]) -> None:
    start = from_micros(day * _DAY)
    key = WindowKey("bench", "", Window(start, start + timedelta(days=1)))
    rows = len(ids)
    table = pa.table(
        {
            "request_id": ids,
            "instance": pa.array(np.zeros(rows, dtype=np.int64)),
            "event_time": pa.array(at).cast(EVENT_TIME_TYPE),
            "weight": pa.array(np.ones(rows)),
            **{
                name: pa.nulls(rows, pa.string())
                for name in ("prediction_text", "prediction_json", "label_text", "untyped")
            },
            **{name: pa.nulls(rows, pa.float64()) for name in ("label",)},
            **columns,
            "misfits": pa.array(np.zeros(rows, dtype=np.int32)),
        }
    )
    types = _FEATURES if kind is SpanKind.TRAFFIC else {}
    file = seal(kind, key, table, hash_ids(ids), theta=2**64, types=types)
    open_storage(str(folder)).put(file.span.name, file.content)
    with (folder / f"{kind}.jsonl").open("a", encoding="utf-8") as index:
        index.write(json.dumps(_described(file.span)) + "\n")


def _described(span: SealedSpan) -> dict[str, Any]:
    return {
        "span_id": span.span_id,
        "name": span.name,
        "window": [to_micros(span.window.start), to_micros(span.window.end)],
        "rows": span.rows,
        "min_hash": span.min_hash,
        "max_hash": span.max_hash,
    }


def spans(folder: Path, kind: SpanKind) -> list[StoredSpan]:
    """Return the spans of one kind, as the ledger would."""
    with (folder / f"{kind}.jsonl").open(encoding="utf-8") as index:
        found = [json.loads(line) for line in index]
    return [
        StoredSpan(
            version="",
            theta=2**64,
            **each | {"window": Window(*(from_micros(edge) for edge in each["window"]))},
        )
        for each in found
    ]


def driftline(folder: Path, at_once: int) -> tuple[int, float]:
    """Join range by range, and sum labels up as they come."""
    counts: list[LabelCounts] = []
    label_sum = 0.0
    sides = spans(folder, SpanKind.TRAFFIC), spans(folder, SpanKind.LABELS)
    for _, labels in join_in_ranges(*sides, open_storage(str(folder)), Reach(HORIZON), rows=at_once):
        label_sum += float(pc.sum(labels.values).as_py() or 0.0)
        counts.append(labels.counts)
    found = sum(counts, LabelCounts())
    print(f"    {json.dumps(found.to_json())}", file=sys.stderr)
    return found.labelled, label_sum


def arrow(folder: Path, at_once: int) -> tuple[int, float]:
    """Read all columns that it takes, and call pyarrow's own join."""
    del at_once
    traffic = ds.dataset(folder / "traffic").to_table(columns=["request_id", "instance", "event_time"])
    labels = ds.dataset(folder / "labels").to_table(columns=["request_id", "instance", "label"])
    joined = traffic.join(labels, keys=["request_id", "instance"], join_type="left outer")
    label = joined.column("label")
    return len(label) - label.null_count, float(pc.sum(label).as_py())


def duck(folder: Path, at_once: int) -> tuple[int, float]:
    """Ask DuckDB for the newest label within the horizon of each prediction."""
    del at_once
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        files = [f"{folder}/{kind}/**/*.parquet" for kind in (SpanKind.TRAFFIC, SpanKind.LABELS)]
        found = connection.execute(_QUERY, files).fetchone()
    if found is None:
        raise SystemExit("DuckDB returned nothing")
    return int(found[0]), float(found[1])


_QUERY = """
    SELECT count(label), sum(label) FROM (
        SELECT arg_max(l.label, (l.event_time, l.label)) AS label
        FROM read_parquet(?) AS p LEFT JOIN read_parquet(?) AS l
        ON p.request_id = l.request_id AND p.instance = l.instance
        AND l.event_time BETWEEN p.event_time - INTERVAL 1 DAY AND p.event_time + INTERVAL 7 DAY
        GROUP BY p.request_id, p.instance, p.event_time)
"""

WAYS: dict[str, Callable[[Path, int], tuple[int, float]]] = {
    "Driftline": driftline,
    "DuckDB, the same": duck,
    "pyarrow Table.join, pairs only": arrow,
}


def measure(name: str, folder: Path, at_once: int) -> Result:
    """Join in this process, which has done nothing else."""
    hold_to_one_core()
    if name.startswith("DuckDB"):
        import duckdb

        duckdb.connect().close()
    before = _memory("VmRSS")
    cpu, wall = time.process_time(), time.perf_counter()
    labelled, label_sum = WAYS[name](folder, at_once)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Result(name, cpu, wall, _memory("VmHWM") - before, labelled, label_sum)


def _memory(name: str) -> float:
    """Return a line of this process's status in MiB; what getrusage calls the peak may be that of the parent."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def _apart(name: str, folder: Path, at_once: int) -> Result:
    command = [sys.executable, __file__, "--here", name, "--folder", str(folder), "--at-once", str(at_once)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Result(**json.loads(said))


def main() -> int:
    """Write the spans, join them in each way, and print; 1 where memory is not bounded, or two ways that choose disagree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", type=int, default=10_000_000)
    parser.add_argument("--labels", type=int, default=8_000_000)
    parser.add_argument("--at-once", type=int, default=2_500_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--here", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(asdict(measure(options.here, options.folder, options.at_once))))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, options.predictions, options.labels)
        size = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
        files = [len(spans(folder, kind)) for kind in (SpanKind.TRAFFIC, SpanKind.LABELS)]
        print(
            f"{options.predictions:,} predictions in {files[0]} spans, {options.labels:,} labels in {files[1]}; "
            f"{size / MIB:,.0f} MiB on disk; {options.at_once:,} predictions at once, one core"
        )
        results = [_apart(each, folder, options.at_once) for each in WAYS]
    return _report(results, options.predictions, options.json)


def _report(results: list[Result], predictions: int, file: Path | None) -> int:
    ours, same = results[0], results[1]
    print(f"\n{'way':<32}{'rows/s':>12}{'CPU s':>8}{'wall s':>8}{'peak MiB':>10}{'Driftline is':>15}")
    for each in results:
        ratio = "-" if each is ours else f"{each.cpu_seconds / ours.cpu_seconds:.2f} x"
        print(
            f"{each.name:<32}{predictions / each.cpu_seconds:>12,.0f}{each.cpu_seconds:>8.1f}{each.wall_seconds:>8.1f}"
            f"{each.mib:>10,.0f}{ratio:>15}"
        )
    agree = (ours.labelled, ours.label_sum) == (same.labelled, same.label_sum)
    bounded = ours.mib <= MEMORY_TARGET
    print(f"\nlabelled {ours.labelled:,}; " + ("DuckDB found the same" if agree else f"DuckDB: {same.labelled:,}"))
    print(f"peak memory {ours.mib:,.0f} MiB, at most {MEMORY_TARGET:,}  {'PASS' if bounded else 'BELOW'}")
    if file:
        file.write_text(json.dumps([asdict(each) for each in results]), encoding="utf-8")
    return 0 if agree and bounded else 1


if __name__ == "__main__":
    sys.exit(main())
