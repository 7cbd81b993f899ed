from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.compare.breaks.columns_of import numbers, pair

SAMPLES = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=60)


@given(SAMPLES, SAMPLES)
@settings(max_examples=60, deadline=None)
def test_the_gap_is_never_more_than_the_distance_of_the_samples(a: list[float], b: list[float]) -> None:
    now, before = pair(np.array(b), np.array(a))
    points = np.union1d(a, b)
    below = [np.searchsorted(np.sort(each), points, side="right") / len(each) for each in (a, b)]
    assert now.envelope.gap(before.envelope) <= np.abs(below[0] - below[1]).max() + 1e-12
    assert now.envelope.gap(now.envelope) <= 1e-12


@given(SAMPLES)
@settings(max_examples=60, deadline=None)
def test_a_mirrored_envelope_holds_the_negated_values(values: list[float]) -> None:
    column = numbers(np.array(values))
    negated = numbers(-np.array(values))
    assert column.envelope.mirrored().gap(negated.envelope) <= 1e-12
    twice = column.envelope.mirrored().mirrored()
    assert twice.gap(column.envelope) <= 1e-12


@given(st.lists(st.integers(0, 23).map(float), min_size=1, max_size=60), st.integers(1, 23))
@settings(max_examples=60, deadline=None)
def test_a_rotated_envelope_holds_the_rotated_values(values: list[float], by: int) -> None:
    column = numbers(np.array(values))
    rotated = numbers((np.array(values) + by) % 24.0)
    assert column.envelope.rotated(float(by), 24.0).gap(rotated.envelope) <= 1e-12


def test_a_shift_by_half_a_deviation_leaves_most_of_its_gap() -> None:
    values = np.random.default_rng(1).normal(size=4_000)
    now, before = pair(values, values + 0.5)
    assert 0.15 < now.envelope.gap(before.envelope) <= 0.2
    assert now.envelope.apart(before.envelope) > 0.1


def test_the_estimate_of_a_column_with_zeros_is_finite() -> None:
    values = np.random.default_rng(3).poisson(3.0, 500).astype(float)
    now, before = pair(values, values * 1_000.0)
    assert now.envelope.apart(before.envelope) > 0.1
    assert now.envelope.apart(before.envelope.mapped(lambda v: v * 1_000.0)) < 0.1


def test_a_gap_in_a_tail_strains_more_than_one_in_the_middle() -> None:
    values = np.arange(1_000.0, 2_000.0)
    tail, before = pair(values, np.where(values < 1_030.0, 1.0, values))
    assert tail.envelope.gap(before.envelope) == pytest.approx(0.03)
    assert tail.envelope.strain(before.envelope) > 0.1
    middle, _ = pair(values, np.where(values < 1_530.0, values - 30.0, values))
    gap = middle.envelope.gap(before.envelope)
    assert gap <= middle.envelope.strain(before.envelope) <= 5.0 * gap


@pytest.mark.parametrize(("factor", "rounding"), [(1.0 + 5e-8, 0.0), (1.0, 0.5)], ids=["single precision", "rounding"])
def test_values_that_are_nearly_equal_count_as_equal(factor: float, rounding: float) -> None:
    values = np.random.default_rng(2).integers(1, 9, 500).astype(float)
    now, before = pair(values, values * factor + rounding)
    assert now.envelope.gap(before.envelope, rounding) <= 1e-12
