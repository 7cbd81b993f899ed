"""Where a loss of quality is concentrated, without being told which columns to look at; changes with what a loss is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from monitor.compare.slice_search.search import search_loss
from monitor.errors import InputError
from monitor.evaluate.versions.kinds import check_labels, problem_of
from monitor.evaluate.versions.losses import LOSSES, Problem
from monitor.records import Rows
from monitor.window.slicing import rows_at

if TYPE_CHECKING:
    from monitor.evaluate.examples import Floats, Outcomes
    from monitor.evaluate.live import ServedExamples

_LOSS = {Problem.BINARY: "log_loss", Problem.MULTICLASS: "log_loss", Problem.REGRESSION: "squared_error"}


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
    predictions, labels = outcomes.predictions, outcomes.labels
    if labels.ndim != 1:
        return None
    problem = problem_of([predictions], [labels])
    try:
        check_labels(labels, problem, predictions.shape[-1])
        return LOSSES[problem][_LOSS[problem]].of(outcomes, 0.5)
    except InputError:
        return None
