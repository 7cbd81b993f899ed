"""Watermarks: when input counts as complete."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.window.watermark import Progress, closed_until, watermark

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def progress(newest: int | None, *, end: bool = False, quiet: int = 0, checked: int = 0) -> Progress:
    """Times in minutes before noon; `quiet` in minutes at the time of the check."""
    at = NOON - checked * MINUTE
    return Progress(None if newest is None else NOON - newest * MINUTE, end, at, at - quiet * MINUTE)


def mark(partitions: list[Progress], time: Literal["live", "replay"] = "live") -> int | None:
    """Return the watermark in minutes before noon."""
    found = watermark(partitions, allowed_lateness=10 * MINUTE, idle_timeout=5 * MINUTE, time=time, now=NOON)
    return None if found is None else (NOON - found) // MINUTE


@pytest.mark.parametrize(
    ("partitions", "time", "expected"),
    [
        pytest.param([], "live", None, id="no input is known"),
        pytest.param([progress(None)], "live", None, id="nothing has been read yet"),
        pytest.param([progress(30)], "live", 40, id="the newest event less the lateness"),
        pytest.param([progress(30), progress(90)], "live", 100, id="the slowest partition decides"),
        pytest.param([progress(30), progress(None)], "live", None, id="an unread partition holds all back"),
        pytest.param([progress(30), progress(90, quiet=60)], "live", 100, id="a lagging partition is not idle"),
        pytest.param([progress(30), progress(90, end=True, quiet=4)], "live", 100, id="quiet for too short a time"),
        pytest.param(
            [progress(30), progress(90, end=True, quiet=5)], "live", 40, id="an idle one counts up to its check"
        ),
        pytest.param(
            [progress(90, end=True, quiet=60, checked=20)], "live", 30, id="a check of the past vouches for then"
        ),
        pytest.param(
            [progress(None, end=True, quiet=60)], "live", 10, id="an empty idle partition moves with the clock"
        ),
        pytest.param([progress(30), progress(90, end=True, quiet=5)], "replay", 40, id="replay leaves the idle out"),
        pytest.param([progress(30), progress(None, end=True, quiet=5)], "replay", 40, id="replay leaves the empty out"),
        pytest.param(
            [progress(30, end=True, quiet=5), progress(90, end=True, quiet=5)],
            "replay",
            40,
            id="replay with all idle goes by the newest event",
        ),
        pytest.param([progress(None, end=True, quiet=5)], "replay", None, id="replay of nothing stands still"),
        pytest.param([progress(-120)], "live", 10, id="an event ahead of the clock counts as now"),
    ],
)
def test_watermark(partitions: list[Progress], time: Literal["live", "replay"], expected: int | None) -> None:
    assert mark(partitions, time) == expected


steps = st.builds(
    progress,
    st.one_of(st.none(), st.integers(0, 600)),
    end=st.booleans(),
    quiet=st.integers(0, 10),
    checked=st.integers(0, 10),
)


@given(st.lists(steps, max_size=5), st.permutations(range(5)), st.sampled_from(["live", "replay"]))
def test_the_order_of_partitions_does_not_matter(
    partitions: list[Progress], order: list[int], time: Literal["live", "replay"]
) -> None:
    shuffled = [partitions[place] for place in order if place < len(partitions)]
    assert mark(partitions, time) == mark(shuffled, time)


@given(st.lists(steps, min_size=1, max_size=5), st.sampled_from(["live", "replay"]))
def test_no_watermark_is_ahead_of_the_clock_less_the_lateness(
    partitions: list[Progress], time: Literal["live", "replay"]
) -> None:
    found = mark(partitions, time)
    assert found is None or found >= 10


@given(st.integers(0, 10**6), st.integers(1, 10**5))
def test_a_closed_window_ends_at_or_before_the_watermark(seconds: int, length: int) -> None:
    at, step = NOON + timedelta(seconds=seconds), timedelta(seconds=length)
    frontier = closed_until(at, step)
    assert frontier <= at < frontier + step
