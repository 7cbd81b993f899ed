"""Chicago's taxi trips: who tips more than a fifth of the fare, by a model of the first years; changes with that model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv
from scipy import optimize, special

from bench.estimating.compared import LEVEL
from monitor.evaluate.estimate.estimating import Calibration, calibrate, estimate, track
from monitor.evaluate.estimate.tracking import Tracked, tracking
from monitor.evaluate.examples import Floats, Outcomes

FILE = Path(__file__).resolve().parents[3] / "shared" / "data" / "chicago_taxi" / "simple_data.csv"


@dataclass(frozen=True, slots=True)
class Taxi:
    """One window of taxi trips: how many, and each measure as estimated and as labels had it."""

    rows: int
    found: Mapping[str, tuple[float, float, float, float]]
    suspected: bool


def windows_of_taxi() -> list[Taxi]:
    """Return windows of 1,000 trips, after 5,000 that a logistic regression learned from and 3,000 that calibrated it."""
    table = csv.read_csv(FILE)
    order = np.argsort(table.column("trip_start_timestamp").to_numpy(), kind="stable")
    table = table.take(pa.array(order))
    fare, tips = (table.column(name).to_numpy() for name in ("fare", "tips"))
    labels = (tips > 0.2 * fare).astype(np.float64)
    columns = _taxi_columns(table)
    weights = _logistic_regression(columns[:5_000], labels[:5_000])
    scores = special.expit(columns @ weights)
    calibration: Calibration = calibrate(Outcomes(labels[5_000:5_500], scores[5_000:5_500]))
    for start in range(5_500, 8_000, 500):
        calibration = calibration.updated(Outcomes(labels[start : start + 500], scores[start : start + 500]))
    history: list[list[Tracked]] = []
    windows = []
    for start in range(8_000, len(labels) - 999, 1_000):
        window = Outcomes(labels[start : start + 1_000], scores[start : start + 1_000])
        found = {
            str(each.measure): each for each in estimate(window.predictions, None, calibration, history, level=LEVEL)
        }
        history.append(track(calibration, window))
        real = {str(raw.measure): raw.value for raw in calibration.realised(window)}
        windows.append(
            Taxi(
                1_000,
                {
                    name: (each.value, each.low, each.high, true)
                    for name, each in found.items()
                    if each.value is not None and each.low is not None and each.high is not None
                    if (true := real[name]) is not None
                },
                tracking(history, calibration.epoch).suspicion is not None,
            )
        )
        calibration = calibration.updated(window)
    return windows


def _taxi_columns(table: pa.Table) -> Floats:
    """Return a constant, numbers on a scale of logarithms, and how the trip was paid for."""
    numbers = [
        np.log1p(np.nan_to_num(table.column(name).to_numpy().astype(np.float64)))
        for name in ("fare", "trip_miles", "trip_seconds")
    ]
    hour = table.column("trip_start_hour").to_numpy() * (np.pi / 12.0)
    paid = np.array(table.column("payment_type").to_pylist())
    ways = [(paid == way).astype(np.float64) for way in ("Credit Card", "Cash")]
    return np.stack([np.ones(len(paid)), *numbers, np.sin(hour), np.cos(hour), *ways], axis=1)


def _logistic_regression(columns: Floats, labels: Floats) -> Floats:
    def loss(weights: Floats) -> tuple[float, Floats]:
        odds = columns @ weights
        slope = columns.T @ (special.expit(odds) - labels) / len(labels) + 1e-3 * weights
        return float((np.logaddexp(0.0, odds) - labels * odds).mean() + 5e-4 * weights @ weights), slope

    found: Floats = optimize.minimize(loss, np.zeros(columns.shape[1]), jac=True).x
    return found
