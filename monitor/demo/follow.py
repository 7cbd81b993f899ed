"""The part of the demo in which baseline, replay, collector and monitor go on side by side. Changes with their order.

The way of a request: client, proxy, model server; its copy: proxy, Kafka, collector, spans, monitor.

The traffic waits in Kafka while the baseline is made: that takes as long as an import of TensorFlow, and the replay fits in.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.clock import Clock, Deadline
from monitor.demo import flights, replay
from monitor.demo.captured import Captured, captured, served
from monitor.demo.client import fetch
from monitor.demo.folder import Addresses, DemoFolder
from monitor.demo.loop import Chapter, story, where
from monitor.demo.pace import Pace, evaluated_until
from monitor.demo.processes import Child, child
from monitor.demo.progress import Bar, Board
from monitor.errors import TransientError
from monitor.jobs.quality_windows import quality_windows
from monitor.records import EVENT_TIME, LABEL, PREDICTION, REQUEST_ID, Window
from monitor.report.quality_table import WindowQuality
from monitor.store.judged_windows import judged_windows
from monitor.store.ledger import Ledger
from monitor.window.label_fates import FateCounts

LOOK_SECONDS = 0.5
"""Time between two looks at children and store."""

_STALL_SECONDS = 120.0
_DAY = timedelta(days=1)
_CANARY_SHARE = 0.3

_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def driftline(place: DemoFolder, name: str, *arguments: str) -> AbstractContextManager[Child]:
    """Run a `driftline` command on the run's settings, as a user would; its output goes to the log called `name`."""
    command = [sys.executable, "-m", "monitor.cli", *arguments, "--config", str(place.config)]
    return child(f"driftline {arguments[0]}", command, place.log(name), _ENVIRONMENT)


@dataclass(frozen=True, slots=True)
class Serving:
    """The processes that answer requests; addresses are host:port."""

    model: Child
    proxy: Child
    model_address: str
    proxy_address: str
    metrics_address: str

    def ready(self) -> bool:
        """Say whether the model can be asked, through the proxy."""
        status = fetch(self.proxy_address, f"/v1/models/{flights.MODEL}")
        return status is not None and b'"AVAILABLE"' in status


