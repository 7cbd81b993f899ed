"""What a member of a consumer group does whichever driver it reads with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from collectors.group import Cursor, Topic, TopicGroup, Where
from collectors.source import Block
from monitor.clock import ManualClock
from monitor.cuts import Partition
from monitor.errors import TransientError


class Driver(TopicGroup):
    """A driver whose broker can be taken away; it tells offsets of what is started, and describes its topic."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(["fares"], clock, ())
        self.there = True
        self.described = 0

    def start_one(self) -> None:
        self._cursors[("fares", 0)] = Cursor(Partition("id", 0, "fares"), 1, 0)

    def poll(self, timeout_seconds: float) -> list[Block]:
        return []

    def _describe(self) -> Mapping[str, Topic | None]:
        self.described += 1
        if not self.there:
            raise TransientError("Kafka does not describe the topics")
        return {"fares": Topic("id", [0])}

    def _ask_ends(self) -> dict[Partition, int]:
        return {cursor.partition: cursor.position for cursor in self._cursors.values()}

    def _subscribe(self, topics: list[str]) -> None: ...
    def _bounds(self, where: Where) -> tuple[int, int]:
        return 0, 0

    def _readable_end(self, where: Where, offset: int) -> int:
        return 0

    def _begin(self, where: Where, cursor: Cursor) -> None: ...
    def _hold(self) -> None: ...
    def _go_on(self) -> None: ...
    def _behind(self, where: Where, cursor: Cursor) -> int:
        return 0

    def _hint(self, offsets: Mapping[Where, int]) -> None: ...
    def _leave(self) -> None: ...


def test_a_member_without_partitions_notices_that_the_broker_is_away() -> None:
    group = Driver(ManualClock(datetime(2026, 3, 1, tzinfo=UTC)))
    assert group.ends() == {}
    group.there = False
    group._check_ends_at = 0.0
    with pytest.raises(TransientError, match="Kafka does not describe the topics"):
        group.ends()


def test_a_member_without_partitions_asks_once_a_second_and_no_more() -> None:
    clock = ManualClock(datetime(2026, 3, 1, tzinfo=UTC))
    group = Driver(clock)
    for _ in range(5):
        group.ends()
    assert group.described == 1


def test_a_member_that_reads_hears_of_the_broker_by_its_offsets_alone() -> None:
    group = Driver(ManualClock(datetime(2026, 3, 1, tzinfo=UTC)))
    group.start_one()
    assert list(group.ends().values()) == [0]
    assert group.described == 0
