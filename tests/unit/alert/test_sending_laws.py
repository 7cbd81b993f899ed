"""The laws of sending again and of sending slowly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.alert.backoff import FIRST, LONGEST, retry_delay
from monitor.alert.rate_limit import Bucket

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@given(st.text(), st.integers(1, 10_000))
def test_a_delay_is_the_same_each_time_and_within_its_bounds(message: str, attempts: int) -> None:
    delay = retry_delay(message, attempts)
    assert delay == retry_delay(message, attempts)
    whole = min(LONGEST, FIRST * 2 ** min(attempts - 1, 20))
    assert whole * 0.75 <= delay <= whole


def test_delays_double_until_they_are_a_quarter_of_an_hour() -> None:
    longest = [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    for attempts, seconds in enumerate(longest, start=1):
        assert 0.75 * seconds <= retry_delay("msg_1", attempts).total_seconds() <= seconds


def test_messages_that_failed_together_come_back_apart() -> None:
    delays = {retry_delay(f"msg_{number}", 10) for number in range(100)}
    assert len(delays) == 100
    assert max(delays) - min(delays) > timedelta(minutes=3)


@given(st.integers(1, 600), st.lists(st.integers(0, 30_000), max_size=200))
def test_in_any_minute_no_more_are_sent_than_the_rate_and_a_full_bucket(rate: int, steps_ms: list[int]) -> None:
    bucket, now, sent = Bucket.full(rate, NOON), NOON, list[datetime]()
    for step in steps_ms:
        now += timedelta(milliseconds=step)
        bucket = bucket.filled(now)
        while bucket.room:
            bucket = bucket.taken()
            sent.append(now)
    most = rate + max(1, rate / 10) + 1e-6
    for first in sent:
        assert sum(first <= moment < first + timedelta(minutes=1) for moment in sent) <= most


def test_a_rate_is_reached_in_the_long_run() -> None:
    bucket, sent = Bucket.full(60, NOON), 0
    for second in range(3600):
        bucket = bucket.filled(NOON + timedelta(seconds=second))
        while bucket.room:
            bucket, sent = bucket.taken(), sent + 1
    assert 3599 <= sent <= 3606


def test_an_empty_bucket_gives_nothing_and_a_clock_that_goes_back_neither() -> None:
    bucket = Bucket.full(1, NOON).taken()
    assert bucket.room == 0
    with pytest.raises(ValueError, match="empty"):
        bucket.taken()
    back = bucket.filled(NOON - timedelta(hours=1))
    assert back.room == 0
    assert back.filled(NOON - timedelta(minutes=59)).room == 1
