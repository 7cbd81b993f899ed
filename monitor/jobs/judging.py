"""From a closed window's spans to its judgement: read, order, profile, compare. The path that `check` takes with files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from monitor.compare.family import judge_window
from monitor.compare.feedback import NO_FEEDBACK
from monitor.compare.findings import Finding, Kind, Outcome, Subject, Verdict, WindowFindings
from monitor.config.loading import configuration_hash
from monitor.config.settings import ModelSettings
from monitor.cuts import SpanStorage
from monitor.jobs.accumulating import accumulated
from monitor.jobs.found_beside import found_beside
from monitor.jobs.history import LedgerHistory, Pinned
from monitor.jobs.marking import feedback_of
from monitor.jobs.references import earlier_windows
from monitor.jobs.window_rows import ActiveBaselines, ColumnPlan, read_rows
from monitor.profile.baseline import Baseline
from monitor.profile.sliced import WindowProfile, profile_window
from monitor.profile.slices import slice_specs
from monitor.records import Rows
from monitor.store.ledger import Ledger
from monitor.store.verdict_ledger import Judgement, SliceJudgement
from monitor.store.window_ledger import PendingWindow
from monitor.window.slicing import OVERALL, slice_key, slice_name


@dataclass
class Judge:
    """Judges windows of all models of one ledger."""

    ledger: Ledger
    storage: SpanStorage
    baselines: ActiveBaselines
    _pinned: dict[tuple[str, str], Pinned] = field(default_factory=dict)

    def judge(self, pending: PendingWindow, settings: ModelSettings) -> Judgement:
        """Return the judgement of one closed window; raises TransientError when a span file cannot be read."""
        key = pending.key
        digest = configuration_hash(settings)
        baseline = self.baselines.of(key.model)
        if baseline is None:
            return Judgement(pending, _without_baseline(pending).to_json(), None, None, digest)
        specs = slice_specs(settings.slices)
        rows = self._rows(pending, baseline, settings)
        current = profile_window(rows, baseline, specs)
        history = LedgerHistory(
            self.ledger, key, baseline, specs, lambda judged: self._profile(judged, baseline, settings), self._pinned
        )
        earlier = earlier_windows(key.window, history, settings.detection)
        feedback = feedback_of(self.ledger, key, baseline.number or 0)
        beside = found_beside(rows, current, baseline, earlier, settings.detection)
        accumulation = accumulated(self.ledger, key, pending.revision, current.overall, baseline, settings.detection)
        told = feedback.get(slice_name(OVERALL), NO_FEEDBACK)
        gradual = [] if accumulation is None else accumulation.findings(current.overall, told)
        overall, *slices = judge_window(
            current,
            baseline,
            earlier,
            settings.detection,
            Subject(key.model, key.version, key.window, pending.revision),
            specs,
            feedback,
            [*beside, *gradual],
            history.recent,
        )
        return Judgement(
            pending,
            overall.to_json(),
            current.overall.to_document() if current.overall.rows else None,
            baseline.number,
            digest,
            dict(_slice_judgement(found, current) for found in slices),
            None if accumulation is None else accumulation.to_document(),
        )

    def _profile(self, pending: PendingWindow, baseline: Baseline, settings: ModelSettings) -> WindowProfile:
        return profile_window(self._rows(pending, baseline, settings), baseline, slice_specs(settings.slices))

    def _rows(self, pending: PendingWindow, baseline: Baseline, settings: ModelSettings) -> Rows:
        return read_rows(pending, self.storage, settings.sampling, ColumnPlan.of(baseline))


def _slice_judgement(found: WindowFindings, current: WindowProfile) -> tuple[str, SliceJudgement]:
    key = slice_key(found.slice)
    return slice_name(key), SliceJudgement(found.to_json(), current.slices[key].to_document())


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


def describe(judgement: Judgement) -> dict[str, Any]:
    """Return what a log line says of a judgement: no values of the traffic, only names and counts."""
    document = judgement.document
    flagged = [finding for each in judgement.documents.values() for finding in each["findings"] if finding["flagged"]]
    said = {
        "model": document["model"],
        "version": document["version"],
        "window_start": document["window_start"],
        "revision": document["revision"],
        "rows": document["rows"],
        "verdict": judgement.verdict,
        "flagged": len(flagged),
        "features": sorted({str(finding["feature"]) for finding in flagged if finding["feature"]})[:10],
    }
    if judgement.slices:
        verdicts = [each.document["verdict"] for each in judgement.slices.values()]
        said |= {"slices": len(verdicts), "flagged_slices": verdicts.count(str(Verdict.FLAGGED))}
    return said
