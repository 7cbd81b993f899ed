"""Which earlier quality a window's is compared with: the baseline's, or the first evaluated windows of the version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from monitor.errors import InputError
from monitor.jobs.eval_configs import ServedConfig
from monitor.profile.baseline import Baseline
from monitor.records import Rows, WindowKey
from monitor.store.ledger import Ledger

if TYPE_CHECKING:
    from monitor.evaluate.estimate.estimating import Calibration
    from monitor.evaluate.examples import Outcomes
    from monitor.evaluate.quality.reference import QualityReference

TRAINING = "training"
FIRST_WINDOWS = "first_windows"
MOST_BLOCKS = 30
"""Windows that are usual: the first of them, so that a slow loss does not become usual itself."""


def reference_for(
    ledger: Ledger, key: WindowKey, config: ServedConfig, baseline: Baseline | None
) -> QualityReference | None:
    """Return what a window's quality is compared with; None where there is nothing yet.

    That is the baseline's own rows by blocks as long as a window, where they had labels and predictions and were evaluated by the
    same EvalConfig; else the first windows of the version that were finally evaluated by it, without the one that is asked about.
    """
    from monitor.evaluate.quality.reference import QualityReference, reference_of

    kept = None if baseline is None else baseline.evaluation
    if kept is not None and kept["digest"] == config.digest and kept["reference"] is not None:
        return QualityReference.from_document(kept["reference"])
    earlier = ledger.evaluations.first_before(key, config.digest, MOST_BLOCKS)
    blocks = [_block(each.evaluation.document) for each in earlier]
    return reference_of(FIRST_WINDOWS, blocks) if blocks else None


def _block(document: Mapping[str, Any]) -> dict[str, tuple[int, dict[str, float]]]:
    from monitor.window.slicing import slice_key, slice_name

    return {
        slice_name(slice_key(each["slice"])): (
            int(each["labelled"]),
            {name: float(value) for name, value in each["metrics"].items() if value is not None},
        )
        for each in document["slices"]
    }


def baseline_evaluation(
    rows: Rows, length: int | None, config: ServedConfig, *, estimate: bool
) -> dict[str, Any] | None:
    """Return what a baseline keeps of the quality of its own rows; None where they have no labels or no predictions.

    Args:
        rows: the baseline's, in canonical order.
        length: of a block of time, in microseconds; None where the rows have no time, so that there are no blocks.
        config: the model's EvalConfig.
        estimate: keep a calibration of the scores too.

    Raises:
        InputError: the rows do not fit the EvalConfig.
    """
    if rows.label is None or rows.prediction is None:
        return None
    from monitor.evaluate.live import served_examples
    from monitor.evaluate.quality.by_block import blocks_of
    from monitor.evaluate.quality.reference import reference_of

    served = served_examples(rows, config.settled.config)
    if not len(served.examples):
        return None
    blocks, numbers = None, np.zeros(len(served.examples), np.int64)
    if rows.event_times is not None and length is not None:
        times = rows.event_times[served.places]
        blocks = reference_of(TRAINING, blocks_of(served.examples, times, length, config.settled.config))
        numbers = times // length
    calibration = _calibrated(served.examples.outcomes["", ""], numbers) if estimate else None
    return {
        "digest": config.digest,
        "reference": None if blocks is None else blocks.to_document(),
        "calibration": None if calibration is None else calibration.to_document(),
    }


def _calibrated(outcomes: Outcomes, numbers: npt.NDArray[np.int64]) -> Calibration | None:
    """Return the calibration of labelled rows, learned block by block of time: how blocks differ is part of its error.

    None where the predictions are no scores that could be calibrated.
    """
    from monitor.evaluate.estimate.classification import ScoreCalibration
    from monitor.evaluate.estimate.estimating import calibrate
    from monitor.evaluate.estimate.regression import LossCalibration

    blocks = [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
    try:
        # What is predicted is told by all rows: a block may hold labels of one class only.
        whole = calibrate(outcomes)
        if len(blocks) < 2:
            return whole
        first = outcomes.take(blocks[0])
        calibration: Calibration
        if isinstance(whole, ScoreCalibration):
            calibration = ScoreCalibration(threshold=whole.threshold).updated(first)
        else:
            calibration = LossCalibration.of(first)
        for block in blocks[1:]:
            calibration = calibration.updated(outcomes.take(block))
    except InputError:
        return None
    return calibration
