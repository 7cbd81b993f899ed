from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.window.label_delay import ALPHA, Delays

micros = st.lists(
    st.one_of(st.just(0), st.integers(0, 100), st.integers(0, 10**15)), min_size=1, max_size=60
)  # up to thirty years


@given(micros, st.sampled_from([0.0, 0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_that_of_the_delays_to_one_percent(delays: list[int], share: float) -> None:
    exact = float(np.quantile(delays, share, method="inverted_cdf")) / 1e6
    assert Delays.of(np.array(delays)).seconds(share) == pytest.approx(exact, rel=ALPHA * 1.0001, abs=0)


@given(micros, micros)
def test_delays_of_parts_add_up_to_those_of_all(some: list[int], others: list[int]) -> None:
    parts = Delays.of(np.array(some)) + Delays.of(np.array(others))
    assert parts == Delays.of(np.array(some + others))
    assert parts.count == len(some) + len(others)


def test_equal_delays_are_told_exactly() -> None:
    told = Delays.of(np.array([3_600_000_000] * 5)).to_json()
    assert told == {"p50": 3600, "p90": 3600, "p99": 3600, "max": 3600}
    json.dumps(told, allow_nan=False)


def test_no_delays_have_no_quantiles() -> None:
    none = Delays.of(np.array([], dtype=np.int64))
    assert none.to_json() is None
    assert none.seconds(0.5) is None
    some = Delays.of(np.array([5]))
    assert none + some == some + none == some
