from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from monitor.clock import EPOCH, to_micros
from monitor.profile.calendar import Calendar, Cycle, block_length, calendar_of

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MICROSECONDS = to_micros(EPOCH + HOUR)


@pytest.mark.parametrize(
    ("span", "window", "expected"),
    [
        pytest.param(59 * DAY, None, DAY, id="nothing is known of the windows"),
        pytest.param(5 * DAY, None, DAY, id="five days are just enough"),
        pytest.param(
            5 * DAY - MINUTE, None, 4 * HOUR, id="less than five days vary by the longest blocks of which there are 20"
        ),
        pytest.param(5 * HOUR - MINUTE, None, None, id="a few hours say nothing of variation"),
        pytest.param(59 * DAY, HOUR, HOUR, id="hourly windows vary as hours do"),
        pytest.param(59 * DAY, 7 * HOUR, 7 * HOUR, id="windows of an unusual length vary as blocks of that length"),
        pytest.param(90 * DAY, 30 * DAY, 96 * HOUR, id="a month against three of them"),
        pytest.param(31 * DAY, 30 * DAY, DAY, id="a month against another"),
        pytest.param(3 * HOUR, MINUTE, MINUTE, id="short windows need a short reference"),
        pytest.param(MINUTE, HOUR, None, id="a moment has no variation"),
    ],
)
def test_blocks_are_as_long_as_the_windows_where_there_are_five(
    span: timedelta, window: timedelta | None, expected: timedelta | None
) -> None:
    assert block_length(np.array([0, to_micros(EPOCH + span)]), window) == expected


def test_without_times_there_are_no_blocks() -> None:
    assert block_length(None, HOUR) is None
    assert block_length(np.zeros(0, np.int64), HOUR) is None


def hours(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(count, dtype=np.int64) * MICROSECONDS


def test_four_blocks_are_too_few() -> None:
    assert calendar_of(hours(4), MICROSECONDS, None) is None
    assert calendar_of(hours(5), MICROSECONDS, None) is not None


def test_of_many_blocks_a_hundred_are_kept_in_pairs_of_all_hours_of_day() -> None:
    found = calendar_of(hours(2_400), MICROSECONDS, None)
    assert found is not None
    calendar, rows = found
    assert 90 < rows.kept <= 100
    assert rows.total == rows.kept + 1
    assert len(calendar.neighbours) >= 50
    assert len(np.unique(calendar.numbers % 24)) > 12


def test_seasons_are_hours_of_short_blocks_and_weekdays_of_days() -> None:
    monday = np.array([to_micros(datetime(2026, 11, 30, 13, 5, tzinfo=UTC))])
    assert Cycle.HOUR.slots_of(monday).tolist() == [13]
    assert Cycle.WEEKDAY.slots_of(monday).tolist() == [0]
    assert Cycle.of(MICROSECONDS, 4 * 24 * MICROSECONDS) is Cycle.HOUR
    assert Cycle.of(MICROSECONDS, 3 * 24 * MICROSECONDS) is Cycle.NONE
    assert Cycle.of(24 * MICROSECONDS, 28 * 24 * MICROSECONDS) is Cycle.WEEKDAY
    assert Cycle.of(24 * MICROSECONDS, 27 * 24 * MICROSECONDS) is Cycle.NONE


def test_mixes_tell_which_seasons_rows_lie_in() -> None:
    found = calendar_of(hours(240), 8 * MICROSECONDS, None)
    assert found is not None
    calendar, _ = found
    assert calendar.mixes.shape == (30, 24)
    assert np.allclose(calendar.mixes[0], [1 / 8] * 8 + [0.0] * 16)
    assert calendar.seasons.tolist() == [10.0] * 24
    mix = calendar.mix_of(hours(3), np.array([1.0, 1.0, 2.0]))
    assert mix is not None
    assert mix[:4] == (0.25, 0.25, 0.5, 0.0)
    assert calendar.mix_of(None, None) is None


def test_a_calendar_is_read_back_as_it_was() -> None:
    found = calendar_of(hours(240), 8 * MICROSECONDS, None)
    assert found is not None
    assert Calendar.from_document(found[0].to_document()) == found[0]
