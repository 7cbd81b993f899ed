"""Times the evaluation of an EvalConfig against TFMA's own on the same examples; changes with what is promised of it.

    python bench/evaluate.py [--fast] [--runs 7] [--json FILE]

TFMA's side is `tfma.analyze_raw_data`, as a user calls it: a data frame in, results out. Driftline's is `evaluate` on that frame.
What both found is compared, too. Then a million labelled examples in forty slices, by Driftline alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from google.protobuf import text_format

from bench.rig.timing import Timing, hold_to_one_core, in_turns
from bench.verdict import Target, hush_imports
from monitor.evaluate.evaluating import evaluate
from monitor.evaluate.evaluation import Evaluation
from monitor.evaluate.examples import Examples, Outcomes

TIMES_TARGET = 1_000
RATE_TARGET = 1_000_000
ROWS = 50_000
FAST_ROWS = 5_000
MANY_ROWS = 1_000_000
SLICES = 40
AGREEMENT = 1e-6
"""How far a metric may be from TFMA's, relative where it is larger than 1."""

METRICS = ("ExampleCount", "AUC", "BinaryAccuracy", "BinaryCrossEntropy", "Calibration")
CONFIG = """
model_specs {{ label_key: "label" prediction_key: "prediction" }}
slicing_specs {{}} slicing_specs {{ feature_keys: "{column}" }}
metrics_specs {{ {metrics} }}
"""
OURS = "Driftline"
TFMA = "TFMA"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: a tool, what it did, and how long that took for `rows` examples."""

    tool: str
    work: str
    timing: Timing
    rows: int

    @property
    def rate(self) -> float:
        """Examples per second of one core."""
        return self.timing.rate(self.rows)


def frame_of(rows: int) -> Any:
    """Return labelled scores with two columns to slice by, of 10 and of 39 values (with all examples: 11 and 40 slices)."""
    rng = np.random.default_rng(20130101)
    labels = rng.random(rows) < 0.3
    return pa.table(
        {
            "label": labels.astype(np.float64),
            "prediction": np.clip(0.3 * labels + rng.normal(0.35, 0.15, rows), 0.001, 0.999),
            "region": rng.integers(0, 10, rows).astype(str),
            "station": rng.integers(0, SLICES - 1, rows).astype(str),
        }
    ).to_pandas()


def config_of(column: str) -> Any:
    """Return the EvalConfig with the five metrics, for all examples and by a column."""
    from tensorflow_model_analysis.proto import config_pb2
    from tensorflow_model_analysis.utils import config_util

    metrics = " ".join(f'metrics {{ class_name: "{name}" }}' for name in METRICS)
    config = text_format.Parse(CONFIG.format(column=column, metrics=metrics), config_pb2.EvalConfig())
    return config_util.update_eval_config_with_defaults(config, has_baseline=None)


def ours(frame: Any, column: str) -> Evaluation:
    """Evaluate a data frame: the work that is promised at a rate."""
    outcomes = Outcomes(frame["label"].to_numpy(), frame["prediction"].to_numpy())
    return evaluate(Examples({("", ""): outcomes}, {column: pa.array(frame[column])}), config_of(column))


def theirs(frame: Any, column: str) -> Mapping[Any, Mapping[str, float]]:
    """Evaluate a data frame as TFMA's users do; return the metrics by slice and name."""
    import tensorflow_model_analysis as tfma

    result = tfma.analyze_raw_data(frame[["label", "prediction", column]], config_of(column))
    return {
        key: {name: value["doubleValue"] for name, value in values[""][""].items()}
        for key, values in result.slicing_metrics
    }


def furthest(found: Evaluation, said: Mapping[Any, Mapping[str, float]]) -> float:
    """Return the largest |ours - TFMA's| / max(1, |TFMA's|) of any metric in any slice."""
    mine = {key: {name.name: value for name, value in values.items()} for key, values in found.metrics.items()}
    if mine.keys() != said.keys() or any(mine[key].keys() != said[key].keys() for key in said):
        return float("inf")
    pairs = ((mine[key][name], value) for key, values in said.items() for name, value in values.items())
    return float(max(abs(one - other) / max(1.0, abs(other)) for one, other in pairs))


