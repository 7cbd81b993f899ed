"""The distribution of a squared effect where nothing has changed; changes with how its tail is reckoned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from scipy import special

_CERTAIN = 1e6
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Null:
    """`mean` times F(freedom, certainty); chi-square / freedom where the mean is certain, that is, `certainty` infinite.

    Tails are analytic, so that levels of 1e-6 and less, which corrections ask for, need no simulation.
    """

    mean: float
    freedom: float
    certainty: float

    @classmethod
    def matched(cls, mean: float, variance: float, certainty: float) -> Null:
        """Return the distribution of that mean and variance (Satterthwaite, 1946), no narrower than half a degree of freedom."""
        return cls(mean, max(0.5, 2.0 * mean**2 / variance), max(1.0, certainty))

    @property
    def _certain(self) -> bool:
        return self.certainty > _CERTAIN

    def tail(self, squared: float) -> float:
        """Return P(effect^2 >= squared)."""
        ratio = squared / self.mean
        if self._certain:
            return float(special.chdtrc(self.freedom, ratio * self.freedom))
        return float(special.fdtrc(self.freedom, self.certainty, ratio))

    def quantile(self, level: float) -> float:
        """Return the effect^2 that is exceeded with probability `level`."""
        if self._certain:
            return float(self.mean * special.chdtri(self.freedom, level) / self.freedom)
        # 1 / F has the degrees of freedom swapped; so the small tail keeps its digits, without scipy.stats' import.
        return float(self.mean / special.fdtri(self.certainty, self.freedom, level))

    def said(self, level: float) -> str:
        """Say the distribution and its quantile in words."""
        law = f"F({self.freedom:.4g}, {self.certainty:.4g})"
        if self._certain:
            law = f"chi-square({self.freedom:.4g}) / {self.freedom:.4g}"
        return f"{self.mean:.4g} x {law}, above {self.quantile(level):.4g} with probability {level:.3g}"


@lru_cache(maxsize=4096)
def needed_h(freedom: int, level: float, effect: float) -> float:
    """Return the h at which a chi-square test of `freedom` finds `effect` with power 0.8: h effect^2 is its noncentrality."""
    critical = float(special.chdtri(freedom, level))
    low, high = 0.0, 4.0 * critical + 100.0
    for _ in range(60):
        middle = (low + high) / 2.0
        if 1.0 - float(special.chndtr(critical, freedom, middle)) < POWER:
            low = middle
        else:
            high = middle
    return high / effect**2
