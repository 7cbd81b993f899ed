"""The part of the demo in which baseline, replay, collector and monitor go on side by side. Changes with their order.

The traffic waits in Kafka while the baseline is made: that takes as long as an import of TensorFlow, and the replay fits in.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from threading import Event
from typing import Any

import pyarrow as pa

from monitor.clock import Clock, Deadline
from monitor.demo import flights, replay
from monitor.demo.folder import DemoFolder
from monitor.demo.processes import Child, child
from monitor.demo.progress import Bar, Board
from monitor.errors import TransientError
from monitor.records import EVENT_TIME, LABEL, PREDICTION, REQUEST_ID
from monitor.store.ledger import Ledger

LOOK_SECONDS = 0.5
"""Time between two looks at children and store."""

_STALL_SECONDS = 120.0


def driftline(place: DemoFolder, name: str, *arguments: str) -> AbstractContextManager[Child]:
    """Run a `driftline` command on the run's settings, as a user would; its output goes to the log called `name`."""
    command = [sys.executable, "-m", "monitor.cli", *arguments, "--config", str(place.config)]
    environment = {"PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    return child(f"driftline {arguments[0]}", command, place.log(name), environment)


@dataclass(frozen=True, slots=True)
class Run:
    """What the side-by-side part needs; `windows` is the number of windows that must be judged."""

    place: DemoFolder
    servers: Sequence[str]
    topics: replay.Topics
    rows: pa.Table
    windows: int
    clock: Clock
    bars: Board

    def follow(self, monitor: Child, stack: ExitStack) -> tuple[Child, list[dict[str, Any]], dict[str, int], int]:
        """Return the collector, findings, counts and the number of messages sent, once every window is judged."""
        columns = (
            *("--timestamp-column", EVENT_TIME, "--id-column", REQUEST_ID),
            *("--prediction-column", PREDICTION, "--label-column", LABEL),
        )
        arguments = ("baseline", "create", flights.MODEL, "--data", str(self.place.training_rows), *columns)
        baseline_bar = self.bars.bar("Create the baseline from the training rows", 1)
        baseline = stack.enter_context(driftline(self.place, "baseline", *arguments))
        sending = _Sending(self, self.bars, stack)
        while not baseline.finished():
            self._pause(monitor)
            sending.look()
        baseline_bar.finish("schema, statistics and bins by TFDV")
        collector = stack.enter_context(driftline(self.place, "collector", "collect"))
        ledger = Ledger.open(self.place.store, "default")
        stack.callback(ledger.close)
        self._await_windows(ledger, sending, (monitor, collector))
        return collector, ledger.findings(flights.MODEL), ledger.identities(), sending.messages

    def _await_windows(self, ledger: Ledger, sending: _Sending, children: Sequence[Child]) -> None:
        collected_bar = self.bars.bar("Collect into spans", sending.expected)
        judged_bar = self.bars.bar("Judge windows of one day", self.windows)
        seen, deadline = (0, 0), Deadline.after(self.clock, _STALL_SECONDS)
        while True:
            self._pause(*children)
            sending.look()
            collected = ledger.identities()["messages"]
            verdicts = {verdict: n for (_, verdict), n in sorted(ledger.verdict_counts().items())}
            judged = sum(verdicts.values())
            collected_bar.update(collected, f"{collected:,} messages")
            judged_bar.update(judged, ", ".join(f"{n} {verdict.replace('_', ' ')}" for verdict, n in verdicts.items()))
            if judged >= self.windows and collected >= sending.messages and sending.over:
                break
            if (collected, judged) != seen:
                seen, deadline = (collected, judged), Deadline.after(self.clock, _STALL_SECONDS)
            elif deadline.expired():
                raise TransientError(
                    f"nothing moved for {_STALL_SECONDS:.0f} s, at {judged} of {self.windows} windows and {collected} of"
                    f" {sending.messages} messages; see the logs in {self.place.root / 'logs'}"
                )
        collected_bar.finish(f"{collected:,} messages")
        judged_bar.finish(", ".join(f"{n} {verdict.replace('_', ' ')}" for verdict, n in verdicts.items()))

    def _pause(self, *children: Child) -> None:
        for one in children:
            one.require_running()
        Event().wait(LOOK_SECONDS)


class _Sending:
    """The replay, in a thread of its own; `look` is called from the main thread and raises what went wrong."""

    def __init__(self, run: Run, bars: Board, stack: ExitStack) -> None:
        self.messages = 0
        self.expected = run.rows.num_rows * 2 - run.rows.column(flights.LANDED_AT).null_count
        self.over = False
        self._clock = run.clock
        self._began = run.clock.monotonic()
        self._bar: Bar = bars.bar("Replay requests and labels in event time", self.expected)
        cancelled = Event()
        executor = stack.enter_context(ThreadPoolExecutor(1, "replay"))
        stack.callback(cancelled.set)
        self._future: Future[None] = executor.submit(
            replay.replay, run.servers, run.topics, replay.messages(run.rows), self._sent, cancelled
        )

    def look(self) -> None:
        """Move the bar on; raises TransientError when Kafka failed."""
        if self.over:
            return
        self._bar.update(self.messages)
        if self._future.done():
            self._future.result()
            self.over = True
            rate = self.messages / max(self._clock.monotonic() - self._began, 1e-9)
            self._bar.finish(f"{self.messages:,} messages, {rate:,.0f} a second")

    def _sent(self, count: int) -> None:
        self.messages += count
