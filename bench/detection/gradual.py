"""Measures the accumulated test: false alarms where nothing changes, delay where something slowly does, and real sequences.

bench/detection/gradual.py [--only null,delay,real] [--runs 100]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from bench.detection.datasets import DataMissing
from monitor.clock import from_micros
from monitor.compare.findings import Finding, Kind
from monitor.compare.gradual.findings import Budget, accumulated_findings, count_tracks
from monitor.compare.gradual.scan import HISTORY, MIN_SPAN, critical_mean, level_of, scan
from monitor.compare.gradual.state import State, advance, begin, residual_of
from monitor.compare.gradual.usual import Usual, learn
from monitor.demo.flights import data_folder
from monitor.profile.baseline import create_baseline
from monitor.profile.profile import count_rows
from monitor.records import Rows

Floats = npt.NDArray[np.float64]

BLOCKS = (30, 60, 90)
SIZES = (300, 1_000, 5_000)
NULL_RATE = 0.001
NULL_WINDOWS = 300
TRACKS = 20
"""The delays are those of a model whose features make twenty tracks, which together give NULL_RATE false alarms a window."""
DELAY_WINDOWS = 120
MIN_EFFECT = 0.1
CUSUM_ALLOWANCE, CUSUM_BOUND = 0.25, 9.93
"""For a step of half a standard deviation, and 1,000 windows to a false alarm where mean and variance are known and windows
independent (Siegmund, Sequential Analysis, 1985, 2.6)."""
DAY = timedelta(days=1) // timedelta(microseconds=1)
_SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@dataclass(frozen=True, slots=True)
class Days:
    """How days differ by themselves, in standard deviations of rows."""

    name: str
    spread: float = 0.0
    carry_over: float = 0.0
    week: float = 0.0

    def means(self, rng: np.random.Generator, count: int, rows: int) -> Floats:
        """Return (count,) means of `rows` rows each."""
        steps = rng.normal(size=count)
        for i in range(1, count):
            steps[i] = self.carry_over * steps[i - 1] + math.sqrt(1.0 - self.carry_over**2) * steps[i]
        weekend = self.week * (np.arange(count) % 7 >= 5)
        means: Floats = self.spread * steps + weekend + rng.normal(scale=rows**-0.5, size=count)
        return means


NATURES = (
    Days("rows only"),
    Days("days differ by 0.1", 0.1),
    Days("the same, carry-over 0.5", 0.1, 0.5),
    Days("the same, carry-over 0.8", 0.1, 0.8),
    Days("weekends 0.3 higher, days 0.1", 0.1, 0.0, 0.3),
    Days("weekends, carry-over 0.5", 0.1, 0.5, 0.3),
)
CHANGES: tuple[tuple[str, Callable[[Floats], Floats]], ...] = (
    ("step 0.15", lambda days: np.full(len(days), 0.15)),
    ("0.02 a day", lambda days: 0.02 * days),
    ("0.05 a day", lambda days: 0.05 * days),
)


def first_alarm(usual: Usual, means: Floats, first: int, rows: int, level: float, min_effect: float) -> int | None:
    """Return after how many windows the test flags; None where it does not."""
    places, noises = np.arange(first, first + len(means)), np.full(len(means), 1.0 / rows)
    for end in range(MIN_SPAN, len(means) + 1):
        kept = slice(max(0, end - HISTORY), end)
        span = scan(usual, places[kept], means[kept], noises[kept])
        if span is not None and abs(span.mean) > max(min_effect, critical_mean(usual, span, level)):
            return end
    return None


def cusum_alarm(baseline: Floats, means: Floats) -> int | None:
    """Return after how many windows Page's two-sided CUSUM (1954) flags, the baseline's mean and deviation taken as known."""
    steps = (means - baseline.mean()) / baseline.std(ddof=1)
    above = below = 0.0
    for number, step in enumerate(steps.tolist(), start=1):
        above, below = max(0.0, above + step - CUSUM_ALLOWANCE), max(0.0, below - step - CUSUM_ALLOWANCE)
        if max(above, below) > CUSUM_BOUND:
            return number
    return None


def learnt(means: Floats, rows: int) -> Usual:
    """Learn from a baseline of daily means."""
    usual = learn(means, np.full(len(means), 1.0 / rows), np.arange(len(means)), (7,))
    if usual is None:
        raise ValueError("the baseline has too few blocks")
    return usual


def measure_null(runs: int) -> None:
    """Print false alarms a window against the budget, and those of a CUSUM that is tuned for the same budget."""
    level = level_of(NULL_RATE)
    print(
        f"\nfalse alarms a window of one track, budget {NULL_RATE} ({runs} baselines, {NULL_WINDOWS} windows each, 1,000 rows)"
    )
    print(f"{'':<32}" + "".join(f"{f'{blocks} days':>12}{'CUSUM':>10}" for blocks in BLOCKS))
    for nature in NATURES:
        cells = []
        for blocks in BLOCKS:
            rng, ours, theirs = np.random.default_rng(blocks), [], []
            for _ in range(runs):
                means = nature.means(rng, blocks + NULL_WINDOWS, 1_000)
                before, after = means[:blocks], means[blocks:]
                ours.append(first_alarm(learnt(before, 1_000), after, blocks, 1_000, level, 0.0))
                theirs.append(cusum_alarm(before, after))
            cells.append(f"{_rate(ours):>12.5f}{_rate(theirs):>10.5f}")
        print(f"{nature.name:<32}" + "".join(cells), flush=True)


def _rate(firsts: Sequence[int | None]) -> float:
    return sum(first is not None for first in firsts) / sum(first or NULL_WINDOWS for first in firsts)


def measure_delay(runs: int) -> None:
    """Print the median delay in days, and the share that is found within DELAY_WINDOWS."""
    level = level_of(NULL_RATE / TRACKS)
    print(
        f"\nmedian delay in days (share found within {DELAY_WINDOWS}), {runs} runs, budget {NULL_RATE} for {TRACKS} tracks"
    )
    print(f"{'':<28}{'rows':>6} " + "".join(f"{f'{name}, {b}':>16}" for name, _ in CHANGES for b in BLOCKS))
    for nature in (*NATURES[:3], NATURES[4]):
        for rows in SIZES:
            cells = [_delay(nature, rows, blocks, change, runs, level) for _, change in CHANGES for blocks in BLOCKS]
            print(f"{nature.name:<28}{rows:>6} " + "".join(f"{cell:>16}" for cell in cells), flush=True)


def _delay(nature: Days, rows: int, blocks: int, change: Callable[[Floats], Floats], runs: int, level: float) -> str:
    rng, delays = np.random.default_rng(rows + blocks), []
    for _ in range(runs):
        means = nature.means(rng, blocks + DELAY_WINDOWS, rows)
        means[blocks:] += change(np.arange(1.0, DELAY_WINDOWS + 1.0))
        found = first_alarm(learnt(means[:blocks], rows), means[blocks:], blocks, rows, level, MIN_EFFECT)
        delays.append(math.inf if found is None else float(found))
    median = float(np.median(delays))
    share = float(np.mean(np.isfinite(delays)))
    return f"{'-' if math.isinf(median) else f'{median:.0f}'} ({share:.2f})"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of real rows: a baseline period and the days after it."""

    name: str
    table: pa.Table
    times: npt.NDArray[np.int64]
    baseline: npt.NDArray[np.bool_]
    after: npt.NDArray[np.bool_]

    def rows(self, kept: npt.NDArray[np.bool_]) -> Rows:
        """Return the rows of a mask."""
        return Rows(self.table.filter(pa.array(kept)), event_times=self.times[kept], seen=int(kept.sum()))


