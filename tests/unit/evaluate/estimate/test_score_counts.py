"""Counts of labelled rows by score: they add up, survive JSON, and leave out what is no score or no label."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from monitor.evaluate.estimate.recent import FEWEST, MOST_LABELS, SINGLE, with_newest
from monitor.evaluate.estimate.score_counts import (
    CELLS,
    POSITIVE,
    SQUARE,
    WEIGHT,
    ScoreCounts,
    log_odds,
    stacked,
)
from monitor.evaluate.examples import Outcomes

ROWS = st.lists(
    st.tuples(st.floats(0.0, 1.0), st.sampled_from([0.0, 1.0]), st.floats(0.1, 9.0)), min_size=1, max_size=30
)


def of(rows: list[tuple[float, float, float]]) -> Outcomes:
    scores, labels, weights = (np.array(column) for column in zip(*rows, strict=True))
    return Outcomes(labels, scores, weights)


@given(ROWS, ROWS)
def test_counts_of_two_windows_add_up_to_those_of_both(
    first: list[tuple[float, float, float]], second: list[tuple[float, float, float]]
) -> None:
    together = ScoreCounts.of(of([*first, *second]))
    assert_allclose((ScoreCounts.of(of(first)) + ScoreCounts.of(of(second))).sums, together.sums, atol=1e-9)


@given(ROWS)
def test_they_come_back_from_json_exactly(rows: list[tuple[float, float, float]]) -> None:
    counts = stacked([ScoreCounts.of(of(rows)), ScoreCounts.of(of(rows[:1]))])
    read = ScoreCounts.from_document(json.loads(json.dumps(counts.to_document())))
    assert np.array_equal(read.sums, counts.sums)


def test_rows_without_a_valid_score_or_a_label_are_left_out() -> None:
    scores = np.array([0.5, np.nan, 1.5, -0.1, np.inf, 0.5])
    labels = np.array([1.0, 1.0, 1.0, 1.0, 1.0, np.nan])
    counts = ScoreCounts.of(Outcomes(labels, scores))
    assert counts.sums[0, :, WEIGHT].sum() == 1.0
    assert counts.sums[0, :, POSITIVE].sum() == 1.0


def test_scores_of_exactly_0_and_1_have_a_cell() -> None:
    counts = ScoreCounts.of(Outcomes(np.array([0.0, 1.0]), np.array([0.0, 1.0])))
    assert counts.sums[0, [0, CELLS - 1], WEIGHT].tolist() == [1.0, 1.0]
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()


def test_weights_count_for_their_number_of_independent_rows() -> None:
    counts = ScoreCounts.of(Outcomes(np.ones(3), np.full(3, 0.5), np.array([1.0, 1.0, 2.0])))
    assert counts.sums[0, :, SQUARE].sum() == 6.0
    assert counts.effective == pytest.approx(16.0 / 6.0)


def labelled(rows: int) -> ScoreCounts:
    return ScoreCounts.of(Outcomes(np.ones(rows), np.full(rows, 0.5)))


def test_small_windows_are_joined_and_old_ones_forgotten() -> None:
    blocks: tuple[ScoreCounts, ...] = ()
    for _ in range(2_000):
        blocks = with_newest(blocks, labelled(100))
    assert len(blocks) <= 70
    assert [block.effective for block in blocks[-SINGLE:]] == pytest.approx([100.0] * SINGLE)
    assert MOST_LABELS <= sum(block.effective for block in blocks) <= 1.1 * MOST_LABELS


def test_ten_windows_are_kept_however_large_they_are() -> None:
    blocks: tuple[ScoreCounts, ...] = ()
    for _ in range(15):
        blocks = with_newest(blocks, labelled(2 * MOST_LABELS))
    assert len(blocks) == FEWEST
