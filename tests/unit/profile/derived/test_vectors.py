from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from monitor.profile.calendar import BlockNumbers
from monitor.profile.derived.vector_sums import VectorReference, VectorSums
from monitor.profile.derived.vectors import FREQUENCIES, PROJECTIONS, VectorPlan, learn_vectors
from monitor.profile.document import Floats

PINNED = [-0.006841691958251495, 0.32715812233049624, -0.9724566004502944, 0.9370915736597826]


def _lists(vectors: Floats) -> pa.Array:
    return pa.array(vectors.tolist(), pa.list_(pa.float64()))


def _drawn(rows: int, size: int, centre: float = 1.0, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(centre, 1.0, (rows, size))


def _plan(vectors: Floats) -> VectorPlan:
    return learn_vectors(_lists(vectors), vectors.shape[1], np.arange(len(vectors)))[0]


def test_norm_and_cosine_are_those_of_the_vectors() -> None:
    vectors = _drawn(500, 8)
    derived = _plan(vectors).derive(_lists(vectors))
    centroid = vectors.mean(axis=0)
    norms = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(derived["norm"].to_numpy(), norms)
    np.testing.assert_allclose(
        derived["centroid_cosine"].to_numpy(), vectors @ centroid / norms / np.linalg.norm(centroid)
    )


def test_a_baselines_own_cosines_are_with_the_centroid_of_the_other_units() -> None:
    vectors = _drawn(300, 8)
    units = np.repeat(np.arange(100), 3)
    _, own = learn_vectors(_lists(vectors), 8, units)
    for row in (0, 151, 299):
        others = vectors[units != units[row]].mean(axis=0)
        cosine = vectors[row] @ others / np.linalg.norm(vectors[row]) / np.linalg.norm(others)
        assert own["centroid_cosine"][row].as_py() == pytest.approx(cosine)


def test_without_a_clear_centroid_there_is_no_cosine() -> None:
    """Around the origin a row of the baseline would lie closer to the centroid than a fresh one, by its own part in it."""
    plan, own = learn_vectors(_lists(_drawn(300, 64, centre=0.0)), 64, np.arange(300))
    assert plan.columns == ("norm", "direction1", "direction2", "direction3")
    assert tuple(own) == plan.columns


def test_vectors_that_cannot_be_used_are_missing() -> None:
    plan = _plan(_drawn(100, 3))
    column = pa.array(
        [[1.0, 2.0, 2.0], [1.0, 2.0], [], None, [1.0, None, 2.0], [1.0, float("inf"), 0.0], [1e308, 0.0, 0.0]],
        pa.list_(pa.float64()),
    )
    derived = plan.derive(column)
    assert derived["norm"].to_pylist() == [3.0, None, None, None, None, None, 1e100]
    features, rows = plan.features_of(column)
    assert rows.tolist() == [True, False, False, False, False, False, True]
    assert np.isfinite(features).all()


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float64(), 3), pa.list_(pa.int64()), pa.large_list(pa.float32())], ids=str
)
def test_other_lists_of_numbers_are_vectors_too(kind: pa.DataType) -> None:
    plan = _plan(_drawn(100, 3))
    assert plan.derive(pa.array([[1, 2, 2], None], kind))["norm"].to_pylist() == [3.0, None]


@pytest.mark.parametrize(("size", "features"), [(8, 8), (64, 64), (200, PROJECTIONS)])
def test_features_are_bounded_and_of_a_bounded_number(size: int, features: int) -> None:
    vectors = _drawn(50, size)
    vectors[0] *= 1e60
    made = _plan(vectors).features(vectors)
    assert made.shape == (50, features + 2 * FREQUENCIES)
    assert np.abs(made).max() <= 1.0


def test_the_mean_of_the_fourier_features_is_that_of_a_gaussian_kernel() -> None:
    """Rahimi and Recht: the inner product of the features estimates the kernel, with an error of about 1 / sqrt(16)."""
    vectors = _drawn(200, 4)
    plan = _plan(vectors)
    fourier = plan.features(vectors)[:, 4:]
    z = (vectors - plan.centre) / plan.scale
    squared = ((z[:, None, :] - z[None, :, :]) ** 2).sum(axis=2)
    kernel = np.exp(-squared / (2.0 * plan.bandwidth**2))
    assert np.abs(fourier @ fourier.T / FREQUENCIES - kernel).mean() < 0.15


