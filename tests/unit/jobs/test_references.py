"""Which earlier windows a window is compared with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from monitor.config.detection import DetectionSettings
from monitor.jobs.references import MemoryHistory, earlier_windows
from monitor.profile.baseline import Baseline
from monitor.profile.profile import Profile, count_rows
from monitor.profile.sliced import WindowProfile
from monitor.records import Rows, Window
from tests.slicing import baseline_of, rows

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return baseline_of(rows(200, 1), length=None)


def window(at: timedelta, length: timedelta = HOUR) -> Window:
    return Window(MONDAY + at, MONDAY + at + length)


def settings(**values: Any) -> DetectionSettings:
    return DetectionSettings.model_validate(values)


def profile(baseline: Baseline, count: int) -> WindowProfile:
    """Return a profile that is known again by its number of rows."""
    given: Rows = rows(max(count, 1), count)
    made: Profile = count_rows(given, baseline, b"statistics")
    return WindowProfile(made if count else count_rows(Rows(given.features.slice(0, 0)), baseline))


def replay(baseline: Baseline, detection: DetectionSettings, windows: list[tuple[Window, int]]) -> list[dict[str, int]]:
    """Return for each window of so many rows how many rows its references hold."""
    history, found = MemoryHistory(detection), []
    for each, count in windows:
        earlier = earlier_windows(each, history, detection)
        found.append({name: reference.overall.rows for name, reference in earlier.items()})
        history.add(each, profile(baseline, count))
    return found


def test_the_previous_window_is_the_nearest_with_rows(baseline: Baseline) -> None:
    windows = [(window(0 * HOUR), 10), (window(1 * HOUR), 0), (window(5 * HOUR), 30)]
    assert replay(baseline, settings(), windows) == [{}, {"previous": 10}, {"previous": 10}]


def test_the_season_is_last_weeks_else_yesterdays(baseline: Baseline) -> None:
    detection = settings(references=["seasonal"])
    found = replay(baseline, detection, [(window(day * DAY), day + 1) for day in range(9)])
    assert found[0] == {}
    assert found[2] == {"seasonal": 1 + 2}, "yesterday and the day before"
    assert found[6] == {"seasonal": 3 + 4 + 5 + 6}, "four days at most"
    assert found[7] == {"seasonal": 1}, "the same hour of last week"
    assert found[8] == {"seasonal": 2}


def test_hours_are_compared_with_the_same_hour_of_the_day(baseline: Baseline) -> None:
    detection = settings(references=["seasonal"], seasonal_windows=1)
    found = replay(baseline, detection, [(window(hour * HOUR), hour + 1) for hour in range(30)])
    assert found[23:26] == [{}, {"seasonal": 1}, {"seasonal": 2}]


def test_several_weeks_are_added_up_and_older_ones_forgotten(baseline: Baseline) -> None:
    detection = settings(references=["seasonal"], seasons=["7d"], seasonal_windows=2)
    history = MemoryHistory(detection)
    for week in range(5):
        history.add(window(week * 7 * DAY, DAY), profile(baseline, 10 + week))
    earlier = earlier_windows(window(5 * 7 * DAY, DAY), history, detection)
    assert earlier["seasonal"].overall.rows == 13 + 14
    assert earlier["seasonal"].overall.statistics == b""
    assert len(history.at([MONDAY + week * 7 * DAY for week in range(5)])) == 3


def test_a_pinned_range_is_added_up_and_compared_with_what_comes_after_it(baseline: Baseline) -> None:
    pinned = {"start": MONDAY + 1 * HOUR, "end": MONDAY + 4 * HOUR}
    detection = settings(references=["pinned"], pinned=pinned)
    found = replay(baseline, detection, [(window(hour * HOUR), 10 + hour) for hour in range(6)])
    assert found == [{}, {}, {}, {}, {"pinned": 11 + 12 + 13}, {"pinned": 11 + 12 + 13}]


def test_a_pinned_range_may_be_given_in_any_zone(baseline: Baseline) -> None:
    pinned = {"start": "2026-03-02T02:00:00+01:00", "end": "2026-03-02T03:00:00+01:00"}
    detection = settings(references=["pinned"], pinned=pinned)
    found = replay(baseline, detection, [(window(hour * HOUR), 10 + hour) for hour in range(3)])
    assert found[2] == {"pinned": 11}


def test_only_the_previous_window_keeps_tfdvs_statistics(baseline: Baseline) -> None:
    detection = settings(references=["previous", "seasonal"], seasons=["1d"])
    history = MemoryHistory(detection)
    history.add(window(0 * HOUR), profile(baseline, 10))
    earlier = earlier_windows(window(1 * DAY), history, detection)
    assert earlier["previous"].overall.statistics == b"statistics"
    assert earlier["seasonal"].overall.statistics == b""
    sums = [each.overall.counts["x"].values.sums for each in earlier.values()]
    assert np.array_equal(sums[0], sums[1])
