from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from monitor.compare.calibrated import (
    corrected_level,
    excess_test,
    location_test,
    rate_test,
    shares_test,
)
from monitor.compare.variation import Variation
from monitor.profile.counts import Counts, Location

LEVEL = 1e-4


def _counts(*sums: float) -> Counts:
    array = np.array(sums, np.float64)
    return Counts(array, array, array, float(array.sum()))


def test_without_joined_cells_it_is_pearsons_chi_square() -> None:
    now, before = [300, 420, 280], [600, 600, 800]
    expected = stats.chi2_contingency(np.array([now, before]), correction=False)
    test = shares_test(_counts(*now), _counts(*before), level=LEVEL, min_effect=0.0)
    h = 1_000 * 2_000 / 3_000
    assert test.p_value == pytest.approx(expected.pvalue)
    assert test.value == pytest.approx(np.sqrt(expected.statistic / h))
    assert test.threshold == pytest.approx(np.sqrt(stats.chi2.isf(LEVEL, 2) / h))


@pytest.mark.parametrize(
    ("now", "significant"),
    [((500, 500), False), ((560, 440), False), ((700, 300), True)],
    ids=["nothing moved", "less than chance moves", "20 points moved"],
)
def test_value_above_threshold_means_p_below_level(now: tuple[float, float], significant: bool) -> None:
    test = shares_test(_counts(*now), _counts(5_000, 5_000), level=LEVEL, min_effect=0.0)
    assert (test.value > test.threshold) is significant
    assert (test.p_value < LEVEL) is significant


def test_the_least_effect_is_the_threshold_of_big_samples() -> None:
    test = shares_test(_counts(510_000, 490_000), _counts(500_000, 500_000), level=LEVEL, min_effect=0.1)
    assert test.p_value < 1e-10
    assert test.threshold == 0.1
    assert test.value < test.threshold


@pytest.mark.parametrize(
    ("rows", "reference", "lacking"),
    [(300, 10_000, False), (300, 300, False), (60, 10_000, True), (10_000, 30, True)],
    ids=["300 rows", "300 rows on both sides", "60 rows", "a reference of 30 rows"],
)
def test_evidence_is_lacking_where_a_large_effect_would_not_show(rows: int, reference: int, lacking: bool) -> None:
    # Twenty features against two references, four comparisons each.
    level = corrected_level(0.01, 160)
    cells = np.full(16, 1.0 / 16)
    test = shares_test(_counts(*cells * rows), _counts(*cells * reference), level=level, min_effect=0.1)
    assert (test.needed is not None) is lacking
    if test.needed:
        assert test.needed > rows
    if reference < 100:
        assert test.needed == 0


@pytest.mark.parametrize(
    ("now", "before"),
    [((3, 100), (0, 80_000)), ((0, 5_000), (40, 5_000)), ((30, 1_000), (5, 1_000)), ((990, 1_000), (900, 1_000))],
    ids=["three of a hundred where none was", "none where some were", "six times as many", "nearly all"],
)
def test_rates_agree_with_fisher(now: tuple[int, int], before: tuple[int, int]) -> None:
    (x, n), (y, big) = now, before
    table = [[x, n - x], [y, big - y]]
    fisher = float(stats.fisher_exact(table).pvalue)
    test = rate_test((x / n, n), (y / big, big), level=LEVEL, min_effect=0.0)
    assert test.p_value >= fisher / 2.0
    assert np.log10(test.p_value) == pytest.approx(np.log10(fisher), abs=1.0)
    assert (test.value > test.threshold) == (test.p_value <= LEVEL)


def test_fewer_than_expected_is_no_excess() -> None:
    assert excess_test((0.0, 5_000.0), (0.2, 5_000.0), level=LEVEL, min_effect=0.01).p_value == 1.0
    more = excess_test((0.3, 5_000.0), (0.2, 5_000.0), level=LEVEL, min_effect=0.01)
    assert more.value == pytest.approx(0.1)
    assert more.value > more.threshold


def test_location_is_welchs_t() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(0.1, 1.0, 500), random.normal(0.0, 2.0, 900)
    expected = stats.ttest_ind(a, b, equal_var=False)
    rows = (500.0, 900.0)
    test = location_test(Location.of(a, None, None), Location.of(b, None, None), level=LEVEL, min_effect=0.0, rows=rows)
    assert test.p_value == pytest.approx(expected.pvalue, rel=0.02)


def test_a_constant_column_has_no_location_to_compare() -> None:
    same = Location.of(np.zeros(50), None, None)
    test = location_test(same, same, level=LEVEL, min_effect=0.2, rows=(50.0, 50.0))
    assert (test.value, test.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("concentration", [5.0, 50.0], ids=["days differ much", "days differ little"])
def test_a_day_like_the_references_own_days_is_rarely_flagged(concentration: float) -> None:
    random = np.random.default_rng(int(concentration))
    level, flagged, naive = 0.01, 0, 0
    for _ in range(200):
        days = random.dirichlet(np.full(6, concentration), 41)
        counts = np.array([random.multinomial(500, day) for day in days], np.float64)
        whole, day = _counts(*counts[:40].sum(axis=0)), _counts(*counts[40])
        variation = Variation.around(counts[:40], whole.sums)
        test = shares_test(day, whole, level=level, min_effect=0.0, variation=variation)
        flagged += test.value > test.threshold
        plain = shares_test(day, whole, level=level, min_effect=0.0)
        naive += plain.value > plain.threshold
    # At level 0.01, nine or more of 200 have probability 0.0004; counting rows alone flags many.
    assert flagged <= 8
    assert naive > 40


def test_a_day_far_from_all_other_days_is_flagged_in_spite_of_their_variation() -> None:
    random = np.random.default_rng(2)
    counts = np.array([random.multinomial(500, d) for d in random.dirichlet(np.full(6, 20.0), 40)], np.float64)
    whole = _counts(*counts.sum(axis=0))
    variation = Variation.around(counts, whole.sums)
    test = shares_test(_counts(480, 4, 4, 4, 4, 4), whole, level=LEVEL, min_effect=0.1, variation=variation)
    assert test.value > test.threshold
    assert test.p_value < LEVEL


def test_means_of_blocks_widen_the_test_of_location() -> None:
    random = np.random.default_rng(2)
    means = random.normal(0.0, 1.0, 40)
    values = random.normal(means[:, None], 1.0, (40, 100))
    blocks = np.stack([np.full(40, 100.0), values.sum(axis=1)], axis=1)
    reference = Location.of(values.ravel(), None, None)
    expected = np.full((40, 1), values.mean())
    none = np.zeros(0, np.int64)
    variation = Variation(blocks, expected, np.full(40, 1.0 / 40), np.full(40, 4_000.0), none, 1.0, 40.0)

    def judged(mean: float) -> tuple[bool, bool]:
        now = Location.of(random.normal(mean, 1.0, 100), None, None)
        rows = (100.0, 4_000.0)
        wide = location_test(now, reference, level=LEVEL, min_effect=0.0, rows=rows, variation=variation)
        narrow = location_test(now, reference, level=LEVEL, min_effect=0.0, rows=rows)
        return wide.value > wide.threshold, narrow.value > narrow.threshold

    assert judged(1.5) == (False, True)
    assert judged(8.0) == (True, True)
