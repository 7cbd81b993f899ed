from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from collectors.backlog import Backlog
from collectors.dead_letter import Reason, TooManyDeadLetters
from collectors.memory import MemoryLedger, MemorySource, MemoryStorage, MemoryTopic
from collectors.source import Block
from monitor.cuts import Claim, Cut, Partition
from monitor.errors import DriftlineError, InvariantBroken, TransientError
from monitor.records import SpanKind, label_schema, traffic_schema
from tests.unit.collectors.worlds import TYPES, World, label, record, requests, settings


def test_every_record_of_every_partition_is_in_one_span_with_the_columns_of_its_kind() -> None:
    world = World([requests([record(i) for i in range(500)], [record(i) for i in range(500, 900)]),
                   MemoryTopic("labels", "id-labels", [[label(i) for i in range(300)]])])  # fmt: skip
    world.collect()
    assert {table.schema for table in world.tables()} == {traffic_schema(TYPES), label_schema()}
    traffic = [span for span in world.ledger.spans if span.kind is SpanKind.TRAFFIC]
    labels = [span for span in world.ledger.spans if span.kind is SpanKind.LABELS]
    assert (sum(span.rows for span in traffic), sum(span.rows for span in labels)) == (900, 300)
    assert set(world.ids().values()) == {1, 2}
    assert {span.window.end - span.window.start for span in traffic} == {timedelta(hours=1)}
    for span, table in zip(world.ledger.spans, world.tables(), strict=True):
        times = table.column("event_time").to_pylist()
        assert min(times) >= span.window.start
        assert max(times) < span.window.end
        assert table.column("hash").to_pylist() == sorted(table.column("hash").to_pylist())


def test_all_partitions_are_announced_before_the_first_is_claimed() -> None:
    class Watched(MemoryLedger):
        def claim(self, partition: Partition, collector: str, now: datetime) -> Claim:
            assert len(self.expected) == 2
            return MemoryLedger.claim(self, partition, collector, now)

    world = World([requests([record(1)], [record(2)])], ledger=Watched({"flights": TYPES}))
    world.collect()
    assert world.ids().total() == 2


def test_dead_letters_keep_their_offset_and_reason_and_the_identities_hold() -> None:
    values: list[bytes | None] = [record(i) for i in range(200)]
    values[7], values[150] = None, b"no json"
    world = World([requests(values)])
    world.collect()
    assert [(letter.offset, letter.reason) for letter in world.ledger.dead_letters] == [
        (7, Reason.NULL_VALUE),
        (150, Reason.NOT_JSON),
    ]
    assert sum(cut.messages for cut in world.ledger.cuts) == 200
    assert world.ids().total() == 198


def test_too_many_dead_letters_stop_the_loop_and_commit_nothing() -> None:
    values = [record(i) if i % 3 == 0 else b"{" for i in range(300)]
    world = World([requests(values)], options=settings(collector={"cut_interval": "1h"}))
    with pytest.raises(TooManyDeadLetters, match=r"200 of 300 messages of requests .* not JSON"):
        world.collector().run(_soon(), until_caught_up=False)
    assert world.ledger.cuts == []
    assert world.ledger.next_offset(world.topics[0].list()[0]) is None


def test_a_trickle_of_dead_letters_stops_the_loop_as_a_flood_does() -> None:
    world = World([requests([])])
    appended: list[bytes] = []

    class Trickle(MemorySource):
        """Brings one message a poll, and the next only when that is committed."""

        def poll(self, timeout_seconds: float) -> Sequence[Block]:
            if len(appended) == sum(cut.messages for cut in world.ledger.cuts) < 150:
                appended.append(record(len(appended)) if len(appended) % 3 == 0 else b"{")
                world.topics[0].append(0, appended[-1])
            return super().poll(timeout_seconds)

    with pytest.raises(TooManyDeadLetters, match=r"67 of 100 messages of requests .* the last 1 are not committed"):
        world.collector(Trickle(world.topics)).run(threading.Event())
    assert sum(cut.messages for cut in world.ledger.cuts) in {99, 100}


def test_a_few_bad_messages_among_few_good_ones_are_no_reason_to_stop() -> None:
    world = World([requests([b"{"] * 60)])
    world.collect()
    world.topics[0].append(0, *[record(i) for i in range(60)])
    world.collect()
    assert len(world.ledger.dead_letters) == 60