@contextmanager
def serving(place: DemoFolder, at: Addresses, topics: replay.Topics) -> Iterator[Serving]:
    """Run the model server, which waits for its model, and the proxy in front of it, until the block is left."""
    command = [sys.executable, "-m", "monitor.demo.server", "--listen", at.model]
    command += ["--model-config-file", str(place.model_config), "--name", flights.MODEL]
    command += ["--canary-share", str(_CANARY_SHARE)]
    arguments = (
        *("--upstream", f"http://{at.model}", "--listen", at.proxy, "--topic", topics.traffic),
        *("--metrics-listen", at.proxy_metrics, "--trust-event-time"),
    )
    with (
        child("the model server", command, place.log("server"), _ENVIRONMENT) as server,
        driftline(place, "proxy", "proxy", *arguments) as sidecar,
    ):
        yield Serving(server, sidecar, at.model, at.proxy, at.proxy_metrics)


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent, and what was counted on its way.

    Attributes:
        asked, answered: requests, as the client counts.
        served: requests, as the model server counts.
        captured: requests, as the proxy counts.
        instances: flights in the requests.
        labels: messages with labels.
    """

    asked: int
    answered: int
    served: int
    captured: Captured
    instances: int
    labels: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What labels said of the model.

    Attributes:
        windows: evaluated windows, in order, with what was estimated before.
        labels: that are in the store.
        fates: of those that were looked up so far.
    """

    windows: Sequence[WindowQuality]
    labels: int
    fates: FateCounts


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of the side-by-side part; `rows` are the replayed flights with the predictions that came back."""

    collector: Child
    documents: list[dict[str, Any]]
    measured: Measured
    identities: dict[str, int]
    sent: Sent
    rows: pa.Table
    chapters: Sequence[Chapter]


@dataclass(frozen=True, slots=True)
class Run:
    """What the side-by-side part needs; `windows` is the number of days that must be judged, from `start` on."""

    place: DemoFolder
    servers: Sequence[str]
    topics: replay.Topics
    serving: Serving
    rows: pa.Table
    windows: int
    start: datetime
    clock: Clock
    bars: Board

    def follow(self, monitor: Child, stack: ExitStack) -> Followed:
        """Return what came of it, once every window is judged."""
        columns = (
            *("--timestamp-column", EVENT_TIME, "--id-column", REQUEST_ID),
            *("--prediction-column", PREDICTION, "--label-column", LABEL),
        )
        arguments = ("baseline", "create", flights.MODEL, "--data", str(self.place.training_rows), *columns)
        baseline_bar = self.bars.bar("Create the baseline from the training rows", 1)
        baseline = stack.enter_context(driftline(self.place, "baseline", *arguments))
        ledger = Ledger.open(self.place.store, "default")
        stack.callback(ledger.close)
        sending = _Sending(self, ledger, stack)
        while not baseline.finished():
            self._pause(monitor)
            sending.look()
        baseline_bar.finish("schema, statistics and bins by TFDV")
        collector = stack.enter_context(driftline(self.place, "collector", "collect"))
        self._await_windows(ledger, sending, (monitor, collector))
        rows = replay.scored(self.rows, sending.progress)
        documents, measured = ledger.findings(flights.MODEL), _measured(ledger)
        return Followed(collector, documents, measured, ledger.identities(), sending.sent(), rows, story(ledger))

    def _await_windows(self, ledger: Ledger, sending: _Sending, children: Sequence[Child]) -> None:
        collected_bar = self.bars.bar("Collect into spans", sending.expected)
        judged_bar = self.bars.bar("Judge windows of one day", self.windows)
        quality_bar = self.bars.bar("Join labels, evaluate with TFMA's metrics", self.windows)
        loop_bar = self.bars.bar("Alert, retrain, check, promote")
        seen: tuple[object, ...] = ()
        deadline = Deadline.after(self.clock, _STALL_SECONDS)
        while True:
            self._pause(*children)
            sending.look()
            collected = ledger.identities()["messages"]
            judged = self._days_judged(ledger)
            verdicts = {verdict: n for (_, verdict), n in sorted(ledger.verdict_counts().items())}
            collected_bar.update(collected, f"{collected:,} messages")
            judged_bar.update(judged, ", ".join(f"{n} {verdict.replace('_', ' ')}" for verdict, n in verdicts.items()))
            evaluated = min(self.windows, (evaluated_until(ledger, self.start) - self.start) // _DAY)
            quality_bar.update(evaluated, f"{evaluated} with all their labels")
            loop = where(ledger)
            loop_bar.update(loop.steps, loop.said)
            all_in = sending.over and collected >= sending.messages
            if all_in and min(judged, evaluated) >= self.windows and loop.over:
                break
            now = (collected, judged, evaluated, loop)
            if now != seen:
                seen, deadline = now, Deadline.after(self.clock, _STALL_SECONDS)
            elif deadline.expired():
                raise TransientError(
                    f"nothing moved for {_STALL_SECONDS:.0f} s, at {judged} of {self.windows} windows and {collected} of"
                    f" {sending.messages} messages; see the logs in {self.place.root / 'logs'}"
                )
        collected_bar.finish(f"{collected:,} messages")
        quality_bar.finish(f"{evaluated} with all their labels")
        judged_bar.finish(", ".join(f"{n} {verdict.replace('_', ' ')}" for verdict, n in verdicts.items()))
        loop_bar.finish(loop.said)

    def _days_judged(self, ledger: Ledger) -> int:
        """While two versions serve, a day has two windows."""
        judged = judged_windows(ledger.database, ledger.team, flights.MODEL, self.start, None)
        return len({key.window for key in judged})

    def _pause(self, *children: Child) -> None:
        for one in (self.serving.model, self.serving.proxy, *children):
            one.require_running()
        Event().wait(LOOK_SECONDS)


def _measured(ledger: Ledger) -> Measured:
    always = Window(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    windows = [each for each in quality_windows(ledger, flights.MODEL) if each.evaluation is not None]
    labels = sum(span.rows for span in ledger.labels.spans(flights.MODEL, always))
    return Measured(windows, labels, ledger.labels.totals().get(flights.MODEL, FateCounts()))


class _Sending:
    """The replay, in a thread of its own; `look` is called from the main thread and raises what went wrong."""

    def __init__(self, run: Run, ledger: Ledger, stack: ExitStack) -> None:
        requests, labels = (
            replay.requests_in(run.rows),
            run.rows.num_rows - run.rows.column(flights.LANDED_AT).null_count,
        )
        self.progress = replay.Progress(np.full(run.rows.num_rows, np.nan))
        self.expected = requests + labels
        self.over = False
        self._run = run
        self._captured = Captured()
        self._pace = Pace(ledger, run.start, self.progress, partial(captured, run.serving.metrics_address))
        self._began = 0.0
        self._stack = stack
        self._bar: Bar = run.bars.bar("Ask the model, through the proxy, in event time", requests)
        self._cancelled = Event()
        self._executor = stack.enter_context(ThreadPoolExecutor(1, "replay"))
        stack.callback(self._cancelled.set)
        self._future: Future[None] | None = None

    @property
    def messages(self) -> int:
        """How many messages Kafka has, as far as is known."""
        return self._captured.sent + self.progress.labels

    def look(self) -> None:
        """Begin when the model can be asked, and move the bar on; raises TransientError when something failed."""
        if self.over:
            return
        if self._future is None:
            if self._run.serving.ready():
                self._begin()
            return
        progress = self.progress
        self._bar.update(progress.answered, f"{progress.labels:,} labels")
        if not self._future.done():
            return
        self._future.result()
        # What the proxy has answered, it may still hold: the numbers are final when all of it has arrived, or was given up.
        self._captured = captured(self._run.serving.metrics_address) or self._captured
        if self._captured.settled >= progress.answered:
            self.over = True
            rate = progress.answered / max(self._clock() - self._began, 1e-9)
            self._bar.finish(f"{progress.answered:,} requests, {rate:,.0f} a second; {progress.labels:,} labels")

    def sent(self) -> Sent:
        """Return the counts, once it is over."""
        instances = int(np.count_nonzero(~np.isnan(self.progress.predictions)))
        progress, counted = self.progress, served(self._run.serving.model_address) or 0
        return Sent(progress.asked, progress.answered, counted, self._captured, instances, progress.labels)

    def _begin(self) -> None:
        run = self._run
        self._began = self._clock()
        sending = replay.Replay(
            run.servers, run.topics, run.serving.proxy_address, self._pace.may_go_on, self._cancelled
        )
        self._future = self._executor.submit(sending.run, replay.steps(run.rows), self.progress)

    def _clock(self) -> float:
        return self._run.clock.monotonic()
