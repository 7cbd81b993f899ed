"""How long labels take, as counts that add up; changes with how delays are summed up.

A delay falls into one of the bins whose edges grow by 2 %, so that any quantile is known to 1 % whatever the delays are, and
counts of parts, windows and weeks add up (DDSketch: Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch
with relative-error guarantees", VLDB 2019; alpha = 0.01). The smallest and the largest delay are exact.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

ALPHA: Final = 0.01
_GAMMA = (1 + ALPHA) / (1 - ALPHA)
_LOG_GAMMA = math.log(_GAMMA)
_NONE: Final = -1
"""The bin of labels that took no time. A microsecond is in bin 0."""


@dataclass(frozen=True, slots=True)
class Delays:
    """How many labels took how long.

    Attributes:
        bins: counts by bin.
        least, most: in microseconds; 0 where there are none.
    """

    bins: Mapping[int, int] = field(default_factory=dict)
    least: int = 0
    most: int = 0

    @classmethod
    def of(cls, micros: npt.NDArray[np.int64]) -> Delays:
        """Sum up delays (n,), in microseconds; none is negative."""
        if not len(micros):
            return cls()
        bins = np.full(len(micros), _NONE, dtype=np.int64)
        some = micros > 0
        bins[some] = np.ceil(np.log(micros[some]) / _LOG_GAMMA).astype(np.int64)
        numbers, counts = np.unique(bins, return_counts=True)
        return cls(dict(zip(numbers.tolist(), counts.tolist(), strict=True)), int(micros.min()), int(micros.max()))

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.bins.values())

    def __add__(self, other: Delays) -> Delays:
        """Return the delays of both."""
        if not other.bins or not self.bins:
            return self if self.bins else other
        counts = Counter(self.bins)
        counts.update(other.bins)
        return Delays(dict(sorted(counts.items())), min(self.least, other.least), max(self.most, other.most))

    def seconds(self, share: float) -> float | None:
        """Return, to 1 %, the smallest delay that this share of all (0 to 1) do not exceed; None where there are none."""
        if not self.bins:
            return None
        rank = max(math.ceil(share * self.count), 1)
        if rank == self.count:
            return self.most / 1e6
        below = 0
        micros = float(self.most)
        for number, count in sorted(self.bins.items()):
            below += count
            if below >= rank:
                micros = 0.0 if number == _NONE else 2 * _GAMMA**number / (_GAMMA + 1)
                break
        return min(max(micros, float(self.least)), float(self.most)) / 1e6

    def to_json(self) -> dict[str, float] | None:
        """Return quantiles in seconds, None where there are none."""
        quantiles = {name: self.seconds(share) for name, share in _QUANTILES.items()}
        return {name: value for name, value in quantiles.items() if value is not None} or None


_QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
