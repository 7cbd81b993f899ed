"""The outbox: nothing is lost, nothing overtakes, and nobody sends what somebody else holds."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.alert.notification import Notification, Told
from monitor.errors import InputError
from monitor.store import audit, outbox
from monitor.store.ledger import Ledger
from monitor.store.outbox import Message, MessageState, Queue
from tests.ledgers import HOUR, NOON

MINUTE = timedelta(minutes=1)


@pytest.fixture
def another_team(ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger.open(ledger_url, "another")
    yield opened
    opened.close()


def told(message_id: str, receiver: str = "r", subject: str = "s", kind: Told = Told.FIRING) -> Notification:
    return Notification(message_id, receiver, subject, kind, {"labels": {"a": "ü"}, "n": 1})


def put(ledger: Ledger, *messages: Notification, at: timedelta = timedelta(0)) -> int:
    with ledger.database.write() as connection:
        return outbox.put(connection, ledger.team, messages, NOON + at)


def claim(
    ledger: Ledger, receiver: str = "r", holder: str = "h", at: timedelta = timedelta(0), limit: int = 10
) -> list[Message]:
    return ledger.outbox.claim(receiver, holder, NOON + at, NOON + at + MINUTE, limit)


def ids(messages: list[Message]) -> list[str]:
    return [each.notification.message_id for each in messages]


def state(ledger: Ledger, message_id: str) -> MessageState:
    return next(each.state for each in ledger.outbox.find() if each.notification.message_id == message_id)


def test_what_was_written_while_the_clock_was_ahead_does_not_wait_for_that_time(ledger: Ledger) -> None:
    put(ledger, told("1"), at=48 * HOUR)
    assert ledger.outbox.receivers_with_due(NOON) == ["r"]
    (claimed,) = claim(ledger, at=48 * HOUR)
    assert ids(claim(ledger, holder="other")) == ["1"], "the claim does not wait either"
    ledger.outbox.try_later(claimed, "other", NOON + 48 * HOUR, "x")
    (claimed,) = claim(ledger)
    ledger.outbox.try_later(claimed, "h", NOON + MINUTE, "x")
    assert claim(ledger) == [], "of what was tried a minute is waited for"


def test_a_message_comes_back_as_it_was_put(ledger: Ledger) -> None:
    assert put(ledger, told("1")) == 1
    (claimed,) = claim(ledger)
    assert claimed == Message(told("1"), MessageState.WAITING, 0, NOON, NOON, None, "")


def test_the_same_id_is_put_once(ledger: Ledger) -> None:
    assert put(ledger, told("1"), told("2"), told("1")) == 2
    assert put(ledger, told("2", subject="t"), at=HOUR) == 0
    assert ids(ledger.outbox.find()) == ["1", "2"]


def test_what_one_holds_nobody_else_gets_until_the_time_is_over(ledger: Ledger) -> None:
    put(ledger, told("1"))
    assert ids(claim(ledger, holder="a")) == ["1"]
    assert claim(ledger, holder="b", at=MINUTE - timedelta(microseconds=1)) == []
    assert ledger.outbox.receivers_with_due(NOON) == []
    assert ids(claim(ledger, holder="b", at=MINUTE)) == ["1"], (
        "who held it has died: it is sent again, with the same id"
    )


def test_who_lost_a_claim_cannot_say_what_became_of_the_message(ledger: Ledger) -> None:
    put(ledger, told("1"))
    (lost,) = claim(ledger, holder="a")
    (held,) = claim(ledger, holder="b", at=HOUR)
    assert not ledger.outbox.sent(lost, "a", NOON + HOUR)
    assert not ledger.outbox.try_later(lost, "a", NOON + HOUR, "x")
    assert not ledger.outbox.give_up(lost, "a", "x", NOON + HOUR)
    ledger.outbox.release([lost], "a")
    assert claim(ledger, holder="c", at=HOUR) == [], "b's claim stands"
    assert ledger.outbox.sent(held, "b", NOON + HOUR)
    assert not ledger.outbox.sent(held, "b", NOON + HOUR), "it has ended"


def test_a_later_message_of_a_subject_waits_for_the_earlier_ones(ledger: Ledger) -> None:
    put(ledger, told("firing"))
    put(ledger, told("repeated", kind=Told.REPEATED), told("resolved", kind=Told.RESOLVED), at=MINUTE)
    (first,) = claim(ledger, at=MINUTE)
    assert first.notification.message_id == "firing"
    assert claim(ledger, at=MINUTE) == [], "it is being sent"
    ledger.outbox.try_later(first, "h", NOON + HOUR, "no connection")
    assert claim(ledger, at=2 * MINUTE) == [], "it waits for its next attempt"
    (first,) = claim(ledger, at=HOUR)
    assert (first.attempts, first.error) == (1, "no connection")
    ledger.outbox.sent(first, "h", NOON + HOUR)
    (second,) = claim(ledger, at=HOUR)
    assert second.notification.message_id == "repeated"
    ledger.outbox.give_up(second, "h", "answered 400", NOON + HOUR)
    assert ids(claim(ledger, at=HOUR)) == ["resolved"], "what was given up holds up nothing"


def test_other_subjects_and_receivers_do_not_wait(ledger: Ledger) -> None:
    put(ledger, told("1"), told("2", subject="t"), told("3", receiver="q"))
    assert ledger.outbox.receivers_with_due(NOON) == ["q", "r"]
    assert ids(claim(ledger)) == ["1", "2"]
    assert ids(claim(ledger, receiver="q")) == ["3"]


def test_the_oldest_are_claimed_first_and_no_more_than_asked_for(ledger: Ledger) -> None:
    for number in range(5):
        put(ledger, told(str(number), subject=str(number)), at=-number * MINUTE)
    assert ids(claim(ledger, limit=2)) == ["4", "3"]
    assert ids(claim(ledger, limit=2)) == ["2", "1"]


def test_a_released_message_is_due_at_once_and_nothing_was_tried(ledger: Ledger) -> None:
    put(ledger, told("1"))
    ledger.outbox.release(claim(ledger, holder="a"), "a")
    (again,) = claim(ledger, holder="b")
    assert again.attempts == 0


def test_what_ended_is_told_with_its_reason_and_what_was_given_up_is_audited(ledger: Ledger) -> None:
    put(ledger, told("1"), told("2", subject="t"))
    first, second = claim(ledger)
    ledger.outbox.sent(first, "h", NOON + MINUTE)
    ledger.outbox.give_up(second, "h", "https://a:443 answered 400", NOON + MINUTE)
    found = {each.notification.message_id: each for each in ledger.outbox.find()}
    assert (found["1"].state, found["1"].ended_at, found["1"].error) == (MessageState.SENT, NOON + MINUTE, "")
    assert (found["2"].state, found["2"].error) == (MessageState.GIVEN_UP, "https://a:443 answered 400")
    assert ids(ledger.outbox.find(MessageState.SENT)) == ["1"]
    assert ids(ledger.outbox.find(receiver="q")) == []
    with ledger.database.read() as connection:
        (entry,) = [each for each in audit.entries(connection, ledger.team) if each.action == "notification_given_up"]
    assert json.loads(entry.body) == {
        "message": "2",
        "receiver": "r",
        "subject": "t",
        "kind": "firing",
        "reason": "https://a:443 answered 400",
    }
    assert ledger.audit_break() is None


def test_the_newest_messages_are_found_oldest_first(ledger: Ledger) -> None:
    for number in range(4):
        put(ledger, told(str(number)), at=number * MINUTE)
    assert ids(ledger.outbox.find(limit=2)) == ["2", "3"]


def test_queues_tell_what_waits_and_since_when(ledger: Ledger) -> None:
    put(ledger, told("1"), told("2", receiver="q"))
    put(ledger, told("3", subject="t"), at=MINUTE)
    assert ledger.outbox.queues() == {"r": Queue(2, NOON), "q": Queue(1, NOON)}
    ledger.outbox.sent(claim(ledger)[0], "h", NOON)
    assert ledger.outbox.queues()["r"] == Queue(1, NOON + MINUTE)


@pytest.mark.parametrize("became", list(MessageState))
def test_a_person_can_have_any_message_sent_again_with_its_id(ledger: Ledger, became: MessageState) -> None:
    put(ledger, told("1"))
    (claimed,) = claim(ledger)
    if became is MessageState.SENT:
        ledger.outbox.sent(claimed, "h", NOON)
    elif became is MessageState.GIVEN_UP:
        ledger.outbox.give_up(claimed, "h", "x", NOON)
    else:
        ledger.outbox.try_later(claimed, "h", NOON + 10 * HOUR, "x")
    again = ledger.outbox.resend("1", "ada", NOON + HOUR)
    assert again == Message(told("1"), MessageState.WAITING, 0, NOON + HOUR, NOON + HOUR, None, "")
    assert ids(claim(ledger, at=HOUR)) == ["1"]
    with ledger.database.read() as connection:
        entries = list(audit.entries(connection, ledger.team))
    assert (entries[-1].actor, entries[-1].action) == ("ada", "notification_resent")


def test_an_unknown_message_cannot_be_sent_again(ledger: Ledger, another_team: Ledger) -> None:
    put(ledger, told("1"))
    with pytest.raises(InputError, match="no message 1"):
        another_team.outbox.resend("1", "ada", NOON)


def test_what_is_for_a_receiver_that_is_gone_is_given_up_once_it_is_old(ledger: Ledger) -> None:
    put(ledger, told("1"), told("2", receiver="gone"))
    put(ledger, told("3", receiver="gone", subject="t"), at=HOUR)
    assert ledger.outbox.abandon(["r"], NOON + MINUTE, "no such receiver", NOON + HOUR) == 1
    assert [state(ledger, each) for each in "123"] == ["waiting", "given_up", "waiting"]
    assert ledger.outbox.abandon([], NOON + 2 * HOUR, "no such receiver", NOON + HOUR) == 2


def test_what_ended_long_ago_is_forgotten_and_what_waits_is_not(ledger: Ledger) -> None:
    put(ledger, told("1"), told("2", subject="t"), told("3", subject="u"))
    first, second, _ = claim(ledger)
    ledger.outbox.sent(first, "h", NOON)
    ledger.outbox.give_up(second, "h", "x", NOON + MINUTE)
    assert ledger.outbox.clean(NOON + MINUTE) == 1
    assert ids(ledger.outbox.find()) == ["2", "3"]


def test_messages_are_a_teams_own(ledger: Ledger, another_team: Ledger) -> None:
    put(ledger, told("1"))
    put(another_team, told("1"))
    (mine,) = claim(ledger)
    ledger.outbox.sent(mine, "h", NOON)
    assert ids(claim(another_team)) == ["1"]
    assert another_team.outbox.clean(NOON + HOUR) == 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "claim", "sent", "later", "give up", "release", "wait"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["s", "t"]),
    ),
    max_size=30,
)


def _ended(ledger: Ledger, step: str, message: Message, holder: str, now: datetime) -> bool:
    if step == "sent":
        return ledger.outbox.sent(message, holder, now)
    return step == "give up" and ledger.outbox.give_up(message, holder, "x", now)


@given(STEPS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_happens_each_subjects_messages_end_in_their_order_and_none_is_lost(
    ledger_url: str, steps: list[tuple[str, str, str]]
) -> None:
    ledger = Ledger.open(ledger_url, uuid.uuid4().hex)
    now, number, ended = NOON, 0, list[str]()
    held: dict[str, list[Message]] = {"a": [], "b": []}
    for step, holder, subject in steps:
        if step == "put":
            number += 1
            with ledger.database.write() as connection:
                outbox.put(connection, ledger.team, [told(f"{subject}{number:03}", subject=subject)], now)
        elif step == "claim":
            held[holder] += ledger.outbox.claim("r", holder, now, now + MINUTE, 1)
        elif step == "wait":
            now += MINUTE
        elif held[holder]:
            message = held[holder].pop()
            if step == "later":
                ledger.outbox.try_later(message, holder, now, "x")
            elif step == "release":
                ledger.outbox.release([message], holder)
            elif _ended(ledger, step, message, holder, now):
                ended.append(message.notification.message_id)
    waiting = ids(ledger.outbox.find(MessageState.WAITING))
    ledger.close()
    for subject in "st":
        of_it = [each for each in ended if each.startswith(subject)]
        assert of_it == sorted(of_it)
        assert all(each > of_it[-1] for each in waiting if of_it and each.startswith(subject))
    assert len(ended) + len(waiting) == number
    assert len(set(ended)) == len(ended)
