"""Times whylogs and Evidently on two Parquet files, in their own environment; changes when they do.

    measure.py REFERENCE.parquet CURRENT.parquet RUNS

Prints one JSON object: {"whylogs": {"version": str, "seconds": [[cpu, wall], ...], "profile_seconds": [...],
"drifted": int}, "evidently": {"version": str, "seconds": [...], "drifted": int}}. A run of whylogs is the profile of the
current rows and its drift scores against the reference's profile, which is made beforehand; a run of Evidently is its
DataDriftPreset, which takes both sets of rows. Reading the files and importing are not timed.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

# Imported by name: neither is in the environment that checks the types.
pandas: Any = importlib.import_module("pandas")


def timed(work: Callable[[], Any], runs: int) -> tuple[list[tuple[float, float]], Any]:
    """Return the (CPU, wall) seconds of `runs` calls after one to warm up, and what the last returned."""
    result = work()
    seconds = []
    for _ in range(runs):
        cpu, wall = time.process_time(), time.perf_counter()
        result = work()
        seconds.append((time.process_time() - cpu, time.perf_counter() - wall))
    return seconds, result


def measure_whylogs(reference: Any, current: Any, runs: int) -> dict[str, Any]:
    """Time `why.log` of the current rows, and that with `calculate_drift_scores`, which is what a verdict takes."""
    why: Any = importlib.import_module("whylogs")
    drift: Any = importlib.import_module("whylogs.viz.drift.column_drift_algorithms")
    theirs = why.log(pandas=reference).view()

    def scores() -> Any:
        view = why.log(pandas=current).view()
        return drift.calculate_drift_scores(target_view=view, reference_view=theirs, with_thresholds=True)

    profile_seconds, _ = timed(lambda: why.log(pandas=current).view(), runs)
    seconds, found = timed(scores, runs)
    drifted = sum(1 for score in found.values() if score and score["drift_category"] == "DRIFT")
    return {
        "version": version("whylogs"),
        "seconds": seconds,
        "profile_seconds": profile_seconds,
        "drifted": drifted,
        "scored": sum(1 for score in found.values() if score),
    }


def measure_evidently(reference: Any, current: Any, runs: int) -> dict[str, Any]:
    """Time a report of the DataDriftPreset."""
    evidently: Any = importlib.import_module("evidently")
    presets: Any = importlib.import_module("evidently.presets")
    seconds, snapshot = timed(
        lambda: evidently.Report([presets.DataDriftPreset()]).run(current, reference),
        runs,
    )
    counted = snapshot.dict()["metrics"][0]["value"]
    return {"version": version("evidently"), "seconds": seconds, "drifted": int(counted["count"])}


def main() -> None:
    """Measure both on the files named on the command line."""
    reference, current = (pandas.read_parquet(path) for path in sys.argv[1:3])
    runs = int(sys.argv[3])
    peers = {
        "whylogs": measure_whylogs(reference, current, runs),
        "evidently": measure_evidently(reference, current, runs),
    }
    print(json.dumps(peers))


if __name__ == "__main__":
    main()
