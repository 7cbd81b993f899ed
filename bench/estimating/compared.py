"""Estimates of several tools beside what labels say later; changes with whom estimates are compared with."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from scipy import optimize

from bench.estimating.worlds import Rows, World
from bench.rig import peers
from monitor.evaluate.estimate.estimates import Measure
from monitor.evaluate.estimate.estimating import calibrate, estimate
from monitor.evaluate.estimate.measures import binary_measures
from monitor.evaluate.estimate.questions import OF_TWO_CLASSES

OURS = "Driftline"
ISOTONIC = "isotonic"
NANNYML = "NannyML"
LABELS, ROWS, WINDOWS = 3_000, 1_000, 6
LEVEL = 0.95
CLASSIFIERS_KIND = "cbpe"
"""What NannyML calls its estimator of classifiers; that of regression models is `dle`."""
_PEER = Path(__file__).resolve().parents[1] / "peers" / "estimate.py"


@dataclass(frozen=True, slots=True)
class Study:
    """One world, drawn once for everybody: for each set labelled rows, and windows of shifted ones."""

    name: str
    kind: str
    labelled: Sequence[Rows]
    windows: Sequence[Sequence[Rows]]

    @classmethod
    def of(cls, name: str, kind: str, world: World, sets: int) -> Study:
        """Draw `sets` times LABELS rows, and WINDOWS windows of ROWS rows each."""
        random = np.random.default_rng(sum(name.encode()))
        labelled = [world(LABELS, random, 0.0) for _ in range(sets)]
        windows = [[world(ROWS, random, 0.7) for _ in range(WINDOWS)] for _ in range(sets)]
        return cls(name, kind, labelled, windows)

    def table(self) -> pa.Table:
        """Return all rows, for the peer."""
        parts = []
        for number, (known, windows) in enumerate(zip(self.labelled, self.windows, strict=True)):
            for part, (outcomes, features) in (("reference", known), *(("analysis", each) for each in windows)):
                count = len(outcomes.labels)
                columns = {
                    "set": np.full(count, number),
                    "part": pa.array([part] * count),
                    "score": outcomes.predictions,
                    "label": outcomes.labels if self.kind == "dle" else outcomes.labels.astype(np.int64),
                }
                parts.append(pa.table({**columns, **features}))
        return pa.concat_tables(parts)


@dataclass(frozen=True, slots=True)
class Line:
    """How one tool did for one measure of one world.

    Attributes:
        off: mean absolute difference from what labels said, by their mean value for losses of regression models.
        bias: mean difference.
        held: share of the windows whose interval holds what labels said; None where there is no interval.
    """

    tool: str
    world: str
    measure: str
    off: float
    bias: float
    held: float | None = None


def lines_of(tool: str, study: Study, estimated: Mapping[str, Sequence[Sequence[float | None]]]) -> Iterator[Line]:
    """Compare estimates, by measure, set and window, with what labels said."""
    real = realised(study)
    for measure, values in estimated.items():
        pairs = [
            (said, true)
            for ours, theirs in zip(values, real[measure], strict=True)
            for said, true in zip(ours, theirs, strict=True)
            if said is not None and true is not None and np.isfinite(said)
        ]
        if not pairs:
            continue
        said, true = (np.array(side) for side in zip(*pairs, strict=True))
        unit = float(true.mean()) if study.kind == "dle" else 1.0
        yield Line(
            tool, study.name, measure, float(np.abs(said - true).mean()) / unit, float((said - true).mean()) / unit
        )


def realised(study: Study) -> Mapping[str, list[list[float | None]]]:
    """Return the measures of the windows by their labels."""
    found: dict[str, list[list[float | None]]] = defaultdict(list)
    for known, windows in zip(study.labelled, study.windows, strict=True):
        by_measure: dict[str, list[float | None]] = defaultdict(list)
        for outcomes, _ in windows:
            for raw in calibrate(*known).realised(outcomes):
                by_measure[str(raw.measure)].append(raw.value)
        for measure, values in by_measure.items():
            found[measure].append(values)
    return found


def ours_of(study: Study) -> Iterator[Line]:
    """Estimate with Driftline."""
    real = realised(study)
    estimated: dict[str, list[list[float | None]]] = defaultdict(list)
    held: dict[str, list[bool]] = defaultdict(list)
    for number, (known, windows) in enumerate(zip(study.labelled, study.windows, strict=True)):
        calibration = calibrate(*known)
        by_measure: dict[str, list[float | None]] = defaultdict(list)
        for place, (outcomes, features) in enumerate(windows):
            for each in estimate(outcomes.predictions, None, calibration, features=features, level=LEVEL):
                name = str(each.measure)
                if each.measure is Measure.MEAN_ERROR:
                    continue
                by_measure[name].append(each.value)
                true = real[name][number][place]
                if each.low is not None and each.high is not None and true is not None:
                    held[name].append(each.low <= true <= each.high)
        for name, values in by_measure.items():
            estimated[name].append(values)
    for line in lines_of(OURS, study, estimated):
        share = float(np.mean(held[line.measure])) if held[line.measure] else None
        yield Line(line.tool, line.world, line.measure, line.off, line.bias, share)


def isotonic_of(study: Study) -> Iterator[Line]:
    """Estimate by the same sums with the isotonic regression of the labelled rows in the stead of our curve."""
    estimated: dict[str, list[list[float | None]]] = defaultdict(list)
    for (known, _), windows in zip(study.labelled, study.windows, strict=True):
        order = np.argsort(known.predictions, kind="stable")
        fitted = optimize.isotonic_regression(known.labels[order]).x
        by_measure: dict[str, list[float | None]] = defaultdict(list)
        for outcomes, _ in windows:
            chances = np.interp(outcomes.predictions, known.predictions[order], fitted)
            for each in binary_measures(OF_TWO_CLASSES, outcomes.predictions, chances, np.ones(len(chances))):
                by_measure[str(each.measure)].append(each.value)
        for name, values in by_measure.items():
            estimated[name].append(values)
    yield from lines_of(ISOTONIC, study, estimated)


def ask_nannyml(study: Study, runs: int) -> Mapping[str, Any]:
    """Return what peers/estimate.py says of a study; raises PeersMissing where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        parquet.write_table(study.table(), file)
        with peers.running(_PEER, str(file), study.kind, str(ROWS), str(runs)) as (_, output):
            said = output.read().decode().strip().splitlines()
    if not said or not said[-1].startswith("{"):
        raise peers.PeersMissing(f"NannyML gave no answer for {study.name}")
    answer: Mapping[str, Any] = json.loads(said[-1])
    return answer
