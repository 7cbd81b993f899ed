"""Where a loss of quality is concentrated, without being told which columns to look at; changes with what a loss is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from monitor.compare.slice_search.search import search_loss
from monitor.records import Rows
from monitor.window.slicing import rows_at

if TYPE_CHECKING:
    from monitor.evaluate.examples import Floats, Outcomes
    from monitor.evaluate.live import ServedExamples

_EPSILON = 1e-7
"""Keras': probabilities are kept this far from 0 and 1."""


def concentrated(rows: Rows, served: ServedExamples) -> list[str]:
    """Return a sentence for each slice in which rows are answered clearly worse than the rest, the clearest first."""
    losses = _losses(served.examples.outcomes["", ""])
    if losses is None:
        return []
    answered = rows_at(rows, served.places)
    aside = [name for name in (rows.label, rows.prediction) if name in answered.features.column_names]
    features = replace(answered, features=answered.features.drop(aside), label=None, prediction=None)
    return [found.explanation for found in search_loss(features, losses)]


def _losses(outcomes: Outcomes) -> Floats | None:
    """Return the loss of each row: of probabilities the log loss, of numbers the squared error; None for what is neither."""
    labels, predictions = outcomes.labels, outcomes.predictions
    if labels.ndim != 1:
        return None
    if predictions.ndim == 1:
        binary = bool(np.isin(labels, (0.0, 1.0)).all()) and bool(((predictions >= 0.0) & (predictions <= 1.0)).all())
        if not binary:
            return np.asarray(np.square(labels - predictions), dtype=np.float64)
        shares = np.where(labels == 1.0, predictions, 1.0 - predictions)
    else:
        classes = labels.astype(np.int64)
        if not ((classes >= 0) & (classes < predictions.shape[1])).all():
            return None
        shares = np.take_along_axis(predictions, classes[:, None], axis=1)[:, 0]
        if not ((shares >= 0.0) & (shares <= 1.0)).all():
            return None
    return np.asarray(-np.log(np.clip(shares, _EPSILON, 1.0)), dtype=np.float64)
