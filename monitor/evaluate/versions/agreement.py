"""How far two versions agree on the same requests, labels apart; changes with how agreement is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.compare.findings import finite
from monitor.evaluate.examples import Floats, Places
from monitor.evaluate.versions.answers import Pairs, Prediction
from monitor.evaluate.versions.losses import Problem, answered, decisions
from monitor.window.slicing import slices_of

QUANTILES = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Example:
    """One row on which the versions differ much."""

    name: object
    stable: Prediction
    candidate: Prediction
    difference: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the predictions of two versions for the same rows differ.

    Attributes:
        rows: rows in all.
        one_sided: rows that only one of the versions answered; they count as differing by more than any tolerance.
        largest: the largest absolute difference, over all scores of a row; NaN without rows that both answered.
        quantiles: of the rows' absolute differences, by level.
        beyond: rows that differ by more than the tolerance; None without one.
        changed: share of the rows that both answered whose decision is another; None where nothing is decided (regression).
        correlation: Pearson's, over all scores; NaN where one version's do not vary.
        rank_correlation: Spearman's, likewise.
        examples: rows with the largest differences, largest first.
    """

    rows: int
    one_sided: int
    largest: float
    quantiles: Mapping[float, float]
    beyond: int | None
    changed: float | None
    correlation: float
    rank_correlation: float
    examples: tuple[Example, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object; what JSON has no number for is null."""
        return {
            "rows": self.rows,
            "one_sided": self.one_sided,
            "largest_difference": finite(self.largest),
            "quantiles": {f"{level:g}": finite(value) for level, value in self.quantiles.items()},
            "beyond_tolerance": self.beyond,
            "changed_decisions_share": self.changed,
            "correlation": finite(self.correlation),
            "rank_correlation": finite(self.rank_correlation),
            "examples": [
                {
                    "row": each.name,
                    "stable": _plain(each.stable),
                    "candidate": _plain(each.candidate),
                    "difference": finite(each.difference),
                }
                for each in self.examples
            ],
        }


@dataclass(frozen=True, slots=True)
class Looking:
    """How predictions are compared.

    Attributes:
        problem: what they are.
        threshold: score above which a binary prediction decides for 1.
        tolerance: largest absolute difference that is allowed, if any.
        examples: how many of the largest differences to show.
    """

    problem: Problem
    threshold: float = 0.5
    tolerance: float | None = None
    examples: int = 5


def differences(pairs: Pairs, problem: Problem) -> Floats:
    """Return how far the predictions of each row are apart, (n,): the largest over its scores; of classes 0 or 1.

    Where both versions have no number the difference is zero, where only one has it is infinite.
    """
    with np.errstate(invalid="ignore"):
        apart = np.abs(pairs.candidate - pairs.stable)
    same = (pairs.candidate == pairs.stable) | (np.isnan(pairs.candidate) & np.isnan(pairs.stable))
    apart = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
    if problem is Problem.CLASSES:
        apart = np.where(np.isfinite(apart), np.minimum(apart, 1.0), apart)
    return apart if apart.ndim == 1 else apart.max(axis=1, initial=0.0)


def agreement(pairs: Pairs, looking: Looking) -> Agreement:
    """Return how the predictions of all rows differ."""
    return _of_rows(pairs, differences(pairs, looking.problem), np.arange(len(pairs)), looking)


def agreement_by_slice(pairs: Pairs, looking: Looking, spec: tuple[str, ...]) -> dict[str, Agreement]:
    """Return how the predictions of each slice by the columns of `spec` differ, those with the largest differences first."""
    apart = differences(pairs, looking.problem)
    found = {
        ", ".join(f"{column}={value}" for column, value in key): _of_rows(pairs, apart, places, looking)
        for key, places in slices_of(pairs.features, spec).places.items()
    }
    return dict(sorted(found.items(), key=lambda item: -np.nan_to_num(item[1].largest, nan=-1.0)))


def _of_rows(pairs: Pairs, apart: Floats, places: Places, looking: Looking) -> Agreement:
    apart, one, two = apart[places], pairs.stable[places], pairs.candidate[places]
    both = np.isfinite(apart)
    levels = np.quantile(apart[both], QUANTILES).tolist() if both.any() else [np.nan] * len(QUANTILES)
    usable = answered(one) & answered(two)
    deciding = [decisions(each[usable], looking.problem, looking.threshold) for each in (one, two)]
    changed = None if deciding[0] is None or not usable.any() else float(np.mean(deciding[0] != deciding[1]))
    related = looking.problem is not Problem.CLASSES
    return Agreement(
        rows=len(places),
        one_sided=int((~both).sum()),
        largest=float(apart[both].max(initial=0.0)) if both.any() else np.nan,
        quantiles=dict(zip(QUANTILES, levels, strict=True)),
        beyond=None if looking.tolerance is None else int((apart > looking.tolerance).sum()),
        changed=changed,
        correlation=_correlation(one[usable].ravel(), two[usable].ravel()) if related else np.nan,
        rank_correlation=_correlation(_ranks(one[usable]), _ranks(two[usable])) if related else np.nan,
        examples=tuple(_example(pairs, int(places[at]), float(apart[at])) for at in _largest(apart, looking.examples)),
    )


def _largest(apart: Floats, count: int) -> Places:
    """Return places of the largest differences above zero, largest first, the earlier of equal ones first."""
    order = np.argsort(-apart, kind="stable")[:count]
    return np.asarray(order[apart[order] > 0.0], np.int64)


def _example(pairs: Pairs, place: int, apart: float) -> Example:
    return Example(pairs.names[place], pairs.shown(pairs.stable[place]), pairs.shown(pairs.candidate[place]), apart)


def _correlation(one: Floats, two: Floats) -> float:
    if len(one) < 2 or np.ptp(one) == 0.0 or np.ptp(two) == 0.0:
        return float("nan")
    return float(np.corrcoef(one, two)[0, 1])


def _ranks(scores: Floats) -> Floats:
    """Return the rank of each score among all, equal ones having the mean of theirs."""
    _, place, counts = np.unique(scores.ravel(), return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2.0)[place])


def _plain(value: Prediction) -> str | float | list[float | None] | None:
    if isinstance(value, list):
        return [finite(each) for each in value]
    return value if isinstance(value, str) else finite(value)