def test_the_lag_is_told_by_topic_and_what_was_sealed_by_model() -> None:
    registry = CollectorRegistry()
    world = World([requests([record(i) for i in range(50)])])
    world.collect(registry=registry)
    assert registry.get_sample_value("driftline_collector_lag", {"stream": "requests"}) == 0
    labels = {"model": "flights", "kind": "traffic"}
    assert registry.get_sample_value("driftline_collector_spans_total", labels) == len(world.ledger.spans)
    sealed = sum(span.size_bytes for span in world.ledger.spans)
    assert registry.get_sample_value("driftline_collector_span_bytes_total", labels) == sealed
    assert (registry.get_sample_value("driftline_collector_cut_seconds_count") or 0) >= len(world.ledger.cuts)


def test_a_collector_started_again_reads_on_where_the_last_cut_ended() -> None:
    world = World([requests([record(i) for i in range(100)])])
    world.collect()
    world.topics[0].append(0, *[record(i) for i in range(100, 150)])
    world.collect(name="c-2")
    assert world.ids() == {f"r-{i}": 1 for i in range(150)}


def test_deleted_messages_are_reported_as_lost() -> None:
    world = World([requests([record(i) for i in range(50)])])
    world.collect()
    world.topics[0].append(0, *[record(i) for i in range(50, 100)])
    world.topics[0].first_offsets[0] = 80
    with capture_logs() as logs:
        world.collect()
    lost = [lost for cut in world.ledger.cuts for lost in cut.lost]
    assert [(gap.start, gap.end) for gap in lost] == [(50, 80)]
    assert world.ids().total() == 70
    assert [log["start"] for log in logs if log["log_level"] == "error"] == [50]


def test_a_truncated_topic_is_read_on_from_its_end() -> None:
    world = World([requests([record(i) for i in range(50)])])
    world.collect()
    del world.topics[0].partitions[0][20:]
    world.collect()
    assert [(gap.start, gap.end) for cut in world.ledger.cuts for gap in cut.lost] == [(20, 50)]
    assert world.ledger.next_offset(world.topics[0].list()[0]) == 20


