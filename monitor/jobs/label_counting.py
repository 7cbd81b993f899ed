"""What becomes of labels: those for unknown ids found and every label counted once; changes with how that is gone about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collectors.sampler import KEEP_ALL, theta_of
from monitor import records as r
from monitor.config.settings import ModelSettings
from monitor.cuts import SpanStorage
from monitor.jobs.labelling import reach_of
from monitor.jobs.span_reading import read_columns
from monitor.records import Window
from monitor.store.label_ledger import Uncounted
from monitor.store.leases import Lease
from monitor.store.ledger import Ledger
from monitor.window.label_fates import FATE_COLUMNS, FateCounts, LabelFates
from monitor.window.label_reach import Reach, overlap

COUNT_ROWS = 4_000_000
"""Labels that are counted at once: some 250 MB."""


@dataclass(frozen=True, slots=True)
class LabelCounter:
    """Counts the labels of one ledger."""

    ledger: Ledger
    storage: SpanStorage

    def count(self, model: str, settings: ModelSettings, lease: Lease, now: datetime) -> FateCounts | None:
        """Count labels of a model that are due, and record what became of them; None where none are due.

        Predictions are read once in a horizon of the traffic's time, or when there are more labels than can be held at once.

        Raises:
            StaleClaim: the lease is lost, or somebody else counted them.
            TransientError: a span file cannot be read.
        """
        reach = reach_of(settings)
        uncounted = self.ledger.labels.uncounted(model, reach, COUNT_ROWS) if settings.labels else None
        if uncounted is None:
            return None
        # A label says nothing of the rate at which its prediction was kept, so the configured one counts too.
        rate = theta_of(settings.sampling.rate)
        fates = self._fates(uncounted, reach, max(rate, 1))
        self.ledger.labels.record(uncounted, fates, reach, lease, now)
        return sum(fates.values(), FateCounts())

    def _fates(self, uncounted: Uncounted, reach: Reach, theta: int) -> dict[Window, FateCounts]:
        windows = sorted({span.window for span in uncounted.spans})
        group_of = {window: group for group, window in enumerate(windows)}
        labels = [read_columns(self.storage, span.name, FATE_COLUMNS) for span in uncounted.spans]
        groups = np.repeat([group_of[span.window] for span in uncounted.spans], [len(table) for table in labels])
        state = LabelFates(pa.concat_tables(labels), reach)
        thetas = [theta] * len(windows)
        for span in uncounted.predictions:
            near = [group for group, window in enumerate(windows) if overlap(reach.predictions_of(window), span.window)]
            if near:
                predictions = read_columns(self.storage, span.name, (*FATE_COLUMNS, r.HASH_RATE))
                state.add(predictions)
                kept = min(span.theta, _captured_below(predictions))
                for group in near:
                    thetas[group] = min(thetas[group], kept)
        return dict(zip(windows, state.counts(groups, thetas), strict=True))


def _captured_below(predictions: pa.Table) -> int:
    """Return below which hash all predictions were captured, where they were sampled by it before they reached a collector."""
    if r.HASH_RATE not in predictions.column_names:
        return KEEP_ALL
    rate = pc.min(predictions.column(r.HASH_RATE)).as_py()
    return KEEP_ALL if rate is None else max(theta_of(rate), 1)
