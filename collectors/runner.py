"""Runs a collector: one thread polls, another decodes and commits; changes with how the two share the work.

The polling thread owns the source and all claims. It never waits for the other: what it reads goes into a queue, and while much
waits there it reads nothing but keeps polling, so that a slow disk does not cost the membership of a consumer group. The
working thread owns the buffer and the committer.

Whatever goes wrong, nothing is committed twice or left out: the ledger refuses a cut whose claims are not the newest or whose
offsets are not the next ones, and then this collector forgets what it has, claims anew and reads on where the ledger stands.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry

from collectors.backlog import AtEnd, Backlog, Claimed, Item, Released, Revoked, Stop
from collectors.buffer import Buffer, PreparedCut
from collectors.cutting import Committer
from collectors.decoders import decoder_of
from collectors.metrics import CollectorMetrics
from collectors.pairing import Pairing
from collectors.sampler import Sampler
from collectors.source import Block, Source
from collectors.streams import Stream
from collectors.troubles import Troubles
from monitor.clock import Clock, Deadline
from monitor.config.settings import CollectorSettings
from monitor.cuts import CutLedger, Partition, SpanStorage
from monitor.errors import StaleClaim, TransientError

_SWITCH_SECONDS = 0.0005
_DEAD_BYTES = 64 * 2**20
_POLL_SECONDS = 0.25
_RETRY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
_ROOM_SECONDS = 1.0
_QUIET_SECONDS = 1.0
_DISCOVER_SECONDS = 30.0
_TYPES_SECONDS = 10.0
_STOP_SECONDS = 20.0
_REVOKE_SECONDS = 3.0
_FINISH_SECONDS = 1.0

_log = structlog.get_logger("driftline.collector")


@dataclass(frozen=True, slots=True)
class Turned:
    """What the two threads of a collector call at every turn."""

    polling: Callable[[], None] = lambda: None
    working: Callable[[], None] = lambda: None


class Collector:
    """Reads a source into spans, cut by cut. One instance runs once."""

    def __init__(
        self,
        name: str,
        streams: Sequence[Stream],
        settings: CollectorSettings,
        *,
        ledger: CutLedger,
        storage: SpanStorage,
        source: Source,
        clock: Clock,
        registry: CollectorRegistry,
        turned: Turned | None = None,
    ) -> None:
        """Collect `streams`, all of which `source` brings, in the name of `name`; `turned` hears that the threads live."""
        self._name = name
        self._settings = settings
        self._ledger = ledger
        self._source = source
        self._clock = clock
        self._metrics = CollectorMetrics.on(registry)
        self._show_buffered = self._metrics.buffered_rows_of_one()
        self._show_lag = self._metrics.lag_of_one()
        self._turned = turned or Turned()
        self._buffer = Buffer(
            name,
            streams,
            Sampler(ledger.smallest_theta),
            decoder_of,
            settings.max_dead_letter_ratio,
            keep_bytes=settings.dead_letters.keep_bytes,
        )
        self._pairing = Pairing(streams)
        self._committer = Committer(ledger, storage)
        self._backlog = Backlog()
        self._log = _log.bind(collector=name)
        self._troubles = Troubles(self._metrics.retries, self._log)
        # Of the polling thread
        self._epochs: dict[Partition, int] = {}
        self._told: dict[Partition, tuple[int, float]] = {}
        self._known: frozenset[Partition] = frozenset()
        self._discover_at = 0.0
        self._failures = 0
        self._held_since: float | None = None
        self._connected = False
        # Of the working thread
        self._last_cut = clock.monotonic()
        self._types_at: float | None = None
        self._heard_quiet = False
        self._deaf = False
        # Shared
        self._lock = threading.Lock()
        self._positions: dict[Partition, int] = {}
        self._unacknowledged: dict[Partition, int] = {}
        self._reclaim = threading.Event()
        self._finish_by: Deadline | None = None
        self._worker_done = threading.Event()
        self._stopping = threading.Event()
        self._deadline: Deadline | None = None

    def connected(self) -> bool:
        """Say whether the input could be reached at the last turn."""
        return self._connected

    def run(self, stop: threading.Event, *, until_caught_up: bool = False) -> None:
        """Collect until `stop` is set, or, if asked to, until all that the source holds is committed; then close the source.

        Raises:
            TooManyDeadLetters: the input is unreadable; the offsets of the cut that showed it are not committed.
            InvariantBroken: what must hold does not.
        """
        self._source.on_revoke(self._revoked)
        interval = sys.getswitchinterval()
        # Both threads call into C all the time; with Python's five milliseconds each such call would wait so long to return.
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            self._run(stop, until_caught_up=until_caught_up)
        finally:
            sys.setswitchinterval(interval)

    def _run(self, stop: threading.Event, *, until_caught_up: bool) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="driftline-cuts") as pool:
            worker = pool.submit(self._work)
            try:
                while not stop.is_set() and not worker.done():
                    self._turn(stop)
                    if until_caught_up and self._caught_up():
                        break
            finally:
                self._finish(worker)
        worker.result()

    def _finish(self, worker: Future[None]) -> None:
        self._deadline = Deadline.after(self._clock, _STOP_SECONDS)
        self._stopping.set()
        self._backlog.put(Stop(self._deadline))
        try:
            worker.exception()  # waits until it has ended
            self._acknowledge()
        finally:
            self._source.close()

    # The polling thread

    def _turn(self, stop: threading.Event) -> None:
        self._turned.polling()
        try:
            self._announce()
            if self._reclaim.is_set():
                self._source.release()
                # Perhaps the partitions are no longer ours: hear that before taking them back from their new owner.
                self._source.poll(_POLL_SECONDS)
                self._reclaim.clear()
                self._backlog.put(Released())
            self._claim()
            self._acknowledge()
            # A pause throws away what was fetched ahead: while it would be short, waiting is cheaper.
            if self._wait_for_room():
                self._source.resume()
            else:
                self._source.pause()
            for block in self._source.poll(_POLL_SECONDS):
                self._backlog.put(block)
            self._tell_ends()
            self._show_lag(self._source.lag())
        except TransientError as error:
            self._connected = False
            self._troubles.met("read", error)
            stop.wait(_pause(self._failures))
            self._failures += 1
        else:
            self._connected = True
            self._failures = 0
            self._troubles.over("read")

    def _wait_for_room(self) -> bool:
        """Wait a moment for room in the backlog and say whether there is; count the time in which there is none."""
        before = self._clock.monotonic()
        room = self._backlog.wait_for_room(_ROOM_SECONDS)
        after = self._clock.monotonic()
        self._metrics.paused_seconds.inc(after - (before if self._held_since is None else self._held_since))
        self._held_since = None if room else after
        return room

    def _announce(self) -> None:
        """Make all partitions known to the ledger before any is read, and new ones when they appear."""
        now = self._clock.monotonic()
        if self._known and now < self._discover_at:
            return
        found = frozenset(self._source.discover())
        if found != self._known:
            self._ledger.expect(sorted(found), self._clock.now())
            self._known = found
        self._discover_at = now + _DISCOVER_SECONDS

    def _claim(self) -> None:
        for partition in self._source.unclaimed():
            claim = self._ledger.claim(partition, self._name, self._clock.now())
            started = self._source.start(claim)
            if started.lost is not None:
                self._log.error(
                    "messages were lost before they were read",
                    topic=partition.name,
                    partition=partition.number,
                    start=started.lost.start,
                    end=started.lost.end,
                )
            with self._lock:
                self._positions[partition] = started.stored
            self._epochs[partition] = claim.epoch
            self._told.pop(partition, None)
            self._backlog.put(Claimed(claim, started))

    def _tell_ends(self) -> None:
        now = self._clock.monotonic()
        for partition, position in self._source.ends().items():
            told, at = self._told.get(partition, (None, 0.0))
            if told != position or now >= at + _QUIET_SECONDS:
                self._told[partition] = position, now
                self._backlog.put(AtEnd(partition, self._epochs[partition], position, self._clock.now()))

    def _acknowledge(self) -> None:
        with self._lock:
            committed, self._unacknowledged = self._unacknowledged, {}
        if committed:
            self._source.acknowledge(committed)

    def _caught_up(self) -> bool:
        ends = self._source.ends()
        if not self._known or set(ends) != set(self._known) or self._backlog.messages:
            return False
        with self._lock:
            return all(self._positions.get(partition) == position for partition, position in ends.items())

    def _revoked(self) -> None:
        """Commit what is there before others read on; called by the source, from any thread."""
        if self._worker_done.is_set():
            return
        done = threading.Event()
        self._finish_by = Deadline.after(self._clock, _FINISH_SECONDS)
        self._backlog.put(Revoked(done))
        done.wait(_REVOKE_SECONDS)

    # The working thread

    def _work(self) -> None:
        try:
            while True:
                self._turned.working()
                item = self._backlog.get(_POLL_SECONDS)
                if isinstance(item, Stop):
                    self._cut(item.deadline)
                    return
                self._handle(item)
                if self._due():
                    self._cut(None)
        finally:
            self._worker_done.set()
            self._backlog.release_waiting()

    def _handle(self, item: Item | None) -> None:
        now = self._clock.now()
        if isinstance(item, Released):
            self._deaf = False
        elif isinstance(item, Revoked):
            self._cut(Deadline.after(self._clock, 0.0))
            self._forget()
            self._finish_by = None
            item.done.set()
        elif self._deaf:
            self._skip(item)
        elif isinstance(item, Block) and self._finish_by is not None and self._finish_by.expired():
            # A whole group of consumers waits for this one: others will sooner have read it again than it is decoded here.
            self._skip(item)
        elif isinstance(item, Block):
            self._refresh_types()
            for block in self._pairing.accept(item, now):
                self._buffer.accept(block, now)
            self._backlog.done(item)
            self._show_buffered(self._buffer.rows)
        elif isinstance(item, Claimed):
            self._buffer.start(item.claim, item.started, now)
            self._pairing.start(item.claim.partition, item.claim.epoch, item.started.position)
        elif isinstance(item, AtEnd):
            self._buffer.at_end(item.partition, item.epoch, item.position, item.seen_at)
            self._heard_quiet = True
        if self._pairing.held:
            for block in self._pairing.expired(now):
                self._buffer.accept(block, now)

    def _skip(self, item: Item | None) -> None:
        if isinstance(item, Block):
            self._backlog.done(item)

    def _due(self) -> bool:
        if self._buffer.rows >= self._settings.max_buffered_rows or self._buffer.dead_bytes >= _DEAD_BYTES:
            return True
        waited = self._clock.monotonic() - self._last_cut
        interval = self._settings.cut_interval.total_seconds()
        if self._buffer.dirty:
            return waited >= interval
        return self._heard_quiet and waited >= max(interval, _QUIET_SECONDS)

    def _cut(self, deadline: Deadline | None) -> None:
        """Commit what is there; try again until it works, until `deadline`, or until a stop has waited long enough."""
        with self._metrics.cut_seconds.time():
            self._try_to_cut(deadline)

    def _try_to_cut(self, deadline: Deadline | None) -> None:
        failures = 0
        while True:
            self._turned.working()
            try:
                prepared = self._committer.commit(self._buffer.prepare, self._clock.now())
            except StaleClaim as error:
                self._metrics.stale_cuts.inc()
                self._log.warning(
                    "another collector has taken over; reading on where the ledger stands", reason=str(error)
                )
                self._forget()
                # Until the polling thread has given up its claims, what it hands over belongs to them: to commit it would
                # be refused for the claim that it makes next, and so on without an end.
                self._deaf = True
                self._reclaim.set()
                return
            except TransientError as error:
                self._troubles.met("commit", error)
                limit = deadline or self._deadline
                if limit is not None and limit.expired():
                    self._log.warning("the last cut is not committed and will be read again")
                    self._forget()
                    return
                self._wait(failures)
                failures += 1
            else:
                self._last_cut = self._clock.monotonic()
                self._heard_quiet = False
                self._troubles.over("commit")
                if prepared is not None:
                    self._settle(prepared)
                return

    def _settle(self, prepared: PreparedCut) -> None:
        self._buffer.settle(prepared)
        self._metrics.committed(prepared)
        self._show_buffered(0)
        committed = {step.partition: step.end for step in prepared.cut.ranges}
        with self._lock:
            self._positions |= committed
            self._unacknowledged |= committed

    def _forget(self) -> None:
        self._committer.forget()
        self._buffer.discard()
        self._pairing.discard()
        self._show_buffered(0)

    def _refresh_types(self) -> None:
        """Learn the column types of all models, between two cuts; they must be known before the first row is read."""
        now = self._clock.monotonic()
        if self._buffer.rows or (self._types_at is not None and now < self._types_at + _TYPES_SECONDS):
            return
        failures = 0
        while True:
            self._turned.working()
            try:
                self._buffer.set_types({model: self._ledger.column_types(model) for model in self._buffer.models})
            except TransientError as error:
                self._troubles.met("column types", error)
                if self._types_at is not None:
                    break
                if self._deadline is not None and self._deadline.expired():
                    raise
                self._wait(failures)
                failures += 1
            else:
                self._troubles.over("column types")
                break
        self._types_at = now

    # Both

    def _wait(self, failures: int) -> None:
        """Wait before trying again; a stop cuts the wait short, and then waits are short."""
        if self._stopping.is_set():
            threading.Event().wait(_RETRY_SECONDS[0])
        else:
            self._stopping.wait(_pause(failures))


def _pause(failures: int) -> float:
    return _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
