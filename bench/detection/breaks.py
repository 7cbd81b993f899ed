"""How often data breaks are told from drift, and drift is taken for a break; changes with the breaks that are promised.

Every break is put into every suitable column of a window that is a random sample of the baseline's own period, and so is
every drift; windows of another season drift by themselves. Nothing is asked of the drifts but that no break is seen, and
there every column counts as moved, which is harder than what production asks.
"""

from __future__ import annotations

import argparse
import dataclasses
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from tensorflow_metadata.proto.v0 import statistics_pb2

from bench.detection.break_changes import BREAKS, DRIFTS
from monitor.compare.breaks.causes import Break, Cause
from monitor.compare.breaks.find import find_breaks
from monitor.compare.case import Case, Reference
from monitor.compare.judge import calibrated_findings
from monitor.config.detection import DetectionSettings
from monitor.demo.flights import data_folder
from monitor.profile.baseline import Baseline, create_baseline
from monitor.profile.profile import Profile, build_profile
from monitor.window.frames import ColumnRoles, rows_from_table

SIZES = (300, 1_000, 5_000)
DATA = Path(__file__).parents[2].parent / "shared" / "data"

_READ = csv.ConvertOptions(strings_can_be_null=True, null_values=["", "NA"])
_SETTINGS = DetectionSettings()


@dataclass(frozen=True, slots=True)
class Source:
    """One data set: what the baseline is made of, and rows of another season."""

    name: str
    usual: pa.Table
    later: pa.Table


@dataclass(slots=True)
class Tally:
    """Outcomes of one kind of injection."""

    tried: int = 0
    moved: int = 0
    right: int = 0
    wrong: int = 0