def test_random_numbers_never_change() -> None:
    """A baseline of today is compared with windows of next year."""
    plan = VectorPlan(70, None, np.zeros(64), np.ones(64), 1.0)
    made = plan.features(np.ones((1, 70)))[0]
    np.testing.assert_allclose(made[[0, 63, 64, 95]], PINNED, rtol=1e-12)


@pytest.mark.parametrize(
    "vectors", [np.ones((20, 3)), np.zeros((20, 3)), np.zeros((1, 3)), np.zeros((0, 3))], ids=lambda v: str(v.shape)
)
def test_constant_few_and_no_vectors_make_a_plan_too(vectors: Floats) -> None:
    plan = _plan(vectors)
    assert np.isfinite(plan.features(vectors)).all()
    assert VectorPlan.from_document(json.loads(json.dumps(plan.to_document(), allow_nan=False))) == plan


def test_sums_of_disjoint_clusters_add_up() -> None:
    features = _drawn(200, 5)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, 200)
    clusters = np.repeat(np.arange(50), 4)
    whole = VectorSums.of(features, weights, clusters)
    parts = [VectorSums.of(features[i], weights[i], clusters[i]) for i in (slice(0, 100), slice(100, 200))]
    added = parts[0] + parts[1]
    np.testing.assert_allclose(added.means, whole.means)
    assert added.effective == pytest.approx(whole.effective)
    assert VectorSums.from_document(json.loads(json.dumps(whole.to_document(), allow_nan=False))) == whole


def test_rows_of_one_request_count_as_one_where_they_are_alike() -> None:
    features = np.repeat(_drawn(100, 5), 4, axis=0)
    clusters = np.repeat(np.arange(100), 4)
    assert VectorSums.of(features, None, None).effective == 400.0
    assert VectorSums.of(features, None, clusters).effective == pytest.approx(100.0, rel=0.05)
    independent = VectorSums.of(_drawn(400, 5), None, clusters).effective
    assert 300.0 < independent <= 400.0


def test_no_rows_have_sums_too() -> None:
    empty = VectorSums.of(np.zeros((0, 5)), None, None)
    assert empty.effective == 0.0
    assert empty.means.tolist() == [0.0] * 5


def test_directions_of_little_variance_or_too_few_rows_are_left_out() -> None:
    features = _drawn(200, 4) * np.array([1.0, 1.0, 0.01, 1.0])
    assert VectorReference.of(features, None, None, None).scaling.shape == (4, 3)
    assert VectorReference.of(features[:10], None, None, None).scaling.shape == (4, 2)
    assert VectorReference.of(features[:0], None, None, None).scaling.shape == (4, 0)


def test_a_reference_keeps_scaling_blocks_and_seasons() -> None:
    features = _drawn(60, 4)
    numbers = np.arange(60) % 6
    blocks = BlockNumbers(numbers, 5, 6, numbers % 2, 2)
    reference = VectorReference.of(features, None, None, blocks)
    scaled = (features - features.mean(axis=0)) @ reference.scaling
    np.testing.assert_allclose(np.cov(scaled.T, bias=True), np.eye(4), atol=1e-12)
    assert reference.kurtosis == pytest.approx(((scaled**2).sum(axis=1) ** 2).mean() - 24.0)
    assert reference.blocks is not None
    assert reference.seasons is not None
    assert reference.blocks.shape == (5, 5)
    np.testing.assert_allclose(reference.blocks[2], [10.0, *features[numbers == 2].sum(axis=0)])
    np.testing.assert_allclose(reference.seasons.sum(axis=0), [60.0, *features.sum(axis=0)])
    assert VectorReference.from_document(json.loads(json.dumps(reference.to_document(), allow_nan=False))) == reference
