from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from monitor.profile.attributions import AttributionCounts, attribution_summary
from monitor.records import Rows

RANDOM = np.random.default_rng(0)


def _same(one: AttributionCounts, other: AttributionCounts) -> None:
    assert one.names == other.names
    assert one.rows == other.rows
    for a, b in (
        (one.weight, other.weight),
        (one.square_weight, other.square_weight),
        (one.totals, other.totals),
        (one.products, other.products),
    ):
        assert_allclose(a, b)
    assert one.blocks.keys() == other.blocks.keys()
    for number, sums in one.blocks.items():
        assert_allclose(sums, other.blocks[number])


@given(cut=st.integers(0, 60), weighted=st.booleans())
def test_parts_of_disjoint_requests_add_up_to_the_whole(cut: int, weighted: bool) -> None:
    random = np.random.default_rng(1)
    attributions = {name: random.normal(size=60) for name in "ab"}
    clusters = np.arange(60) // 3
    at = cut // 3 * 3
    weights = random.uniform(0.5, 2.0, 60) if weighted else None

    def part(rows: slice) -> AttributionCounts:
        return AttributionCounts.of(
            {name: values[rows] for name, values in attributions.items()},
            weights=None if weights is None else weights[rows],
            clusters=clusters[rows],
            blocks=np.arange(60)[rows] // 20,
        )

    _same(part(slice(0, at)) + part(slice(at, 60)), part(slice(0, 60)))


def test_features_that_one_part_lacks_have_no_attribution_there() -> None:
    both = AttributionCounts.of({"a": np.ones(3)}) + AttributionCounts.of({"b": np.ones(1)})
    assert both.names == ("a", "b")
    assert_allclose(both.shares, [0.75, 0.25])
    assert_allclose(both.products, np.diag([3.0, 1.0]))


def test_standard_errors_are_those_of_repeated_samples() -> None:
    random = np.random.default_rng(2)
    shares, said = [], []
    for _ in range(400):
        counts = AttributionCounts.of({name: random.normal(size=200) * size for name, size in (("a", 1), ("b", 3))})
        shares.append(counts.shares[0])
        said.append(counts.row_variances[0] / counts.effective)
    assert np.mean(said) == pytest.approx(np.var(shares), rel=0.2)


def test_a_row_without_any_attribution_is_left_out_and_a_single_missing_one_is_none() -> None:
    counts = AttributionCounts.of({"a": np.array([1.0, np.nan, np.nan]), "b": np.array([1.0, np.nan, 2.0])})
    assert counts.rows == 2
    assert_allclose(counts.totals, [1.0, 3.0])


def test_it_survives_as_a_document() -> None:
    counts = AttributionCounts.of(
        {name: RANDOM.normal(size=50) for name in "abc"}, weights=RANDOM.uniform(1, 2, 50), blocks=np.arange(50) // 10
    )
    _same(AttributionCounts.from_document(json.loads(json.dumps(counts.to_document()))), counts)


def test_columns_are_known_by_their_prefix_and_lists_are_summed_up() -> None:
    table = pa.table(
        {
            "distance": [1.0, 2.0],
            "attribution.distance": [-3.0, 1.0],
            "attribution.words": pa.array([[1.0, -2.0], None], pa.list_(pa.float64())),
            "attribution.note": ["text", "text"],
        }
    )
    rows = Rows(table, event_times=np.array([0, 3_600_000_000]), clusters=np.array([2**64 - 1, 5], np.uint64))
    counts = attribution_summary(rows, block_length=3_600_000_000)
    assert counts is not None
    assert counts.names == ("distance", "words")
    assert_allclose(counts.totals, [4.0, 1.0])
    assert list(counts.blocks) == [0, 1]


def test_rows_without_attributions_have_no_summary() -> None:
    assert attribution_summary(Rows(pa.table({"distance": [1.0]}))) is None
