"""The rows of closed windows, by their spans, and what their columns are; changes with where either is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from monitor.config.settings import SamplingSettings
from monitor.cuts import SpanStorage
from monitor.jobs.span_reading import read_columns
from monitor.profile.baseline import Baseline
from monitor.records import ColumnTypes, Rows
from monitor.store.ledger import Ledger
from monitor.store.window_ledger import PendingWindow
from monitor.window.rows import rows_of_window
from monitor.window.sampling import KEEP_ALL


@dataclass
class ActiveBaselines:
    """The active baselines of one ledger's models, each kept in memory while its number stays the same. Not thread-safe."""

    ledger: Ledger
    _known: dict[str, Baseline] = field(default_factory=dict)

    def of(self, model: str) -> Baseline | None:
        """Return a model's active baseline with its number; None where it has none."""
        number = self.ledger.baselines.active_number(model)
        if number is None:
            return None
        known = self._known.get(model)
        if known is None or known.number != number:
            document = self.ledger.baselines.document(model, number)
            known = self._known[model] = replace(Baseline.from_document(document), number=number)
        return known


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """What the columns of a window's rows shall be: arguments of `rows_of_window`."""

    types: ColumnTypes = field(default_factory=dict)
    prediction: str | None = None
    label: str | None = None

    @classmethod
    def of(cls, baseline: Baseline | None) -> ColumnPlan:
        """Return the columns of a baseline; without one they are as records have them."""
        return cls() if baseline is None else cls(baseline.column_types, baseline.prediction, baseline.label)


def read_rows(pending: PendingWindow, storage: SpanStorage, sampling: SamplingSettings, plan: ColumnPlan) -> Rows:
    """Return the rows of a window in canonical order; raises TransientError when a span file cannot be read."""
    return rows_of_spans(pending, [read_columns(storage, span.name) for span in pending.spans], sampling, plan)


def rows_of_spans(
    pending: PendingWindow, tables: Sequence[pa.Table], sampling: SamplingSettings, plan: ColumnPlan
) -> Rows:
    """Return the rows of a window, in canonical order, from what was read of each of its spans."""
    return rows_of_window(
        tables,
        plan.types,
        theta=min((span.theta for span in pending.spans), default=KEEP_ALL),
        max_rows=sampling.max_rows_per_window,
        seen=pending.rows_seen,
        strata=pending.strata,
        floors=sampling.floors,
        prediction=plan.prediction,
        label=plan.label,
    )
