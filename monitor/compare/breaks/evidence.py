"""When a break explains a window: the rule that all of them share; changes with how sure a break has to be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from monitor.profile.document import Floats

_KOLMOGOROV = 1.4
"""sqrt(h) times the distance is above this in 4% of samples of one distribution (Kolmogorov, 1933).

Envelopes know a distribution at some points only, and there it is above this more rarely."""
_DRIFT = 0.03
"""What a distribution may have drifted besides the break."""
_BETTER = 3.0
"""How many times closer the explained values must be than the unexplained ones."""
_DISTANT = 0.05


@dataclass(frozen=True, slots=True)
class Evidence:
    """How far a window lies from the baseline, as Kolmogorov's or the total variation distance.

    Attributes:
        before: from the baseline as it is.
        after: from the baseline with the break applied to it.
        noise: the largest distance that sampling alone explains.
    """

    before: float
    after: float
    noise: float

    @property
    def convincing(self) -> bool:
        """The break explains the window, and nothing else does: the values fit with it, and are far off without."""
        return self.after <= self.noise + _DRIFT and self.before >= max(_BETTER * self.after, self.noise + _DISTANT)


def kolmogorov_noise(now: float, before: float) -> float:
    """Return the largest distance of two cumulative distributions that sampling explains, given effective rows of both."""
    return _KOLMOGOROV / math.sqrt(max(1e-9, now * before / (now + before)))


def variation_noise(shares: Floats, now: float, before: float) -> float:
    """Return the largest total variation distance of two samples from categories with these `shares` (K,).

    The expectation of the normal approximation, sum of sqrt(p (1 - p) / (2 pi h)), and three times its standard error,
    which is at most 1 / (2 sqrt(h)) (McDiarmid's bounded differences).
    """
    h = max(1e-9, now * before / (now + before))
    expected = float(np.sqrt(shares * (1.0 - shares) / (2.0 * math.pi * h)).sum())
    return expected + 1.5 / math.sqrt(h)
