"""Dead letters in the ledger: found, forwarded and taken back, each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.cuts import Cut, DeadLetter, Partition
from monitor.dead_letters import Choice
from monitor.errors import InvariantBroken, StaleClaim
from monitor.store.ledger import Ledger
from tests.ledgers import NOON, TOPIC, Hand, key

WHERE = [(TOPIC, 0), (TOPIC, 1)]


@pytest.fixture
def letters(ledger: Ledger) -> Ledger:
    hand = Hand.on(ledger.cuts)
    cut = hand.cut(dead=3)
    kept = DeadLetter(TOPIC, 2, "model is 100% unknown", "0f", 2, b"\x00\xff", (("id", b"\xfe"), ("id", b"")))
    hand.commit(replace(cut, dead_letters=[*cut.dead_letters[:2], kept]))
    return ledger


def replay(ledger: Ledger, where: Sequence[tuple[Partition, int]] = WHERE) -> Cut:
    made = Hand.on(ledger.cuts).cut([(key(5), len(where))])
    return replace(made, ranges=(), messages=0, decoded=len(where), replayed=where)


def test_a_letter_comes_back_with_its_bytes_and_headers(letters: Ledger) -> None:
    found = letters.dead_letters.find(Choice(reason="UNKNOWN"), 10)
    assert [(stored.letter.content, stored.letter.headers) for stored in found] == [
        (b"\x00\xff", (("id", b"\xfe"), ("id", b"")))
    ]
    assert found[0].place == "requests/0/2"


@pytest.mark.parametrize(
    ("choice", "offsets"),
    [
        pytest.param(Choice(), [0, 1, 2], id="any"),
        pytest.param(Choice(topic="requests"), [0, 1, 2], id="of its topic"),
        pytest.param(Choice(topic="other"), [], id="of another topic"),
        pytest.param(Choice(reason="not json"), [0, 1], id="by reason, whatever the case"),
        pytest.param(Choice(reason="100%"), [2], id="a reason with what SQL takes for a wildcard"),
        pytest.param(Choice(reason="1_0%"), [], id="a wildcard that matches nothing"),
        pytest.param(Choice(since=NOON), [0, 1, 2], id="since just then"),
        pytest.param(Choice(since=NOON + timedelta(microseconds=1)), [], id="since later"),
    ],
)
def test_letters_are_found(letters: Ledger, choice: Choice, offsets: list[int]) -> None:
    assert [stored.letter.offset for stored in letters.dead_letters.find(choice, 10)] == offsets
    assert letters.dead_letters.count(choice) == len(offsets)


def test_the_oldest_or_the_newest_are_found_in_the_order_of_their_recording(letters: Ledger) -> None:
    assert [each.letter.offset for each in letters.dead_letters.find(Choice(), 2)] == [0, 1]
    assert [each.letter.offset for each in letters.dead_letters.find(Choice(), 2, newest=True)] == [1, 2]


def test_what_is_forwarded_is_no_longer_due_and_marking_again_changes_nothing(letters: Ledger) -> None:
    due = letters.dead_letters.unforwarded(2)
    for _ in range(2):
        letters.dead_letters.mark_forwarded(due)
    assert [stored.letter.offset for stored in letters.dead_letters.unforwarded(10)] == [2]


def test_a_replay_takes_letters_back_once_and_both_identities_hold(letters: Ledger) -> None:
    letters.cuts.commit(replay(letters), NOON)
    assert (
        letters.identities() | {"messages": 3, "decoded": 2, "dead_lettered": 1, "records": 2} == letters.identities()
    )
    with pytest.raises(StaleClaim, match="replayed by somebody else"):
        letters.cuts.commit(replay(letters), NOON)
    assert letters.identities()["records"] == 2
    assert [stored.letter.offset for stored in letters.dead_letters.find(Choice(waiting=True), 10)] == [2]


def test_one_letter_that_is_taken_already_discards_the_whole_replay(letters: Ledger) -> None:
    letters.cuts.commit(replay(letters, [(TOPIC, 1)]), NOON)
    with pytest.raises(StaleClaim):
        letters.cuts.commit(replay(letters), NOON)
    assert [stored.letter.offset for stored in letters.dead_letters.find(Choice(waiting=True), 10)] == [0, 2]


def test_a_letter_that_is_copied_is_not_taken_back_and_one_taken_back_is_not_copied(letters: Ledger) -> None:
    everything = letters.dead_letters.find(Choice(), 10)
    letters.cuts.commit(replay(letters, [(TOPIC, 0)]), NOON)
    letters.dead_letters.mark_copied(everything, "elsewhere", NOON)
    found = letters.dead_letters.find(Choice(), 10)
    assert [stored.replayed_to for stored in found] == [None, "elsewhere", "elsewhere"]
    with pytest.raises(StaleClaim):
        letters.cuts.commit(replay(letters, [(TOPIC, 1)]), NOON)


def test_a_replay_whose_counts_contradict_each_other_is_refused(letters: Ledger) -> None:
    with pytest.raises(InvariantBroken):
        letters.cuts.commit(replace(replay(letters), decoded=1), NOON)
