"""Times profile and verdict of a window against plain TFDV, whylogs and Evidently; changes with what is promised of them.

Called `verdict`, because a script called `profile` would stand in for the standard library's module of that name.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.rig import flights, peers
from bench.rig.timing import Timing, hold_to_one_core, in_turns
from monitor.compare.case import PREVIOUS
from monitor.compare.findings import WindowFindings
from monitor.compare.judge import judge
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import Baseline, create_baseline
from monitor.profile.profile import Profile, build_profile, count_rows
from monitor.records import Rows
from monitor.window.frames import ColumnRoles, id_hashes, rows_from_table

RATE_TARGET = 250_000
WHYLOGS_TARGET = 5
EVIDENTLY_TARGET = 10

SMALL_ROWS = 1_000
SMALL_FEATURES = 20

OURS = "Driftline"
TFDV = "TFDV"
WHYLOGS = "whylogs"
EVIDENTLY = "Evidently"

_SETTINGS = DetectionSettings()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: a tool, what it did, and how long that took for `rows` rows."""

    tool: str
    work: str
    timing: Timing
    rows: int

    @property
    def rate(self) -> float:
        """Rows per second of one core."""
        return self.timing.rate(self.rows)


@dataclass(frozen=True, slots=True)
class Target:
    """One promise: what was measured, and the least that it should be."""

    what: str
    value: float
    least: float

    @property
    def met(self) -> bool:
        """The promise is kept."""
        return self.value >= self.least


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the time of a verdict goes, and what stands beside it."""

    steps: Mapping[str, Timing]
    baseline: Timing
    small: Timing


def window_rows(table: pa.Table, baseline: Baseline | None = None) -> Rows:
    """Return rows as a closed window gives them: in canonical order, with times, and each row's id hash as its cluster."""
    types = None if baseline is None else baseline.column_types
    rows = rows_from_table(table, ColumnRoles(timestamp=flights.TIME, id=flights.ID), types)
    return dataclasses.replace(rows, clusters=np.sort(id_hashes(table, flights.ID)))


def verdict(rows: Rows, baseline: Baseline, previous: Profile | None = None) -> WindowFindings:
    """Profile and judge a window: the work that is promised at a rate."""
    return judge(build_profile(rows, baseline), baseline, {} if previous is None else {PREVIOUS: previous}, _SETTINGS)


def plain_tfdv(frame: Any, schema: Any) -> Any:
    """Do what a user of TFDV alone does with a data frame: convert it to Arrow, compute statistics, validate them."""
    import tensorflow_data_validation
    from tensorflow_data_validation.statistics import stats_impl, stats_options
    from tfx_bsl.arrow import table_util

    batch = table_util.CanonicalizeRecordBatch(pa.RecordBatch.from_pandas(frame))
    computed = stats_impl.generate_statistics_in_memory(batch, stats_options.StatsOptions())
    return tensorflow_data_validation.validate_statistics(computed, schema)


def small_window() -> tuple[Rows, Rows]:
    """Return 20,000 reference rows and a window of SMALL_ROWS, twelve numeric features and eight categorical ones."""
    rng = np.random.default_rng(20130101)

    def rows(count: int) -> Rows:
        numbers = {f"number_{i}": pa.array(rng.lognormal(size=count)) for i in range(12)}
        words = {f"word_{i}": pa.array(rng.geometric(0.1, count).astype(str)) for i in range(SMALL_FEATURES - 12)}
        return Rows(features=pa.table({**numbers, **words}), clusters=np.arange(count, dtype=np.uint64), seen=count)

    return rows(20_000), rows(SMALL_ROWS)


def measure_ours(reference: pa.Table, current: pa.Table, runs: int) -> tuple[list[Line], Parts, WindowFindings]:
    """Time Driftline and plain TFDV in turns on the same rows in the same order, and then the parts of a verdict."""
    import tensorflow_data_validation

    from monitor.profile import tfdv

    reference_rows = window_rows(reference)
    made: list[Baseline] = []

    def make_baseline() -> None:
        made.append(create_baseline(reference_rows, block_length=timedelta(days=1)))

    baseline_time = in_turns({"baseline": make_baseline}, 1)["baseline"]
    baseline = made[-1]
    rows = window_rows(current, baseline)
    profile = build_profile(rows, baseline)
    earlier = build_profile(reference_rows, baseline)
    frame = rows.features.to_pandas()
    schema = tensorflow_data_validation.infer_schema(
        tensorflow_data_validation.generate_statistics_from_dataframe(reference_rows.features.to_pandas())
    )
    lines = {
        (OURS, "profile and verdict"): lambda: verdict(rows, baseline),
        (OURS, "the same, also against the window before"): lambda: verdict(rows, baseline, earlier),
        (TFDV, "to Arrow, statistics, validation"): lambda: plain_tfdv(frame, schema),
    }
    timings = in_turns({work: call for (_, work), call in lines.items()}, runs)
    steps = in_turns(
        {
            "rows from a table": lambda: window_rows(current, baseline),
            "TFDV statistics": lambda: tfdv.statistics(rows.features),
            "counts on the baseline's cells": lambda: count_rows(rows, baseline),
            "verdict": lambda: judge(profile, baseline, {}, _SETTINGS),
        },
        runs,
    )
    small_reference, small_rows = small_window()
    small_baseline = create_baseline(small_reference)
    small = in_turns({"small": lambda: verdict(small_rows, small_baseline)}, runs)["small"]
    table = [Line(tool, work, timings[work], len(rows)) for tool, work in lines]
    return table, Parts(steps, baseline_time, small), verdict(rows, baseline)


