"""Predictions of a classifier as questions of yes or no; changes with how several classes are treated.

A model with K classes is K + 1 questions: whether the class with the highest score is right (Gupta and Ramdas, 2022,
"Top-label calibration", arXiv:2107.08353), and whether the label is class 0, 1, ... K - 1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from monitor.evaluate.estimate.estimates import Measure
from monitor.evaluate.examples import Floats

MOST_CLASSES = 32
"""With more classes only their accuracy is estimated."""

OF_TWO_CLASSES: Collection[Measure] = (
    Measure.MEAN_LABEL,
    Measure.BINARY_ACCURACY,
    Measure.PRECISION,
    Measure.RECALL,
    Measure.SPECIFICITY,
    Measure.F1_SCORE,
    Measure.BINARY_CROSSENTROPY,
    Measure.AUC,
)


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One question of yes or no about n rows.

    Attributes:
        number: of its curve.
        class_id: the class that it is about; None where there are only two classes, or it is whether the model is right.
        scores: (n,) that yes got.
        answers: (n,) 1 where yes is right, NaN where nobody knows; None where labels are not known.
        measures: what it answers.
    """

    number: int
    class_id: int | None
    scores: Floats
    answers: Floats | None
    measures: Collection[Measure]


def questions(predictions: Floats, labels: Floats | None) -> Iterator[Question]:
    """Yield what is asked of predictions (n,) or (n, K) and their labels.

    Labels of K classes are the number of a class, or (n, K) with the greatest at the class; a label that is NaN is unknown.
    """
    if predictions.ndim == 1 or predictions.shape[1] == 1:
        flat = None if labels is None else labels.reshape(len(labels))
        yield Question(0, None, predictions.reshape(len(predictions)), flat, OF_TWO_CLASSES)
        return
    valid = np.isfinite(predictions).all(axis=1)
    best = np.argmax(np.where(valid[:, None], predictions, 0.0), axis=1)
    highest = np.where(valid, predictions[np.arange(len(best)), best], np.nan)
    classes = None if labels is None else _class_numbers(labels)
    yield Question(0, None, highest, None if classes is None else _equal(classes, best), (Measure.ACCURACY,))
    if predictions.shape[1] > MOST_CLASSES:
        return
    for number in range(predictions.shape[1]):
        answers = None if classes is None else _equal(classes, np.full(len(best), number))
        yield Question(number + 1, number, predictions[:, number], answers, OF_TWO_CLASSES)


def _class_numbers(labels: Floats) -> Floats:
    if labels.ndim == 1 or labels.shape[1] == 1:
        return labels.reshape(len(labels))
    unknown = np.isnan(labels).any(axis=1)
    numbers: Floats = np.where(unknown, np.nan, np.argmax(np.where(unknown[:, None], 0.0, labels), axis=1))
    return numbers


def _equal(classes: Floats, numbers: Floats) -> Floats:
    answers: Floats = np.where(np.isnan(classes), np.nan, (classes == numbers).astype(np.float64))
    return answers
