"""Quality estimated from scores while labels are missing, and what labels teach for the next estimates.

Losses of a regression model are learned by its prediction alone here: which columns matter is for a person to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from monitor.clock import rfc3339
from monitor.config.settings import ModelSettings
from monitor.cuts import SpanStorage
from monitor.errors import InputError
from monitor.jobs.window_rows import ActiveBaselines, ColumnPlan, read_rows
from monitor.profile.baseline import Baseline
from monitor.records import Rows, WindowKey
from monitor.store.leases import Lease
from monitor.store.ledger import Ledger

if TYPE_CHECKING:
    from monitor.evaluate.estimate.estimating import Calibration
    from monitor.evaluate.estimate.tracking import Tracked
    from monitor.evaluate.examples import Examples

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Learned:
    """What the labels of a window say of estimates.

    Attributes:
        tracked: estimates of the labelled rows, by the calibration as it was before, beside what came true.
        calibration: the one for the windows to come; None where these labels cannot teach any.
    """

    tracked: tuple[Tracked, ...]
    calibration: Calibration | None


@dataclass
class Estimator:
    """Estimates the quality of windows of all models of one ledger, as soon as they are judged."""

    ledger: Ledger
    storage: SpanStorage
    baselines: ActiveBaselines

    def tick(
        self, model: str, settings: ModelSettings, lease: Lease, now: datetime, until: datetime | None = None
    ) -> Iterator[WindowKey]:
        """Yield each window that ends by `until`, if given, whose quality was estimated, once that is recorded.

        Raises:
            StaleClaim: the lease is lost, or another monitor was first.
            TransientError: a span file cannot be read.
        """
        if settings.evaluation is None or not settings.evaluation.estimate:
            return
        waiting = [key for key in self.ledger.estimates.waiting(model) if until is None or key.window.end <= until]
        if not waiting:
            return
        baseline = self.baselines.of(model)
        for key in waiting:
            calibration = calibration_of(self.ledger, key, baseline)
            if calibration is None:
                continue
            pending = self.ledger.windows.spans_of(key)
            rows = read_rows(pending, self.storage, settings.sampling, ColumnPlan.of(baseline))
            document = self._document(key, pending.revision, rows, calibration)
            self.ledger.estimates.record(key, pending.revision, document, lease, now)
            yield key

    def _document(self, key: WindowKey, revision: int, rows: Rows, calibration: Calibration) -> dict[str, Any]:
        from monitor.evaluate.estimate.estimating import estimate
        from monitor.evaluate.estimate.findings import estimate_findings
        from monitor.evaluate.scores import served_scores

        estimates, reason = [], None
        try:
            estimates = estimate(served_scores(rows), rows.weights, calibration, history_of(self.ledger, key))
        except InputError as error:
            reason = str(error)
        return {
            "schema_version": SCHEMA_VERSION,
            "model": key.model,
            "version": key.version,
            "window_start": rfc3339(key.window.start),
            "window_end": rfc3339(key.window.end),
            "revision": revision,
            "rows": len(rows),
            "estimates": [each.to_json() for each in estimates],
            "findings": [each.to_json() for each in estimate_findings(estimates)],
            "reason": reason,
        }


def learned(ledger: Ledger, key: WindowKey, examples: Examples, baseline: Baseline | None) -> Learned | None:
    """Return what a finally labelled window teaches; None where its predictions are no scores that could be calibrated."""
    from monitor.evaluate.estimate.estimating import calibrate, track
    from monitor.evaluate.estimate.tracking import tracking

    outcomes = examples.outcomes.get(("", ""))
    if outcomes is None or not len(outcomes.labels):
        return None
    before = calibration_of(ledger, key, baseline)
    try:
        if before is None:
            return Learned((), calibrate(outcomes))
        tracked = tuple(track(before, outcomes))
        after = before.updated(outcomes)
        known = tracking([*history_of(ledger, key), tracked], before.epoch)
    except InputError:
        return None
    if known.since:
        after = after.renewed(known.since)
    return Learned(tracked, after)


def calibration_of(ledger: Ledger, key: WindowKey, baseline: Baseline | None) -> Calibration | None:
    """Return the newest calibration of a version, or that of its baseline's rows; None where nothing was ever labelled."""
    from monitor.evaluate.estimate.estimating import calibration_from_document

    newest = ledger.calibrations.newest(key.model, key.version)
    if newest is not None:
        return calibration_from_document(newest[1])
    kept = None if baseline is None else baseline.evaluation
    return None if kept is None or kept["calibration"] is None else calibration_from_document(kept["calibration"])


def history_of(ledger: Ledger, key: WindowKey) -> list[tuple[Tracked, ...]]:
    """Return how earlier estimates of a version fared, window by window, oldest first."""
    from monitor.evaluate.estimate.tracking import REMEMBERED, Tracked

    found = [each.evaluation.document["tracked"] for each in ledger.evaluations.last_before(key, REMEMBERED)]
    return [tuple(Tracked.from_document(one) for one in window) for window in found if window]
