"""Quality without labels, and how far it may be believed: the entry of this package; changes with what an estimate takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.errors import InputError
from monitor.evaluate.estimate.classification import ScoreCalibration
from monitor.evaluate.estimate.curve import FEWEST_BLOCKS
from monitor.evaluate.estimate.estimates import Estimate, Raw, interval
from monitor.evaluate.estimate.measures import THRESHOLD
from monitor.evaluate.estimate.regression import NO_FEATURES, LossCalibration
from monitor.evaluate.estimate.tracking import FALSE_ALARM_RATE, Tracked, Tracking, tracking
from monitor.evaluate.examples import Floats, Outcomes

Calibration = ScoreCalibration | LossCalibration

MOST_OUTSIDE = 0.05
"""Share of a window's predictions beyond what was calibrated up to which estimates are made."""


def calibrate(
    outcomes: Outcomes, features: Mapping[str, pa.Array] = NO_FEATURES, threshold: float = THRESHOLD
) -> Calibration:
    """Learn from the labelled rows of one window what their labels will be like when they are not known.

    Go on with `updated`, one window of time after the other, also for rows that are all there from the beginning: how much
    windows differ by themselves only windows tell.

    A prediction of K > 1 numbers is that of a classifier, and so is one number where all labels are 0 or 1. Where that is known
    better, call `ScoreCalibration().updated` or `LossCalibration.of`.

    Args:
        outcomes: n rows; one whose label is NaN is left out.
        features: columns (n,) of numbers or text that losses of a regression model may depend on; a few.
        threshold: scores above it are predicted positive.

    Raises:
        InputError: a column holds neither numbers nor text; or predictions of a classifier are no probabilities.
    """
    if not _is_classifier(outcomes):
        return LossCalibration.of(outcomes, features)
    _insist_on_probabilities(outcomes.predictions)
    return ScoreCalibration(threshold=threshold).updated(outcomes)


def calibration_from_document(document: Mapping[str, Any]) -> Calibration:
    """Return the calibration whose `to_document` this is."""
    if document["type"] == "scores":
        return ScoreCalibration.from_document(document)
    return LossCalibration.from_document(document)


def estimate(
    predictions: Floats,
    weights: Floats | None,
    calibration: Calibration,
    history: Sequence[Sequence[Tracked]] = (),
    *,
    features: Mapping[str, pa.Array] = NO_FEATURES,
    level: float = 0.95,
    false_alarm_rate: float = FALSE_ALARM_RATE,
) -> list[Estimate]:
    """Return the estimated quality of a window from its predictions.

    Args:
        predictions: (n,) or (n, K).
        weights: (n,), or None where every row counts once.
        calibration: of the same version of the model.
        history: of past labelled windows, oldest first, what `track` returned.
        features: the columns that losses were learned by, for regression models.
        level: of the intervals.
        false_alarm_rate: of suspecting concept drift where there is none, a labelled window.

    Raises:
        InputError: a column that losses were learned by is not there.
    """
    outcomes = Outcomes(np.full(len(predictions), np.nan), predictions, weights)
    known = tracking(history, calibration.epoch, false_alarm_rate)
    doubt = known.suspicion or _new(calibration) or _beyond(calibration.outside(outcomes))
    return [_estimate(raw, calibration.assumption, known, doubt, level) for raw in calibration.raw(outcomes, features)]


def track(
    calibration: Calibration, outcomes: Outcomes, features: Mapping[str, pa.Array] = NO_FEATURES
) -> list[Tracked]:
    """Hold estimates against what the labels of the same rows say.

    Args:
        calibration: as it was before it learned these labels.
        outcomes: labelled rows of one window; those whose label is NaN are left out.
        features: the columns that losses were learned by, for regression models.
    """
    unknown = np.isnan(outcomes.labels)
    places = np.flatnonzero(~(unknown if unknown.ndim == 1 else unknown.any(axis=1)))
    labelled = outcomes.take(places)
    chosen = {name: column.take(pa.array(places)) for name, column in features.items()}
    estimated = {(raw.measure, raw.class_id): raw for raw in calibration.raw(labelled, chosen)}
    return [
        Tracked(
            said.measure,
            said.value,
            said.standard_error,
            said.shared_error,
            realised.value,
            skewness=said.skewness,
            class_id=said.class_id,
            windows=calibration.windows,
            epoch=calibration.epoch,
        )
        for realised in calibration.realised(labelled)
        if (said := estimated[realised.measure, realised.class_id]).value is not None and realised.value is not None
    ]


def _estimate(raw: Raw, assumption: str, known: Tracking, doubt: str | None, level: float) -> Estimate:
    low, high = interval(raw, level)
    defined = raw.value is not None
    return Estimate(
        measure=raw.measure,
        value=raw.value,
        standard_error=raw.standard_error if defined else None,
        low=low,
        high=high,
        assumption=assumption,
        tracking_error=known.errors.get((raw.measure, raw.class_id)),
        estimable=defined and doubt is None,
        reason=doubt if defined else raw.undefined,
        shared_error=raw.shared_error if defined else None,
        class_id=raw.class_id,
        level=level,
    )


def _new(calibration: Calibration) -> str | None:
    """Say that a calibration was made anew and has hardly been tried; the first one of a model was never doubted."""
    if calibration.epoch == 0 or calibration.learned >= FEWEST_BLOCKS:
        return None
    return (
        f"concept drift was suspected, and the calibration was made anew: it has learned {calibration.learned} labelled "
        f"windows since, and {FEWEST_BLOCKS} are needed"
    )


def _beyond(outside: float) -> str | None:
    if outside <= MOST_OUTSIDE:
        return None
    return (
        f"the predictions have left the calibrated range: {outside:.1%} lie where no labelled row did, or are no "
        f"valid prediction"
    )


def _is_classifier(outcomes: Outcomes) -> bool:
    if outcomes.predictions.ndim == 2 and outcomes.predictions.shape[1] > 1:
        return True
    known = outcomes.labels[~np.isnan(outcomes.labels)]
    return bool(known.size) and bool(np.isin(known, (0.0, 1.0)).all())


def _insist_on_probabilities(predictions: Floats) -> None:
    given = predictions[np.isfinite(predictions)]
    if given.size and not 0.0 <= float(given.min()) <= float(given.max()) <= 1.0:
        raise InputError(
            f"scores range from {given.min():.4g} to {given.max():.4g}, and quality is estimated from probabilities: "
            "let the model give them, or name the output that does"
        )
