from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from scipy.spatial import distance

from monitor.compare.measures import (
    hellinger,
    jensen_shannon,
    kolmogorov_smirnov,
    l_infinity,
    measures,
    population_stability,
    wasserstein,
)
from monitor.profile.bins import CategoricalBins, NumericBins
from monitor.profile.counts import Counts, Indices
from monitor.profile.document import Floats

CELLS = 7
EDGES = np.array([-3.0, -1.0, 0.0, 0.5, 2.0, 5.0])
BINS = NumericBins(EDGES, centre=0.0, scale=2.0)
SYMMETRIC = (jensen_shannon, l_infinity, hellinger, kolmogorov_smirnov)

weights = st.sampled_from([0.0, 1e-6, 0.01, 0.2, 0.5, 1.0]) | st.floats(1e-6, 1.0)
shares = arrays.arrays(np.float64, CELLS, elements=weights).filter(lambda a: a.sum() > 0.01).map(lambda a: a / a.sum())
numbers = arrays.arrays(np.int64, CELLS, elements=st.integers(0, 500)).filter(lambda a: a.sum() > 0)


def counts(of: Indices) -> Counts:
    cells = np.repeat(np.arange(CELLS), of)
    return Counts.of(cells, CELLS, None, None)


@given(shares, shares)
def test_they_equal_what_scipy_says(p: Floats, q: Floats) -> None:
    assert jensen_shannon(p, q) == pytest.approx(distance.jensenshannon(p, q, base=2.0) ** 2, abs=1e-9)
    assert l_infinity(p, q) == pytest.approx(distance.chebyshev(p, q))
    assert hellinger(p, q) == pytest.approx(math.sqrt(max(0.0, 1.0 - float(np.sqrt(p * q).sum()))), abs=1e-7)


@given(numbers, numbers)
def test_kolmogorov_smirnov_of_values_at_the_cells_is_that_of_scipy(a: Indices, b: Indices) -> None:
    cells, a, b = np.arange(CELLS), 3 * a, 3 * b  # scipy's p-value fails on a single row
    expected = stats.ks_2samp(np.repeat(cells, a), np.repeat(cells, b), method="asymp").statistic
    assert kolmogorov_smirnov(a / a.sum(), b / b.sum()) == pytest.approx(expected)


@given(numbers, numbers)
def test_wasserstein_is_the_area_between_the_distribution_functions(a: Indices, b: Indices) -> None:
    p, q = a / a.sum(), b / b.sum()
    grid = np.linspace(EDGES[0], EDGES[-1], 200_001)
    gap = np.abs(np.interp(grid, EDGES, np.cumsum(p)[:-1]) - np.interp(grid, EDGES, np.cumsum(q)[:-1]))
    area = float(((gap[1:] + gap[:-1]) / 2.0 * np.diff(grid)).sum())
    assert wasserstein(p, q, BINS) == pytest.approx(area / BINS.scale, abs=1e-5)


@given(shares, shares)
def test_each_is_zero_of_equals_symmetric_and_bounded(p: Floats, q: Floats) -> None:
    for measure in SYMMETRIC:
        assert measure(p, p) == pytest.approx(0.0, abs=1e-7)
        assert measure(p, q) == pytest.approx(measure(q, p))
        assert 0.0 <= measure(p, q) <= 1.0 + 1e-9


@given(numbers, numbers)
def test_stability_is_finite_never_negative_and_the_same_for_weighted_rows(a: Indices, b: Indices) -> None:
    value = population_stability(counts(a), counts(b))
    assert 0.0 <= value < 50.0
    cells = np.repeat(np.arange(CELLS), a)
    heavy = Counts.of(cells, CELLS, np.full(len(cells), 17.0), None)
    assert population_stability(heavy, counts(b)) == pytest.approx(value)


def test_stability_is_the_textbook_sum_where_no_cell_is_small() -> None:
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.3, 0.3, 0.4])
    many = [Counts.of(np.repeat(np.arange(3), (1_000_000 * x).astype(int)), 3, None, None) for x in (p, q)]
    assert population_stability(*many) == pytest.approx(float(((p - q) * np.log(p / q)).sum()), rel=1e-4)


def test_categories_have_no_measure_that_needs_an_order() -> None:
    bins = CategoricalBins((b"a", b"b"), (), complete=True)
    some = Counts.of(np.array([0, 1, 1]), bins.size, None, None)
    assert set(measures(bins, some, some)) == {"jensen_shannon", "l_infinity", "hellinger", "psi"}
    assert set(measures(BINS, counts(np.ones(CELLS, np.int64)), counts(np.ones(CELLS, np.int64)))) >= {
        "kolmogorov_smirnov",
        "wasserstein",
    }


def test_a_side_without_values_has_no_distance() -> None:
    assert measures(BINS, Counts.nothing(CELLS), counts(np.ones(CELLS, np.int64))) == {}
