"""Rounding is Python's, which TFDV uses, though it is done by the column."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.compare.row_skew.rounding import as_compared, round_decimals

ANY = st.floats(allow_nan=False)
NEAR_TIES = st.builds(
    lambda whole, digits: (2 * whole + 1) / (2 * 10**digits), st.integers(-10_000, 10_000), st.integers(0, 6)
)


@given(st.lists(ANY | NEAR_TIES, min_size=1), st.integers(0, 30))
def test_rounding_is_that_of_python(values: list[float], digits: int) -> None:
    wanted = [round(value, digits) if math.isfinite(value) else value for value in values]
    assert round_decimals(np.array(values), digits).tolist() == wanted


def test_numpy_would_round_a_tie_the_other_way() -> None:
    assert round_decimals(np.array([2.675, 1.005, 0.5, 1.5]), 2).tolist() == [2.67, 1.0, 0.5, 1.5]


def test_whole_numbers_keep_all_their_digits_and_others_those_of_a_tf_example() -> None:
    compared = as_compared(np.array([20_130_101_001.0, 0.1, np.inf]), None)
    assert compared.tolist() == [20_130_101_001.0, float(np.float32(0.1)), np.inf]
