"""When a step is tried again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.act.retrain import Retrain, RetrainState
from monitor.act.timing import FIRST_WAIT, LONGEST_WAIT, backoff, due, lasts, over, words
from tests.ledgers import HOUR, NOON


def waiting_until(at: timedelta) -> Retrain:
    return Retrain("r1", "model", RetrainState.GPU_CHECK, 1, "ada", NOON, NOON, NOON + at)


@given(st.integers(0, 10_000))
def test_waits_never_shrink_and_never_pass_the_longest(attempts: int) -> None:
    assert FIRST_WAIT <= backoff(attempts) <= backoff(attempts + 1) <= LONGEST_WAIT


@given(st.integers(0, 100), st.timedeltas(timedelta(days=-1000), timedelta(days=1000)))
def test_whatever_the_clock_does_a_step_is_due_after_the_longest_wait(attempts: int, jump: timedelta) -> None:
    retrain = waiting_until(backoff(attempts))
    jumped = NOON + jump
    assert due(retrain, jumped) or due(retrain, jumped + LONGEST_WAIT)


def test_what_is_not_due_yet_is_left_alone() -> None:
    assert not due(waiting_until(timedelta(minutes=5)), NOON)
    assert due(waiting_until(timedelta(minutes=5)), NOON + timedelta(minutes=5))


def test_deadlines_end_at_their_moment_and_time_that_went_back_is_none() -> None:
    assert over(NOON, NOON)
    assert not over(NOON + timedelta(microseconds=1), NOON)
    assert not over(None, NOON)
    assert lasts(NOON, NOON - HOUR) == timedelta(0)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(milliseconds=900), "0s"),
        (timedelta(seconds=61), "1m 1s"),
        (timedelta(minutes=30), "30m"),
        (timedelta(days=1, hours=6, minutes=5), "1d 6h"),
    ],
)
def test_durations_in_words(duration: timedelta, text: str) -> None:
    assert words(duration) == text
