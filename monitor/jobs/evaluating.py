"""From a closed window and its labels to a recorded evaluation: join, compute, judge, and learn for the estimates to come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from monitor.compare.findings import Verdict
from monitor.config.evaluation import EvaluationSettings
from monitor.config.settings import ModelSettings
from monitor.cuts import SpanStorage
from monitor.errors import ConfigError, InputError
from monitor.jobs.estimating import Learned, learned
from monitor.jobs.eval_configs import EvalConfigs, ServedConfig
from monitor.jobs.label_counting import LabelCounter
from monitor.jobs.labelling import JoinedWindow, Labeller, reach_of
from monitor.jobs.quality_documents import judged_evaluation, unevaluated
from monitor.jobs.quality_references import reference_for
from monitor.jobs.quality_search import concentrated
from monitor.jobs.window_rows import ActiveBaselines, ColumnPlan
from monitor.profile.baseline import Baseline
from monitor.records import Rows
from monitor.store.evaluation_ledger import EvaluationRecord
from monitor.store.leases import Lease
from monitor.store.ledger import Ledger
from monitor.window.label_due import Stage, worth_it

_log = structlog.get_logger(__name__)

_MOST_COUNTS = 100
"""Horizons of labels that are counted in one look; a replay has many at once."""


@dataclass
class Evaluator:
    """Evaluates windows of all models of one ledger; remembers EvalConfigs. Not thread-safe."""

    ledger: Ledger
    storage: SpanStorage
    baselines: ActiveBaselines
    configs: EvalConfigs = field(default_factory=EvalConfigs)

    def __post_init__(self) -> None:
        """Set up what it works with."""
        self._labeller = Labeller(self.ledger, self.storage)
        self._counter = LabelCounter(self.ledger, self.storage)

    def tick(
        self,
        model: str,
        settings: ModelSettings,
        lease: Lease,
        now: datetime,
        before: Callable[[datetime], None] = lambda _: None,
    ) -> Iterator[EvaluationRecord]:
        """Move the watermark of the labels on, count what is due to be counted, and yield each evaluation once it is recorded.

        `before` hears of each evaluation beforehand: the event time by which all labels were in. What is said of windows until
        then can know nothing of these labels.

        Raises:
            StaleClaim: the lease is lost, or another monitor was first.
            TransientError: a span file cannot be read.
            ConfigError: the EvalConfig cannot be read or is wrong.
        """
        if settings.labels is not None:
            stream = settings.labels.topic or settings.labels.files or ""
            self.ledger.labels.advance(model, stream, settings.windows, lease, now)
            for _ in range(_MOST_COUNTS):
                if self._counter.count(model, settings, lease, now) is None:
                    break
        if settings.evaluation is None:
            return
        due = self._labeller.due(model, settings, now)
        if not due:
            return
        baseline = self.baselines.of(model)
        for joined in self._labeller.join(model, due, settings, now):
            before(joined.key.window.end + reach_of(settings).horizon)
            if not _is_worth_it(joined):
                self.ledger.evaluations.looked(joined.key, joined.look, lease)
                continue
            rows = self._labeller.rows(joined, settings, ColumnPlan.of(baseline))
            yield self._evaluated(joined, rows, settings.evaluation, baseline, lease, now)

    def _evaluated(
        self,
        joined: JoinedWindow,
        rows: Rows,
        settings: EvaluationSettings,
        baseline: Baseline | None,
        lease: Lease,
        now: datetime,
    ) -> EvaluationRecord:
        counts, candidate = joined.labels.counts, joined.due.candidate
        config = self.configs.of(settings, weighted=rows.weights is not None)
        document, found = self._document(joined, rows, config, settings, baseline)
        newest = candidate.newest
        record = EvaluationRecord(
            key=joined.key,
            revision=1 if newest is None else newest.revision + 1,
            stage=joined.due.stage,
            traffic_revision=joined.pending.revision,
            verdict=document["verdict"],
            blessing=document["blessing"],
            labelled=counts.labelled,
            rows=counts.predictions,
            labels_digest=joined.labels.digest,
            configuration_hash=config.digest,
            document=document,
        )
        self.ledger.evaluations.record(record, joined.look, lease, now)
        if found is not None and found.calibration is not None:
            self.ledger.calibrations.add(
                joined.key.model, joined.key.version, found.calibration.to_document(), lease, now
            )
        return record

    def _document(
        self,
        joined: JoinedWindow,
        rows: Rows,
        config: ServedConfig,
        settings: EvaluationSettings,
        baseline: Baseline | None,
    ) -> tuple[dict[str, Any], Learned | None]:
        from monitor.evaluate.evaluating import evaluate
        from monitor.evaluate.live import served_examples

        if joined.deleted:
            return unevaluated(joined, f"retention has deleted {joined.deleted} of the span files it needs"), None
        if rows.prediction is None:
            return unevaluated(joined, "the window's records hold no predictions"), None
        try:
            served = served_examples(rows, config.settled.config)
            evaluation = evaluate(served.examples, config.settled.config)
        except (InputError, ConfigError) as error:
            # What is wrong may name a label: it goes into the ledger, and no log.
            _log.warning("window_not_evaluated", model=joined.key.model, version=joined.key.version)
            return unevaluated(joined, str(error)), None
        reference = reference_for(self.ledger, joined.key, config, baseline)
        found = None
        if settings.estimate and joined.due.stage is Stage.FINAL:
            found = learned(self.ledger, joined.key, served.examples, baseline)
        tracked = self._tracked_before(joined) if found is None else [each.to_document() for each in found.tracked]
        judged = judged_evaluation(joined, served, evaluation, config, settings, reference)
        where = concentrated(rows, served) if judged["verdict"] == str(Verdict.FLAGGED) else []
        return judged | {"concentrated": where, "tracked": tracked}, found

    def _tracked_before(self, joined: JoinedWindow) -> Sequence[Mapping[str, Any]]:
        """Return how estimates fared by the final evaluation, which taught what there was to learn."""
        if joined.due.stage is not Stage.RESTATED:
            return []
        return next((e.evaluation.document["tracked"] for e in self.ledger.evaluations.history(joined.key)[::-1]), [])


def _is_worth_it(joined: JoinedWindow) -> bool:
    counts, stage = joined.labels.counts, joined.due.stage
    gone = stage is Stage.RESTATED and joined.deleted  # what it was made from is no longer all there
    return not gone and worth_it(stage, joined.due.candidate, counts.labelled, counts.predictions, joined.labels.digest)


def describe_evaluation(record: EvaluationRecord) -> Mapping[str, Any]:
    """Return what a log line says of an evaluation: no values of the traffic, only names, counts and metrics."""
    document = record.document
    flagged = [
        f"{finding['measure']}{_of(each['slice'])}"
        for each in document["slices"]
        for finding in each["findings"]
        if finding["flagged"]
    ]
    return {
        "model": record.key.model,
        "version": record.key.version,
        "window_start": document["window_start"],
        "revision": record.revision,
        "stage": str(record.stage),
        "labelled": record.labelled,
        "rows": record.rows,
        "verdict": record.verdict,
        "blessing": record.blessing,
        "lost": flagged[:10],
    }


def _of(slice_: Mapping[str, str]) -> str:
    return f" of {', '.join(slice_)}" if slice_ else ""
