"""How good estimates of quality without labels are, and how fast, beside NannyML; changes with what is promised of them.

    python bench/estimate.py [--sets 20] [--runs 5] [--no-peers | --require-peers]

In simulated worlds, where what labels depend on is known: how far estimates are from what labels say after the inputs
shifted, and how often the interval holds that; how often concept drift is suspected where there is none, and how soon where there
is. On Chicago's taxi trips: a model of who tips more than a fifth of the fare, over the years after it was made.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy import special

from bench.estimating.compared import (
    CLASSIFIERS_KIND,
    LABELS,
    NANNYML,
    OURS,
    ROWS,
    WINDOWS,
    Line,
    Study,
    ask_nannyml,
    isotonic_of,
    lines_of,
    ours_of,
)
from bench.estimating.drift import Drift, drifts
from bench.estimating.taxi import FILE, Taxi, windows_of_taxi
from bench.estimating.worlds import CLASSIFIERS, REGRESSIONS, World
from bench.rig import peers
from bench.rig.timing import Timing, hold_to_one_core, in_turns
from monitor.evaluate.estimate.estimating import calibrate, estimate
from monitor.evaluate.estimate.tracking import FALSE_ALARM_RATE

RATE_TARGET = 10.0
"""Times NannyML's rows per second."""
_TITLES = {CLASSIFIERS_KIND: "classifiers", "dle": "regression models"}


def speeds(study: Study, runs: int) -> dict[str, tuple[Timing, int]]:
    """Time estimates of the first set's windows, one by one, of a large window, and of the calibration."""
    calibration = calibrate(*study.labelled[0])
    windows = study.windows[0]
    large = special.expit(np.random.default_rng(1).normal(size=1_000_000))

    def all_windows() -> None:
        for outcomes, features in windows:
            estimate(outcomes.predictions, None, calibration, features=features)

    works: dict[str, tuple[Callable[[], object], int]] = {
        f"{len(windows)} windows of {ROWS:,}": (all_windows, len(windows) * ROWS)
    }
    if study.kind == CLASSIFIERS_KIND:
        works["one window of 1,000,000"] = partial(estimate, large, None, calibration), len(large)
    works[f"calibrate on {LABELS:,} labels"] = lambda: list(calibrate(*study.labelled[0]).raw(*windows[0])), LABELS
    timed = in_turns({name: work for name, (work, _) in works.items()}, runs)
    return {name: (timed[name], rows) for name, (_, rows) in works.items()}


def show_lines(lines: Sequence[Line]) -> None:
    """Print one row a world and measure, with the tools side by side."""
    tools = list(dict.fromkeys(line.tool for line in lines))
    print(f"\n{'world':<16} {'measure':<24}" + "".join(f" {tool:>18}" for tool in tools) + f" {'interval holds':>16}")
    keys = dict.fromkeys((line.world, line.measure) for line in lines if line.tool == OURS)
    for world, measure in keys:
        by_tool = {line.tool: line for line in lines if (line.world, line.measure) == (world, measure)}
        cells = "".join(
            f" {by_tool[tool].off:>9.4f} {by_tool[tool].bias:>+8.4f}" if tool in by_tool else f" {'-':>18}"
            for tool in tools
        )
        held = by_tool[OURS].held
        print(f"{world:<16} {measure:<24}{cells} {'-' if held is None else f'{held:.3f}':>16}")


def show_drifts(found: Sequence[Drift]) -> None:
    """Print how soon concept drift was suspected."""
    print(f"\n{'concept drift':<40} {'rows':>6} {'false alarms':>14} {'median delay':>13} {'missed in 20':>13}")
    for each in found:
        alarms = f"{each.false_alarms:.4f} ({each.windows})"
        print(f"{each.world:<40} {each.rows:>6,} {alarms:>14} {each.delay:>13.0f} {each.missed:>13.2f}")
    print(f"(stated rate of false alarms: at most {FALSE_ALARM_RATE})")


