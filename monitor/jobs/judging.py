"""From a closed window's spans to its judgement: read, order, profile, compare. The path that `check` takes with files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from monitor.compare.findings import Finding, Kind, Outcome, Verdict, WindowFindings
from monitor.compare.judge import PREVIOUS, judge
from monitor.config.loading import configuration_hash
from monitor.config.settings import FloorSettings, ModelSettings
from monitor.cuts import SpanStorage
from monitor.errors import TransientError
from monitor.profile.baseline import Baseline
from monitor.profile.profile import Profile, build_profile
from monitor.records import ColumnTypes, Rows, WindowKey
from monitor.store.ledger import Ledger
from monitor.store.verdict_ledger import Judgement
from monitor.store.window_ledger import PendingWindow
from monitor.window.rows import rows_of_window

_KEEP_ALL = 2**64


@dataclass
class Judge:
    """Judges windows of all models; keeps each model's active baseline in memory while its number stays the same."""

    ledger: Ledger
    storage: SpanStorage
    _baselines: dict[str, Baseline] = field(default_factory=dict)

    def judge(self, pending: PendingWindow, settings: ModelSettings) -> Judgement:
        """Return the judgement of one closed window; raises TransientError when a span file cannot be read."""
        key = pending.key
        digest = configuration_hash(settings)
        baseline = self._baseline(key.model)
        if baseline is None:
            return Judgement(pending, _without_baseline(pending).to_json(), None, None, digest)
        profile = self._profile(pending, baseline, settings)
        previous = self._previous(key, baseline, settings)
        found = judge(
            profile,
            baseline,
            {} if previous is None else {PREVIOUS: previous},
            settings.detection,
            model=key.model,
            version=key.version,
            window=key.window,
            revision=pending.revision,
        )
        document = profile.to_document() if profile.rows else None
        return Judgement(pending, found.to_json(), document, baseline.number, digest)

    def _baseline(self, model: str) -> Baseline | None:
        number = self.ledger.baselines.active_number(model)
        if number is None:
            return None
        known = self._baselines.get(model)
        if known is None or known.number != number:
            document = self.ledger.baselines.document(model, number)
            known = self._baselines[model] = replace(Baseline.from_document(document), number=number)
        return known

    def _profile(self, pending: PendingWindow, baseline: Baseline, settings: ModelSettings) -> Profile:
        rows = read_rows(
            pending,
            self.storage,
            baseline.column_types,
            max_rows=settings.sampling.max_rows_per_window,
            floors=settings.sampling.floors,
            prediction=baseline.prediction,
            label=baseline.label,
        )
        return build_profile(rows, baseline)

    def _previous(self, key: WindowKey, baseline: Baseline, settings: ModelSettings) -> Profile | None:
        earlier = self.ledger.verdicts.earlier_profile(key, baseline.number or 0)
        if earlier is None or "previous" not in settings.detection.references:
            return None
        window, document = earlier
        if document is not None:
            return Profile.from_document(document)
        # It was profiled on another baseline: what it holds is the spans' to say, so build it again from them.
        judged = self.ledger.windows.spans_of(WindowKey(key.model, key.version, window))
        return self._profile(judged, baseline, settings)


def read_rows(
    pending: PendingWindow,
    storage: SpanStorage,
    types: ColumnTypes,
    *,
    max_rows: int,
    prediction: str | None,
    label: str | None,
    floors: Sequence[FloorSettings] = (),
) -> Rows:
    """Return the rows of a window's spans in canonical order; raises TransientError when a file cannot be read."""
    theta = min((span.theta for span in pending.spans), default=_KEEP_ALL)
    return rows_of_window(
        [_read_span(storage, span.name) for span in pending.spans],
        types,
        theta=theta,
        max_rows=max_rows,
        seen=pending.rows_seen,
        strata=pending.strata,
        floors=floors,
        prediction=prediction,
        label=label,
    )


def _read_span(storage: SpanStorage, name: str) -> pa.Table:
    try:
        return pq.read_table(io.BytesIO(storage.get(name)))
    except (OSError, pa.ArrowInvalid) as error:
        raise TransientError(f"spans: cannot read {name}: {type(error).__name__}") from error


def _without_baseline(pending: PendingWindow) -> WindowFindings:
    model = pending.key.model
    advice = f"driftline baseline create {model} --from-windows, or from your training data with --data"
    finding = Finding(
        kind=Kind.BASELINE,
        feature=None,
        reference="training",
        measure="rows",
        value=None,
        threshold=None,
        p_value=None,
        flagged=False,
        reason="the model has no active baseline",
        explanation=f"There is nothing to compare with yet. Make a baseline: {advice}.",
        outcome=Outcome.INSUFFICIENT,
    )
    rows = sum(span.rows for span in pending.spans)
    return WindowFindings(
        verdict=Verdict.INSUFFICIENT,
        findings=[finding],
        rows_seen=pending.rows_seen,
        rows=rows,
        n_effective=float(rows),
        model=model,
        version=pending.key.version,
        window=pending.key.window,
        revision=pending.revision,
    )


def describe(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a log line says of a findings object: no values of the traffic, only names and counts."""
    flagged = [finding for finding in document["findings"] if finding["flagged"]]
    return {
        "model": document["model"],
        "version": document["version"],
        "window_start": document["window_start"],
        "revision": document["revision"],
        "rows": document["rows"],
        "verdict": document["verdict"],
        "flagged": len(flagged),
        "features": sorted({str(finding["feature"]) for finding in flagged if finding["feature"]})[:10],
    }
