from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monitor.profile.document import Floats
from monitor.profile.joint.association import change, cramers_v, raked

N = np.array([1_000.0])
BIG = np.array([50_000.0])

STRONG = np.array([[0.20, 0.04, 0.01], [0.05, 0.20, 0.05], [0.05, 0.10, 0.30]])


def _table(shares: Floats, rows: float) -> Floats:
    table: Floats = shares[None] / shares.sum() * rows
    return table


def _odds(table: Floats) -> Floats:
    ratios: Floats = table[:-1, :-1] * table[1:, 1:] / (table[:-1, 1:] * table[1:, :-1])
    return ratios


def test_raking_gives_the_margins_and_keeps_the_odds_ratios() -> None:
    rows, columns = np.array([[0.6, 0.3, 0.1]]), np.array([[0.2, 0.2, 0.6]])
    fitted = raked(_table(STRONG, 1.0), rows, columns)
    np.testing.assert_allclose(fitted.sum(axis=2), rows, atol=1e-12)
    np.testing.assert_allclose(fitted.sum(axis=1), columns, atol=1e-12)
    np.testing.assert_allclose(_odds(fitted[0]), _odds(STRONG), rtol=1e-8)


def test_raking_converges_where_one_column_nearly_follows_from_the_other() -> None:
    nearly = np.array([[18_705, 1e-3, 0, 0], [1_386, 20_078, 1e-3, 0], [0, 1e-3, 20_301, 2_406], [0, 0, 1e-3, 17_913]])
    drawn = np.random.default_rng(0).multinomial(300, (nearly / nearly.sum()).ravel()).reshape(1, 4, 4) / 300.0
    fitted = raked(_table(nearly, 1.0), drawn.sum(axis=2), drawn.sum(axis=1))
    np.testing.assert_allclose(fitted, drawn, atol=1e-6)


def test_a_table_without_chance_left_has_no_change() -> None:
    drawn = np.diag([90.0, 110.0, 100.0])[None]
    found = change(drawn, 9_000.0 * np.eye(3)[None], np.array([300.0]), np.array([27_000.0]))
    assert found.squared[0] < 1e-6
    assert found.now[0] == pytest.approx(1.0)


@given(st.lists(st.floats(0.3, 3.0), min_size=3, max_size=3), st.lists(st.floats(0.3, 3.0), min_size=3, max_size=3))
def test_other_margins_are_no_change_of_dependence(down: list[float], across: list[float]) -> None:
    other = STRONG * np.array(down)[:, None] * np.array(across)
    found = change(_table(other, 1e6), _table(STRONG, 1e6), np.array([1e6]), np.array([1e6]))
    assert found.squared[0] < 1e-6


def test_independent_rows_lose_all_of_cramers_v() -> None:
    independent = STRONG.sum(axis=1)[:, None] * STRONG.sum(axis=0)
    found = change(_table(independent, 1_000.0), _table(STRONG, 50_000.0), N, BIG)
    lost = np.sqrt(found.squared[0] / found.scale[0])
    assert lost == pytest.approx(cramers_v(_table(STRONG, 1.0))[0], rel=1e-3)
    assert found.before[0] == pytest.approx(lost, rel=1e-3)
    assert found.now[0] == pytest.approx(0.0, abs=1e-9)


def test_a_turned_dependence_counts_twice() -> None:
    table = np.array([[0.35, 0.15], [0.15, 0.35]])
    found = change(_table(table[:, ::-1], 1_000.0), _table(table, 50_000.0), N, BIG)
    assert found.now[0] == pytest.approx(found.before[0])
    assert np.sqrt(found.squared[0]) == pytest.approx(2.0 * found.before[0], rel=1e-3)


def test_of_independent_columns_it_is_pearsons_statistic() -> None:
    rng = np.random.default_rng(3)
    drawn = rng.multinomial(2_000, np.full(12, 1 / 12)).reshape(3, 4).astype(np.float64)
    square = np.zeros((1, 4, 4))
    square[0, :3] = drawn
    flat = np.zeros((1, 4, 4))
    flat[0, :3] = 1e9
    found = change(square, flat, np.array([2_000.0]), np.array([12e9]))
    expected = stats.chi2_contingency(drawn, correction=False)
    assert 2_000 * found.squared[0] == pytest.approx(expected.statistic, rel=1e-6)
    assert found.trace[0] == pytest.approx(expected.dof)
    assert found.largest[0] == pytest.approx(1.0)
    assert found.now[0] == pytest.approx(stats.contingency.association(drawn.astype(int), method="cramer"))


def test_the_weights_are_those_of_the_squared_change() -> None:
    rng = np.random.default_rng(5)
    drawn = rng.multinomial(500, STRONG.ravel() / STRONG.sum(), 4_000).reshape(-1, 3, 3).astype(np.float64)
    count = len(drawn)
    found = change(drawn, np.repeat(_table(STRONG, 1e8), count, axis=0), np.full(count, 500.0), np.full(count, 1e8))
    scaled = 500 * found.squared
    assert scaled.mean() == pytest.approx(found.trace.mean(), rel=0.05)
    assert scaled.var() == pytest.approx(2.0 * found.trace_squares.mean(), rel=0.15)
    assert (found.largest * found.trace >= found.trace_squares - 1e-12).all()


def test_groups_too_small_to_judge_are_joined_with_their_neighbours() -> None:
    shares = np.array([[0.30, 0.15, 0.02], [0.15, 0.30, 0.02], [0.03, 0.02, 0.01]])
    found = change(_table(shares, 100.0), _table(shares, 50_000.0), np.array([100.0]), BIG)
    assert found.seen.shape == (1, 2, 2)
    assert found.scale[0] == 1.0
    assert found.rows[0].tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]


@pytest.mark.parametrize("rows", [0.0, 5.0], ids=["no rows", "five rows"])
def test_next_to_nothing_leaves_nothing_to_compare(rows: float) -> None:
    found = change(_table(STRONG, rows), _table(STRONG, 50_000.0), np.array([rows]), BIG)
    assert found.scale[0] == 0.0
    assert found.squared[0] == pytest.approx(0.0, abs=1e-12)
