"""Labelled rows counted in fixed cells of the score: what a calibration is made from; changes with how fine the cells are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from monitor.evaluate.examples import Floats, Outcomes

EPSILON = 1e-7
"""Scores nearer to 0 or 1 count as this far off, as Keras clips probabilities before it takes their logarithm."""
FURTHEST = float(special.logit(1.0 - EPSILON))
STEP = 0.25
"""Width of a cell in log-odds: within one, a probability moves by at most 0.06, and the cell keeps the mean of its rows."""
CELLS = int(2.0 * FURTHEST / STEP) + 1

WEIGHT, ODDS, POSITIVE, SQUARE = range(4)


@dataclass(frozen=True, slots=True, eq=False)
class ScoreCounts:
    """Sums over labelled rows for C curves; those of other rows add up.

    Attributes:
        sums: (C, CELLS, 4): weight, weight times log-odds of the score, weight times label, squared weight.
    """

    sums: Floats

    @classmethod
    def of(cls, outcomes: Outcomes) -> ScoreCounts:
        """Count one curve: labels in [0, 1] and predictions in [0, 1], both (n,); rows without either are left out."""
        labels, predictions = outcomes.labels, outcomes.predictions
        kept = np.flatnonzero(is_chance(predictions) & is_chance(labels))
        odds = log_odds(predictions[kept])
        weights = np.ones(len(kept)) if outcomes.weights is None else outcomes.weights[kept]
        cells = np.clip((odds + FURTHEST) / STEP, 0, CELLS - 1).astype(np.int64)
        amounts = (weights, weights * odds, weights * labels[kept], weights * weights)
        sums = np.stack([np.bincount(cells, amount, CELLS) for amount in amounts], axis=1)
        return cls(sums[None].astype(np.float64))

    def __add__(self, other: ScoreCounts) -> ScoreCounts:
        """Return the counts of both."""
        return ScoreCounts(self.sums + other.sums)

    @property
    def effective(self) -> float:
        """Return Kish's effective number of rows of the first curve."""
        return effective_rows(self.sums[0])

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object of lists that `from_document` reads back exactly."""
        curves = []
        for sums in self.sums:
            held = np.flatnonzero(sums[:, WEIGHT])
            curves.append({"cells": held.tolist(), "sums": sums[held].tolist()})
        return {"curves": curves}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ScoreCounts:
        """Undo `to_document`."""
        sums = np.zeros((len(document["curves"]), CELLS, 4))
        for curve, kept in zip(sums, document["curves"], strict=True):
            if kept["cells"]:
                curve[kept["cells"]] = kept["sums"]
        return cls(sums)


def stacked(curves: list[ScoreCounts]) -> ScoreCounts:
    """Return the counts of several curves of the same rows as one."""
    return ScoreCounts(np.concatenate([each.sums for each in curves]))


def effective_rows(sums: Floats) -> float:
    """Return how many rows of weight one tell as much as those of (CELLS, 4) sums."""
    weight, square = float(sums[:, WEIGHT].sum()), float(sums[:, SQUARE].sum())
    return weight * weight / square if square > 0.0 else 0.0


def log_odds(scores: Floats) -> Floats:
    """Return ln(s / (1 - s)) of scores in [0, 1], at most `FURTHEST` either way."""
    clipped = np.clip(scores, EPSILON, 1.0 - EPSILON)
    odds: Floats = np.log(clipped) - np.log1p(-clipped)
    return odds


def is_chance(values: Floats) -> Any:
    """Return a mask of the values that lie in [0, 1]; NaN does not."""
    return (values >= 0.0) & (values <= 1.0)
