"""How often concept drift is suspected without any, and how soon with it; changes with the drifts that are tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.estimating.compared import LABELS
from bench.estimating.worlds import World, growing, logistic, varying
from monitor.evaluate.estimate.estimating import Calibration, calibrate, track
from monitor.evaluate.estimate.tracking import Tracked, tracking


@dataclass(frozen=True, slots=True)
class Drift:
    """How often drift was suspected without any, and after how many labelled windows it was with some."""

    world: str
    rows: int
    false_alarms: float
    windows: int
    delay: float
    missed: float


def drift_of(name: str, rows: int, world: World, drifted: World, sets: int) -> Drift:
    """Follow 20 windows without drift, and then at most 20 with it; calibrations of ten windows learn as labels come."""
    random = np.random.default_rng(rows)
    alarms: list[bool] = []
    delays: list[int] = []
    for _ in range(sets):
        calibration: Calibration = calibrate(*world(LABELS // 10, random, 0.0))
        for _ in range(9):
            calibration = calibration.updated(*world(LABELS // 10, random, 0.0))
        history: list[list[Tracked]] = []
        for window in range(40):
            outcomes, features = (world if window < 20 else drifted)(rows, random, float(random.normal(0.0, 0.3)))
            history.append(track(calibration, outcomes, features))
            suspected = tracking(history, calibration.epoch).suspicion is not None
            if window < 20:
                alarms.append(suspected)
            elif suspected:
                delays.append(window - 19)
                break
            calibration = calibration.updated(outcomes, features)
    delay = float(np.median(delays)) if delays else np.inf
    return Drift(name, rows, float(np.mean(alarms)), len(alarms), delay, 1.0 - len(delays) / sets)


def drifts(sets: int) -> Iterator[Drift]:
    """Follow several worlds."""
    usual, rare = logistic(0.7, -0.3), logistic(1.0, -4.5)
    for rows in (200, 1_000, 5_000):
        yield drift_of("level falls by 0.5 in log-odds", rows, usual, logistic(0.7, -0.8), sets)
        yield drift_of("scores tell half as much", rows, usual, logistic(0.35, -0.3), sets)
    yield drift_of("rare positives double", 1_000, rare, logistic(1.0, -3.8), sets)
    daily = varying(lambda level: logistic(0.7, level - 0.3), 0.25)
    yield drift_of("days differ by 0.25, level falls by 1", 1_000, daily, logistic(0.7, -1.3), sets)
    yield drift_of("errors grow by a fifth", 1_000, growing(1.0), growing(1.2), sets)
