"""The same window, seasons ago."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.records import Window
from monitor.window.seasons import seasonal_starts

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("length", "seasons", "expected"),
    [
        pytest.param(HOUR, [WEEK, DAY], [WEEK, DAY], id="an hour: the weekday's, else yesterday's"),
        pytest.param(DAY, [WEEK, DAY], [WEEK], id="a day: the weekday's; yesterday is the previous window"),
        pytest.param(WEEK, [WEEK, DAY], [], id="a week has no season among these"),
        pytest.param(timedelta(hours=5), [DAY], [], id="windows that do not divide the day have no same one"),
        pytest.param(timedelta(hours=6), [DAY, WEEK], [DAY, WEEK], id="the order is the user's"),
    ],
)
def test_seasons_are_whole_numbers_of_windows_and_more_than_one(
    length: timedelta, seasons: list[timedelta], expected: list[timedelta]
) -> None:
    found = list(seasonal_starts(Window(MONDAY, MONDAY + length), seasons, 3))
    assert found == [[MONDAY - number * season for number in (1, 2, 3)] for season in expected]
