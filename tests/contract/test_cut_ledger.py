"""The collectors' side of the ledger: what commits, commits whole and once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.cuts import Lost, Partition
from monitor.errors import InvariantBroken, StaleClaim
from monitor.records import SpanKind
from monitor.store.ledger import Ledger
from tests.ledgers import HOUR, NOON, TOPIC, Hand, key


def test_a_new_partition_has_no_offset_and_then_the_one_that_was_committed(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    assert hand.claim.next_offset is None
    hand.commit(hand.cut([(key(5), 10)]))
    assert Hand.on(ledger.cuts).claim.next_offset == 10


def test_both_identities_hold_and_every_number_is_accounted_for(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(5), 10), (key(4), 3)], sampled_out=7, dead=2))
    totals = ledger.identities()
    assert totals == {
        "messages": 22,
        "decoded": 20,
        "dead_lettered": 2,
        "records": 20,
        "sampled_out": 7,
        "kept": 13,
        "late": 0,
        "lost": 0,
    }


def test_the_same_offsets_never_commit_twice(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    again = hand.cut([(key(5), 10)], start=0)
    hand.commit(hand.cut([(key(5), 10)], start=0))
    with pytest.raises(StaleClaim):
        ledger.cuts.commit(again, NOON)
    assert ledger.identities()["records"] == 10


def test_a_zombie_commits_nothing_even_where_the_offset_has_not_moved(ledger: Ledger) -> None:
    zombie = Hand.on(ledger.cuts, name="zombie")
    zombie.commit(zombie.cut([(key(5), 1)]))
    late = zombie.cut([(key(5), 10)])
    Hand.on(ledger.cuts, name="heir")
    with pytest.raises(StaleClaim):
        ledger.cuts.commit(late, NOON)
    assert ledger.identities()["records"] == 1


def test_one_lost_partition_discards_the_whole_cut(ledger: Ledger) -> None:
    mine, other = Hand.on(ledger.cuts), Hand.on(ledger.cuts, Partition("topic-id", 1, "requests"))
    both = mine.cut([(key(5), 10)])
    both = replace(both, ranges=[*both.ranges, *other.cut().ranges])
    Hand.on(ledger.cuts, other.claim.partition, "heir")
    with pytest.raises(StaleClaim):
        ledger.cuts.commit(both, NOON)
    assert ledger.identities()["messages"] == 0
    assert Hand.on(ledger.cuts).claim.next_offset is None


def test_an_abandoned_intent_discards_the_cut(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    cut = hand.cut([(key(5), 10)])
    forged = replace(cut, spans=[replace(cut.spans[0], span_id="unknown")])
    with pytest.raises(StaleClaim):
        ledger.cuts.commit(forged, NOON)
    assert Hand.on(ledger.cuts).claim.next_offset is None


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"decoded": 3}, id="messages that are neither decoded nor dead"),
        pytest.param({"counts": ()}, id="kept rows that were never counted"),
    ],
)
def test_a_cut_that_contradicts_itself_is_refused(ledger: Ledger, wrong: dict[str, object]) -> None:
    hand = Hand.on(ledger.cuts)
    cut = replace(hand.cut([(key(5), 10)]), **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvariantBroken):
        ledger.cuts.commit(cut, NOON)
    assert ledger.identities()["messages"] == 0


def test_lost_offsets_are_counted(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    cut = hand.cut()
    step = replace(cut.ranges[0], end=40)
    ledger.cuts.commit(replace(cut, ranges=[step], lost=[Lost(TOPIC, 0, 40)]), NOON)
    assert ledger.identities()["lost"] == 40
    assert Hand.on(ledger.cuts).claim.next_offset == 40


def test_an_empty_cut_reports_quiet_input_and_leaves_no_other_trace(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    hand.at_end = True
    hand.commit(hand.cut())
    assert set(ledger.identities().values()) == {0}


def test_the_smallest_theta_is_compared_as_a_number(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    for theta in (2**64, 9, 10**19):
        hand.commit(hand.cut([(key(5), 1)], theta=theta))
    assert ledger.cuts.smallest_theta(key(5)) == 9
    assert ledger.cuts.smallest_theta(key(4)) is None


def test_labels_are_never_late(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(5), 4)], kind=SpanKind.LABELS))
    assert ledger.identities() | {"kept": 4, "late": 0} == ledger.identities()


def test_partitions_of_a_topic_made_anew_replace_the_old_ones(ledger: Ledger) -> None:
    ledger.cuts.expect([TOPIC], NOON)
    fresh = Partition("other-id", 0, "requests")
    ledger.cuts.expect([fresh], NOON + HOUR)
    ledger.cuts.expect([fresh], NOON + HOUR)
    assert Hand.on(ledger.cuts, fresh).claim.epoch == 1
