from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from monitor.profile.bins import (
    MAX_KNOWN,
    QUANTILE_CELLS,
    CategoricalBins,
    bins_from_document,
    categorical_bins,
    numeric_bins,
    universal_bins,
)
from monitor.profile.document import Floats

VALUES = hnp.arrays(np.float64, st.integers(1, 200), elements=st.floats(allow_nan=False))


@given(values=VALUES, others=VALUES)
@example(values=np.array([0.0, -7e298, *[1.797693134e308] * 3]), others=np.zeros(1))
def test_every_number_falls_into_one_cell_and_the_baselines_own_into_inner_ones(values: Floats, others: Floats) -> None:
    bins = numeric_bins(values, None)
    cells = bins.cells(np.concatenate([values, others]))
    assert cells.min() >= 0
    assert cells.max() < bins.size
    finite = values[np.isfinite(values)]
    if len(finite):
        inner = bins.cells(finite)
        assert inner.min() >= 1
        assert inner.max() <= bins.size - 2
    assert np.isfinite(bins.scores(values)).all()
    assert bins_from_document(json.loads(json.dumps(bins.to_document(), allow_nan=False))) == bins


def test_few_distinct_numbers_get_a_cell_each() -> None:
    values = np.repeat(np.arange(20.0), 5)
    bins = numeric_bins(values, None)
    assert len(set(bins.cells(np.arange(20.0)).tolist())) == 20
    # What lies between two known numbers is none of them.
    assert bins.cells(np.array([3.5]))[0] not in bins.cells(np.array([3.0, 4.0]))


def test_many_distinct_numbers_are_cut_into_even_cells() -> None:
    values = np.random.default_rng(0).normal(size=16_000)
    counts = np.bincount(numeric_bins(values, None).cells(values))
    filled = counts[counts > 0]
    assert len(filled) == QUANTILE_CELLS
    assert filled.min() > 900
    assert filled.max() < 1_100


def test_a_heavy_number_has_a_cell_of_its_own_and_the_rest_is_still_cut() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([np.zeros(5_000), random.exponential(size=5_000)])
    bins = numeric_bins(values, None)
    counts = np.bincount(bins.cells(values), minlength=bins.size)
    assert counts[bins.cells(np.array([0.0]))[0]] == 5_000
    assert (counts > 0).sum() >= 8


def test_weights_move_the_quantiles() -> None:
    values = np.random.default_rng(0).uniform(size=10_000)
    weights = np.where(values < 0.5, 3.0, 1.0)
    bins = numeric_bins(values, weights)
    mass = np.bincount(bins.cells(values), weights)
    assert mass[mass > 0].max() / mass[mass > 0].min() < 1.2


@pytest.mark.parametrize(
    "values",
    [[], [np.inf, -np.inf], [1e308, -1e308], [5.0], [0.0, 5e-324]],
    ids=["none", "only infinities", "the ends of the range", "one", "the smallest step"],
)
def test_odd_columns_have_cells_too(values: list[float]) -> None:
    array = np.array(values, np.float64)
    bins = numeric_bins(array, None)
    assert bins.cells(np.array([-np.inf, 0.0, np.inf])).tolist()[0] == 0
    assert np.isfinite(bins.scores(np.array([-np.inf, 0.0, 1e308, np.inf]))).all()


def test_categories_are_frequent_hashed_or_unseen() -> None:
    values = [b"big", *(b"small%d" % i for i in range(200)), b"\xff\x00"]
    rows = np.array([1_000.0, *[2.0] * 200, 1.0])
    bins = categorical_bins(values, rows, rows)
    assert bins.frequent == (b"big",)
    assert b"\xff\x00" in bins.known
    cells = bins.cells(pa.array([b"big", b"small7", b"\xff\x00", b"new"], pa.binary()))
    assert cells[0] == 0
    assert all(0 < cell < bins.unseen for cell in cells[1:3].tolist())
    assert cells[3] == bins.unseen
    assert bins_from_document(json.loads(json.dumps(bins.to_document()))) == bins


def test_too_many_categories_have_no_unseen_cell() -> None:
    values = [b"%d" % i for i in range(MAX_KNOWN + 1)]
    bins = categorical_bins(values, np.ones(len(values)), np.ones(len(values)))
    assert not bins.complete
    assert bins.cells(pa.array([b"0", b"never"], pa.binary())).tolist() == [0, 0]


def test_universal_cells_spread_what_no_baseline_knows() -> None:
    texts = universal_bins(numeric=False)
    assert isinstance(texts, CategoricalBins)
    assert len(set(texts.cells(pa.array([b"%d" % i for i in range(200)], pa.binary())).tolist())) == 16
    numbers = universal_bins(numeric=True)
    assert not isinstance(numbers, CategoricalBins)
    assert len(set(numbers.cells(np.linspace(0.001, 0.999, 500)).tolist())) >= 20
