"""Sums of losses: their mean and variance, and that they add up."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evaluate.versions.sums import Sums, added, hourly_sums, total

LOSSES = st.lists(
    st.tuples(
        st.floats(-100, 100, allow_subnormal=False),
        st.floats(0.1, 10),
        st.integers(0, 5),
        st.integers(0, 3),
    ),
    min_size=2,
    max_size=40,
)


Rows = list[tuple[float, float, int, int]]
"""Loss, weight, number of the request, number of the hour."""


def _sums(rows: Rows) -> dict[int, Sums]:
    losses, weights, clusters, hours = (np.array(column) for column in zip(*rows, strict=True))
    return hourly_sums(losses, weights, clusters.astype(np.uint64), hours.astype(np.int64) * 3_600_000_000)


def test_of_plain_rows_mean_and_variance_are_the_textbook_ones() -> None:
    losses = np.random.default_rng(0).normal(3, 2, 50)
    (sums,) = hourly_sums(losses).values()
    assert sums.mean == pytest.approx(losses.mean())
    assert sums.unbiased_mean == pytest.approx(losses.mean())
    assert sums.variance == pytest.approx(losses.var(ddof=1) / 50)
    assert sums.effective == pytest.approx(50)


def test_rows_of_one_request_count_once_however_many_copies_there_are() -> None:
    losses = np.random.default_rng(1).normal(size=30)
    (once,) = hourly_sums(losses).values()
    (copied,) = hourly_sums(np.repeat(losses, 7), clusters=np.repeat(np.arange(30, dtype=np.uint64), 7)).values()
    assert (copied.rows, copied.requests) == (210, 30)
    assert copied.variance == pytest.approx(once.variance)
    assert copied.effective == pytest.approx(30)


def test_the_variance_is_that_of_many_samples_of_weighted_clusters() -> None:
    random = np.random.default_rng(2)
    means, variances = [], []
    for _ in range(2_000):
        sizes = random.integers(1, 4, 80)
        clusters = np.repeat(np.arange(80, dtype=np.uint64), sizes)
        losses = random.normal(size=80)[clusters] + random.normal(size=len(clusters))
        weights = random.choice([1.0, 3.0], 80)[clusters]
        (sums,) = hourly_sums(losses, weights, clusters).values()
        means.append(sums.mean)
        variances.append(sums.variance)
    assert np.mean(variances) == pytest.approx(np.var(means), rel=0.1)


def test_the_bias_of_a_ratio_is_taken_away() -> None:
    # A heavy request has high losses: weights and losses vary together, so that the ratio of their sums is biased.
    random = np.random.default_rng(3)
    plain, corrected = [], []
    for _ in range(20_000):
        weights = random.choice([1.0, 9.0], 50)
        (sums,) = hourly_sums(np.where(weights > 1, 1.0, 0.0), weights).values()
        plain.append(sums.mean)
        corrected.append(sums.unbiased_mean)
    assert np.mean(plain) - 0.9 == pytest.approx(-0.0029, abs=0.0005)
    assert np.mean(corrected) == pytest.approx(0.9, abs=0.0005)


@pytest.mark.parametrize("count", [0, 1])
def test_below_two_requests_nothing_is_known(count: int) -> None:
    sums = total(hourly_sums(np.ones(count)))
    assert np.isnan(sums.variance)
    assert np.isnan(sums.unbiased_mean)
    assert np.isnan(sums.mean) == (count == 0)


@given(LOSSES)
def test_sums_of_parts_add_up_to_those_of_all(rows: Rows) -> None:
    # Requests are not torn apart: those with an even number go to one part.
    parts = [[row for row in rows if row[2] % 2 == rest] for rest in (1, 0)]
    one, two = (_sums(part) if part else {} for part in parts)
    whole, merged = _sums(rows), added(one, two)
    assert list(merged) == list(whole) == sorted(whole)
    for hour, sums in whole.items():
        assert astuple(merged[hour]) == pytest.approx(astuple(sums), abs=1e-9)
