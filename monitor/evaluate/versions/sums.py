"""Sums from which a mean loss and its variance follow, and which add up hour by hour; changes with what a variance needs.

A request is the unit: rows of one request share what they ask about, so their losses are added up before they are squared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.additive import Additive
from monitor.evaluate.examples import Floats

Hourly = Mapping[int, "Sums"]
"""Sums by the start of their hour, in microseconds since the epoch; rows without a time stand in one hour, 0."""


@dataclass(frozen=True, slots=True)
class Sums(Additive):
    """What is kept of the losses of one version, or of the paired differences of two, in one hour.

    Over the requests r with total weight W_r and total weighted loss L_r, these are the count and the sums of W, L, W², WL
    and L². A request whose rows lie in two hours is counted in each; sums that are added must not share requests.

    Attributes:
        rows: rows that the requests consist of.
        requests: how many requests.
        weight: sum of W.
        loss: sum of L.
        weight_squared: sum of W².
        weight_loss: sum of W L.
        loss_squared: sum of L².
    """

    rows: int = 0
    requests: int = 0
    weight: float = 0.0
    loss: float = 0.0
    weight_squared: float = 0.0
    weight_loss: float = 0.0
    loss_squared: float = 0.0

    @property
    def mean(self) -> float:
        """The weighted mean loss of a row; NaN where there are none."""
        return self.loss / self.weight if self.weight else math.nan

    @property
    def unbiased_mean(self) -> float:
        """The mean less its first-order bias as a ratio of two sums (Tin 1965); NaN below two requests.

        The bias falls as 1/n and so is nothing in one mean, but means of many small blocks are averaged, and it stays. It is zero
        where all requests have the same weight.
        """
        if self.requests < 2:
            return math.nan
        slope = (self.weight_loss - self.mean * self.weight_squared) / self.weight**2
        return self.mean + slope * self.requests / (self.requests - 1)

    @property
    def variance(self) -> float:
        """The variance of the mean: s²/n of plain rows, linearised for weights and clusters; NaN below two requests."""
        if self.requests < 2:
            return math.nan
        squares = self.loss_squared - 2.0 * self.mean * self.weight_loss + self.mean**2 * self.weight_squared
        return max(squares, 0.0) / self.weight**2 * self.requests / (self.requests - 1)

    @property
    def effective(self) -> float:
        """Kish's effective number of requests: as many of one weight have the same variance."""
        return self.weight**2 / self.weight_squared if self.weight_squared else 0.0


def hourly_sums(
    losses: Floats,
    weights: Floats | None = None,
    clusters: npt.NDArray[np.uint64] | None = None,
    hours: npt.NDArray[np.int64] | None = None,
) -> dict[int, Sums]:
    """Return the sums of each hour, in order of time.

    Args:
        losses: (n,), all finite.
        weights: (n,), above zero; None where every row counts once.
        clusters: (n,), equal for rows of one request; None where every row is its own.
        hours: (n,), the start of each row's hour in microseconds since the epoch; None where rows have no time.
    """
    if not len(losses):
        return {}
    weight = np.ones(len(losses)) if weights is None else weights
    loss = weight * losses
    starts, hour = np.unique(np.zeros(len(losses), np.int64) if hours is None else hours, return_inverse=True)
    rows = np.bincount(hour)
    if clusters is not None:
        _, request = np.unique(clusters, return_inverse=True)
        members, request = np.unique(request * len(starts) + hour, return_inverse=True)
        weight, loss = (np.bincount(request, each).astype(np.float64) for each in (weight, loss))
        hour = members % len(starts)
    sums = [np.bincount(hour, each) for each in (weight, loss, weight * weight, weight * loss, loss * loss)]
    counts = [starts, rows, np.bincount(hour)]
    return {start: Sums(*each) for start, *each in zip(*(column.tolist() for column in (*counts, *sums)), strict=True)}


def added(one: Hourly, other: Hourly) -> dict[int, Sums]:
    """Return the sums of each hour over both, in order of time."""
    return {hour: one.get(hour, Sums()) + other.get(hour, Sums()) for hour in sorted({*one, *other})}


def total(hourly: Hourly) -> Sums:
    """Return the sums over all hours."""
    return sum(hourly.values(), Sums())
