"""What versions answered in judged windows, as arrays; changes with how served records say what was predicted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor import records as r
from monitor.clock import EPOCH, to_micros
from monitor.config.settings import ModelSettings
from monitor.errors import InputError, TransientError
from monitor.evaluate.examples import Floats, Outcomes
from monitor.evaluate.scores import served_scores
from monitor.evaluate.versions.answers import Answers
from monitor.evaluate.versions.kinds import Column, Names, column_of, problem_of, typed
from monitor.evaluate.versions.losses import Problem, answered
from monitor.jobs.labelling import DueWindow, JoinedWindow, Labeller
from monitor.jobs.span_reading import read_columns
from monitor.jobs.window_rows import ColumnPlan, rows_of_spans
from monitor.records import Rows
from monitor.window.plain import plain_feature

_READ = (
    r.HASH, r.REQUEST_ID, r.INSTANCE, r.EVENT_TIME, r.STRATUM, r.WEIGHT, r.HASH_RATE,
    r.PREDICTION, r.PREDICTION_TEXT, r.PREDICTION_JSON,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Served:
    """What is compared: two versions of a model, in the judged windows within [since, until)."""

    model: str
    settings: ModelSettings
    stable: str
    candidate: str
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AnsweredWindow:
    """The n rows of a window: what was predicted of them, and what came true by now."""

    joined: JoinedWindow
    rows: Rows
    predictions: Column
    labels: Column


@dataclass(frozen=True, slots=True)
class Kind:
    """What all windows have in common: the kind of problem, and the shape of one prediction, () or (k,)."""

    problem: Problem
    shape: tuple[int, ...]

    def answers(self, window: AnsweredWindow, every: timedelta) -> Answers:
        """Return the rows of a window as numbers; `every` is the length of an hour.

        Raises:
            InputError: a value is none of the problem's.
        """
        n, rows = len(window.joined.labels), window.rows
        if _known(window.predictions).any():
            found = typed([window.predictions], [window.labels], self.problem)
            predictions, labels = found.predictions[0], found.labels[0]
        else:
            # Which labels these rows have is told; what the labels say counts for nothing without a prediction.
            predictions = np.full((n, *self.shape), np.nan)
            labels = np.where(window.joined.labels.mask, 0.0, np.nan)
        if predictions.shape[1:] != self.shape:
            raise InputError(f"a prediction has {predictions.shape[1]} scores here, and {self.shape[0]} elsewhere")
        step = to_micros(EPOCH + every)
        hours = None if rows.event_times is None else rows.event_times // step * step
        return Answers(Outcomes(labels, predictions, rows.weights), rows.clusters, hours)


@dataclass(frozen=True, slots=True)
class ServedWindows:
    """Joins windows of one model with their labels, and reads what was predicted of their rows; features are not read."""

    labeller: Labeller
    served: Served
    now: datetime

    def joined(self, due: Sequence[DueWindow]) -> Iterator[JoinedWindow]:
        """Yield windows with their labels, in order; errors as of `Labeller.join`."""
        return self.labeller.join(self.served.model, due, self.served.settings, self.now)

    def read(self, joined: JoinedWindow) -> AnsweredWindow:
        """Return the rows of a window.

        Raises:
            InputError: predictions are objects of several outputs, or lists that differ in length.
            TransientError: a span file cannot be read.
        """
        tables = [read_columns(self.labeller.storage, span.name, _READ) for span in joined.pending.spans]
        rows = rows_of_spans(joined.pending, tables, self.served.settings.sampling, ColumnPlan())
        n = len(joined.labels)
        if rows.clusters is not None and len(rows.clusters) != n:
            raise TransientError(f"spans: those of {joined.key.window} changed while they were read")
        labels = column_of(r.LABEL, plain_feature(r.LABEL, joined.labels.values))
        return AnsweredWindow(joined, rows, served_predictions(rows, n), labels)


def kind_of(windows: ServedWindows, due: Sequence[DueWindow], problem: Problem | None) -> Kind:
    """Return the kind of the first window that has predictions with labels, or else of the first with predictions.

    `problem` is the kind of problem where somebody said it. Windows are joined one by one here: most often one is enough.

    Raises:
        InputError: no window has predictions that can be read.
        TransientError: a span file cannot be read.
    """
    first: Kind | None = None
    for joined in (joined for each in due for joined in windows.joined([each]) if not joined.deleted):
        window = windows.read(joined)
        known = _known(window.predictions)
        labelled = bool((known & joined.labels.mask).any())
        if labelled or (first is None and known.any()):
            shape = () if isinstance(window.predictions, Names) else window.predictions.shape[1:]
            first = Kind(problem or problem_of([window.predictions], [window.labels]), shape)
        if labelled:
            break
    if first is None:
        served = windows.served
        raise InputError(
            f"no window of versions {served.stable} and {served.candidate} of {served.model} is left that has predictions"
        )
    return first


def served_predictions(rows: Rows, n: int) -> Column:
    """Return the predictions of n rows as the records have them.

    Raises:
        InputError: they are objects of several outputs, or lists that differ in length.
    """
    if rows.prediction is None:
        return np.full(n, np.nan)
    array = plain_feature(rows.prediction, rows.features.column(rows.prediction))
    if not pa.types.is_string(array.type):
        return column_of(rows.prediction, array)
    if pc.any(pc.starts_with(array, "{")).as_py():
        raise InputError("the predictions are objects of several outputs: `traffic.output` in the settings chooses one")
    if pc.all(pc.starts_with(array, "[")).as_py() and array.null_count < len(array):
        scores: Floats = served_scores(rows)
        return scores
    return column_of(rows.prediction, array)


def _known(column: Column) -> npt.NDArray[np.bool_]:
    """Return which rows (n,) have a value."""
    if isinstance(column, Names):
        return np.asarray(column.values.is_valid(), np.bool_)
    return answered(column)
