"""How one sequence of windows moves when nothing has changed, learnt from the baseline's blocks of time.

The blocks are taken for a seasonal pattern, plus a deviation whose correlation falls by the same factor from block to block
(AR(1)), plus the sampling noise that each block's number of rows gives. With a month or two of days that factor cannot be
known, so none is chosen: several are kept, weighted by how well they explain the blocks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from monitor.profile.counts import Indices
from monitor.profile.document import Floats, pack_floats, unpack_floats

CARRY_OVER = np.array([0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.85, 0.93])
"""G candidates for the correlation of neighbouring windows."""
_PRIOR = (1.0 - CARRY_OVER) / (1.0 - CARRY_OVER).sum()
MIN_BLOCKS = 14
"""With fewer blocks neither the carry-over nor the spread is known well enough to accumulate anything."""
MIN_SEASONS = 3
"""Blocks that every place of a season needs."""


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """A distribution over what windows do by themselves; the arrays of length G go with `CARRY_OVER`.

    Attributes:
        weight: (G,) how probable each carry-over is.
        level: (G,) mean of the blocks.
        level_variance: (G,) its squared standard error.
        variance: (G,) of a window with the blocks' own sampling noise, season taken off.
        noise: share of that variance that is sampling noise.
        unit: the blocks' mean sampling variance, which `noise` stands for.
        freedom: degrees of freedom of `variance`.
        season: (P,) deviation at each place of the season; empty where there is none.
        season_variance: (P,) their squared standard errors.
    """

    weight: Floats
    level: Floats
    level_variance: Floats
    variance: Floats
    noise: float
    unit: float
    freedom: float
    season: Floats
    season_variance: Floats

    @property
    def mean(self) -> float:
        """The level to expect."""
        return float(self.weight @ self.level)

    @property
    def mean_variance(self) -> float:
        """Squared standard error of `mean`, that of not knowing the carry-over included."""
        return float(self.weight @ (self.level_variance + (self.level - self.mean) ** 2))

    def expected(self, places: Indices) -> Floats:
        """Return (M,) the residuals to expect of windows at `places`."""
        if len(self.season) == 0:
            return np.full(len(places), self.mean)
        expected: Floats = self.mean + self.season[places % len(self.season)]
        return expected

    def deviation(self, noises: Floats) -> Floats:
        """Return (M,) standard deviations of single windows with these sampling variances."""
        shares = 1.0 - self.noise + self.noise * noises / self.unit
        seasonal = float(self.season_variance.mean()) if len(self.season) else 0.0
        single: Floats = np.sqrt(float(self.weight @ self.variance) * shares + self.mean_variance + seasonal)
        return single

    def moved(self, by: float, level_variance: Floats) -> Usual:
        """Return the same movements around another level, known with (G,) squared standard errors."""
        return replace(self, level=self.level + by, level_variance=level_variance)

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "carry_over": pack_floats(np.stack([self.weight, self.level, self.level_variance, self.variance])),
            "noise": self.noise,
            "unit": self.unit,
            "freedom": self.freedom,
            "season": pack_floats(np.stack([self.season, self.season_variance])),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Usual:
        """Undo `to_document`."""
        weight, level, level_variance, variance = unpack_floats(document["carry_over"])
        season, season_variance = unpack_floats(document["season"])
        return cls(
            weight,
            level,
            level_variance,
            variance,
            float(document["noise"]),
            float(document["unit"]),
            float(document["freedom"]),
            season,
            season_variance,
        )


def learn(levels: Floats, noises: Floats, places: Indices, periods: Sequence[int]) -> Usual | None:
    """Learn from (B,) residuals of blocks what windows usually do; None with fewer than `MIN_BLOCKS`.

    For each carry-over the mean is that of generalised least squares, the variance the residual one, the weight its restricted
    likelihood (Patterson and Thompson, 1971, Biometrika 58:545) times a prior that falls linearly to 0 at a carry-over of 1.

    Args:
        levels: residuals, on a scale on which their sampling variance does not depend on the level.
        noises: their sampling variances, above 0.
        places: numbers of the blocks, ascending; a gap is a block that is not known.
        periods: lengths of season to look for, in blocks; the first for which there are blocks enough is used.
    """
    count = len(levels)
    if count < MIN_BLOCKS:
        return None
    season, season_variance, spent = _season(levels, places, periods)
    flat = levels - season[places % len(season)] if len(season) else levels
    unit = float(noises.mean())
    freedom = count - 1.0 - spent
    observed = float(((flat - flat.mean()) ** 2).sum()) / freedom
    noise = 1.0 if observed <= unit else unit / observed
    distance = np.abs(places[:, None] - places[None, :])
    fits = [_fit(flat, (1.0 - noise) * phi**distance + np.diag(noise * noises / unit), freedom) for phi in CARRY_OVER]
    level, level_variance, variance, likelihood = np.array(fits).T
    weight = _PRIOR * np.exp(likelihood - likelihood.max())
    # Blocks can agree better than their rows allow by luck only.
    floor = np.maximum(1.0, unit / np.maximum(variance, 1e-300))
    return Usual(
        weight / weight.sum(),
        level,
        level_variance * floor,
        variance * floor,
        noise,
        unit,
        freedom,
        season,
        season_variance,
    )


def _fit(flat: Floats, shape: Floats, freedom: float) -> tuple[float, float, float, float]:
    """Return mean, its variance, the variance that `shape` is to be multiplied by, and the log likelihood."""
    count = len(flat)
    root = np.linalg.cholesky(shape)
    solved = np.linalg.solve(root, np.stack([np.ones(count), flat], axis=1))
    ones, values = solved[:, 0], solved[:, 1]
    information = float(ones @ ones)
    mean = float(ones @ values) / information
    squares = max(float(((values - mean * ones) ** 2).sum()), 1e-300)
    likelihood = -float(np.log(np.diag(root)).sum()) - 0.5 * math.log(information) - 0.5 * freedom * math.log(squares)
    variance = squares / freedom
    return mean, variance / information, variance, likelihood


def _season(levels: Floats, places: Indices, periods: Sequence[int]) -> tuple[Floats, Floats, float]:
    """Return deviations of the season's places, their variances, and the degrees of freedom that they cost.

    The deviations of P places are drawn towards 0 by what their own spread is worth beside the spread within a place (one-way
    random effects, by the method of moments; Searle, Casella and McCulloch, Variance Components, 1992, chapter 3).
    """
    nothing = np.zeros(0)
    for period in periods:
        slots = places % period
        held = np.bincount(slots, minlength=period).astype(np.float64)
        present = held > 0.0
        if held[present].min() < MIN_SEASONS or present.sum() < 2:
            continue
        count, kinds = len(levels), int(present.sum())
        means = np.bincount(slots, levels, period) / np.maximum(held, 1.0)
        within = float(((levels - means[slots]) ** 2).sum()) / (count - kinds)
        centre = float(levels.mean())
        between = float((held * np.where(present, means - centre, 0.0) ** 2).sum())
        own = (between - (kinds - 1) * within) / (count - float(held @ held) / count)
        if own <= 0.0:
            return nothing, nothing, 0.0
        kept = own / (own + within / np.maximum(held, 1e-300))
        deviations = np.where(present, kept * (means - centre), 0.0)
        return deviations, own * (1.0 - kept), float(kept[present].mean()) * (kinds - 1)
    return nothing, nothing, 0.0
