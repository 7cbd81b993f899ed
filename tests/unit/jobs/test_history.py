"""Earlier windows from the ledger: read where they were profiled on this baseline, made again where not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.config.settings import WindowSettings
from monitor.jobs.history import LedgerHistory, Pinned
from monitor.profile.baseline import Baseline
from monitor.profile.sliced import WindowProfile
from monitor.records import Window, WindowKey
from monitor.store.leases import Lease
from monitor.store.ledger import Ledger
from monitor.store.verdict_ledger import Judgement, SliceJudgement
from monitor.store.window_ledger import PendingWindow
from monitor.window.slicing import slice_name
from tests.ledgers import HOUR, NOON, Hand, key, window
from tests.slicing import baseline_of, by, rows, window_of

LIVE = WindowSettings(length=HOUR, allowed_lateness=timedelta(minutes=10))
EAST, WEST = (("side", "east"),), (("side", "west"),)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return replace(baseline_of(rows(900, 1), by(["side"]), None), number=1)


@dataclass
class World:
    """A ledger whose windows were judged, and what was made again since."""

    ledger: Ledger
    baseline: Baseline
    again: list[Window] = field(default_factory=list)
    known: dict[tuple[str, str], Pinned] = field(default_factory=dict)

    def judge(self, hours: int, count: int, version: str = "1") -> None:
        """Close the hour and judge it, with a profile of so many rows."""
        hand = Hand.on(self.ledger.cuts)
        hand.commit(hand.cut([(key(hours, version), count)], newest=NOON))
        self.ledger.windows.advance("model", "requests", LIVE, self._lease(), NOON)
        for due in self.ledger.windows.pending("model", 100 * HOUR, NOON + HOUR):
            self.ledger.verdicts.record(self._judgement(due, count), self._lease(), NOON)

    def history(self, number: int = 1, version: str = "1") -> LedgerHistory:
        baseline = replace(self.baseline, number=number)
        return LedgerHistory(self.ledger, key(0, version), baseline, (("side",),), self._make, self.known)

    def _make(self, judged: PendingWindow) -> WindowProfile:
        self.again.append(judged.key.window)
        return window_of(rows(judged.rows_seen, judged.rows_seen), self.baseline)

    def _judgement(self, due: PendingWindow, count: int) -> Judgement:
        profile = window_of(rows(count, count), self.baseline)
        document = {"verdict": "ok"}
        slices = {slice_name(of): SliceJudgement(document, each.to_document()) for of, each in profile.slices.items()}
        return Judgement(due, document, profile.overall.to_document(), 1, "hash", slices)

    def _lease(self) -> Lease:
        lease = self.ledger.leases.acquire("model:model", "monitor", NOON, HOUR)
        assert lease is not None
        return lease


@pytest.fixture
def world(tmp_path: Path, baseline: Baseline) -> Iterator[World]:
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", "default")
    yield World(ledger, baseline)
    ledger.close()


def test_a_window_is_read_as_it_was_profiled_with_its_slices(world: World) -> None:
    world.judge(5, 200)
    found = world.history().previous()
    assert found == window_of(rows(200, 200), world.baseline)
    assert world.again == []


def test_references_are_of_the_same_version(world: World) -> None:
    world.judge(5, 200)
    assert world.history(version="2").previous() is None
    assert world.history(version="2").at([window(5).start]) == []
    assert world.history(version="2").within(Window(window(9).start, NOON)) is None


def test_a_window_of_another_baseline_is_profiled_again(world: World) -> None:
    world.judge(5, 200)
    found = world.history(number=2).at([window(5).start, window(4).start])
    assert [each.overall.rows for each in found] == [200]
    assert world.again == [window(5)]


def test_a_window_whose_spans_are_gone_is_no_reference(world: World) -> None:
    world.judge(5, 200)
    with world.ledger.database.write() as connection:
        connection.exec_driver_sql("UPDATE spans SET state = 'deleted'")
    assert world.history(number=2).previous() is None
    assert world.history(number=2).within(Window(window(5).start, NOON)) is None
    assert world.again == []
    assert world.history().previous() is not None, "its profile is still there"


def test_a_pinned_range_is_added_up_once_until_a_window_in_it_changes(world: World) -> None:
    for hours, count in ((6, 100), (5, 200), (2, 400)):
        world.judge(hours, count)
    pinned = Window(window(6).start, window(5).end)
    first = world.history().within(pinned)
    assert first is not None
    assert (first.overall.rows, set(first.slices)) == (300, {EAST, WEST})
    assert world.history().within(pinned) is first
    world.judge(5, 50)
    restated = world.history().within(pinned)
    assert restated is not None
    assert restated.overall.rows == 100 + 50, "the newest revision counts"
    other = world.history(number=2).within(pinned)
    assert other is not None
    assert len(world.again) == 2, "another baseline has other cells"
    assert world.history().within(Window(window(2).start, window(2).end)) is not other


def test_a_slice_that_the_baseline_does_not_keep_is_passed_over(world: World) -> None:
    world.judge(5, 200)
    unsliced = replace(world.baseline, slices=baseline_of(rows(900, 1), length=None).slices)
    history = replace(world.history(), baseline=unsliced)
    found = history.previous()
    assert found is not None
    assert found.slices == {}
    assert WindowKey("model", "1", window(0)) == history.key
