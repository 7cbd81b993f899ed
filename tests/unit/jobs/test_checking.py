"""In which blocks of time a reference's own variation is measured."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from monitor.clock import EPOCH, to_micros
from monitor.jobs.checking import block_length

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("span", "window", "expected"),
    [
        pytest.param(59 * DAY, None, DAY, id="months vary by days"),
        pytest.param(5 * DAY, None, DAY, id="five days are just enough"),
        pytest.param(5 * DAY - MINUTE, None, HOUR, id="less than five days vary by hours"),
        pytest.param(5 * HOUR - MINUTE, None, None, id="a few hours say nothing of variation"),
        pytest.param(59 * DAY, HOUR, HOUR, id="hourly windows vary as hours do"),
        pytest.param(4 * DAY, DAY, HOUR, id="daily windows vary as their hours do where the days are few"),
        pytest.param(3 * HOUR, MINUTE, MINUTE, id="short windows need a short reference"),
        pytest.param(MINUTE, HOUR, None, id="a moment has no variation"),
    ],
)
def test_blocks_are_the_longest_of_which_there_are_five(
    span: timedelta, window: timedelta | None, expected: timedelta | None
) -> None:
    times = np.array([0, to_micros(EPOCH + span)])
    assert block_length(times, window) == expected


def test_without_times_there_are_no_blocks() -> None:
    assert block_length(None, HOUR) is None
    assert block_length(np.zeros(0, np.int64), HOUR) is None
