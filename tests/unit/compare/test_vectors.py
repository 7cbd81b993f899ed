from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from monitor.compare.calibrated import Test
from monitor.compare.findings import Kind, Outcome
from monitor.compare.vectors import VectorPair, expected_vectors, mean_of, vector_finding, vector_test
from monitor.profile.calendar import calendar_of
from monitor.profile.derived.vector_sums import VectorReference, VectorSums
from monitor.profile.derived.vectors import learn_vectors
from monitor.profile.document import Floats

LEVEL = 1e-3
HOUR = 3_600_000_000


def _reference(features: Floats) -> VectorReference:
    return VectorReference.of(features, None, None, None)


def _test(window: Floats, known: VectorReference, level: float = LEVEL, min_effect: float = 0.0) -> Test:
    sums = VectorSums.of(window, None, None)
    return vector_test(mean_of(sums), mean_of(known.sums), known, level=level, min_effect=min_effect)


def test_it_is_hotellings_test() -> None:
    random = np.random.default_rng(0)
    window, baseline = random.normal(0.1, 1.0, (80, 3)), random.normal(size=(200, 3))
    test = _test(window, replace(_reference(baseline), kurtosis=0.0))
    difference = window.mean(axis=0) - baseline.mean(axis=0)
    squared = difference @ np.linalg.inv(np.cov(baseline.T, bias=True)) @ difference
    h = 80 * 200 / 280
    assert test.value == pytest.approx(np.sqrt(squared))
    assert test.p_value == pytest.approx(stats.f.sf(h * squared * 197 / (3 * 200), 3, 197))
    assert test.threshold == pytest.approx(np.sqrt(stats.f.isf(LEVEL, 3, 197) * 3 * 200 / 197 / h))


def test_the_least_effect_is_a_threshold_too() -> None:
    known = _reference(np.random.default_rng(0).normal(size=(2_000, 3)))
    assert _test(np.random.default_rng(1).normal(size=(2_000, 3)), known, min_effect=0.9).threshold == 0.9


@pytest.mark.parametrize("level", [0.05, 0.01])
def test_windows_of_the_same_vectors_are_called_changed_as_often_as_the_level_says(level: float) -> None:
    random = np.random.default_rng(0)
    mixing = random.normal(size=(16, 16))

    def drawn(rows: int) -> Floats:
        """Make clusters of heavy-tailed, correlated vectors."""
        vectors: Floats = (random.standard_t(4, (rows, 16)) + 3.0 * random.integers(0, 3, (rows, 1))) @ mixing
        return vectors

    baseline = drawn(5_000)
    plan, _ = learn_vectors(pa.array(baseline.tolist()), 16, np.arange(5_000))
    known = _reference(plan.features(baseline))
    called = sum(_test(plan.features(drawn(300)), known).p_value < level for _ in range(400))
    assert stats.binom.cdf(called, 400, level) > 1e-3
    assert stats.binom.sf(called - 1, 400, level) > 1e-3


def _changed(vectors: Floats, how: str) -> Floats:
    random = np.random.default_rng(9)
    if how == "mean":
        direction = random.normal(size=vectors.shape[1])
        return vectors + 0.5 * direction / np.linalg.norm(direction)
    if how == "scale":
        return vectors * 1.15
    moved = random.random(len(vectors)) < 0.1
    return np.where(moved[:, None], vectors * 0.3 + 2.0, vectors)


@pytest.mark.parametrize("how", ["mean", "scale", "mixture"])
def test_changes_of_the_mean_and_of_the_shape_are_seen(how: str) -> None:
    random = np.random.default_rng(0)
    baseline = random.normal(size=(5_000, 32))
    plan, _ = learn_vectors(pa.array(baseline.tolist()), 32, np.arange(5_000))
    known = _reference(plan.features(baseline))
    window = random.normal(size=(1_000, 32))
    assert _test(plan.features(window), known, 1e-5).p_value > 1e-3
    test = _test(plan.features(_changed(window, how)), known, 1e-5, min_effect=0.2)
    assert test.value > test.threshold
    assert test.p_value < 1e-5


def test_few_rows_are_no_evidence_and_it_says_how_many_would_be() -> None:
    random = np.random.default_rng(0)
    known = _reference(random.normal(size=(5_000, 32)))
    few = _test(random.normal(size=(20, 32)), known)
    assert few.needed is not None
    assert 20 < few.needed < 100
    assert _test(random.normal(size=(few.needed, 32)), known).needed is None
    assert _test(random.normal(size=(300, 32)), _reference(random.normal(size=(12, 32)))).needed == 0


@pytest.mark.parametrize("rows", [0, 3, 1_000], ids="{} rows".format)
def test_a_reference_of_constants_or_of_nothing_shows_no_change(rows: int) -> None:
    test = _test(np.ones((100, 4)), _reference(np.ones((rows, 4))))
    assert test.value == 0.0
    assert test.needed == 0


