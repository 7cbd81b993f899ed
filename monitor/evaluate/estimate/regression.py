"""Calibrations of regression models, and what follows from them for rows without labels; changes with how errors are reckoned.

Direct loss estimation: a second model says how large the loss of each row is on average, and the window's estimate is the
mean of that. Source: NannyML's documentation, "How it works: performance estimation", which takes a boosted ensemble.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.evaluate.estimate.curve import FEWEST_BLOCKS
from monitor.evaluate.estimate.design import Design, design_of
from monitor.evaluate.estimate.estimates import Measure, Raw
from monitor.evaluate.estimate.loss_model import LossModel, fit_losses
from monitor.evaluate.estimate.loss_sample import MOST_ROWS, LossSample, flat, weights_of
from monitor.evaluate.examples import Floats, Outcomes

FEWEST_LABELS = 100
NO_FEATURES: Mapping[str, pa.Array] = {}
_MEASURES = (Measure.MEAN_ABSOLUTE_ERROR, Measure.MEAN_SQUARED_ERROR, Measure.ROOT_MEAN_SQUARED_ERROR)
_MEAN_ERROR = Raw(
    Measure.MEAN_ERROR,
    None,
    undefined="the size of errors can be learned, not their sign: a lasting mean error comes from a change in what labels "
    "depend on, and only labels show it",
)


@dataclass(frozen=True)  # no slots: the models are fitted once
class LossCalibration:
    """What labelled rows say of a regression model's losses.

    Attributes:
        sample: the rows.
        epoch: how often it was made anew; estimates of another epoch say nothing of it.
        learned: windows that it has learned since.
    """

    sample: LossSample
    epoch: int = 0
    learned: int = 0

    @classmethod
    def of(cls, outcomes: Outcomes, features: Mapping[str, pa.Array] = NO_FEATURES) -> LossCalibration:
        """Learn losses from labelled rows, by their predictions and columns (n,).

        Raises:
            InputError: a column holds neither numbers nor text.
        """
        sample = LossSample.of(outcomes, features, MOST_ROWS)
        return cls(sample, learned=min(len(sample), 1))

    @property
    def assumption(self) -> str:
        """What estimates rest on."""
        names = ", ".join(["the prediction", *self.sample.features])
        return f"the size of errors depends on {names} as it did when it was learned (no concept drift)"

    @property
    def windows(self) -> int:
        """How many windows it was made of."""
        return self.sample.windows

    def updated(self, outcomes: Outcomes, features: Mapping[str, pa.Array] = NO_FEATURES) -> LossCalibration:
        """Return the calibration with the labelled rows of one more window.

        Raises:
            InputError: a column is not there, or is of another type than it was.
        """
        sample = self.sample.with_window(outcomes, features)
        return replace(self, sample=sample, learned=self.learned + (sample.last != self.sample.last))

    def renewed(self, newest: int) -> LossCalibration:
        """Return a new calibration on the newest windows only, for when losses have changed."""
        return LossCalibration(self.sample.newest(newest), self.epoch + 1)

    def outside(self, outcomes: Outcomes) -> float:
        """Return the share of the rows' weight whose predictions were not calibrated: not finite, or out of reach."""
        if self._lacking is not None:
            return 0.0
        predictions, weights = flat(outcomes.predictions), weights_of(outcomes)
        inside = (predictions >= self.sample.predictions.min()) & (predictions <= self.sample.predictions.max())
        total = float(weights.sum())
        return 1.0 - float(weights[inside].sum()) / total if total > 0.0 else 0.0

    def raw(self, outcomes: Outcomes, features: Mapping[str, pa.Array] = NO_FEATURES) -> Iterator[Raw]:
        """Yield the measures of rows from their predictions, columns and weights alone.

        Raises:
            InputError: a column is not there, or is of another type than it was.
        """
        predictions = flat(outcomes.predictions)
        kept = np.flatnonzero(np.isfinite(predictions))
        if self._lacking is not None or len(kept) == 0:
            yield from (Raw(measure, None, undefined=self._lacking or "there are no rows") for measure in _MEASURES)
            return
        chosen = {name: features[name].take(pa.array(kept)) for name in self.sample.features if name in features}
        design, absolute, squared = self._models
        columns = design.columns(predictions[kept], chosen)
        weights = weights_of(outcomes)[kept]
        weights = weights / weights.sum()
        yield _mean(Measure.MEAN_ABSOLUTE_ERROR, absolute, columns, weights)
        mean_squared = _mean(Measure.MEAN_SQUARED_ERROR, squared, columns, weights)
        yield mean_squared
        yield _rooted(mean_squared)
        yield _MEAN_ERROR

    def realised(self, outcomes: Outcomes) -> Iterator[Raw]:
        """Yield the measures of labelled rows."""
        errors = np.abs(flat(outcomes.labels) - flat(outcomes.predictions))
        kept = np.isfinite(errors)
        weights = weights_of(outcomes)[kept]
        total = float(weights.sum())
        if total <= 0.0:
            return
        squared = float(weights @ errors[kept] ** 2) / total
        yield Raw(Measure.MEAN_ABSOLUTE_ERROR, float(weights @ errors[kept]) / total)
        yield Raw(Measure.MEAN_SQUARED_ERROR, squared)
        yield Raw(Measure.ROOT_MEAN_SQUARED_ERROR, squared**0.5)

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object of lists that `from_document` reads back exactly."""
        sample = self.sample.to_document()
        return {"type": "losses", "epoch": self.epoch, "learned": self.learned, "sample": sample}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> LossCalibration:
        """Undo `to_document`."""
        sample = LossSample.from_document(document["sample"])
        return cls(sample, int(document["epoch"]), int(document["learned"]))

    @cached_property
    def _lacking(self) -> str | None:
        rows = self.sample.effective
        if rows <= 0.0:
            return "no row has a label yet"
        if rows < FEWEST_LABELS:
            return f"too few labelled rows: {rows:.0f} effective, {FEWEST_LABELS} are needed"
        if not self.sample.errors.any():
            return "no labelled row has any error, so that there is nothing to learn"
        return None

    @cached_property
    def _models(self) -> tuple[Design, LossModel, LossModel]:
        """The columns, and the models of |e| and e^2."""
        known = self.sample
        design = design_of(known.predictions, known.features, known.weights)
        columns = design.columns(known.predictions, known.features)
        absolute, squared = (
            fit_losses(columns, known.errors**power, known.weights, known.blocks, FEWEST_BLOCKS) for power in (1, 2)
        )
        return design, absolute, squared


def _mean(measure: Measure, model: LossModel, columns: Floats, weights: Floats) -> Raw:
    """Return the mean loss of rows with its errors; weights (n,) add up to 1.

    A window's labels add chance, and a shift of all losses that it has in common; what is wrong with the model is wrong for
    all windows.
    """
    parts = weights * model.means(columns)
    value = float(parts.sum())
    slope = parts @ columns
    own = model.dispersion * float(parts @ parts) + model.shift * value**2
    shared = max(0.0, float(slope @ model.covariance @ slope)) + model.shift * model.settled * value**2
    skewness = model.third * float(parts**2 @ parts) / own**1.5 if own > 0.0 else 0.0
    return Raw(measure, value, (own + shared) ** 0.5, shared**0.5, skewness)


def _rooted(squared: Raw) -> Raw:
    root = (squared.value or 0.0) ** 0.5
    slope = 0.5 / root if root > 0.0 else 0.0
    return Raw(Measure.ROOT_MEAN_SQUARED_ERROR, root, squared.standard_error * slope, squared.shared_error * slope)
