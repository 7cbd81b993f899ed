"""An estimated measure of quality, with how sure it is and what it assumes; changes with what people are told of one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scipy import special

from monitor.compare.findings import finite


class Measure(StrEnum):
    """What is estimated, as TFMA names it by default, so that it stands beside what TFMA computes from labels."""

    AUC = "auc"
    BINARY_ACCURACY = "binary_accuracy"
    PRECISION = "precision"
    RECALL = "recall"
    SPECIFICITY = "specificity"
    F1_SCORE = "f1_score"
    BINARY_CROSSENTROPY = "binary_crossentropy"
    MEAN_LABEL = "mean_label"
    ACCURACY = "accuracy"
    """Of a model with several classes."""
    MEAN_ABSOLUTE_ERROR = "mean_absolute_error"
    MEAN_SQUARED_ERROR = "mean_squared_error"
    ROOT_MEAN_SQUARED_ERROR = "root_mean_squared_error"
    MEAN_ERROR = "mean_error"
    """Never estimable; TFMA has no name for it."""


UNBOUNDED = frozenset(
    {
        Measure.BINARY_CROSSENTROPY,
        Measure.MEAN_ABSOLUTE_ERROR,
        Measure.MEAN_SQUARED_ERROR,
        Measure.ROOT_MEAN_SQUARED_ERROR,
    }
)
"""Measures from 0 up; the others lie between 0 and 1."""


@dataclass(frozen=True, slots=True)
class TrackingError:
    """How far estimates of a measure were from what came true, over past windows.

    Attributes:
        mean_absolute: mean of |realised - estimated|.
        bias: mean of realised - estimated.
        windows: how many.
    """

    mean_absolute: float
    bias: float
    windows: int


@dataclass(frozen=True, slots=True)
class Raw:
    """A measure worked out from chances, before anybody asked whether it may be believed.

    Attributes:
        value: None where it is undefined; `undefined` then says why.
        standard_error: of the value that the window's labels will give, around the estimate.
        shared_error: the part of it that comes from the calibration, and that estimates by one calibration have in common.
        skewness: of the rest.
        class_id: of a model with several classes, the one that the measure is about.
    """

    measure: Measure
    value: float | None
    standard_error: float = 0.0
    shared_error: float = 0.0
    skewness: float = 0.0
    class_id: int | None = None
    undefined: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated measure.

    Attributes:
        measure: as TFMA names it.
        value: None where there is none at all.
        standard_error: of what the labels will give, around `value`: chance of the labels, and doubt about the calibration.
        low, high: between them the labels will put the measure with probability `level`, if the assumption holds.
        assumption: what the estimate rests on, in words.
        tracking_error: how far estimates were off in past windows; None where no labels have come yet.
        estimable: the estimate may be believed as far as anybody can tell.
        reason: why not; None where it may.
        shared_error: the part of `standard_error` that all estimates by one calibration share.
        class_id: of a model with several classes, the one that the measure is about.
    """

    measure: Measure
    value: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    assumption: str
    tracking_error: TrackingError | None
    estimable: bool
    reason: str | None
    shared_error: float | None = None
    class_id: int | None = None
    level: float = 0.95

    @property
    def name(self) -> str:
        """The measure, with its class."""
        return measure_name(self.measure, self.class_id)

    @property
    def explanation(self) -> str:
        """The estimate in words: value, interval, past error, assumption."""
        if self.value is None:
            return f"{self.name} is not estimable: {self.reason}"
        said = f"{self.name} is estimated at {self.value:.4g}"
        if self.low is not None and self.high is not None:
            said += f" ({self.low:.4g} to {self.high:.4g} with {self.level:.0%} confidence)"
        said += f", assuming that {self.assumption}"
        known = self.tracking_error
        if known is None:
            said += "; no labels have come yet to check that"
        else:
            said += (
                f"; over {known.windows} labelled windows estimates were off by {known.mean_absolute:.4g} on average"
            )
        return said if self.estimable else f"{said}. Not to be relied on: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; a number that JSON cannot hold becomes null."""
        known = self.tracking_error
        return {
            "measure": str(self.measure),
            "class_id": self.class_id,
            "value": finite(self.value),
            "standard_error": finite(self.standard_error),
            "shared_error": finite(self.shared_error),
            "low": finite(self.low),
            "high": finite(self.high),
            "level": self.level,
            "assumption": self.assumption,
            "tracking_error": None
            if known is None
            else {
                "mean_absolute": finite(known.mean_absolute),
                "bias": finite(known.bias),
                "windows": known.windows,
            },
            "estimable": self.estimable,
            "reason": self.reason,
            "explanation": self.explanation,
        }


def measure_name(measure: Measure, class_id: int | None) -> str:
    """Return what people read: a measure, with its class where it is about one of several."""
    return str(measure) if class_id is None else f"{measure} of class {class_id}"


def interval(raw: Raw, level: float) -> tuple[float, float] | tuple[None, None]:
    """Return the interval in which the labels will put a measure: normal, within the range of the measure.

    A share is a count of rows by a number of rows, which its error tells; half a row is added at either end, or a share of
    few rows would often fall just beside (continuity correction).
    """
    value, error = raw.value, raw.standard_error
    if value is None:
        return None, None
    reach = float(special.ndtri(0.5 + level / 2.0)) * error
    if raw.measure in UNBOUNDED:
        return max(0.0, value - reach), value + reach
    if 0.0 < value < 1.0:
        reach += 0.5 * error * error / (value * (1.0 - value))
    return max(0.0, value - reach), min(1.0, value + reach)
