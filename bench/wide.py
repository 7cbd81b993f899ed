"""What windows of a thousand columns take: memory beyond their rows, and CPU time; changes with what is promised of wide windows.

Usage: python bench/wide.py [--columns 1000] [--rows 50000 100000]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from monitor.compare.judge import judge
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import create_baseline
from monitor.profile.profile import build_profile
from monitor.records import Rows

MIB = 2**20


def resident() -> float:
    """Return the resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / MIB


def rows_of(count: int, columns: int) -> Rows:
    """Return rows of normal numbers."""
    random = np.random.default_rng(count)
    return Rows(pa.table({f"f{number}": random.normal(size=count) for number in range(columns)}), seen=count)


def measure(count: int, columns: int) -> None:
    """Print what one window takes; its peak is that of the process, so that each size has a process of its own."""
    baseline = create_baseline(rows_of(20_000, columns))
    rows = rows_of(count, columns)
    before, began = resident(), time.process_time()
    found = judge(build_profile(rows, baseline), baseline, {}, DetectionSettings())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:,} rows, {columns:,} columns ({rows.features.nbytes / MIB:,.0f} MiB): {found.verdict}, "
        f"{len(found.findings):,} findings; at most {peak - before:,.0f} MiB beyond the rows, "
        f"{resident() - before:,.0f} MiB after; {time.process_time() - began:.1f} s CPU"
    )


def main() -> None:
    """Measure each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--columns", type=int, default=1_000)
    parser.add_argument("--rows", type=int, nargs="+", default=[50_000, 100_000])
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for count in options.rows:
        if options.here:
            measure(count, options.columns)
        else:
            size = ["--columns", str(options.columns), "--rows", str(count)]
            subprocess.run([sys.executable, "-W", "ignore", __file__, *size, "--here"], check=True)


if __name__ == "__main__":
    main()