def show_taxi(windows: Sequence[Taxi]) -> None:
    """Print estimated and real quality of the taxi windows."""
    names = ("auc", "binary_accuracy", "mean_label", "binary_crossentropy")
    print("\ntaxi, windows of 1,000 trips: estimated / real (* outside the interval)")
    print("window " + "".join(f"{name:>24}" for name in names) + "   concept drift suspected after its labels")
    for number, window in enumerate(windows):
        cells = []
        for name in names:
            value, low, high, true = window.found[name]
            cells.append(f"{value:.4f} / {true:.4f}{' ' if low <= true <= high else '*'}")
        print(f"{number:>6} " + "".join(f"{cell:>24}" for cell in cells) + f"   {'yes' if window.suspected else 'no'}")


def compare(kind: str, worlds: Mapping[str, World], sets: int, runs: int, peer: bool) -> float | None:
    """Compare all tools over some worlds and print that; return how many times NannyML's rows per second ours are.

    Raises:
        PeersMissing: NannyML failed.
    """
    studies = [Study.of(name, kind, world, sets) for name, world in worlds.items()]
    answers = [ask_nannyml(study, runs) for study in studies] if peer else []
    lines = [line for study in studies for line in ours_of(study)]
    if kind == CLASSIFIERS_KIND:
        lines += [line for study in studies for line in isotonic_of(study)]
    for study, said in zip(studies, answers, strict=False):
        lines += lines_of(f"{NANNYML} {said['version']}", study, said["estimates"])
    print(f"\n{_TITLES[kind]}: mean absolute difference from what labels say, and mean difference")
    show_lines(lines)
    return show_speed(studies[0], runs, answers[0] if answers else None)


def show_speed(study: Study, runs: int, said: Mapping[str, Any] | None) -> float | None:
    """Print how long estimates take; return the ratio to NannyML's rate, where that is known."""
    timed = speeds(study, runs)
    print(f"\n{'work':<40} {'rows/s':>12} {'CPU ms':>10}")
    for work, (timing, rows) in timed.items():
        print(f"{OURS + ': ' + work:<40} {timing.rate(rows):>12,.0f} {timing.cpu_seconds * 1e3:>10.1f}")
    if said is None:
        return None
    (work, (ours, rows)), theirs = next(iter(timed.items())), Timing.of(said["seconds"])
    print(f"{NANNYML + ': ' + work:<40} {theirs.rate(rows):>12,.0f} {theirs.cpu_seconds * 1e3:>10.1f}")
    print(f"{NANNYML + ': fit':<40} {'':>12} {np.median(said['fit_seconds']) * 1e3:>10.1f}")
    return ours.rate(rows) / theirs.rate(rows)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=20, help="draws of each world (20)")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each work, after one to warm up (5)")
    parser.add_argument("--no-peers", action="store_true", help="leave NannyML out")
    parser.add_argument("--require-peers", action="store_true", help="exit 1 where NannyML cannot be measured")
    options = parser.parse_args()

    missing = "not asked for" if options.no_peers else None
    try:
        if not options.no_peers:
            peers.install()
    except peers.PeersMissing as error:
        missing = str(error)
    core = hold_to_one_core()
    print(
        f"{options.sets} draws of {LABELS:,} labelled rows and {WINDOWS} windows of {ROWS:,} shifted rows; "
        f"core {core} of {os.cpu_count()}",
        flush=True,
    )
    for kind, worlds in ((CLASSIFIERS_KIND, CLASSIFIERS), ("dle", REGRESSIONS)):
        try:
            ratio = compare(kind, worlds, options.sets, options.runs, missing is None)
        except peers.PeersMissing as error:
            missing = str(error)
            ratio = compare(kind, worlds, options.sets, options.runs, peer=False)
        if ratio is not None:
            met = "PASS" if ratio >= RATE_TARGET else "BELOW"
            print(f"{ratio:.1f} x NannyML's rows/s, at least {RATE_TARGET:.0f}  {met}")
    show_drifts(list(drifts(options.sets)))
    if FILE.is_file():
        show_taxi(windows_of_taxi())
    if missing is not None:
        print(f"NannyML is not measured: {missing}", file=sys.stderr)
        return 1 if options.require_peers else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
