"""Estimates held against what labels said later: how far off they were, and whether that is more than chance.

Changes with what makes people stop believing estimates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special

from monitor.evaluate.estimate.curve import FEWEST_BLOCKS
from monitor.evaluate.estimate.estimates import UNBOUNDED, Measure, TrackingError, measure_name
from monitor.evaluate.examples import Floats

FALSE_ALARM_RATE = 0.01
"""Of labelled windows without concept drift, the share after which it is suspected all the same, at most."""
REMEMBERED = 32
"""Labelled windows that tracking errors and the test look back on."""
_SPANS = (1, 2, 4, 8, 16, 32)
"""Lengths of the last stretch of windows that are tested together: a jump shows in one, a slow drift in many."""
LEAST_DIFFERENCE = 0.01
"""Mean difference of a share below which estimates are good enough, however sure it is; of a loss, twice that times the loss."""
_MOST_SKEWED = 0.3
"""Skewness of a difference beyond which a normal tail, even a corrected one, says little: some ten rows of the rarer class."""

Key = tuple[Measure, int | None]

_DECISIVE = frozenset(
    {
        Measure.MEAN_LABEL,
        Measure.BINARY_ACCURACY,
        Measure.BINARY_CROSSENTROPY,
        Measure.AUC,
        Measure.ACCURACY,
        Measure.MEAN_ABSOLUTE_ERROR,
    }
)
"""What is tested. The other measures follow from the same chances, and would only make each test less sensitive."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """An estimate of a past window, and what its labels said.

    Attributes:
        estimated: the value, from the predictions of the same rows, by the calibration as it was before their labels.
        standard_error, shared_error: of the estimate, as `Estimate` has them.
        realised: the value from the labels.
        realised_error: standard error of that, where it is of other rows than the estimate (only some have labels yet);
            0 where it is of the same, whose chance the estimate's error holds already.
        skewness: of the difference, where it is known.
        windows: how many the calibration was made of. With fewer than five, nobody knows how windows differ by themselves, and
            the estimate is not tested.
        epoch: of the calibration.
    """

    measure: Measure
    estimated: float
    standard_error: float
    shared_error: float
    realised: float
    realised_error: float = 0.0
    skewness: float = 0.0
    class_id: int | None = None
    windows: int = FEWEST_BLOCKS
    epoch: int = 0

    @property
    def key(self) -> Key:
        """The measure and its class."""
        return self.measure, self.class_id

    @property
    def own_variance(self) -> float:
        """Variance of the difference that no other window shares."""
        return max(self.standard_error**2 - self.shared_error**2, 0.0) + self.realised_error**2

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "measure": str(self.measure),
            "class_id": self.class_id,
            "estimated": self.estimated,
            "standard_error": self.standard_error,
            "shared_error": self.shared_error,
            "realised": self.realised,
            "realised_error": self.realised_error,
            "skewness": self.skewness,
            "windows": self.windows,
            "epoch": self.epoch,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Tracked:
        """Undo `to_document`."""
        return cls(**{**document, "measure": Measure(document["measure"])})


@dataclass(frozen=True, slots=True)
class Tracking:
    """What past windows say of the estimates of one calibration.

    Attributes:
        errors: how far off each measure was.
        suspicion: why the estimates may not be believed; None where nothing speaks against them.
        since: how many of the last labelled windows differ, as it seems; 0 where none do. A calibration on those alone
            (`renewed`) would be right again.
    """

    errors: Mapping[Key, TrackingError] = field(default_factory=dict)
    suspicion: str | None = None
    since: int = 0


def tracking(
    history: Sequence[Sequence[Tracked]], epoch: int = 0, false_alarm_rate: float = FALSE_ALARM_RATE
) -> Tracking:
    """Hold past estimates against what came true.

    The assumption is one for all measures, so that a measure for which it fails takes the others with it. A stretch of
    the last 1, 2, 4, ... windows is tested by the mean difference, weighted by how sure each is, against its
    standard error: chance differs from window to window, and what is wrong with the calibration is the same in all. The
    level is shared evenly by measures and stretches (Bonferroni); the normal tail is corrected for skewness (Cornish and
    Fisher, first term).

    Args:
        history: the labelled windows, oldest first, with their estimates; those of another epoch are left out.
        epoch: of the calibration that is asked about.
        false_alarm_rate: of labelled windows without concept drift, the share after which it is suspected all the same.
    """
    windows = [[each for each in window if each.epoch == epoch] for window in history]
    recent = [window for window in windows if window][-REMEMBERED:]
    by_key: dict[Key, list[Tracked | None]] = {}
    for number, window in enumerate(recent):
        for each in window:
            by_key.setdefault(each.key, [None] * len(recent))[number] = each
    errors = {key: _error([each for each in tracked if each is not None]) for key, tracked in by_key.items()}
    decisive = {key: tracked for key, tracked in by_key.items() if key[0] in _DECISIVE}
    spans = [span for span in _SPANS if span <= len(recent)]
    level = false_alarm_rate / max(1, len(decisive) * len(spans))
    found = [_test(tracked[-span:], span) for tracked in decisive.values() for span in spans]
    worst = min((each for each in found if each is not None), key=lambda each: each.p_value, default=None)
    if worst is None or worst.p_value >= level:
        return Tracking(errors)
    return Tracking(errors, worst.said(), _since(decisive[worst.key]))


@dataclass(frozen=True, slots=True)
class _Difference:
    """A stretch of windows in which realised and estimated values differ by more than matters little."""

    key: Key
    span: int
    difference: float
    error: float
    p_value: float

    def said(self) -> str:
        name = measure_name(*self.key)
        over = "the last labelled window" if self.span == 1 else f"the last {self.span} labelled windows"
        return (
            f"concept drift is suspected: over {over} {name} was {abs(self.difference):.4g} "
            f"{'higher' if self.difference > 0.0 else 'lower'} than estimated, with a standard error of {self.error:.2g} "
            f"(p = {self.p_value:.2g})"
        )


def _test(tracked: Sequence[Tracked | None], span: int) -> _Difference | None:
    """Return the difference over a stretch, or None where there is too little to test, or it is too small to matter."""
    there = [each for each in tracked if each is not None and each.windows >= FEWEST_BLOCKS]
    if len(there) * 2 < span:
        return None
    variances = np.array([max(each.own_variance, 1e-18) for each in there])
    weights = 1.0 / variances
    weights /= weights.sum()
    differences = np.array([each.realised - each.estimated for each in there])
    skews = np.array([each.skewness for each in there])
    own = float(weights**2 @ variances)
    shared = float(weights @ np.array([each.shared_error for each in there]))
    error = math.sqrt(own + shared**2)
    skewness = float(weights**3 @ (skews * variances**1.5)) / error**3
    difference = float(weights @ differences)
    if abs(skewness) > _MOST_SKEWED or abs(difference) <= _matters(there, weights):
        return None
    return _Difference(there[-1].key, span, difference, error, _p_value(difference / error, skewness))


def _since(tracked: Sequence[Tracked | None]) -> int:
    """Return how many of the last windows differ most clearly when they are taken together."""
    found = [_test(tracked[-span:], span) for span in range(1, len(tracked) + 1)]
    return max((each for each in found if each is not None), key=lambda each: abs(each.difference / each.error)).span


def _matters(tracked: Sequence[Tracked], weights: Floats) -> float:
    if tracked[0].measure not in UNBOUNDED:
        return LEAST_DIFFERENCE
    return 2.0 * LEAST_DIFFERENCE * float(weights @ np.array([each.estimated for each in tracked]))


def _p_value(z: float, skewness: float) -> float:
    """Return the two-sided p-value of a standardised difference of a given skewness.

    The correction z - skewness (z^2 - 1) / 6 is taken where it still rises with z.
    """
    if skewness != 0.0:
        turn = 3.0 / skewness
        z = min(z, turn) if skewness > 0.0 else max(z, turn)
        z -= skewness * (z * z - 1.0) / 6.0
    return float(2.0 * special.ndtr(-abs(z)))


def _error(tracked: Sequence[Tracked]) -> TrackingError:
    differences = np.array([each.realised - each.estimated for each in tracked])
    return TrackingError(float(np.abs(differences).mean()), float(differences.mean()), len(tracked))
