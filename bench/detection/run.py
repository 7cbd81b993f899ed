"""Measures how well Driftline and others tell changed windows from unchanged ones; changes with how that is asked for.

bench/detection/run.py [--only driftline] [--data flights] [--windows 1000] [--kinds null,shift_0.25] [--misses]
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import yaml

from bench.detection import datasets, driftline, peers, tfdv
from bench.detection.cases import NATURAL, NULL, RUN, Case, Source
from bench.detection.changes import CORRELATION, KINDS
from bench.detection.tables import show, show_data, show_misses, show_promises
from bench.detection.tally import Judged
from bench.rig import peers as rig

ALL_KINDS = (NULL, NATURAL, RUN, *KINDS, CORRELATION)
SIZES = (300, 1_000, 5_000)
OURS = "driftline"
TFDV = "tfdv"
DETECTORS = (OURS, *peers.NAMES, TFDV)

Results = dict[str, list[Judged]]


def cases(source: Source, options: argparse.Namespace, windows: int, changed: int) -> Iterator[Case]:
    """Yield the windows of a data set: `windows` as they are, `changed` of each change, sizes one after the other."""
    for rows in options.sizes:
        yield from source.random(rows, options.kinds, windows, changed)
        yield from source.runs(rows, options.kinds, changed)
    for block in source.data.blocks if options.blocks else ():
        yield from source.natural(block, options.kinds, windows, changed)


def measure_ours(sources: Sequence[Source], options: argparse.Namespace) -> Results:
    """Judge all windows with Driftline."""
    judged: list[Judged] = []
    for source in sources:
        detector = driftline.Detector(source, dict(options.set), timed=options.timed, full=options.full)
        with _timed(driftline.NAME, source):
            judged += [detector.judge(case) for case in cases(source, options, options.windows, options.changed)]
    return {driftline.NAME: judged}


def measure_tfdv(sources: Sequence[Source], options: argparse.Namespace) -> Results:
    """Judge windows with plain TFDV; one column of the table for each threshold."""
    found: Results = {f"TFDV {limit}": [] for limit in tfdv.THRESHOLDS}
    for source in sources:
        detector = tfdv.Detector(source)
        with _timed("TFDV", source):
            for case in cases(source, options, options.peer_windows, options.peer_changed):
                for limit, judged in detector.judge(case).items():
                    found[f"TFDV {limit}"].append(judged)
    return found


def measure_peer(key: str, sources: Sequence[Source], options: argparse.Namespace) -> Results:
    """Judge windows with a peer; one that does not run, or stops, says so in one line."""
    windows, changed = options.peer_windows, options.peer_changed
    if key == "evidently":
        windows, changed = min(windows, options.evidently_windows), min(changed, options.evidently_changed)
    judged: list[Judged] = []
    try:
        with peers.running(key) as peer:
            for source in sources:
                with _timed(f"{peer.name} {peer.version}", source):
                    judged += peer.judge(source, cases(source, options, windows, changed))
            if peer.failures:
                print(f"{peer.name} could not judge {len(peer.failures)} windows, such as {peer.failures[0]}")
    except rig.PeersMissing as error:
        print(f"{peers.NAMES[key]} is not measured{' to the end' if judged else ''}: {error}")
    return {peers.NAMES[key]: judged} if judged else {}


def measure(sources: Sequence[Source], options: argparse.Namespace) -> Results:
    """Return what each detector that was asked for says, in the order of DETECTORS."""
    works: dict[str, Callable[[], Results]] = {
        OURS: lambda: measure_ours(sources, options),
        TFDV: lambda: measure_tfdv(sources, options),
    }
    results: Results = {}
    missing = _missing_peers(options)
    for name in DETECTORS:
        if name in options.only and name not in missing:
            work = works.get(name, lambda name=name: measure_peer(name, sources, options))
            results |= work()
    return results


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=_words(DETECTORS), default=DETECTORS, help=f"of {','.join(DETECTORS)} (all)")
    parser.add_argument("--data", type=_words(datasets.NAMES), default=datasets.NAMES, help="data sets (all)")
    parser.add_argument("--kinds", type=_words(ALL_KINDS), default=ALL_KINDS, help="kinds of windows (all)")
    parser.add_argument("--sizes", type=_numbers, default=SIZES, help="rows in a window (300,1000,5000)")
    parser.add_argument("--no-blocks", dest="blocks", action="store_false", help="no natural hours, days and weeks")
    parser.add_argument("--windows", type=int, default=1_000, help="unchanged windows a size and data set (1000)")
    parser.add_argument("--changed", type=int, default=100, help="windows a size, data set and change; also runs (100)")
    parser.add_argument("--peer-windows", type=int, default=100, help="--windows of the others (100)")
    parser.add_argument("--peer-changed", type=int, default=10, help="--changed of the others (10)")
    parser.add_argument("--evidently-windows", type=int, default=20, help="the same of Evidently, at most (20)")
    parser.add_argument("--evidently-changed", type=int, default=4, help="the same of Evidently, at most (4)")
    parser.add_argument("--held-out", action="store_true", help="the baseline and the windows share no row")
    parser.add_argument("--timed", action="store_true", help="Driftline knows the time of random windows, too")
    parser.add_argument("--set", type=_setting, action="append", default=[], metavar="KEY=VALUE", help="of `detection`")
    parser.add_argument("--full", action="store_true", help="Driftline with TFDV's part of the verdict; slow")
    parser.add_argument("--by-data", action="store_true", help="also print Driftline's rates for every data set")
    parser.add_argument("--misses", action="store_true", help="list what Driftline missed and flagged for nothing")
    return parser.parse_args(arguments)


def main() -> int:
    """Measure and print; a target that is not met is no error, it is what this is to tell."""
    options = options_of()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger().setLevel(logging.ERROR)
    warnings.simplefilter("ignore", FutureWarning)
    try:
        sources = [Source(data, options.held_out) for data in datasets.load(options.data)]
    except datasets.DataMissing as error:
        print(f"{error}; choose others with --data", file=sys.stderr)
        return 2
    for source in sources:
        rows, features = source.reference.num_rows, len(source.data.features)
        print(f"{source.data.name}: {rows:,} rows in the baseline, {features} features")
    results = measure(sources, options)
    show(results)
    ours = results.get(driftline.NAME, [])
    if options.by_data:
        show_data(driftline.NAME, ours)
    show_promises(ours, joint=bool(options.set.get("joint")))
    if options.misses:
        show_misses(ours)
    return 0


def _missing_peers(options: argparse.Namespace) -> frozenset[str]:
    """Make the peers' environment where it is wanted; return the peers that cannot be had."""
    if not any(name in options.only for name in peers.NAMES):
        return frozenset()
    try:
        rig.install()
    except rig.PeersMissing as error:
        print(f"{', '.join(peers.NAMES.values())} are not measured: {error}")
        return frozenset(peers.NAMES)
    return frozenset()


@contextmanager
def _timed(name: str, source: Source) -> Iterator[None]:
    started = time.perf_counter()
    yield
    print(f"{name}: {source.data.name} in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


def _words(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        words = tuple(text.split(","))
        unknown = [word for word in words if word not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return words

    return read


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, yaml.safe_load(value)


if __name__ == "__main__":
    sys.exit(main())
