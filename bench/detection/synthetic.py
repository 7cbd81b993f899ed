"""A month of rows with known marginals; changes with the shapes of columns that a detector should cope with.

Hours differ by the time of day, and days by an effect of their own, as real traffic does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]

DAYS = 30
ROWS_A_DAY = 2_000
_FIRST_SECOND = 1_704_067_200  # 2024-01-01T00:00:00Z
_SEED = 20_240_101


def rows() -> tuple[pa.Table, pa.Array]:
    """Return the features and, in order, the epoch second of each row."""
    rng = np.random.default_rng(_SEED)
    seconds = _times(rng)
    count = len(seconds)
    hours = (seconds // 3600) % 24
    day = (seconds - _FIRST_SECOND) // 86_400
    wave = np.sin(2.0 * np.pi * hours / 24.0)
    mood = rng.normal(0.0, 0.1, DAYS)[day]
    first = rng.normal(size=count)
    second = 0.9 * first + np.sqrt(1.0 - 0.81) * rng.normal(size=count)
    region = _pick(rng, ["north", "south", "east", "west"], [0.5, 0.25, 0.15, 0.1], count)
    return (
        pa.table(
            {
                "normal": rng.normal(50.0, 10.0, count) + 10.0 * mood,
                "lognormal": rng.lognormal(3.0 + 0.3 * wave, 1.0),
                "uniform": rng.uniform(0.0, 1.0, count),
                "skewed_count": rng.negative_binomial(1.5, 0.05, count),
                "small_count": rng.poisson(2.0 + 0.5 * wave),
                "zero_inflated": np.where(rng.random(count) < 0.6, 0.0, rng.gamma(2.0, 30.0, count)),
                "pareto": (1.0 + rng.pareto(1.5, count)) * 10.0,
                "pair_x": first,
                "pair_y": second * 4.0 + 100.0,
                "half_missing": pa.array(rng.normal(size=count), mask=rng.random(count) < 0.5),
                "rarely_missing": pa.array(rng.exponential(5.0, count), mask=rng.random(count) < 0.02),
                "region": region,
                "region_tax": _coupled(rng, region),
                "plan": _pick(rng, ["free", "basic", "pro"], [0.7, 0.25, 0.05], count),
                "flag": _pick(rng, ["no", "yes"], [0.97, 0.03], count),
                "channel": _drifting(rng, wave),
                "item": [f"item{rank:04d}" for rank in _zipf(rng, 2_000, count)],
                "request": [f"{word:016x}" for word in rng.integers(0, 2**63, count)],
                "constant": np.full(count, 7),
            }
        ),
        pa.array(seconds),
    )


def _times(rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return sorted epoch seconds, twice as many by day as by night."""
    days = np.repeat(np.arange(DAYS), ROWS_A_DAY)
    weights = 1.0 + np.exp(-(((np.arange(24) - 14.0) / 5.0) ** 2))
    hours = rng.choice(24, len(days), p=weights / weights.sum())
    return np.sort(_FIRST_SECOND + days * 86_400 + hours * 3600 + rng.integers(0, 3600, len(days)))


def _pick(rng: np.random.Generator, values: list[str], shares: list[float], count: int) -> npt.NDArray[np.str_]:
    return rng.choice(np.array(values), count, p=shares)


def _coupled(rng: np.random.Generator, region: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    """Return a category that nine times in ten follows from the region."""
    other = rng.choice(np.array(["low", "middle", "high"]), len(region))
    usual = np.select([region == "north", region == "south"], ["low", "middle"], "high")
    return np.where(rng.random(len(region)) < 0.9, usual, other)


def _drifting(rng: np.random.Generator, wave: Floats) -> npt.NDArray[np.str_]:
    """Return one of twelve channels; the first is used more by day."""
    ranks = _zipf(rng, 12, len(wave))
    return np.array([f"channel{rank:02d}" for rank in np.where(rng.random(len(wave)) < 0.1 * (1.0 + wave), 0, ranks)])


def _zipf(rng: np.random.Generator, values: int, count: int) -> npt.NDArray[np.int64]:
    shares = 1.0 / np.arange(1, values + 1) ** 1.1
    return rng.choice(values, count, p=shares / shares.sum())
