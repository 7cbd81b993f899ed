"""Calibrations of classifiers, and what follows from them for rows without labels; changes with how errors are reckoned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from monitor.errors import InputError
from monitor.evaluate.estimate.curve import Curve, fit_curve
from monitor.evaluate.estimate.estimates import Raw
from monitor.evaluate.estimate.measures import THRESHOLD, Measured, binary_measures
from monitor.evaluate.estimate.questions import Question, questions
from monitor.evaluate.estimate.recent import with_newest
from monitor.evaluate.estimate.score_counts import (
    POSITIVE,
    WEIGHT,
    ScoreCounts,
    effective_rows,
    is_chance,
    log_odds,
    stacked,
)
from monitor.evaluate.examples import Floats, Outcomes

ASSUMPTION = "labels depend on the score as they did when it was calibrated (no concept drift)"
FEWEST_LABELS = 100
FEWEST_OF_A_CLASS = 20
"""Effective labelled rows, and of either class, below which no curve is fitted: ten for each number of the simplest one."""


@dataclass(frozen=True)  # no slots: the curves are fitted once
class ScoreCalibration:
    """What labelled rows say of a classifier's scores, which lie in [0, 1].

    Attributes:
        blocks: counts of labelled rows by blocks of time, oldest first.
        epoch: how often it was made anew; estimates of another epoch say nothing of it.
        learned: windows that it has learned since.
        threshold: scores above it are predicted positive.
    """

    blocks: tuple[ScoreCounts, ...] = ()
    epoch: int = 0
    learned: int = 0
    threshold: float = THRESHOLD

    @property
    def assumption(self) -> str:
        """What estimates rest on."""
        return ASSUMPTION

    @property
    def windows(self) -> int:
        """How many windows it was made of, as far as they are told apart."""
        return len(self.blocks)

    def updated(self, outcomes: Outcomes, features: Mapping[str, Any] | None = None) -> ScoreCalibration:
        """Return the calibration with the labelled rows of one more window.

        Raises:
            InputError: they are of another number of classes.
        """
        del features  # the score is all that counts
        counted = [
            ScoreCounts.of(Outcomes(each.answers, each.scores, outcomes.weights))
            for each in questions(outcomes.predictions, outcomes.labels)
            if each.answers is not None
        ]
        newest = stacked(counted)
        if self.blocks and len(self.blocks[0].sums) != len(newest.sums):
            raise InputError("these predictions are of another number of classes than those that were calibrated")
        if newest.effective <= 0.0:
            return self
        return replace(self, blocks=with_newest(self.blocks, newest), learned=self.learned + 1)

    def renewed(self, newest: int) -> ScoreCalibration:
        """Return a new calibration on the newest blocks only, for when what labels depend on has changed."""
        return replace(self, blocks=self.blocks[-newest:], epoch=self.epoch + 1, learned=0)

    def outside(self, outcomes: Outcomes) -> float:
        """Return the share of the rows' weight whose scores were not calibrated: invalid ones, or out of reach."""
        asked = next(questions(outcomes.predictions, None))
        curve = self._curves.get(asked.number)
        if curve is None:
            return 0.0
        odds = log_odds(asked.scores)
        inside = is_chance(asked.scores) & (odds >= curve.reach[0]) & (odds <= curve.reach[1])
        weights = _weights(outcomes)
        total = float(weights.sum())
        return 1.0 - float(weights[inside].sum()) / total if total > 0.0 else 0.0

    def raw(self, outcomes: Outcomes, features: Mapping[str, Any] | None = None) -> Iterator[Raw]:
        """Yield the measures of rows from their predictions and weights alone."""
        del features
        weights = _weights(outcomes)
        for asked in questions(outcomes.predictions, None):
            curve = self._curves.get(asked.number)
            if curve is not None:
                yield from _by_curve(asked, curve, weights, self.threshold)
                continue
            why = _lacking(self._sums(asked.number))
            yield from (Raw(measure, None, class_id=asked.class_id, undefined=why or "") for measure in asked.measures)

    def realised(self, outcomes: Outcomes) -> Iterator[Raw]:
        """Yield the measures of labelled rows."""
        weights = _weights(outcomes)
        for asked in questions(outcomes.predictions, outcomes.labels):
            if asked.answers is None:
                continue
            kept = is_chance(asked.scores) & is_chance(asked.answers)
            measured = binary_measures(
                asked.measures, asked.scores[kept], asked.answers[kept], weights[kept], self.threshold
            )
            yield from (Raw(each.measure, each.value, class_id=asked.class_id) for each in measured)

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object of lists that `from_document` reads back exactly."""
        return {
            "type": "scores",
            "epoch": self.epoch,
            "learned": self.learned,
            "threshold": self.threshold,
            "blocks": [block.to_document() for block in self.blocks],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ScoreCalibration:
        """Undo `to_document`."""
        blocks = tuple(ScoreCounts.from_document(each) for each in document["blocks"])
        return cls(blocks, int(document["epoch"]), int(document["learned"]), float(document["threshold"]))

    @cached_property
    def _curves(self) -> Mapping[int, Curve]:
        """The curves for which there are labels enough, by the number of the question."""
        count = len(self.blocks[0].sums) if self.blocks else 0
        return {
            number: fit_curve([block.sums[number] for block in self.blocks])
            for number in range(count)
            if _lacking(self._sums(number)) is None
        }

    def _sums(self, number: int) -> Floats:
        held = [block.sums[number] for block in self.blocks if number < len(block.sums)]
        return np.sum(held, axis=0) if held else np.zeros((1, 4))


def _weights(outcomes: Outcomes) -> Floats:
    return np.ones(len(outcomes.predictions)) if outcomes.weights is None else outcomes.weights


def _by_curve(asked: Question, curve: Curve, weights: Floats, threshold: float) -> Iterator[Raw]:
    kept = is_chance(asked.scores)
    scores = asked.scores[kept]
    columns = curve.columns(log_odds(scores))
    chances = curve.chances(columns)
    rows = _Rows(curve, chances * (1.0 - chances), columns * (chances * (1.0 - chances))[:, None], 1.0 - 2.0 * chances)
    for each in binary_measures(asked.measures, scores, chances, weights[kept], threshold):
        yield rows.with_errors(each, asked.class_id)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """What the errors of all measures of n rows are made from.

    Attributes:
        spread: (n,) variance of each row's label.
        bent: (n, d) derivative of each row's chance by the coefficients of the curve.
        lean: (n,) third central moment of each row's label by its variance.
    """

    curve: Curve
    spread: Floats
    bent: Floats
    lean: Floats

    def with_errors(self, each: Measured, class_id: int | None) -> Raw:
        """Return a measure with its errors, by the delta method.

        Labels are independent given their scores, but for a shift of all log-odds that a window has in common; what is
        wrong with the curve is wrong for all windows.
        """
        if each.value is None or each.slopes is None:
            return Raw(each.measure, None, class_id=class_id, undefined=each.undefined)
        moved = each.slopes * self.spread
        by_chance = float(each.slopes @ moved)
        own = by_chance + self.curve.shift * float(moved.sum()) ** 2
        by_curve = each.slopes @ self.bent
        shared = max(0.0, float(by_curve @ self.curve.covariance @ by_curve))
        third = float((each.slopes * each.slopes * moved) @ self.lean)
        skewness = third / own**1.5 if own > 0.0 else 0.0
        return Raw(each.measure, each.value, (own + shared) ** 0.5, shared**0.5, skewness, class_id)


def _lacking(sums: Floats) -> str | None:
    """Say why no curve can be fitted to sums (CELLS, 4), or None."""
    rows = effective_rows(sums)
    if rows <= 0.0:
        return "no row has a label yet"
    share = float(sums[:, POSITIVE].sum() / sums[:, WEIGHT].sum())
    rarer = rows * min(share, 1.0 - share)
    if rows < FEWEST_LABELS:
        return f"too few labelled rows: {rows:.0f} effective, {FEWEST_LABELS} are needed"
    if rarer <= 0.0:
        return "the labelled rows hold one class only"
    if rarer < FEWEST_OF_A_CLASS:
        return f"too few labelled rows of one class: {rarer:.0f} effective, {FEWEST_OF_A_CLASS} are needed"
    return None
