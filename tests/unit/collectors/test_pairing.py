from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collectors.dead_letter import Reason
from collectors.memory import MemorySource, MemoryTopic
from collectors.pairing import Pairing
from collectors.source import ABSORBED, Block
from collectors.streams import Stream, streams_of
from monitor.clock import EPOCH
from monitor.cuts import Partition
from tests.unit.collectors.worlds import START, World, requests, settings

NOW = EPOCH + timedelta(days=19_001)
SECOND = timedelta(seconds=1)


def options(timeout: str = "10s", most: int = 100) -> dict[str, object]:
    return {"topic": "requests", "format": "cloudevents", "join_timeout": timeout, "max_unjoined": most}


def stream(**changes: object) -> Stream:
    (found,) = streams_of(settings(traffic=options() | changes, labels=None))
    return found


def half(name: str, kind: str) -> bytes:
    data = {"instances": [{"distance": 1}]} if kind == "request" else {"predictions": [0.5]}
    event = {
        "specversion": "1.0",
        "id": name,
        "type": f"org.kubeflow.serving.inference.{kind}",
        "time": START.isoformat(),
    }
    return json.dumps({**event, "inferenceservicename": "flights", "data": data}).encode()


def halves(names: str) -> list[bytes]:
    """Return a request for each capital letter, and a response for each small one."""
    return [half(name.lower(), "request" if name.isupper() else "response") for name in names]


def block(values: Sequence[bytes], start: int = 0, number: int = 0) -> Block:
    end = start + len(values)
    return Block(Partition("id", number, "requests"), 1, start, end, np.arange(start, end), values)


def pairing(partitions: int = 1, **changes: object) -> Pairing:
    found = Pairing([stream(**changes)])
    for number in range(partitions):
        found.start(Partition("id", number, "requests"), 1, 0)
    return found


def fates(blocks: Sequence[Block]) -> list[tuple[int, str]]:
    return [
        (int(offset), "alone" if other is None else "second" if other is ABSORBED else "first")
        for found in blocks
        for offset, other in zip(found.offsets, found.counterparts, strict=True)
    ]


def test_a_pair_is_released_when_its_second_half_is_there() -> None:
    held = pairing()
    assert held.accept(block(halves("A")), NOW) == []
    (found,) = held.accept(block(halves("a"), 1), NOW)
    assert (found.start, found.end) == (0, 2)
    assert fates([found]) == [(0, "first"), (1, "second")]
    assert found.counterparts[0] is not None
    assert found.counterparts[0].value == halves("a")[0]
    assert held.held == 0


def test_the_response_may_come_first() -> None:
    assert fates(pairing().accept(block(halves("aA")), NOW)) == [(0, "first"), (1, "second")]


def test_nothing_behind_a_half_that_waits_is_released() -> None:
    held = pairing()
    assert fates(held.accept(block(halves("AaBCc")), NOW)) == [(0, "first"), (1, "second")]
    assert fates(held.accept(block(halves("b"), 5), NOW)) == [(2, "first"), (3, "first"), (4, "second"), (5, "second")]


def test_a_second_half_is_never_released_before_its_first_in_another_partition() -> None:
    held = pairing(2)
    assert held.accept(block(halves("XA"), number=0), NOW) == []
    assert held.accept(block(halves("a"), number=1), NOW) == []
    assert fates(held.accept(block(halves("x"), 2, number=0), NOW)) == [
        (0, "first"),
        (1, "first"),
        (2, "second"),
        (0, "second"),
    ]


def test_a_half_that_has_waited_too_long_is_released_alone() -> None:
    held = pairing()
    assert fates(held.accept(block(halves("ABb")), NOW)) == []
    assert held.expired(NOW + 9 * SECOND) == []
    assert fates(held.expired(NOW + 10 * SECOND)) == [(0, "alone"), (1, "first"), (2, "second")]


def test_where_too_many_wait_the_oldest_is_given_up() -> None:
    held = pairing(max_unjoined=2)
    assert fates(held.accept(block(halves("ABCD")), NOW)) == [(0, "alone"), (1, "alone")]


def test_however_the_settings_are_no_more_than_a_bound_is_held() -> None:
    few = Pairing([stream()], most_held=3)
    few.start(Partition("id", 0, "requests"), 1, 0)
    assert fates(few.accept(block(halves("ABbCc")), NOW)) == [
        (0, "alone"),
        (1, "first"),
        (2, "second"),
        (3, "first"),
        (4, "second"),
    ]
    small = Pairing([stream()], most_held_bytes=10)
    small.start(Partition("id", 0, "requests"), 1, 0)
    assert fates(small.accept(block(halves("A")), NOW)) == [(0, "alone")]


def test_the_same_half_sent_again_is_told_from_its_counterpart() -> None:
    (found,) = pairing().accept(block(halves("AAa")), NOW)
    assert [other.value if other else None for other in found.counterparts] == [
        half("a", "response"),
        half("a", "request"),
        None,
    ]


