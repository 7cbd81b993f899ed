"""Bounds on a cumulative distribution that is known at a few points only; changes with what profiles keep of numbers.

A profile holds a column's counts in the baseline's cells and TFDV's deciles. Neither says where in a cell its values lie, so
nothing is interpolated: two columns disagree only as far as no distributions within both bounds could agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from monitor.profile.document import Floats

_SINGLE = 1e-7
"""Relative error of single precision; the edges of cells stand further off the values than this."""


@dataclass(frozen=True, slots=True, eq=False)
class Envelope:
    """F(x) = P(X <= x) is at least `low[i]` from `low_at[i]` on, and at most `high[i]` below `high_at[i]`.

    All four are (m,), ascending, but `low` and `high` need not be of one length.
    """

    low_at: Floats
    low: Floats
    high_at: Floats
    high: Floats

    @classmethod
    def of(cls, low_at: Floats, low: Floats, high_at: Floats, high: Floats) -> Envelope:
        """Order the points, and let every bound hold as far as it reaches."""
        up, down = np.argsort(low_at, kind="stable"), np.argsort(high_at, kind="stable")
        return cls(
            low_at[up],
            np.maximum.accumulate(low[up]),
            high_at[down],
            np.minimum.accumulate(high[down][::-1])[::-1],
        )

    def mapped(self, by: Callable[[Floats], Floats]) -> Envelope:
        """Return the bounds of `by`(X); `by` is increasing."""
        return Envelope(by(self.low_at), self.low, by(self.high_at), self.high)

    def mirrored(self) -> Envelope:
        """Return the bounds of -X."""
        return Envelope(-self.high_at[::-1], 1.0 - self.high[::-1], -self.low_at[::-1], 1.0 - self.low[::-1])

    def rotated(self, by: float, period: float) -> Envelope:
        """Return the bounds of (X + by) modulo `period`, for X in [0, period) and 0 < by < period."""
        split = period - by
        # P(X < split), which is what the values that stay below the period hold.
        least = float(np.append(0.0, self.low)[np.searchsorted(self.low_at, split, side="left")])
        most = float(np.append(self.high, 1.0)[np.searchsorted(self.high_at, split, side="left")])
        low_wraps, high_wraps = self.low_at >= split, self.high_at >= split
        return Envelope.of(
            np.where(low_wraps, self.low_at - split, self.low_at + by),
            np.clip(np.where(low_wraps, self.low - most, self.low + 1.0 - most), 0.0, 1.0),
            np.where(high_wraps, self.high_at - split, self.high_at + by),
            np.clip(np.where(high_wraps, self.high - least, self.high + 1.0 - least), 0.0, 1.0),
        )

    def gap(self, other: Envelope, rounding: float = 0.0) -> float:
        """Return by how much the two must differ somewhere (Kolmogorov's distance, where the bounds are tight), at least 0.

        Values that are `rounding` apart count as equal, and such as single precision makes of equal ones.
        """
        sides = (self._against(other, rounding), other._against(self, rounding))
        return max(float((low - high).max(initial=0.0)) for low, high in sides)

    def strain(self, other: Envelope, rounding: float = 0.0) -> float:
        """Return the largest gap in units of what it is near the middle, so that the same gap in a tail weighs more.

        A share p varies by sqrt(p (1 - p)) from sample to sample (Anderson and Darling, 1952, weigh by the same); at least a
        fifth of its largest value is taken, since what is hardly ever seen is not known that well.
        """
        sides = (self._against(other, rounding), other._against(self, rounding))
        return max(float(((low - high) / _spread((low + high) / 2.0)).max(initial=0.0)) for low, high in sides)

    def apart(self, other: Envelope) -> float:
        """Return the mean distance over the points of both, with straight lines between the points that are known.

        This is an estimate where `gap` is a certainty: bounds that are wide let much pass that is off everywhere by a little.
        """
        points = np.concatenate([self.low_at, other.low_at])
        return float(np.abs(self._estimate(points) - other._estimate(points)).mean())

    def _estimate(self, points: Floats) -> Floats:
        known = np.union1d(self.low_at, self.high_at)
        low = np.append(0.0, self.low)[np.searchsorted(self.low_at, known, side="right")]
        high = np.append(self.high, 1.0)[np.searchsorted(self.high_at, known, side="left")]
        middle = (low + high) / 2.0
        left = np.clip(np.searchsorted(known, points, side="right") - 1, 0, len(known) - 2)
        # Beside a zero, edges are as close as numbers can be: a slope between them would overflow.
        along = np.clip((points - known[left]) / np.maximum(known[left + 1] - known[left], 1e-300), 0.0, 1.0)
        estimate: Floats = middle[left] + along * (middle[left + 1] - middle[left])
        return estimate

    def _against(self, other: Envelope, rounding: float) -> tuple[Floats, Floats]:
        """Return what lies at or below each point at least, and what `other` says of it at most."""
        reached = self.low_at + _SINGLE * np.abs(self.low_at) + rounding
        return self.low, np.append(other.high, 1.0)[np.searchsorted(other.high_at, reached, side="right")]


def _spread(shares: Floats) -> Floats:
    spread: Floats = np.maximum(2.0 * np.sqrt(np.clip(shares * (1.0 - shares), 0.0, 0.25)), 0.2)
    return spread