def measure_real(sequences: Sequence[Stretch]) -> None:
    """Print what is flagged first of each quantity, and when."""
    for sequence in sequences:
        baseline = create_baseline(sequence.rows(sequence.baseline), block_length=timedelta(days=1))
        if baseline.calendar is None:
            raise ValueError(f"{sequence.name}: the baseline has too few days")
        started = time.process_time()
        begun = {name: begin(reference, baseline.calendar) for name, reference in baseline.features.items()}
        states = {name: state for name, state in begun.items() if state is not None}
        learning = time.process_time() - started
        budget = Budget(NULL_RATE, count_tracks(states.values()), MIN_EFFECT)
        print(
            f"\n{sequence.name}: {len(baseline.calendar.numbers)} blocks, {budget.tracks} tracks, learnt in {learning:.2f} s CPU"
        )
        spent, days = 0.0, np.unique(sequence.times[sequence.after] // DAY)
        seen: set[tuple[str | None, str]] = set()
        for day in days.tolist():
            profile = count_rows(sequence.rows(sequence.after & (sequence.times // DAY == day)), baseline)
            started = time.process_time()
            for name, state in states.items():
                states[name] = advance(state, residual_of(profile.counts[name], state, day))
            found = list(_flagged(states, budget))
            spent += time.process_time() - started
            for finding in found:
                if (finding.feature, finding.measure) not in seen:
                    seen.add((finding.feature, finding.measure))
                    print(f"  {from_micros(day * DAY).date()} {finding.explanation}")
        print(f"  {len(days)} windows, {1e3 * spent / len(days):.1f} ms CPU each")


def _flagged(states: dict[str, State], budget: Budget) -> Iterator[Finding]:
    for name, state in states.items():
        yield from (f for f in accumulated_findings(name, state, budget, kind=Kind.DRIFT) if f.flagged)


def real_sequences() -> Iterator[Stretch]:
    """Yield weather of 2013 at New York's airports, bikes, and taxi rides in random order, where nothing changes."""
    read = csv.ConvertOptions(strings_can_be_null=True, null_values=["", "NA"])
    weather = csv.read_csv(data_folder() / "weather.csv", convert_options=read)
    month = weather.column("month").to_numpy()
    times = weather.column("time_hour").cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    names = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
    yield Stretch(
        "weather, January and February; March to June",
        weather.select(names),
        times,
        month <= 2,
        (month >= 3) & (month <= 6),
    )
    yield from _bikes()
    yield from _taxi()


def _bikes() -> Iterator[Stretch]:
    bikes = _read(_SHARED / "bike_sharing" / "hour.csv")
    hours = bikes.column("hr").to_numpy() * (DAY // 24)
    times = pc.cast(bikes.column("dteday"), pa.timestamp("us")).cast(pa.int64()).to_numpy() + hours
    year, month = bikes.column("yr").to_numpy(), bikes.column("mnth").to_numpy()
    rides = bikes.select(["casual", "registered", "cnt", "hum", "windspeed"])
    yield Stretch(
        "bikes, October to December 2011; January to August 2012",
        rides,
        times,
        (year == 0) & (month >= 10),
        (year == 1) & (month <= 8),
    )
    yield Stretch("bikes, all of 2011; January to August 2012", rides, times, year == 0, (year == 1) & (month <= 8))


def _taxi() -> Iterator[Stretch]:
    taxi = _read(_SHARED / "chicago_taxi" / "simple_data.csv") if (_SHARED / "chicago_taxi").is_dir() else None
    if taxi is None:
        raise DataMissing("chicago_taxi")
    names = [n for n in ("fare", "trip_miles", "trip_seconds", "payment_type", "company") if n in taxi.column_names]
    order = np.random.default_rng(0).permutation(taxi.num_rows)
    days = np.sort(np.arange(taxi.num_rows) * 150 // taxi.num_rows)
    shuffled = taxi.select(names).take(pa.array(order))
    yield Stretch("taxi rides dealt out to 150 days at random", shuffled, days * DAY, days < 60, days >= 60)


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise DataMissing(str(path))
    return csv.read_csv(path)


def main() -> int:
    """Measure what is asked for, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="null,delay,real", help="which of null, delay and real (all)")
    parser.add_argument("--runs", type=int, default=100, help="baselines a cell of the tables (100)")
    options = parser.parse_args()
    asked = options.only.split(",")
    if "null" in asked:
        measure_null(options.runs)
    if "delay" in asked:
        measure_delay(max(10, options.runs // 4))
    if "real" in asked:
        try:
            measure_real(list(real_sequences()))
        except DataMissing as error:
            print(f"real sequences are not measured: {error} is not there")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