def measure(rows: int, runs: int) -> tuple[list[Line], float]:
    """Time both tools on the same frame, TFMA once, and Driftline on many examples; return also how far the two are apart."""
    frame, many = frame_of(rows), frame_of(MANY_ROWS)
    found = ours(frame, "region")
    timings = in_turns({"few": lambda: ours(frame, "region"), "many": lambda: ours(many, "station")}, runs)
    said: list[Mapping[Any, Mapping[str, float]]] = []
    theirs(frame.head(100), "region")
    # Once, since it takes most of a minute; what happens on first use has just happened.
    cpu, wall = time.process_time(), time.perf_counter()
    said.append(theirs(frame, "region"))
    once = Timing.of([(time.process_time() - cpu, time.perf_counter() - wall)])
    lines = [
        Line(OURS, f"{len(METRICS)} metrics, {len(found.slices)} slices", timings["few"], rows),
        Line(TFMA, "the same, by analyze_raw_data", once, rows),
        Line(OURS, f"{len(METRICS)} metrics, {SLICES} slices", timings["many"], MANY_ROWS),
    ]
    return lines, furthest(found, said[0])


def targets(lines: list[Line]) -> list[Target]:
    """Compare what was measured with what is promised."""
    few, tfma, many = lines
    return [
        Target("x TFMA's analyze_raw_data", few.rate / tfma.rate, TIMES_TARGET),
        Target("examples/s on one core", many.rate, RATE_TARGET),
    ]


def show(lines: list[Line], apart: float, promised: list[Target]) -> None:
    """Print tables that can be pasted into a page."""
    print(f"\n{'tool':<10} {'work':<32} {'examples':>10} {'examples/s':>12} {'CPU ms':>10} {'wall ms':>10}")
    for line in lines:
        cpu, wall = line.timing.cpu_seconds * 1e3, line.timing.wall_seconds * 1e3
        print(f"{line.tool:<10} {line.work:<32} {line.rows:>10,} {line.rate:>12,.0f} {cpu:>10,.1f} {wall:>10,.1f}")
    if any(line.timing.disturbed for line in lines):
        print("(examples/s are of CPU time: other programs used this core too, which the wall-clock times show)")
    print(f"largest difference of a metric from TFMA's: {apart:.1e}")
    print(f"\n{'target':<28} {'measured':>12} {'at least':>12}")
    for target in promised:
        print(f"{target.what:<28} {target.value:>12,.0f} {target.least:>12,.0f}  {'PASS' if target.met else 'BELOW'}")


def document(lines: list[Line], apart: float, promised: list[Target]) -> dict[str, Any]:
    """Return what was measured as a JSON object; seconds are medians."""
    return {
        "lines": [{**dataclasses.asdict(line), "examples_per_second": line.rate} for line in lines],
        "largest_difference": apart,
        "targets": [{**dataclasses.asdict(target), "met": target.met} for target in promised],
    }


def main() -> int:
    """Measure, print, and write JSON where asked; exit 1 only where the two tools do not agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help=f"compare on {FAST_ROWS:,} examples, not on {ROWS:,}")
    parser.add_argument("--runs", type=int, default=7, help="timed runs of Driftline, after one to warm up (7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write what was measured to FILE")
    options = parser.parse_args()

    core = hold_to_one_core()
    hush_imports()
    warnings.simplefilter("ignore", RuntimeWarning)  # TFMA divides by zero at thresholds that nothing is above
    print(f"core {core} of {os.cpu_count()}; metrics: {', '.join(METRICS)}", flush=True)
    lines, apart = measure(FAST_ROWS if options.fast else ROWS, options.runs)
    promised = targets(lines)
    show(lines, apart, promised)
    if options.json:
        options.json.write_text(json.dumps(document(lines, apart, promised), indent=2) + "\n")
    return 0 if apart <= AGREEMENT else 1


if __name__ == "__main__":
    sys.exit(main())
