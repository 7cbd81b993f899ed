"""How far probabilities are from the shares of positives that they promise; changes with how that is measured.

The expected calibration error as usually computed is never 0: with finitely many labels, the mean label of a bin is off by
chance, and absolute values never cancel. Beside it stands one with that bias taken off, and what a perfect model would show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from scipy import special

from monitor.evaluate.estimate.questions import questions
from monitor.evaluate.estimate.score_counts import is_chance
from monitor.evaluate.examples import Floats, Outcomes, Places

BINS = 15


class Binning(StrEnum):
    """How scores are put into bins."""

    EQUAL_MASS = "equal_mass"
    """Each holds as many rows ("adaptive": Nixon et al., 2019, "Measuring calibration in deep learning", arXiv:1904.01685)."""
    EQUAL_WIDTH = "equal_width"
    """Each is as wide (Guo et al., 2017, "On calibration of modern neural networks", arXiv:1706.04599)."""


@dataclass(frozen=True, slots=True)
class Bin:
    """One point of a reliability curve.

    Attributes:
        low, high: lowest and highest score in it.
        share: of the weight of all rows.
        mean_score, mean_label: what was promised and what came.
        standard_error: of `mean_label`.
    """

    low: float
    high: float
    share: float
    mean_score: float
    mean_label: float
    standard_error: float

    @property
    def gap(self) -> float:
        """How much more came than was promised."""
        return self.mean_label - self.mean_score


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """How far scores are from being probabilities.

    Attributes:
        value: mean over the rows of their bin's |mean label - mean score|.
        debiased: the same with its bias by chance taken off to first order: about half of it where the scores are perfect, nearly
            all where they are not; at least 0.
        standard_error: of `value`.
        by_chance: what `value` would be on average if the scores were perfect.
        mean_squared: mean of the squared differences, without any bias by chance; may come out below 0.
        worst: the largest |mean label - mean score|.
        bins: the reliability curve, by rising score.
    """

    value: float
    debiased: float
    standard_error: float
    by_chance: float
    mean_squared: float
    worst: float
    bins: Sequence[Bin]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "expected_calibration_error": self.value,
            "debiased": self.debiased,
            "standard_error": self.standard_error,
            "by_chance": self.by_chance,
            "mean_squared": self.mean_squared,
            "worst": self.worst,
            "bins": [asdict(each) for each in self.bins],
        }


def calibration_error(
    outcomes: Outcomes, bins: int = BINS, binning: Binning = Binning.EQUAL_MASS
) -> CalibrationError | None:
    """Return the calibration error of labelled rows; None where no row has a label and a score in [0, 1].

    With K classes it is about the class with the highest score, and whether that is right. The bias by chance follows from the
    normal distribution of each bin's mean label, as in Kumar, Liang and Ma, 2019, "Verified uncertainty calibration"
    (arXiv:1909.10155; `normal_debiased_ce` of their code draws it), here in closed form by the folded normal distribution. That
    of squares is known exactly (Ferro and Fricker, 2012, "A bias-corrected decomposition of the Brier score").

    Args:
        outcomes: labels 0 or 1 (or between), predictions (n,); or K classes.
        bins: at most so many; rows of one score always share one.
        binning: how they are laid out.
    """
    asked = next(questions(outcomes.predictions, outcomes.labels))
    answers = np.zeros(0) if asked.answers is None else asked.answers
    kept = np.flatnonzero(is_chance(asked.scores) & is_chance(answers))
    weights = np.ones(len(kept)) if outcomes.weights is None else outcomes.weights[kept]
    if float(weights.sum()) <= 0.0:
        return None
    scores, labels = asked.scores[kept], answers[kept]
    _, number = np.unique(_numbers(scores, weights, bins, binning), return_inverse=True)
    return _error(scores, labels, weights, number)


def calibration_json(outcomes: Outcomes) -> dict[str, Any] | None:
    """Return the calibration error as a JSON object; None where predictions are no probabilities of what the labels say.

    The labels beside a score for each class may be the classes' numbers.
    """
    asked = (outcomes.predictions,) if outcomes.predictions.ndim == 2 else (outcomes.predictions, outcomes.labels)
    probable = outcomes.predictions.size and all(is_chance(values).all() for values in asked)
    error = calibration_error(outcomes) if probable else None
    return None if error is None else error.to_json()


def _numbers(scores: Floats, weights: Floats, bins: int, binning: Binning) -> Places:
    if binning is Binning.EQUAL_WIDTH:
        return np.minimum((scores * bins).astype(np.int64), bins - 1)
    _, place = np.unique(scores, return_inverse=True)
    mass = np.bincount(place, weights)
    middle = (np.cumsum(mass) - mass / 2.0) / mass.sum()
    numbers: Places = np.minimum((middle * bins).astype(np.int64), bins - 1)[place]
    return numbers


def _error(scores: Floats, labels: Floats, weights: Floats, number: Places) -> CalibrationError:
    mass = np.bincount(number, weights)
    square = np.bincount(number, weights * weights)
    score, label = (np.bincount(number, weights * values) / mass for values in (scores, labels))
    rows = mass * mass / square
    # One row of the promised score is added, or a bin in which all labels are alike would look certain.
    rate = (rows * label + score) / (rows + 1.0)
    error = np.sqrt(rate * (1.0 - rate) / rows)
    share = mass / mass.sum()
    gap = np.abs(label - score)
    folded = _folded(gap, error)
    value = float(share @ gap)
    variance = share * share * np.maximum(gap * gap + error * error - folded * folded, 0.0)
    chance = np.sqrt(np.bincount(number, weights * weights * scores * (1.0 - scores))) / mass
    off = np.bincount(number, weights * (labels - scores) ** 2) / mass - gap * gap
    doubt = np.divide(off, rows - 1.0, out=gap * gap, where=rows > 1.0 + 1e-9)
    low, high = np.full(len(mass), np.inf), np.full(len(mass), -np.inf)
    np.minimum.at(low, number, scores)
    np.maximum.at(high, number, scores)
    columns = (low, high, share, score, label, error)
    return CalibrationError(
        value=value,
        debiased=max(0.0, 2.0 * value - float(share @ folded)),
        standard_error=math.sqrt(float(variance.sum())),
        by_chance=float(share @ chance) * math.sqrt(2.0 / math.pi),
        mean_squared=float(share @ (gap * gap - doubt)),
        worst=float(gap.max()),
        bins=tuple(Bin(*(float(each) for each in point)) for point in zip(*columns, strict=True)),
    )


def _folded(mean: Floats, deviation: Floats) -> Floats:
    """Return E|X| of normal X (Leone, Nelson and Nottingham, 1961, Technometrics 3:543)."""
    z = np.divide(mean, deviation, out=np.full(len(mean), np.inf), where=deviation > 0.0)
    density = np.exp(-0.5 * np.minimum(z, 40.0) ** 2)
    folded: Floats = deviation * math.sqrt(2.0 / math.pi) * density + mean * (2.0 * special.ndtr(z) - 1.0)
    return folded
