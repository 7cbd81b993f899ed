"""Labelled examples as arrays: what all metrics are computed from; changes when a metric needs to know more of an example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

Output = tuple[str, str]
"""Name of a model and of its output as an EvalConfig spells them; both empty where there is only one."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What one output of one model said of n examples, and what came true.

    Attributes:
        labels: float64 (n,), or (n, k) with a value for each class; a single label beside k predictions is the number of a class.
        predictions: float64 (n,), or (n, k) with a score for each class.
        weights: float64 (n,), or None where every example counts once.
    """

    labels: Floats
    predictions: Floats
    weights: Floats | None = None

    def take(self, places: Places) -> Outcomes:
        """Return the examples at `places`."""
        weights = None if self.weights is None else self.weights[places]
        return Outcomes(self.labels[places], self.predictions[places], weights)


@dataclass(frozen=True, slots=True)
class Examples:
    """n labelled examples.

    Attributes:
        outcomes: by model and output. All have n rows, the same examples in the same order.
        features: columns (n,) to slice and to group by, by name; a row may hold a list.
    """

    outcomes: Mapping[Output, Outcomes]
    features: Mapping[str, pa.Array] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return n."""
        return next((len(each.labels) for each in self.outcomes.values()), 0)

    def take(self, places: Places) -> Examples:
        """Return the examples at `places`, which may name some more than once."""
        chosen: Any = pa.array(places)
        return Examples(
            {output: each.take(places) for output, each in self.outcomes.items()},
            {name: column.take(chosen) for name, column in self.features.items()},
        )