class FailingStorage(MemoryStorage):
    """A full disk, for the first writes."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    def put(self, name: str, content: bytes) -> None:
        if self.failures:
            self.failures -= 1
            raise TransientError("spans: no space left on device")
        super().put(name, content)


def test_a_full_disk_loses_nothing_and_is_said_once() -> None:
    storage = FailingStorage(3)
    world = World([requests([record(i) for i in range(2000)])], storage=storage)
    with capture_logs() as logs:
        world.collect()
    assert world.ids() == {f"r-{i}": 1 for i in range(2000)}
    assert len(list(storage.list())) == len(world.ledger.spans)
    assert [log["error"] for log in logs if log["event"] == "trying again"] == ["spans: no space left on device"]
    assert sum(log["event"] == "works again" for log in logs) == 1


class FailingLedger(MemoryLedger):
    """A ledger whose calls fail, each kind once, before or after they did their work."""

    def prepare(self, calls: Sequence[str], *, after: bool) -> FailingLedger:
        self.pending, self.after = list(calls), after
        return self

    def _fail(self, call: str, *, after: bool) -> None:
        if call in self.pending and after is self.after:
            self.pending.remove(call)
            raise TransientError(f"the database is gone ({call})")

    def claim(self, partition: Partition, collector: str, now: datetime) -> Claim:
        self._fail("claim", after=False)
        claim = super().claim(partition, collector, now)
        self._fail("claim", after=True)
        return claim

    def expect(self, partitions: Sequence[Partition], now: datetime) -> None:
        self._fail("expect", after=False)
        super().expect(partitions, now)

    def intend(self, spans: Sequence[tuple[str, str]], lease_until: datetime) -> None:
        self._fail("intend", after=False)
        super().intend(spans, lease_until)

    def commit(self, cut: Cut, now: datetime) -> None:
        self._fail("commit", after=False)
        super().commit(cut, now)
        self._fail("commit", after=True)

    def column_types(self, model: str) -> dict[str, object]:  # type: ignore[override]
        self._fail("column_types", after=False)
        return dict(super().column_types(model))


@pytest.mark.parametrize(
    ("call", "after"),
    [
        *[
            pytest.param(call, False, id=f"{call} fails")
            for call in ("expect", "claim", "intend", "commit", "column_types")
        ],
        pytest.param("claim", True, id="a claim works, but its answer is lost"),
        pytest.param("commit", True, id="a commit works, but its answer is lost"),
    ],
)
def test_a_database_that_goes_away_loses_and_doubles_nothing(call: str, after: bool) -> None:
    ledger = FailingLedger({"flights": TYPES}).prepare([call], after=after)
    world = World([requests([record(i) for i in range(3000)])], ledger=ledger)
    world.collect()
    assert ledger.pending == []
    assert world.ids() == {f"r-{i}": 1 for i in range(3000)}
    assert sum(cut.messages for cut in ledger.cuts) == 3000


def test_a_collector_that_lost_its_claim_forgets_its_rows_and_claims_anew() -> None:
    class Zombie(MemoryLedger):
        stolen = False

        def commit(self, cut: Cut, now: datetime) -> None:
            if not self.stolen:
                self.stolen = True
                self.claim(cut.ranges[0].partition, "another", now)
            super().commit(cut, now)

    registry = CollectorRegistry()
    world = World([requests([record(i) for i in range(1500)], [record(i) for i in range(1500, 1600)])],
                  ledger=Zombie({"flights": TYPES}))  # fmt: skip
    world.collect(registry=registry)
    assert world.ids() == {f"r-{i}": 1 for i in range(1600)}
    assert registry.get_sample_value("driftline_collector_stale_cuts_total") == 1
    assert registry.get_sample_value("driftline_collector_messages_total", {"stream": "requests"}) == 1600


def test_an_abandoned_intent_discards_the_cut_and_its_rows_are_read_again() -> None:
    class Cleaned(MemoryLedger):
        cleaned = False

        def commit(self, cut: Cut, now: datetime) -> None:
            if not self.cleaned and cut.spans:
                self.cleaned = True
                self.abandon_intents()
            super().commit(cut, now)

    world = World([requests([record(i) for i in range(100)])], ledger=Cleaned({"flights": TYPES}))
    world.collect()
    assert world.ids() == {f"r-{i}": 1 for i in range(100)}


def test_revoked_partitions_are_committed_before_they_go() -> None:
    world = World([requests([record(i) for i in range(400)], [record(i) for i in range(400, 500)])],
                  options=settings(collector={"cut_interval": "1h"}))  # fmt: skip

    class Rebalanced(MemorySource):
        polls = 0

        def poll(self, timeout_seconds: float) -> Sequence[Block]:
            self.polls += 1
            if self.polls == 3:
                self.assign(world.topics[0].list()[1:])
                committed.append(world.ids().total())
                stop.set()
            return super().poll(timeout_seconds)

    stop, committed = threading.Event(), list[int]()
    registry = CollectorRegistry()
    world.collector(Rebalanced(world.topics), registry=registry).run(stop)
    assert committed == [500]
    assert registry.get_sample_value("driftline_collector_stale_cuts_total") == 0
    assert world.ids().total() == 500


def test_a_stop_commits_what_was_read() -> None:
    world = World([requests([record(i) for i in range(100)])], options=settings(collector={"cut_interval": "1h"}))
    source = MemorySource(world.topics)
    world.collector(source).run(_soon())
    assert world.ids().total() == 100
    assert source.closed
    assert source.acknowledged == {world.topics[0].list()[0]: 100}


def test_a_cut_is_forced_when_enough_rows_wait() -> None:
    world = World([requests([record(i) for i in range(3000)])],
                  options=settings(collector={"cut_interval": "1h", "max_buffered_rows": 1000}))  # fmt: skip
    world.collector().run(_soon())
    assert [cut.messages for cut in world.ledger.cuts] == [1000, 1000, 1000, 0]


def test_quiet_input_is_reported_by_an_empty_range() -> None:
    world = World([requests([record(0)], [])])
    world.collect()
    world.collector().run(_soon())
    last = world.ledger.cuts[-1]
    assert [(step.start, step.end, step.at_end) for step in last.ranges] == [(1, 1, True), (0, 0, True)]
    assert last.ranges[1].max_event_time is None


def test_a_broken_invariant_of_the_ledger_stops_the_collector() -> None:
    class Contradicting(MemoryLedger):
        def commit(self, cut: Cut, now: datetime) -> None:
            raise InvariantBroken("records are missing")

    world = World([requests([record(0)])], ledger=Contradicting({"flights": TYPES}))
    source = MemorySource(world.topics)
    with pytest.raises(InvariantBroken, match="records are missing"):
        world.collect(source=source)
    assert source.closed


def test_no_log_line_and_no_metric_holds_a_payload() -> None:
    registry = CollectorRegistry()
    world = World([requests([b'{"secret":', record(1, features={"carrier": {"secret": 1}}), record(2)])])
    with capture_logs() as logs:
        world.collect(registry=registry)
    shown = repr(logs) + repr([metric.samples for metric in registry.collect()])
    assert "secret" not in shown
    assert registry.get_sample_value("driftline_collector_dead_lettered_total", {"reason": Reason.NOT_JSON}) == 1


def test_two_collectors_that_take_partitions_from_each_other_count_everything_once() -> None:
    topic = requests(*[[record(p * 1000 + i) for i in range(1000)] for p in range(3)])
    world = World([topic])
    errors: list[DriftlineError] = []

    def run(name: str) -> None:
        try:
            world.collect(name=name)
        except DriftlineError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(f"c-{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert world.ids() == {f"r-{i}": 1 for i in range(3000)}


class RestlessSource(MemorySource):
    """Loses its partitions twice without a word, so that claims and blocks pile up for a worker that is behind."""

    def __init__(self, topics: Sequence[MemoryTopic]) -> None:
        super().__init__(topics, max_block_messages=1_000)
        self.polls = 0
        self.polled = threading.Condition()

    def poll(self, timeout_seconds: float) -> Sequence[Block]:
        blocks = super().poll(timeout_seconds)
        with self.polled:
            self.polls += 1
            if self.polls in {2, 4}:
                self.release()
            self.polled.notify_all()
        return blocks

    def await_polls(self, more: int) -> None:
        with self.polled:
            wanted = self.polls + more
            self.polled.wait_for(lambda: self.polls >= wanted, timeout=5)


class BusyLedger(MemoryLedger):
    """Is so slow that whoever polls has always gone through several turns before a commit is looked at."""

    source: RestlessSource
    commits = 0

    def commit(self, cut: Cut, now: datetime) -> None:
        self.commits += 1
        assert self.commits < 60, "no cut is ever under the newest claim"
        self.source.await_polls(6)
        super().commit(cut, now)


def test_a_worker_that_is_behind_its_claims_comes_to_commit_again() -> None:
    ledger = BusyLedger({"flights": TYPES})
    world = World(
        [requests([record(i) for i in range(20_000)])],
        options=settings(collector={"cut_interval": "1h", "max_buffered_rows": 1_000}),
        ledger=ledger,
    )
    ledger.source = RestlessSource(world.topics)
    registry = CollectorRegistry()
    world.collect(source=ledger.source, registry=registry)
    assert world.ids() == {f"r-{i}": 1 for i in range(20_000)}
    assert 1 <= (registry.get_sample_value("driftline_collector_stale_cuts_total") or 0) <= 3


def test_the_backlog_is_full_until_its_blocks_are_done() -> None:
    backlog = Backlog()
    block = Block(Partition("t"), 1, 0, 70_000, np.arange(70_000, dtype=np.int64), [b"x"] * 70_000)
    backlog.put(block)
    seen = [backlog.full, backlog.wait_for_room(0.0)]
    assert backlog.get(0.0) is block
    seen.append(backlog.full)
    backlog.done(block)
    assert [*seen, backlog.full, backlog.wait_for_room(0.0)] == [True, False, True, False, True]
    assert backlog.get(0.0) is None


def test_two_collectors_of_one_process_share_their_metrics() -> None:
    registry = CollectorRegistry()
    for source, ids in (("one", range(10)), ("two", range(10, 30))):
        world = World([MemoryTopic("requests", source, [[record(i) for i in ids]])])
        world.collect(registry=registry)
    assert registry.get_sample_value("driftline_collector_messages_total", {"stream": "requests"}) == 30
    assert registry.get_sample_value("driftline_collector_buffered_rows") == 0


def _soon() -> threading.Event:
    """Return an event that is set after twenty rounds of polling."""

    class Patient(threading.Event):
        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return super().is_set() or self.asked > 20

    return Patient()
