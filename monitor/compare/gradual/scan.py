"""The sequential test: has a sequence of windows left its usual level since some window, all windows since then together?

A window-limited generalised likelihood ratio test (Willsky and Jones, 1976; Lai, 1995, JRSS B 57:613): after every window the
mean of the residuals since each possible beginning is compared with 0, and the most surprising beginning counts. The variance
of each mean holds the windows' sampling noise, what they vary and carry over by themselves, and that the baseline's own level
is an estimate; that last part does not fall with the number of windows, so no patience turns an error of the baseline into
an alarm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from monitor.compare.gradual.usual import CARRY_OVER, Usual
from monitor.profile.counts import Indices
from monitor.profile.document import Floats

MIN_SPAN = 3
"""Windows that a change must have lasted for: one or two are the ordinary test's business."""
HISTORY = 60
"""Windows that are looked back over."""
CLIP = 3.0
"""A window counts for at most this many standard deviations until another follows it, so that one strange day is no alarm."""
_OVERSHOOT = 0.583
"""Siegmund's constant: the test is made after windows, not all the time (Siegmund, Sequential Analysis, 1985, 10.4)."""


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """The most surprising beginning.

    Attributes:
        windows: how many residuals there are from the beginning on.
        mean: of the residuals, beyond what is usual, strange windows clipped.
        spread: standard deviation of that mean where nothing has changed.
        p_value: two-sided, of this span alone.
        deviations: (M,) the residuals of the whole history, beyond what is usual, strange windows clipped.
        furthest: of the windows since the beginning, how many standard deviations the strangest one is away by itself.
    """

    windows: int
    mean: float
    spread: float
    p_value: float
    deviations: Floats
    furthest: float


def scan(usual: Usual, places: Indices, residuals: Floats, noises: Floats) -> Span | None:
    """Return the span that ends with the last of M windows and is most surprising; None with fewer than `MIN_SPAN`.

    Args:
        usual: what windows do by themselves.
        places: (M,) numbers of the windows, ascending; gaps are windows that are not known.
        residuals: (M,) without NaN.
        noises: (M,) their sampling variances.
    """
    count = len(places)
    if count < MIN_SPAN:
        return None
    raw = residuals - usual.expected(places)
    deviation = usual.deviation(noises)
    kept = _clipped(raw, CLIP * deviation)
    windows = np.arange(count, 0, -1.0)
    # Averaged over the carry-overs, so that one that is hardly possible neither rules the variance nor is left out of it.
    spreads = np.sqrt(usual.weight @ _sum_variances(usual, places, noises) + windows**2 * usual.mean_variance) / windows
    means = _since(kept) / windows
    start = int(np.argmax(np.abs(means / spreads)[: count - MIN_SPAN + 1]))
    mean, spread = float(means[start]), float(spreads[start])
    return Span(
        windows=count - start,
        mean=mean,
        spread=spread,
        p_value=2.0 * float(special.stdtr(usual.freedom, -abs(mean) / spread)),
        deviations=kept,
        furthest=float((np.abs(raw) / deviation)[start:].max()),
    )


def critical_mean(usual: Usual, span: Span, level: float) -> float:
    """Return the absolute mean over this span that has the two-sided p-value `level`."""
    return critical_ratio(usual, level) * span.spread


def critical_ratio(usual: Usual, level: float) -> float:
    """Return the number of standard deviations that has the two-sided p-value `level`."""
    return float(-special.stdtrit(usual.freedom, level / 2.0))


def recent_level(usual: Usual, places: Indices, residuals: Floats, noises: Floats) -> tuple[float, Floats]:
    """Return how far the windows' mean is from the usual level, and (G,) squared standard errors of that mean."""
    by = float((residuals - usual.expected(places)).mean())
    return by, _sum_variances(usual, places, noises)[:, 0] / len(places) ** 2


def level_of(rate: float) -> float:
    """Return the two-sided level of a span at which one sequence gives `rate` false alarms a window."""
    low, high = 1.0, 12.0
    for _ in range(60):
        middle = (low + high) / 2.0
        if _rate(middle) > rate:
            low = middle
        else:
            high = middle
    return float(2.0 * special.ndtr(-high))


def rate_of(p_value: float) -> float:
    """Return how many spans as surprising as this one a sequence gives in a window, at most 1; undoes `level_of`."""
    bound = -float(special.ndtri(max(p_value, 1e-300) / 2.0))
    return min(1.0, _rate(bound)) if bound > 1.5 else 1.0


def _rate(bound: float) -> float:
    """Return the false alarms a window of the test on independent normal residuals, for spans of MIN_SPAN to HISTORY windows.

    Siegmund and Venkatraman (1995), Annals of Statistics 23:255, theorem 1: b phi(b) times the integral of x nu(x)^2 over x = b /
    sqrt(windows), nu(x) = exp(-0.583 x); two-sided. Residuals that hang together cross less often than independent ones.
    """
    fall = 2.0 * _OVERSHOOT
    ends = bound / math.sqrt(HISTORY), bound / math.sqrt(MIN_SPAN)
    near, far = ((x / fall + 1.0 / fall**2) * math.exp(-fall * x) for x in ends)
    return bound * math.exp(-0.5 * bound * bound) / math.sqrt(2.0 * math.pi) * (near - far)


def _clipped(raw: Floats, limits: Floats) -> Floats:
    """Clip what lies beyond the limits to them, unless the median of the window and the two before lies as far."""
    before = np.concatenate([np.zeros(2), raw])
    median = np.median(np.stack([before[:-2], before[1:-1], raw]), axis=0)
    return np.clip(raw, np.minimum(-limits, median), np.maximum(limits, median))


def _sum_variances(usual: Usual, places: Indices, noises: Floats) -> Floats:
    """Return (G, M) variances of the sums of the residuals from each window on, the baseline's level taken as known."""
    own = (1.0 - usual.noise) * _sums_of_correlations(tuple(places.tolist()))
    sampling = usual.noise * _since(noises) / usual.unit
    variances: Floats = usual.variance[:, None] * (own + sampling[None, :])
    if len(usual.season):
        # What all places of the season share is the level's error, and counted there.
        held = places[:, None] % len(usual.season) == np.arange(len(usual.season))
        uneven = _since(held.astype(np.float64) - 1.0 / len(usual.season))
        variances = variances + ((uneven**2) @ usual.season_variance)[None, :]
    return variances


@lru_cache(maxsize=64)  # all features of a window have the same history
def _sums_of_correlations(places: tuple[int, ...]) -> Floats:
    """Return (G, M) sums over all pairs of windows from each one on of carry-over to the power of their distance."""
    at = np.array(places)
    correlation = CARRY_OVER[:, None, None] ** np.abs(at[:, None] - at[None, :]).astype(np.float64)
    sums = np.flip(np.flip(correlation, (1, 2)).cumsum(axis=1).cumsum(axis=2), (1, 2))
    return np.ascontiguousarray(np.diagonal(sums, axis1=1, axis2=2))


def _since(values: Floats) -> Floats:
    """Return the sums from each entry on to the last, along the first axis."""
    sums: Floats = np.flip(np.flip(values, 0).cumsum(axis=0), 0)
    return sums
