"""What versions answered, as arrays: of one version, or of two to the same requests; changes with what is known of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.evaluate.examples import Floats, Outcomes, Places
from monitor.evaluate.versions.losses import answered

Prediction = str | float | list[float]
"""Name of a class, a number, or a score for each class."""


@dataclass(frozen=True, slots=True)
class Answers:
    """n rows that one version answered.

    Attributes:
        outcomes: labels are NaN where they are not known, and predictions where there is none.
        clusters: uint64 (n,), equal for rows of one request; None where each row is its own.
        hours: int64 (n,), the start of each row's hour in microseconds since the epoch; None where rows have no time.
    """

    outcomes: Outcomes
    clusters: npt.NDArray[np.uint64] | None = None
    hours: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Return n."""
        return len(self.outcomes.labels)

    @property
    def requests(self) -> int:
        """How many requests the rows are of."""
        return len(self) if self.clusters is None else len(np.unique(self.clusters))

    def labelled(self) -> npt.NDArray[np.bool_]:
        """Return which rows have a label, (n,)."""
        return ~np.isnan(self.outcomes.labels)

    def answered(self) -> npt.NDArray[np.bool_]:
        """Return which rows have a prediction, (n,)."""
        return answered(self.outcomes.predictions)

    def take(self, places: Places) -> Answers:
        """Return the rows at `places`."""
        return Answers(
            self.outcomes.take(places),
            None if self.clusters is None else self.clusters[places],
            None if self.hours is None else self.hours[places],
        )

    def judgeable(self) -> Answers:
        """Return the rows that have both a label and a prediction."""
        return self.take(np.flatnonzero(self.labelled() & self.answered()))


def concatenated(parts: Sequence[Answers]) -> Answers:
    """Return the rows of parts after each other; all of them have clusters and times, or none has."""
    if not parts:
        return Answers(Outcomes(np.empty(0), np.empty(0)))
    weights = None
    if any(part.outcomes.weights is not None for part in parts):
        known = [part.outcomes.weights for part in parts]
        weights = np.concatenate(
            [np.ones(len(part)) if each is None else each for part, each in zip(parts, known, strict=True)]
        )
    clusters = [part.clusters for part in parts if part.clusters is not None]
    hours = [part.hours for part in parts if part.hours is not None]
    outcomes = Outcomes(
        np.concatenate([part.outcomes.labels for part in parts]),
        np.concatenate([part.outcomes.predictions for part in parts]),
        weights,
    )
    return Answers(outcomes, np.concatenate(clusters) if clusters else None, np.concatenate(hours) if hours else None)


@dataclass(frozen=True, slots=True)
class Pairs:
    """n rows that both versions answered.

    Attributes:
        stable: predictions (n,) or (n, k), NaN where there is none.
        candidate: likewise.
        names: how people call each row, such as its id.
        labels: (n,), NaN where they are not known; None without any.
        weights: (n,), or None.
        clusters: as in `Answers`.
        hours: as in `Answers`.
        features: columns (n rows) to look at the differences by.
        classes: names of classes, where predictions are their numbers.
    """

    stable: Floats
    candidate: Floats
    names: Sequence[object]
    labels: Floats | None = None
    weights: Floats | None = None
    clusters: npt.NDArray[np.uint64] | None = None
    hours: npt.NDArray[np.int64] | None = None
    features: pa.Table = field(default_factory=lambda: pa.table({}))
    classes: Sequence[str] = ()

    def __len__(self) -> int:
        """Return n."""
        return len(self.stable)

    def shown(self, prediction: Floats) -> Prediction:
        """Return one row's prediction as people are told it."""
        if self.classes and np.isfinite(prediction):
            return self.classes[int(prediction)]
        shown: Prediction = prediction.tolist()
        return shown

    def answers(self) -> tuple[Answers, Answers]:
        """Return what either version answered; without labels all of them are NaN."""
        labels = np.full(len(self), np.nan) if self.labels is None else self.labels
        return (
            Answers(Outcomes(labels, self.stable, self.weights), self.clusters, self.hours),
            Answers(Outcomes(labels, self.candidate, self.weights), self.clusters, self.hours),
        )
