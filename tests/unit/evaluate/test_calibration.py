"""The expected calibration error: as usually defined, without its bias by chance, and with a standard error that is right."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evaluate.calibration import Binning, CalibrationError, calibration_error, calibration_json
from monitor.evaluate.examples import Floats, Outcomes

ROWS = st.lists(st.tuples(st.floats(0.0, 1.0), st.sampled_from([0.0, 1.0]), st.integers(1, 5)), min_size=1, max_size=40)


def error_of(outcomes: Outcomes, bins: int = 15, binning: Binning = Binning.EQUAL_MASS) -> CalibrationError:
    found = calibration_error(outcomes, bins, binning)
    assert found is not None
    return found


def drawn(count: int, random: np.random.Generator, *, off: float = 0.0) -> Outcomes:
    scores = random.uniform(0.1, 0.8, count)
    return Outcomes((random.random(count) < scores + off).astype(np.float64), scores)


def by_loops(scores: Floats, labels: Floats, weights: Floats, bins: int) -> float:
    """Return the textbook's expected calibration error over bins of equal width."""
    total = 0.0
    for number in range(bins):
        inside = [min(int(score * bins), bins - 1) == number for score in scores]
        mass = sum(w for w, there in zip(weights, inside, strict=True) if there)
        if mass:
            gap = sum(w * (y - s) for w, y, s, there in zip(weights, labels, scores, inside, strict=True) if there)
            total += abs(gap)
    return total / float(weights.sum())


@given(ROWS, st.integers(1, 12))
def test_over_equal_widths_it_is_the_textbooks(rows: list[tuple[float, float, int]], bins: int) -> None:
    scores, labels, weights = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    found = error_of(Outcomes(labels, scores, weights), bins, Binning.EQUAL_WIDTH)
    assert found.value == pytest.approx(by_loops(scores, labels, weights, bins), abs=1e-12)
    assert sum(each.share for each in found.bins) == pytest.approx(1.0)
    assert found.worst == pytest.approx(max(abs(each.gap) for each in found.bins))


@given(ROWS, st.integers(1, 12), st.sampled_from(list(Binning)))
def test_a_weight_is_as_many_rows(rows: list[tuple[float, float, int]], bins: int, binning: Binning) -> None:
    scores, labels, weights = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    copies = np.repeat(np.arange(len(rows)), weights.astype(int))
    weighted = error_of(Outcomes(labels, scores, weights), bins, binning)
    copied = error_of(Outcomes(labels[copies], scores[copies]), bins, binning)
    assert weighted.value == pytest.approx(copied.value, abs=1e-12)
    # Copies pass for independent rows.
    assert weighted.standard_error >= copied.standard_error - 1e-12 or weighted.value < copied.by_chance


@pytest.mark.parametrize("binning", list(Binning))
def test_rows_of_one_score_share_a_bin(binning: Binning) -> None:
    scores = np.repeat([0.2, 0.21, 0.9], [50, 30, 20])
    found = error_of(Outcomes(np.zeros(100), scores), 10, binning)
    held = [each.share for each in found.bins]
    assert held == pytest.approx([0.5, 0.3, 0.2] if binning is Binning.EQUAL_MASS else [0.8, 0.2])


def test_bins_of_equal_mass_hold_as_many_rows() -> None:
    scores = np.random.default_rng(1).beta(0.3, 5.0, 10_000)
    found = error_of(Outcomes(np.zeros(10_000), scores), 10)
    assert [each.share for each in found.bins] == pytest.approx([0.1] * 10, abs=0.001)


@pytest.mark.parametrize(("count", "off"), [(500, 0.0), (500, 0.05), (5_000, 0.0), (5_000, 0.1)])
def test_the_bias_by_chance_is_taken_off_and_the_standard_error_is_right(count: int, off: float) -> None:
    random = np.random.default_rng(count)
    found = [error_of(drawn(count, random, off=off)) for _ in range(200)]
    plain, debiased, errors, chance, squared = (
        np.array([getattr(each, name) for each in found])
        for name in ("value", "debiased", "standard_error", "by_chance", "mean_squared")
    )
    assert abs(debiased.mean() - off) < 0.6 * abs(plain.mean() - off) + 0.002
    assert squared.mean() == pytest.approx(off**2, abs=4.0 * squared.std() / len(found) ** 0.5)
    assert errors.mean() == pytest.approx(plain.std(), rel=0.25)
    if off == 0.0:
        assert chance.mean() == pytest.approx(plain.mean(), rel=0.1)


def test_several_classes_are_judged_by_the_one_that_is_predicted() -> None:
    scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    found = error_of(Outcomes(np.array([0.0, 0.0, 2.0]), scores), 1)
    assert found.bins[0].mean_score == pytest.approx((0.7 + 0.8 + 0.4) / 3.0)
    assert found.bins[0].mean_label == pytest.approx(2.0 / 3.0)


def test_rows_without_label_or_score_are_left_out() -> None:
    outcomes = Outcomes(np.array([1.0, np.nan, 1.0, 0.0]), np.array([0.8, 0.5, np.nan, 7.0]))
    assert error_of(outcomes).value == pytest.approx(0.2)


@pytest.mark.parametrize("labels", [[], [np.nan]], ids=["no rows", "no label"])
def test_without_any_labelled_row_there_is_none(labels: list[float]) -> None:
    assert calibration_error(Outcomes(np.array(labels), np.full(len(labels), 0.5))) is None


def test_its_json_holds_the_reliability_curve() -> None:
    document = error_of(Outcomes(np.array([0.0, 1.0]), np.array([0.25, 0.75])), 2).to_json()
    json.dumps(document, allow_nan=False)
    assert document["expected_calibration_error"] == pytest.approx(0.25)
    assert [point["mean_score"] for point in document["bins"]] == [0.25, 0.75]


def test_it_is_told_of_whatever_are_probabilities_beside_labels_that_go_with_them() -> None:
    scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.2, 0.5, 0.3]])
    assert calibration_json(Outcomes(np.array([0.0, 2.0, 2.0]), scores)) is not None
    assert calibration_json(Outcomes(np.array([0.0, 1.0]), np.array([0.2, 0.7]))) is not None
    assert calibration_json(Outcomes(np.array([0.0, 31.0]), np.array([0.2, 0.7]))) is None
    assert calibration_json(Outcomes(np.array([0.0, 1.0]), np.array([0.2, 7.0]))) is None
    assert calibration_json(Outcomes(np.array([0.0, 1.0]), np.array([0.2, np.nan]))) is None
    assert calibration_json(Outcomes(np.zeros(0), np.zeros(0))) is None