def test_what_is_no_event_waits_for_nothing() -> None:
    assert fates(pairing().accept(block([b"{"]), NOW)) == [(0, "alone")]


def test_an_older_claims_messages_are_left_out() -> None:
    held = pairing()
    held.start(Partition("id", 0, "requests"), 2, 0)
    assert held.accept(block(halves("Aa")), NOW) == []


def test_when_a_partition_is_read_again_the_halves_in_others_wait_again() -> None:
    held = pairing(2)
    held.accept(block(halves("XA"), number=0), NOW)
    held.accept(block(halves("a"), number=1), NOW)
    held.start(Partition("id", 0, "requests"), 1, 0)
    assert held.held == 1
    found = held.accept(block(halves("XAx"), number=0), NOW)
    assert Counter(fate for _, fate in fates(found)) == {"first": 2, "second": 2}


@given(st.lists(st.tuples(st.sampled_from("ABCDEFabcdef"), st.integers(0, 1), st.integers(0, 4)), max_size=30))
def test_every_message_is_released_once_in_order_and_of_each_pair_one_half_makes_the_row(
    sent: list[tuple[str, int, int]],
) -> None:
    held, ends, now = pairing(2, max_unjoined=4), [0, 0], NOW
    released: list[Block] = []
    for name, number, seconds in sent:
        now += seconds * SECOND
        released += held.accept(block(halves(name), ends[number], number), now)
        ends[number] += 1
    released += held.expired(now + 60 * SECOND)
    assert held.held == 0
    for number in (0, 1):
        mine = [found for found in released if found.partition.number == number]
        assert [int(offset) for found in mine for offset in found.offsets] == list(range(ends[number]))
        assert [found.start for found in mine] == [0, *[found.end for found in mine[:-1]]][: len(mine)]
    firsts = [
        other for found in released for other in found.counterparts if other is not None and other is not ABSORBED
    ]
    absorbed = sum(other is ABSORBED for found in released for other in found.counterparts)
    twice = sum(
        other.value == value
        for found in released
        for value, other in zip(found.values, found.counterparts, strict=True)
        if other is not None
    )
    assert len(firsts) - twice == absorbed


def world(*partitions: Sequence[bytes], timeout: str = "50ms") -> World:
    return World([requests(*partitions)], settings(traffic=options(timeout), labels=None))


def test_a_collector_commits_each_pair_as_one_row_and_each_lone_half_as_a_dead_letter() -> None:
    made = world(halves("AbBaC"), halves("dDE"))
    made.collect()
    assert made.ids() == Counter("abd")
    assert Counter(letter.reason for letter in made.ledger.dead_letters) == {Reason.NO_COUNTERPART: 2}
    assert [row["prediction"] for table in made.tables() for row in table.to_pylist()] == [0.5] * 3
    assert sum(cut.messages for cut in made.ledger.cuts) == 8


def test_a_collector_that_stops_between_two_halves_leaves_both_to_the_next_one() -> None:
    topic: MemoryTopic = requests(halves("AaB"))
    made = World([topic], settings(traffic=options("1h"), labels=None))
    collector = made.collector(MemorySource([topic]))
    stop = _StopAfterCut(made)
    collector.run(stop)  # type: ignore[arg-type]
    assert made.ids() == Counter("a")
    assert made.ledger.next_offset(topic.list()[0]) == 2
    topic.append(0, *halves("b"))
    made.collect()
    assert made.ids() == Counter("ab")
    assert made.ledger.dead_letters == []


class _StopAfterCut:
    """Stops a collector after its first cut with messages."""

    def __init__(self, made: World) -> None:
        self._made = made

    def is_set(self) -> bool:
        return any(cut.messages for cut in self._made.ledger.cuts)

    def wait(self, timeout: float) -> bool:
        del timeout
        return self.is_set()


_LIVES = st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=5)


@given(st.permutations("AaBbCcDdEe"), st.lists(st.integers(0, 1), min_size=10, max_size=10), _LIVES)
def test_whatever_the_order_the_partitions_and_the_crashes_each_pair_is_committed_once(
    order: list[str], places: list[int], lives: list[tuple[int, bool]]
) -> None:
    committed, rows, sent = [0, 0], Counter[str](), 0
    for more, commits in [*lives, (10, True)]:
        sent = min(10, sent + more)
        life = pairing(0, join_timeout="1h")
        released: list[Block] = []
        for number in (0, 1):
            life.start(Partition("id", number, "requests"), 1, committed[number])
        for number in (0, 1):
            mine = [name for name, place in zip(order[:sent], places, strict=False) if place == number]
            released += life.accept(block(halves("".join(mine[committed[number] :])), committed[number], number), NOW)
        if more == 10:
            released += life.expired(NOW + 7200 * SECOND)
        if commits:  # else the process is killed before its cut
            for found in released:
                committed[found.partition.number] = found.end
                for value, other in zip(found.values, found.counterparts, strict=True):
                    if other is not None and other is not ABSORBED:
                        rows[json.loads(value or b"")["id"]] += 1
    assert rows == Counter("abcde")
    assert sum(committed) == 10
