"""The monitor's tick: move watermarks, close windows, judge what is closed, evaluate what is labelled, alert and act."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from monitor.clock import Clock, rfc3339
from monitor.config.settings import ModelSettings, Settings
from monitor.cuts import SpanStorage
from monitor.errors import ConfigError, StaleClaim, TransientError
from monitor.jobs.estimating import Estimator
from monitor.jobs.evaluating import Evaluator, describe_evaluation
from monitor.jobs.holding import Holding
from monitor.jobs.judging import Judge, describe
from monitor.jobs.looping import Loop
from monitor.jobs.window_rows import ActiveBaselines
from monitor.metrics import MonitorMetrics
from monitor.store.housekeeping import Housekeeping
from monitor.store.leases import Lease
from monitor.store.ledger import Ledger

_log = structlog.get_logger(__name__)


@dataclass
class Monitor:
    """Judges the models of its settings; any number of monitors may run, each model is one's at a time by its lease.

    What is due comes from the ledger at every tick, so a restart forgets nothing and repeats nothing. Without a `loop` nobody is
    alerted and nothing is done about what is found.
    """

    settings: Settings
    ledger: Ledger
    storage: SpanStorage
    clock: Clock
    holder: str
    metrics: MonitorMetrics
    loop: Loop | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Set up what lives as long as the monitor."""
        baselines = ActiveBaselines(self.ledger)
        self._judge = Judge(self.ledger, self.storage, baselines)
        self._estimator = Estimator(self.ledger, self.storage, baselines)
        self._evaluator = Evaluator(self.ledger, self.storage, baselines)
        self._leases = Holding(self.ledger, self.clock, self.holder, self.settings.monitor.lease)
        self._refused: dict[str, str] = {}
        self._marks: dict[str, datetime | None] = {}
        self._housekeeping = Housekeeping(self.ledger.database, self.ledger.team, self.storage)

    def tick(self, name: str) -> int:
        """Look after one model and return how many windows were judged; what may pass is logged and left to the next tick."""
        try:
            with self.metrics.tick_seconds.time():
                return self._tick(name, self.settings.models[name])
        except StaleClaim as error:
            self._leases.lost(_lease_of(name))
            _log.warning("model_taken_over", model=name, reason=str(error))
        except TransientError as error:
            self.metrics.errors.labels(name).inc()
            _log.error("model_skipped", model=name, reason=str(error))
        return 0

    def clean(self) -> None:
        """Abandon and delete span files that nobody will read, and end the alerts of models that are gone."""
        try:
            if self.loop is not None:
                self.loop.alerter.retire_models(self._lease, self.clock.now())
            deleted = self._housekeeping.clean(self.settings.spans.keep, self.clock.now())
        except (StaleClaim, TransientError) as error:
            _log.error("housekeeping_failed", reason=str(error))
            return
        if deleted:
            _log.info("span_files_deleted", count=deleted)

    def release(self) -> None:
        """Give all leases back."""
        self._leases.release()

    def _tick(self, name: str, model: ModelSettings) -> int:
        lease = self._lease(name)
        if lease is None:
            return 0
        # Late rows are weighed against the watermark that stood when they were committed: restate before moving it.
        judged = self._judge_pending(name, model)
        stream = model.traffic.topic or model.traffic.files or ""
        mark = self.ledger.windows.advance(name, stream, model.windows, lease, self.clock.now())
        if mark != self._marks.get(name):  # else no window has closed since it was looked for
            judged += self._judge_pending(name, model)
            self._marks[name] = mark
        self._measure(name, model)
        held = None if self.stop.is_set() or self.loop is None else self._lease(name)
        if self.loop is not None and held is not None:
            self.loop.tick(name, held)
        return judged

    def _judge_pending(self, name: str, model: ModelSettings) -> int:
        judged = 0
        for pending in self.ledger.windows.pending(name, model.windows.restate_for, self.clock.now()):
            lease = None if self.stop.is_set() else self._lease(name)
            if lease is None:
                break
            judgement = self._judge.judge(pending, model)
            self.ledger.verdicts.record(judgement, lease, self.clock.now())
            judged += 1
            self.metrics.windows.labels(name, judgement.verdict).inc()
            _log.info("window_judged", **describe(judgement))
        return judged

    def _measure(self, name: str, model: ModelSettings) -> None:
        """Estimate the quality of judged windows, and evaluate those whose labels have come."""
        lease = None if self.stop.is_set() else self._lease(name)
        if lease is None:
            return

        def estimate(until: datetime | None = None) -> None:
            for key in self._estimator.tick(name, model, lease, self.clock.now(), until):
                _log.info("quality_estimated", model=name, version=key.version, window_start=rfc3339(key.window.start))

        try:
            for record in self._evaluator.tick(name, model, lease, self.clock.now(), estimate):
                self.metrics.evaluations.labels(name, str(record.stage), record.verdict).inc()
                said = describe_evaluation(record)
                _log.info("window_evaluated", **said)
                if said["lost"]:
                    _log.warning("quality_lost", **said)
                if self.stop.is_set():
                    break
        except ConfigError as error:
            # The file with the EvalConfig is not part of the settings: it may be wrong at any time, and be mended.
            self.metrics.errors.labels(name).inc()
            if self._refused.get(name) != str(error):
                _log.error("evaluation_refused", model=name, reason=str(error))
            self._refused[name] = str(error)
        else:
            self._refused.pop(name, None)
        estimate()

    def _lease(self, name: str) -> Lease | None:
        return self._leases.of(_lease_of(name))


def _lease_of(name: str) -> str:
    return f"model:{name}"
