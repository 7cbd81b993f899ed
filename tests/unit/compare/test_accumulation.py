from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from monitor.clock import to_micros
from monitor.compare.feedback import NO_FEEDBACK, FalseAlarm, Feedback
from monitor.compare.findings import Finding
from monitor.compare.gradual.accumulation import Accumulation
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import Baseline, create_baseline
from monitor.profile.profile import Profile, count_rows
from monitor.records import Rows, Window

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SETTINGS = DetectionSettings()


def _rows(start: datetime, hours: int, shift: float, seed: int, per_hour: int = 20) -> Rows:
    random = np.random.default_rng(seed)
    count = hours * per_hour
    times = to_micros(start) + np.repeat(np.arange(hours), per_hour) * 3_600_000_000
    return Rows(pa.table({"a": random.normal(shift, 1.0, count), "b": random.normal(size=count)}), event_times=times)


@pytest.fixture(scope="module", params=[HOUR, DAY], ids=["hours", "days"])
def step(request: pytest.FixtureRequest) -> timedelta:
    step: timedelta = request.param
    return step


@pytest.fixture(scope="module")
def baseline(step: timedelta) -> Baseline:
    return create_baseline(_rows(START - 40 * DAY, 40 * 24, 0.0, seed=0), block_length=step)


def _windows(baseline: Baseline, step: timedelta, days: int, rise: float) -> list[tuple[Window, Profile]]:
    found = []
    for number in range(days * DAY // step):
        start = START + number * step
        moved = rise * ((start - START) / DAY)
        found.append((Window(start, start + step), count_rows(_rows(start, step // HOUR, moved, 7 + number), baseline)))
    return found


def _over(
    baseline: Baseline, windows: list[tuple[Window, Profile]], settings: DetectionSettings = SETTINGS
) -> list[list[Finding]]:
    accumulation = Accumulation.start(baseline, settings, windows[0][0])
    found = []
    for window, profile in windows:
        accumulation = accumulation.added(window, profile)
        found.append(accumulation.findings(profile, NO_FEEDBACK))
    return found


def test_a_slow_rise_is_found_though_no_day_shows_it(baseline: Baseline, step: timedelta) -> None:
    found = _over(baseline, _windows(baseline, step, 20, 0.03))
    flagged = [finding for each in found for finding in each if finding.flagged]
    assert {finding.feature for finding in flagged} == {"a"}
    assert {finding.reference for finding in flagged} == {"accumulated"}


def test_nothing_is_found_where_nothing_moves(baseline: Baseline, step: timedelta) -> None:
    found = _over(baseline, _windows(baseline, step, 20, 0.0))
    assert not [finding for each in found for finding in each if finding.flagged]


def test_windows_shorter_than_a_day_say_something_once_a_day(baseline: Baseline, step: timedelta) -> None:
    found = _over(baseline, _windows(baseline, step, 3, 0.0))
    told = [number for number, each in enumerate(found) if each]
    assert told == [(day + 1) * (DAY // step) - 1 for day in range(3)]


def test_a_day_that_is_not_over_is_read_back_as_it_was(baseline: Baseline, step: timedelta) -> None:
    windows = _windows(baseline, step, 6, 0.1)
    whole = _over(baseline, windows)
    cut = len(windows) // 2 + 1
    before = Accumulation.start(baseline, SETTINGS, windows[0][0])
    for window, profile in windows[:cut]:
        before = before.added(window, profile)
    after = Accumulation.from_document(before.to_document(), baseline, SETTINGS)
    for number, (window, profile) in enumerate(windows[cut:], cut):
        after = after.added(window, profile)
        assert after.findings(profile, NO_FEEDBACK) == whole[number]


def test_a_window_of_a_day_that_is_over_comes_too_late(baseline: Baseline, step: timedelta) -> None:
    windows = _windows(baseline, step, 3, 0.0)
    accumulation = Accumulation.start(baseline, SETTINGS, windows[0][0])
    for window, profile in windows[: 2 * (DAY // step) + 1]:
        accumulation = accumulation.added(window, profile)
    late = accumulation.added(*windows[0])
    assert late.findings(windows[0][1], NO_FEEDBACK) == [] or step == DAY
    assert late.states.keys() == accumulation.states.keys()


def test_what_is_taken_for_normal_is_the_new_level(baseline: Baseline, step: timedelta) -> None:
    windows = _windows(baseline, step, 20, 0.0)
    shifted = [
        (w, count_rows(_rows(w.start, step // HOUR, 0.4, 900 + i), baseline)) for i, (w, _) in enumerate(windows)
    ]
    accumulation = Accumulation.start(baseline, SETTINGS, windows[0][0])
    said = [(to_micros(START), "a")]
    flags = []
    for number, (window, profile) in enumerate(shifted):
        if number == len(shifted) // 2:
            accumulation = accumulation.accepting(said)
        accumulation = accumulation.accepting(said if number >= len(shifted) // 2 else [])
        accumulation = accumulation.added(window, profile)
        flags.append(any(finding.flagged for finding in accumulation.findings(profile, NO_FEEDBACK)))
    assert any(flags[: len(flags) // 2])
    assert not any(flags[len(flags) // 2 :])


def test_a_false_alarm_as_large_is_not_flagged_again(baseline: Baseline, step: timedelta) -> None:
    windows = _windows(baseline, step, 12, 0.05)
    accumulation = Accumulation.start(baseline, SETTINGS, windows[0][0])
    for window, profile in windows:
        accumulation = accumulation.added(window, profile)
    alarms = {("a", "accumulated", "accumulated_d"): FalseAlarm(9.0, "called a false alarm")}
    last = windows[-1][1]
    assert any(finding.flagged for finding in accumulation.findings(last, NO_FEEDBACK))
    assert not any(finding.flagged for finding in accumulation.findings(last, Feedback(alarms)))


def test_nothing_is_followed_where_settings_or_blocks_do_not_allow_it(baseline: Baseline, step: timedelta) -> None:
    window = Window(START, START + step)
    assert not Accumulation.start(baseline, DetectionSettings(gradual=False), window).states
    assert not Accumulation.start(baseline, SETTINGS, Window(START, START + 2 * step)).states
    ignored = DetectionSettings.model_validate({"features": {"a": {"ignore": True}}})
    assert set(Accumulation.start(baseline, ignored, window).states) == {"b"}
