"""What becomes of labels: each is counted once, whatever way predictions reached their spans."""

from __future__ import annotations

from dataclasses import astuple, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import to_micros
from monitor.records import EVENT_TIME_TYPE
from monitor.window.label_fates import Fate, FateCounts, LabelFates
from monitor.window.label_reach import Reach

NOON = to_micros(datetime(2026, 3, 1, 12, tzinfo=UTC))
REACH = Reach(timedelta(hours=10))
Row = tuple[int, int, float]
"""Hash, instance, hours from noon."""


def table(rows: list[Row]) -> pa.Table:
    hashes, instances, hours = zip(*rows, strict=True) if rows else ((), (), ())
    times = [NOON + int(each * 3_600_000_000) for each in hours]
    return pa.table(
        {
            "hash": pa.array(hashes, pa.uint64()),
            "instance": pa.array(instances, pa.int64()),
            "event_time": pa.array(times, pa.int64()).cast(EVENT_TIME_TYPE),
        }
    )


def fates(labels: list[Row], *predictions: list[Row], theta: int = 2**64) -> FateCounts:
    state = LabelFates(table(labels), REACH)
    for each in predictions:
        state.add(table(each))
    (counts,) = state.counts(np.zeros(len(labels), dtype=np.int64), [theta])
    return counts


@pytest.mark.parametrize(
    ("predictions", "fate"),
    [
        pytest.param([], Fate.UNKNOWN, id="no prediction"),
        pytest.param([(7, 0, -1.0)], Fate.IN_TIME, id="a prediction before it"),
        pytest.param([(7, 0, 0.0)], Fate.IN_TIME, id="at the same moment"),
        pytest.param([(7, 0, -10.0)], Fate.IN_TIME, id="a whole horizon before"),
        pytest.param([(7, 0, -10.5)], Fate.TOO_LATE, id="more than a horizon before"),
        pytest.param([(7, 0, -20.0)], Fate.TOO_LATE, id="two horizons before"),
        pytest.param([(7, 0, -20.5)], Fate.UNKNOWN, id="so long before that nobody looks"),
        pytest.param([(7, 0, 1.0)], Fate.EARLY, id="a prediction after it"),
        pytest.param([(7, 0, 10.5)], Fate.UNKNOWN, id="long after it"),
        pytest.param([(7, 1, -1.0), (8, 0, -1.0)], Fate.UNKNOWN, id="another instance and another request"),
        pytest.param([(7, 0, 1.0), (7, 0, -12.0)], Fate.EARLY, id="early for one and too late for another"),
        pytest.param([(7, 0, 1.0), (7, 0, -12.0), (7, 0, -2.0)], Fate.IN_TIME, id="in time for one of three"),
    ],
)
def test_what_becomes_of_a_label(predictions: list[Row], fate: Fate) -> None:
    found = fates([(7, 0, 0.0)], predictions)
    assert astuple(found) == tuple(int(each is fate) for each in Fate)


def test_a_label_whose_prediction_may_be_sampled_out_is_not_unknown() -> None:
    labels = [(5, 0, 0.0), (6, 0, 0.0), (7, 0, 0.0), (8, 0, 0.0)]
    found = fates(labels, [(8, 0, -1.0)], theta=7)
    assert found == FateCounts(in_time=1, unsampled=1, unknown=2)


rows = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 1), st.sampled_from([-25.0, -15.0, -5.0, 0.0, 3.0, 12.0])), max_size=20
)


@given(rows, rows, st.integers(1, 4), st.randoms(use_true_random=False), st.integers(1, 8))
def test_every_label_has_one_fate_and_groups_add_up(
    labels: list[Row], predictions: list[Row], pieces: int, random: Any, theta: int
) -> None:
    one = fates(labels, predictions, theta=theta)
    assert one.labels == len(labels)
    shuffled = random.sample(predictions, len(predictions))
    assert one == fates(labels, *(shuffled[place::pieces] for place in range(pieces)), theta=theta)
    state = LabelFates(table(labels), REACH)
    state.add(table(predictions))
    groups = state.counts(np.array([hour for _, hour, _ in labels], dtype=np.int64), [theta, theta])
    assert groups[0] + groups[1] == one
    assert replace(one, unsampled=0, unknown=one.unsampled + one.unknown) == fates(labels, predictions)
