"""What somebody wants to know of two versions, checked; changes with what can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from monitor.errors import ConfigError
from monitor.evaluate.examples import Floats, Outcomes
from monitor.evaluate.versions.agreement import Looking
from monitor.evaluate.versions.deciding import Rule
from monitor.evaluate.versions.losses import LOSSES, Loss, Problem, answered
from monitor.evaluate.versions.ratios import RATIOS, Ratio

UNANSWERED = "unanswered"
"""The share of rows without a prediction that is a number: a loss of every kind of problem, which needs no labels."""


def _unanswered(outcomes: Outcomes, _threshold: float) -> Floats:
    return (~answered(outcomes.predictions)).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Asked:
    """How two versions are compared.

    Attributes:
        problem: what they predict.
        metrics: names of those that decide, sharing `alpha` evenly (Bonferroni); empty for the problem's first loss, with
            all others beside it, which then only inform.
        threshold: score above which a binary prediction decides for 1.
        alpha: probability of a false alarm, over all metrics that decide and all looks.
        margin: largest difference that does not matter, in each metric's units.
        expected: requests of the candidate at which intervals are at their narrowest.
        looks: how often somebody will look in all, where that was fixed beforehand. Metrics that are no means can decide
            only then.
        every: length of what is called an hour here.
        tolerance: largest absolute difference of paired predictions.
        slices: columns by which paired predictions are looked at.
        examples: how many of the largest differences to show.
    """

    problem: Problem
    metrics: Sequence[str] = ()
    threshold: float = 0.5
    alpha: float = 0.05
    margin: float | None = None
    expected: int = 1_000
    looks: int | None = None
    every: timedelta = timedelta(hours=1)
    tolerance: float | None = None
    slices: Sequence[tuple[str, ...]] = ()
    examples: int = 5

    def __post_init__(self) -> None:
        """Raise ConfigError where a metric is unknown to the problem, none could ever decide, or a limit is no number."""
        for name, limit in (("margin", self.margin), ("tolerance", self.tolerance)):
            if limit is not None and not np.isfinite(limit):
                raise ConfigError(f"the {name} is {limit}; it has to be a number")
        known = [*self._losses(), *RATIOS[self.problem]]
        unknown = [name for name in self.metrics if name not in known]
        if unknown:
            raise ConfigError(
                f"there is no metric {unknown[0]!r} of a {self.problem} problem; known are: {', '.join(known)}"
            )
        if self.metrics and not self.deciding():
            raise ConfigError(
                f"{self.metrics[0]} is no mean over examples, so its interval holds at one look only: "
                f"say how many looks there will be (--looks 1), or add a metric that is one: {', '.join(self._losses())}"
            )

    def losses(self) -> dict[str, Loss]:
        """Return the losses to compare, by name."""
        known = self._losses()
        shown = self.metrics or [name for name in known if name != UNANSWERED]
        return {name: loss for name, loss in known.items() if name in shown}

    def ratios(self) -> dict[str, Ratio]:
        """Return the metrics to compare that are no means, by name."""
        return {name: ratio for name, ratio in RATIOS[self.problem].items() if not self.metrics or name in self.metrics}

    def deciding(self) -> frozenset[str]:
        """Return the names of the metrics that decide."""
        if not self.metrics:
            return frozenset([next(iter(LOSSES[self.problem]))])
        return frozenset(name for name in self.metrics if name in self._losses() or self.looks is not None)

    def level(self, metric: str) -> float:
        """Return the probability with which the interval of a metric may exclude the truth."""
        deciding = self.deciding()
        return self.alpha / len(deciding) if metric in deciding else self.alpha

    def rule(self, metric: str) -> Rule:
        """Return the rule for a loss."""
        return Rule(self.level(metric), self.margin, self.expected, self._losses()[metric].bound)

    def looking(self) -> Looking:
        """Return how paired predictions are compared."""
        return Looking(self.problem, self.threshold, self.tolerance, self.examples)

    def _losses(self) -> dict[str, Loss]:
        return {**LOSSES[self.problem], UNANSWERED: Loss(_unanswered, bound=1.0)}