def measure_peers(reference: pa.Table, current: pa.Table, runs: int) -> list[Line]:
    """Time the peers on the same columns; raises PeersMissing where they do not run."""
    said = peers.measure(reference.select(flights.FEATURES), current.select(flights.FEATURES), runs)
    count = current.num_rows
    why, evidently = said["whylogs"], said["evidently"]
    return [
        Line(f"{WHYLOGS} {why['version']}", "profile and drift scores", Timing.of(why["seconds"]), count),
        Line(f"{WHYLOGS} {why['version']}", "profile only", Timing.of(why["profile_seconds"]), count),
        Line(f"{EVIDENTLY} {evidently['version']}", "DataDriftPreset", Timing.of(evidently["seconds"]), count),
    ]


def targets(lines: list[Line]) -> list[Target]:
    """Compare the first line of each tool with what is promised; of tools that are not there nothing is said."""
    first = {line.tool.split()[0]: line.rate for line in reversed(lines)}
    ours = first[OURS]
    found = [Target("rows/s on one core", ours, RATE_TARGET)]
    if WHYLOGS in first:
        found.append(Target("x whylogs with its drift scores", ours / first[WHYLOGS], WHYLOGS_TARGET))
    if EVIDENTLY in first:
        found.append(Target("x Evidently", ours / first[EVIDENTLY], EVIDENTLY_TARGET))
    return found


def show(lines: list[Line], parts: Parts, promised: list[Target]) -> None:
    """Print tables that can be pasted into a page."""
    ours = lines[0].rate
    print(f"\n{'tool':<18} {'work':<42} {'rows/s':>9} {'CPU ms':>8} {'wall ms':>8} {'Driftline is':>13}")
    for line in lines:
        ratio = "-" if line.tool == OURS else f"{ours / line.rate:.2f} x"
        timing = line.timing
        print(
            f"{line.tool:<18} {line.work:<42} {line.rate:>9,.0f} {timing.cpu_seconds * 1e3:>8,.0f} "
            f"{timing.wall_seconds * 1e3:>8,.0f} {ratio:>13}"
        )
    if any(line.timing.disturbed for line in lines):
        print("(rows/s are of CPU time: other programs used this core too, which the wall-clock times show)")
    print("\nwhere the time goes                  CPU ms")
    for name, timing in parts.steps.items():
        print(f"{name:<34} {timing.cpu_seconds * 1e3:>8.1f}")
    print(f"{'(once) baseline of the reference':<34} {parts.baseline.cpu_seconds * 1e3:>8.1f}")
    print(f"{f'window of {SMALL_ROWS:,} rows, {SMALL_FEATURES} features':<34} {parts.small.cpu_seconds * 1e3:>8.1f}")
    print(f"\n{'target':<34} {'measured':>10} {'at least':>10}")
    for target in promised:
        text = f"{target.value:,.0f}" if target.least >= 1_000 else f"{target.value:.1f}"
        print(f"{target.what:<34} {text:>10} {target.least:>10,.0f}  {'PASS' if target.met else 'BELOW'}")


def document(lines: list[Line], parts: Parts, promised: list[Target]) -> dict[str, Any]:
    """Return what was measured as a JSON object; seconds are medians."""
    return {
        "lines": [{**dataclasses.asdict(line), "rows_per_second": line.rate} for line in lines],
        "parts": dataclasses.asdict(parts),
        "targets": [{**dataclasses.asdict(target), "met": target.met} for target in promised],
    }


def hush_imports() -> None:
    """Keep what TensorFlow and Beam say while they are imported out of the tables."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger().setLevel(logging.ERROR)
    warnings.simplefilter("ignore", FutureWarning)


def main() -> int:
    """Measure, print, and write JSON where asked; a target that is not met is no error, it is what this is to tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="timed runs of each work, after one to warm up (7)")
    parser.add_argument("--peer-runs", type=int, default=3, help="the same for whylogs and Evidently (3)")
    parser.add_argument("--no-peers", action="store_true", help="compare with TFDV only")
    parser.add_argument("--require-peers", action="store_true", help="exit 1 where the peers cannot be measured")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write what was measured to FILE")
    options = parser.parse_args()

    missing = "not asked for" if options.no_peers else None
    try:
        if not options.no_peers:
            peers.install()
    except peers.PeersMissing as error:
        missing = str(error)
    core = hold_to_one_core()
    hush_imports()
    reference, current = flights.load()
    print(
        f"flights: {len(flights.FEATURES)} columns; reference {reference.num_rows:,} rows (January to March), "
        f"window {current.num_rows:,} rows (June to August); core {core} of {os.cpu_count()}",
        flush=True,
    )
    lines, parts, findings = measure_ours(reference, current, options.runs)
    if missing is None:
        try:
            lines += measure_peers(reference, current, options.peer_runs)
        except peers.PeersMissing as error:
            missing = str(error)
    flagged = sum(finding.flagged for finding in findings.findings)
    print(f"verdict: {findings.verdict}, {flagged} of {len(findings.findings)} findings flagged")
    promised = targets(lines)
    show(lines, parts, promised)
    if options.json:
        options.json.write_text(json.dumps(document(lines, parts, promised), indent=2) + "\n")
    if missing is not None:
        print(f"whylogs and Evidently are not measured: {missing}", file=sys.stderr)
        return 1 if options.require_peers else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