def sources(names: Sequence[str]) -> Iterator[Source]:
    """Yield the data sets by name; those that are not there are left out."""
    if "flights" in names:
        with zipfile.ZipFile(data_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
            flights = csv.read_csv(file, convert_options=_READ).drop(["year", "time_hour"])
        yield Source("flights", _where(flights, "month", {1}), _where(flights, "month", {7}))
    if "bike" in names and (DATA / "bike_sharing").exists():
        hours = csv.read_csv(DATA / "bike_sharing" / "hour.csv").drop(["instant"])
        dates = pc.cast(hours.column("dteday"), pa.string())
        hours = hours.set_column(hours.column_names.index("dteday"), "dteday", dates)
        yield Source("bike", _where(hours, "mnth", {1, 2, 3}), _where(hours, "mnth", {7, 8, 9}))
    if "taxi" in names and (DATA / "chicago_taxi").exists():
        trips = csv.read_csv(DATA / "chicago_taxi" / "simple_data.csv", convert_options=_READ)
        years = pc.year(pc.cast(trips.column("trip_start_timestamp"), pa.timestamp("s")))
        yield Source("taxi", trips.filter(pc.less(years, 2015)), trips.filter(pc.greater_equal(years, 2015)))


def _where(table: pa.Table, column: str, values: set[int]) -> pa.Table:
    return table.filter(pc.is_in(table.column(column), pa.array(sorted(values), pa.int64())))


def differing(table: pa.Table, changed: pa.Table) -> list[str]:
    """Return the columns that an injection changed."""
    return [name for name in table.column_names if not table.column(name).equals(changed.column(name))]


def _profile(table: pa.Table, baseline: Baseline) -> Profile:
    return build_profile(rows_from_table(table, ColumnRoles(), baseline.column_types), baseline)


def _changed(whole: Profile, table: pa.Table, changed: pa.Table, baseline: Baseline) -> Profile:
    """Return the profile of `changed`, made from that of `table` by counting only the columns that differ."""
    names = differing(table, changed)
    part = _profile(changed.select(names), baseline)
    merged, parsed = statistics_pb2.DatasetFeatureStatisticsList(), statistics_pb2.DatasetFeatureStatisticsList()
    merged.ParseFromString(whole.statistics)
    parsed.ParseFromString(part.statistics)
    kept = [feature for feature in merged.datasets[0].features if feature.path.step[0] not in names]
    del merged.datasets[0].features[:]
    merged.datasets[0].features.extend([*kept, *parsed.datasets[0].features])
    return dataclasses.replace(
        whole,
        statistics=merged.SerializeToString(deterministic=True),
        counts={**{n: c for n, c in whole.counts.items() if n not in names}, **part.counts},
        misfits=part.misfits,
    )


def _flagged(profile: Profile, baseline: Baseline) -> dict[str, float]:
    """Return the features of which a calibrated comparison with training is flagged."""
    findings = calibrated_findings(Case(profile, baseline, [Reference.training(baseline)], _SETTINGS))
    return {f.feature: f.value or 0.0 for f in findings if f.flagged and f.feature is not None}


def measure(
    source: Source, size: int, windows: int, seed: int
) -> tuple[dict[str, Tally], dict[str, Tally], list[Break]]:
    """Return tallies of breaks and of drifts of one data set and window size, and the drifts taken for breaks."""
    random = np.random.default_rng(seed)
    order = random.permutation(source.usual.num_rows)
    cut = source.usual.num_rows // 2
    baseline = create_baseline(rows_from_table(source.usual.take(pa.array(order[:cut])), ColumnRoles()))
    rest, every = order[cut:], dict.fromkeys(baseline.features, 1.0)
    breaks: dict[str, Tally] = defaultdict(Tally)
    drifts: dict[str, Tally] = defaultdict(Tally)
    mistaken: list[Break] = []
    for _ in range(windows):
        table = source.usual.take(pa.array(random.choice(rest, size, replace=size > len(rest)))).combine_chunks()
        whole = _profile(table, baseline)
        for name in table.column_names:
            for kind, (cause, change) in BREAKS.items():
                changed = change(table, name, random)
                if changed is not None and differing(table, changed):
                    profile = _changed(whole, table, changed, baseline)
                    _count_break(breaks[kind], name, cause, profile, baseline, differing(table, changed))
            for kind, change in DRIFTS.items():
                changed = change(table, name, random)
                if changed is not None and differing(table, changed):
                    found = find_breaks(_changed(whole, table, changed, baseline), baseline, {name: 1.0})
                    _count_drift(drifts[kind], 1, found, mistaken)
        _count_drift(drifts["nothing"], len(every), find_breaks(whole, baseline, every), mistaken)
        later = source.later.take(
            pa.array(random.choice(source.later.num_rows, size, replace=size > source.later.num_rows))
        )
        natural = _profile(later.combine_chunks(), baseline)
        _count_drift(drifts["another season"], len(every), find_breaks(natural, baseline, every), mistaken)
    return breaks, drifts, mistaken


def _count_break(
    tally: Tally, name: str, cause: Cause, profile: Profile, baseline: Baseline, changed: Sequence[str]
) -> None:
    moved = _flagged(profile, baseline)
    found = [each.cause for each in find_breaks(profile, baseline, moved) if each.feature == name]
    tally.tried += 1
    if all(other in moved or other in profile.misfits for other in changed):
        tally.moved += 1
        tally.right += cause in found
        tally.wrong += bool(found) and cause not in found


def _count_drift(tally: Tally, features: int, found: Sequence[Break], mistaken: list[Break]) -> None:
    tally.tried += features
    tally.wrong += len(found)
    mistaken.extend(found)


def _added(tallies: Sequence[Mapping[str, Tally]], kind: str) -> Tally:
    of_kind = [tally[kind] for tally in tallies if kind in tally]
    return Tally(*(sum(getattr(tally, f.name) for tally in of_kind) for f in dataclasses.fields(Tally)))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=4, help="windows of each data set and size")
    parser.add_argument("--data", nargs="*", default=["flights", "bike", "taxi"])
    parser.add_argument("--sizes", nargs="*", type=int, default=list(SIZES))
    parser.add_argument("--verbose", action="store_true", help="name the drifts that were taken for breaks")
    args = parser.parse_args()
    loaded = list(sources(args.data))
    results = {n: [measure(source, n, args.windows, seed) for seed, source in enumerate(loaded)] for n in args.sizes}
    head = " | ".join(f"n={n:,}" for n in args.sizes)
    print(f"| break (right cause / wrong cause, of those whose column moved; tries) | {head} |")
    for kind in BREAKS:
        tallies = [_added([breaks for breaks, _, _ in results[n]], kind) for n in args.sizes]
        print(f"| {kind} | {' | '.join(_break_cell(tally) for tally in tallies)} |")
    print(f"\n| drift taken for a break, every column taken for moved | {head} |")
    for kind in (*DRIFTS, "nothing", "another season"):
        tallies = [_added([drifts for _, drifts, _ in results[n]], kind) for n in args.sizes]
        print(f"| {kind} | {' | '.join(f'{t.wrong}/{t.tried}' for t in tallies)} |")
    if args.verbose:
        for n in args.sizes:
            for _, _, mistaken in results[n]:
                for each_mistaken in mistaken:
                    print(n, each_mistaken.explanation, round(each_mistaken.share, 3))


def _break_cell(tally: Tally) -> str:
    if not tally.moved:
        return f"none of {tally.tried} moved"
    return f"{tally.right / tally.moved:.3f} / {tally.wrong / tally.moved:.3f} ({tally.moved} of {tally.tried})"


if __name__ == "__main__":
    main()
