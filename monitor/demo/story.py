"""What the demo does, from an empty folder to judged windows, with the commands a user would run.

Changes with the order of the steps. What the order is for: TensorFlow takes ten to fifteen seconds to import, and four
processes need it; so monitor and model server start first, and the traffic waits in Kafka while the baseline is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from rich.console import Console

from monitor.clock import Clock
from monitor.demo import broker, flights, folder, model, replay
from monitor.demo.digest import Document
from monitor.demo.folder import DemoFolder
from monitor.demo.follow import LOOK_SECONDS, Measured, Run, Sent, Serving, driftline, serving
from monitor.demo.loop import Chapter
from monitor.demo.processes import Child, interruptible
from monitor.demo.progress import Board, board
from monitor.demo.receiver import receiver
from monitor.demo.trainer import SCORED
from monitor.records import EVENT_TIME, PREDICTION


@dataclass(frozen=True, slots=True)
class Plan:
    """Which flights are used: trained on [train_start, train_end), judged in [start, end) by days of UTC.

    One more day is replayed, so that event time passes the last window's end by more than the allowed lateness.
    """

    start: datetime
    end: datetime
    train_start: datetime = datetime(2013, 1, 1, tzinfo=UTC)
    train_end: datetime = datetime(2013, 3, 1, tzinfo=UTC)

    @property
    def replay_end(self) -> datetime:
        """The end of what is replayed."""
        return self.end + timedelta(days=1)


FULL = Plan(datetime(2013, 3, 1, tzinfo=UTC), datetime(2013, 10, 1, tzinfo=UTC))
FAST = Plan(datetime(2013, 6, 20, tzinfo=UTC), datetime(2013, 7, 11, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Options:
    """What the user chose; `bootstrap_servers` is empty for the embedded broker.

    With `keep`, everything is left running at the end until somebody interrupts.
    """

    directory: Path
    plan: Plan
    bootstrap_servers: Sequence[str] = ()
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        documents: findings of every judged window, in window order.
        measured: what labels said of the model.
        identities: the store's counts.
        sent: what was sent, and counted on its way.
        rows: the replayed flights with predictions and labels.
        chapters: what was done about the alerts.
        told: messages that the receiver got.
    """

    plan: Plan
    folder: DemoFolder
    topics: replay.Topics
    documents: Sequence[Document]
    measured: Measured
    identities: Mapping[str, int]
    sent: Sent
    rows: pa.Table
    chapters: Sequence[Chapter]
    told: int
    seconds: float


def tell(options: Options, console: Console, clock: Clock, show: Callable[[Outcome], None]) -> Outcome:
    """Run the demo and `show` what came of it.

    Raises:
        ConfigError: a package is missing, or the folder cannot be used.
        TransientError: a process, or Kafka, failed.
        KeyboardInterrupt: somebody stopped it; all children are stopped by then, as on every other way out.
    """
    began = clock.monotonic()
    data = flights.data_folder()
    place = folder.claim(options.directory)
    with interruptible(), ExitStack() as stack:
        with board(console, clock) as bars:
            at = folder.Addresses(*(f"127.0.0.1:{broker.free_port()}" for _ in range(4)))
            servers, topics = _kafka(options, place, at, clock, bars, stack)
            stack.enter_context(receiver(at.receiver, place.notifications))
            monitor = stack.enter_context(driftline(place, "monitor", "monitor"))
            answering = stack.enter_context(serving(place, at, topics))
            trained, rows = _train(options.plan, data, place, bars)
            parquet.write_table(trained.select(SCORED), place.training_rows)
            run = Run(
                place, servers, topics, answering, rows, _days(rows, options.plan), options.plan.start, clock, bars
            )
            found = run.follow(monitor, stack)
            parquet.write_table(found.rows.select(SCORED), place.traffic_rows)
            if not options.keep:
                for one in (answering.proxy, answering.model, found.collector, monitor):
                    one.stop()
        seconds = clock.monotonic() - began
        outcome = Outcome(
            options.plan,
            place,
            topics,
            found.documents,
            found.measured,
            found.identities,
            found.sent,
            found.rows,
            found.chapters,
            _lines(place.notifications),
            seconds,
        )
        show(outcome)
        if options.keep:
            _wait_for_interrupt(console, answering, (answering.model, answering.proxy, found.collector, monitor))
    return outcome


def _wait_for_interrupt(console: Console, answering: Serving, children: Sequence[Child]) -> None:
    console.print(
        f"Broker, model server, collector and monitor still run, and the proxy at http://{answering.proxy_address}: "
        "Ctrl-C stops them.",
        highlight=False,
    )
    with suppress(KeyboardInterrupt):
        while True:
            for one in children:
                one.require_running()
            Event().wait(LOOK_SECONDS)


def _kafka(
    options: Options, place: DemoFolder, at: folder.Addresses, clock: Clock, bars: Board, stack: ExitStack
) -> tuple[Sequence[str], replay.Topics]:
    bar = bars.bar("Start Kafka", 1)
    servers = options.bootstrap_servers
    # A broker of the user's own keeps what earlier runs left: every run takes names that nothing has used.
    suffix = f".{clock.now():%Y%m%d%H%M%S}" if servers else ""
    if not servers:
        address, _ = stack.enter_context(broker.embedded(place.log("broker"), clock))
        servers = [address]
    topics = replay.Topics(f"flights.requests{suffix}", f"flights.labels{suffix}")
    replay.create_topics(servers, topics)
    folder.write_settings(place, servers, topics, f"driftline-demo{suffix}", at)
    bar.finish(f"{'your' if options.bootstrap_servers else 'embedded'} broker at {','.join(servers)}")
    return servers, topics


def _train(plan: Plan, data: Path, place: DemoFolder, bars: Board) -> tuple[pa.Table, pa.Table]:
    """Return the training rows with predictions, and the rows to ask about."""
    bar = bars.bar("Read the flights of 2013", 1)
    everything = flights.load(data)
    train = flights.between(everything, plan.train_start, plan.train_end)
    rows = flights.between(everything, plan.start, plan.replay_end)
    bar.finish(f"{train.num_rows:,} to train on, {rows.num_rows:,} to ask about")
    bar = bars.bar("Import TensorFlow", 1)
    model.prepare()
    bar.finish("monitor and model server, started already, do the same")
    bar = bars.bar("Train the model on January and February", model.EPOCHS)
    model.train(train, place.model, bar.update)
    score = model.load(place.model)
    trained = train.append_column(PREDICTION, pa.array(score(train)))
    bar.finish("Keras, exported as a SavedModel")
    return trained, rows


def _lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines()) if file.is_file() else 0


def _days(rows: pa.Table, plan: Plan) -> int:
    """Return how many windows of one day hold flights and must be judged."""
    judged = flights.between(rows, plan.start, plan.end)
    return len(np.unique(judged.column(EVENT_TIME).cast(pa.timestamp("us")).to_numpy().astype("datetime64[D]")))