def test_a_window_of_nothing_is_no_evidence() -> None:
    known = _reference(np.random.default_rng(0).normal(size=(100, 3)))
    test = _test(np.zeros((0, 3)), known)
    assert test.needed is not None
    assert test.value < test.threshold


def _in_time(
    hours: int, by_hour: float, between: float, seed: int
) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Make 40 rows an hour whose mean moves with the hour of day, and from hour to hour by chance."""
    random = np.random.default_rng(seed)
    at = np.repeat(np.arange(hours), 40)
    moved = by_hour * np.sin(at * np.pi / 12.0)[:, None] + np.repeat(
        random.normal(0.0, between, (hours, 6)), 40, axis=0
    )
    return random.normal(size=(len(at), 6)) + moved, at * HOUR


def test_what_blocks_of_time_vary_by_themselves_is_no_change() -> None:
    baseline, times = _in_time(hours=72, by_hour=0.0, between=0.5, seed=0)
    calendar, blocks = calendar_of(times, HOUR, None) or (None, None)
    known = VectorReference.of(baseline, None, None, blocks)
    mean, variation = expected_vectors(known, calendar, (None, None), (1.0, 72.0), training=True)
    blind = called = 0
    for seed in range(1, 101):
        window = mean_of(VectorSums.of(_in_time(1, 0.0, 0.5, seed)[0], None, None))
        blind += vector_test(window, mean, known, level=0.01, min_effect=0.0).p_value < 0.01
        called += vector_test(window, mean, known, level=0.01, min_effect=0.0, variation=variation).p_value < 0.01
    assert blind > 60
    assert called <= 5
    shifted = mean_of(VectorSums.of(_in_time(1, 0.0, 0.5, 1)[0] + 4.0, None, None))
    assert vector_test(shifted, mean, known, level=1e-4, min_effect=0.2, variation=variation).p_value < 1e-4


def test_a_window_is_compared_with_its_own_season() -> None:
    baseline, times = _in_time(hours=24 * 8, by_hour=1.0, between=0.0, seed=0)
    calendar, blocks = calendar_of(times, HOUR, None) or (None, None)
    assert calendar is not None
    known = VectorReference.of(baseline, None, None, blocks)
    night = (times // HOUR % 24) == 6
    window = mean_of(VectorSums.of(baseline[night][:40], None, None))
    whole, _ = expected_vectors(known, calendar, (None, None), (1.0, 192.0), training=True)
    own, variation = expected_vectors(known, calendar, (np.eye(24)[6], None), (1.0, 192.0), training=True)
    assert own[1] == pytest.approx(320.0)
    assert vector_test(window, whole, known, level=LEVEL, min_effect=0.0).p_value < 1e-6
    assert vector_test(window, own, known, level=LEVEL, min_effect=0.0, variation=variation).p_value > 0.01


def test_without_blocks_a_baseline_is_taken_as_a_whole() -> None:
    known = _reference(np.random.default_rng(0).normal(size=(100, 3)))
    mean, variation = expected_vectors(known, None, (None, None), (1.0, 1.0), training=True)
    assert variation is None
    assert mean[0].tolist() == known.sums.means.tolist()


def _pair(window: Floats, known: VectorReference, earlier: Floats | None = None) -> VectorPair:
    past = None if earlier is None else VectorSums.of(earlier, None, None)
    now = VectorSums.of(window, None, None)
    return VectorPair("embedding", Kind.SKEW, "training", now, past, known, None, (None, None), (1.0, 1.0), 0.1)


def test_a_comparison_is_a_finding() -> None:
    random = np.random.default_rng(0)
    moved = np.array([0.5, 0.0, 0.0, 0.0])
    baseline, window = random.normal(size=(2_000, 4)), random.normal(moved, 1.0, (500, 4))
    known = _reference(baseline)
    finding = vector_finding(_pair(window, known), LEVEL)
    assert finding.flagged
    assert (finding.measure, finding.outcome, finding.reason) == ("vector_distance", Outcome.JUDGED, None)
    assert (
        finding.explanation
        == f"embedding: the vectors' mean and shape moved by {finding.value:.2f} standard deviations"
    )
    # The window before had moved too.
    same = vector_finding(_pair(window, known, earlier=random.normal(moved, 1.0, (500, 4))), LEVEL)
    assert not same.flagged
    assert same.value is not None
    assert same.threshold is not None
    assert same.value < same.threshold


@pytest.mark.parametrize(
    ("window", "baseline", "reason"),
    [(5, 500, "5 effective, a large change shows from about"), (500, 12, "the reference's 12 effective rows")],
)
def test_too_few_rows_are_a_reason_and_no_flag(window: int, baseline: int, reason: str) -> None:
    random = np.random.default_rng(0)
    known = _reference(random.normal(size=(baseline, 16)))
    finding = vector_finding(_pair(random.normal(size=(window, 16)) + 9.0, known), LEVEL)
    assert not finding.flagged
    assert (finding.outcome, finding.threshold) == (Outcome.INSUFFICIENT, None)
    assert reason in (finding.reason or "")
