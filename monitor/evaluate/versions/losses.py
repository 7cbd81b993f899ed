"""Losses of single examples, by kind of problem; changes with the losses that can be compared.

Whatever is a mean over examples can be followed by sums, hour by hour, and so be looked at at any time. Lower is better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from monitor.errors import InputError
from monitor.evaluate.examples import Floats, Outcomes

EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1 in the log loss, as Keras does (`keras.backend.epsilon`)."""


class Problem(StrEnum):
    """What a model predicts."""

    BINARY = "binary"
    """A probability of label 1 against 0."""
    MULTICLASS = "multiclass"
    """A score for each of k classes; the label is the number of one, from 0."""
    CLASSES = "classes"
    """The name of a class, without scores; names are told by their number here."""
    REGRESSION = "regression"
    """A number."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss of single examples.

    Attributes:
        of: outcomes that have labels and predictions, and the threshold from which on a score means 1 (exclusive, as in TFMA), to
            the losses (n,).
        bound: the largest value of a loss that takes few values only, so that a sample of it may show no variance at all.
    """

    of: Callable[[Outcomes, float], Floats]
    bound: float | None = None


def decisions(predictions: Floats, problem: Problem, threshold: float) -> Floats | None:
    """Return what each prediction decides, float64 (n,): 0 or 1, or the number of a class; None for a regression.

    Of classes with equal scores the first is decided for.
    """
    match problem:
        case Problem.BINARY:
            return np.asarray(predictions > threshold, np.float64)
        case Problem.MULTICLASS:
            return np.asarray(predictions.argmax(axis=1), np.float64)
        case Problem.CLASSES:
            return predictions
        case _:
            return None


def answered(predictions: Floats) -> npt.NDArray[np.bool_]:
    """Return which rows (n,) have a prediction that is a number throughout."""
    there = np.isfinite(predictions)
    return there if there.ndim == 1 else there.all(axis=1)


def _log_loss(outcomes: Outcomes, _threshold: float) -> Floats:
    scores = np.clip(_probabilities(outcomes.predictions), EPSILON, 1.0 - EPSILON)
    return np.where(outcomes.labels == 1.0, -np.log(scores), -np.log1p(-scores))


def _class_log_loss(outcomes: Outcomes, _threshold: float) -> Floats:
    scores = _probabilities(outcomes.predictions)
    chosen = np.take_along_axis(scores, outcomes.labels.astype(np.int64)[:, None], axis=1)[:, 0]
    # Keras divides by the sum, too: float32 probabilities do not add up to one exactly.
    whole = np.maximum(scores.sum(axis=1), EPSILON)
    return np.asarray(-np.log(np.clip(chosen / whole, EPSILON, 1.0 - EPSILON)))


def _brier(outcomes: Outcomes, _threshold: float) -> Floats:
    return np.asarray(np.square(_probabilities(outcomes.predictions) - outcomes.labels))


def _absolute_error(outcomes: Outcomes, _threshold: float) -> Floats:
    return np.asarray(np.abs(outcomes.predictions - outcomes.labels))


def _squared_error(outcomes: Outcomes, _threshold: float) -> Floats:
    return np.asarray(np.square(outcomes.predictions - outcomes.labels))


def _wrong(problem: Problem) -> Loss:
    def of(outcomes: Outcomes, threshold: float) -> Floats:
        decided = decisions(outcomes.predictions, problem, threshold)
        return np.asarray(decided != outcomes.labels, np.float64)

    return Loss(of, bound=1.0)


def _probabilities(scores: Floats) -> Floats:
    bad = (scores < 0.0) | (scores > 1.0)
    if bad.any():
        raise InputError(
            f"{int(bad.sum())} predictions are no probabilities, such as {scores[bad][0]:g}: turn scores into probabilities, "
            "or compare by --metric error or by --problem regression"
        )
    return scores


LOSSES: Mapping[Problem, Mapping[str, Loss]] = {
    Problem.BINARY: {"log_loss": Loss(_log_loss), "brier": Loss(_brier), "error": _wrong(Problem.BINARY)},
    Problem.MULTICLASS: {"log_loss": Loss(_class_log_loss), "error": _wrong(Problem.MULTICLASS)},
    Problem.CLASSES: {"error": _wrong(Problem.CLASSES)},
    Problem.REGRESSION: {"absolute_error": Loss(_absolute_error), "squared_error": Loss(_squared_error)},
}
"""Losses by kind of problem and name; the first is the one that decides where nobody says which."""
