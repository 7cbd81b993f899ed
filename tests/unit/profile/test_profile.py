from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import statistics_pb2

from monitor.errors import InputError
from monitor.profile import tfdv
from monitor.profile.baseline import Baseline, create_baseline
from monitor.profile.calendar import calendar_of
from monitor.profile.columns import Column
from monitor.profile.counts import Counts, Indices
from monitor.profile.document import Floats
from monitor.profile.features import FeatureCounts
from monitor.profile.layout import Layout, count_feature
from monitor.profile.moments import moments_of
from monitor.profile.profile import Profile, build_profile
from monitor.records import Misfits, Rows

DAY = 86_400_000_000


def _table(n: int, seed: int = 0) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "number": np.where(random.random(n) < 0.1, np.nan, random.normal(size=n)),
            "whole": pa.array([None if v == 3 else int(v) for v in random.integers(0, 40, n)], pa.int64()),
            "text": pa.array([None if v == 5 else f"value {v}" for v in random.zipf(1.5, n)], pa.string()),
            "raw": pa.array([bytes([v]) for v in random.integers(0, 256, n)], pa.binary()),
            "list": pa.array([list(map(float, random.normal(size=v))) for v in random.integers(0, 4, n)]),
        }
    )


def _parsed(serialized: bytes) -> statistics_pb2.DatasetFeatureStatisticsList:
    parsed = statistics_pb2.DatasetFeatureStatisticsList()
    parsed.ParseFromString(serialized)
    return parsed


def test_statistics_of_one_batch_equal_those_of_tfdv_itself() -> None:
    import tensorflow_data_validation as tensorflow_dv
    from tensorflow_data_validation.statistics import stats_impl

    table = _table(2_000)
    frame = table.select(["number", "text"])
    assert _parsed(tfdv.statistics(frame)) == tensorflow_dv.generate_statistics_from_dataframe(frame.to_pandas())
    wholes = pa.array([None if v is None else [v] for v in table["whole"].to_pylist()], pa.large_list(pa.int64()))
    in_memory = stats_impl.generate_statistics_in_memory(pa.RecordBatch.from_arrays([wholes], ["whole"]))
    assert _parsed(tfdv.statistics(table.select(["whole"]))) == in_memory


def test_statistics_of_three_batches_equal_those_of_tfdv_but_for_the_last_bits_of_the_mean() -> None:
    import tensorflow_data_validation as tensorflow_dv

    random = np.random.default_rng(0)
    table = pa.table({"number": random.normal(size=25_000), "text": random.choice(list("abcdefgh"), 25_000)})
    found, expected = (
        _parsed(tfdv.statistics(table)),
        tensorflow_dv.generate_statistics_from_dataframe(table.to_pandas()),
    )
    for name in ("mean", "std_dev"):
        ours, theirs = (parsed.datasets[0].features[0].num_stats for parsed in (found, expected))
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-12)
        for stats in (ours, theirs):
            stats.ClearField(name)
    assert found == expected


def test_weighted_statistics_hold_no_weight_feature() -> None:
    table = _table(2_000)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, 2_000)
    dataset = _parsed(tfdv.statistics(table, weights)).datasets[0]
    assert [f.path.step[0] for f in dataset.features] == table.column_names
    assert dataset.weighted_num_examples == pytest.approx(weights.sum())


def test_moments_are_those_of_the_values() -> None:
    values = np.concatenate([np.zeros(500), np.arange(1.0, 9_501.0)])
    moments = moments_of(tfdv.statistics(pa.table({"a": values})))["a"]
    assert moments.mean == pytest.approx(values.mean())
    assert (moments.lowest, moments.highest, moments.zero_share) == (0.0, 9_500.0, 0.05)
    assert moments.median == pytest.approx(np.median(values), rel=0.02)
    assert moments.p10 == pytest.approx(np.quantile(values, 0.1), rel=0.1)
    assert moments.p90 == pytest.approx(np.quantile(values, 0.9), rel=0.02)


def test_a_reference_without_rows_is_refused() -> None:
    with pytest.raises(InputError, match="no rows"):
        create_baseline(Rows(pa.table({"a": pa.array([], pa.int64())})))


@pytest.mark.parametrize("weighted", [False, True], ids=["without weights", "with weights"])
def test_documents_come_back_exactly(weighted: bool) -> None:
    times = np.arange(3_000) * (DAY // 100)
    weights = np.random.default_rng(0).uniform(1.0, 2.0, 3_000) if weighted else None
    clusters = np.repeat(np.arange(1_500, dtype=np.uint64), 2)
    rows = Rows(
        _table(3_000), weights=weights, event_times=times, clusters=clusters, label="whole", prediction="number"
    )
    baseline = create_baseline(rows, block_length=timedelta(days=1))
    assert baseline.features["text"].blocks is not None
    assert "whole" not in baseline.features
    assert baseline.weighted is weighted
    again = Baseline.from_document(json.loads(json.dumps(baseline.to_document(), allow_nan=False)))
    assert again == baseline
    assert again.fingerprint == baseline.fingerprint
    window = replace(rows, features=_table(3_000, seed=1), misfits={"number": Misfits(2, ('"a"',))}, seen=9_000)
    profile = build_profile(window, again)
    assert Profile.from_document(json.loads(json.dumps(profile.to_document(), allow_nan=False))) == profile
    assert (profile.rows, profile.rows_seen, profile.weighted) == (3_000, 9_000, weighted)


def test_a_window_without_weights_is_weighted_by_one_where_the_baseline_is_weighted() -> None:
    baseline = create_baseline(Rows(_table(500), weights=np.full(500, 2.0)))
    profile = build_profile(Rows(_table(400)), baseline)
    assert profile.weighted
    assert _parsed(profile.statistics).datasets[0].weighted_num_examples == 400.0


def test_rows_that_are_there_because_they_are_rare_count_by_weight_and_do_not_move_plain_statistics() -> None:
    baseline = create_baseline(Rows(pa.table({"kind": ["common"] * 98 + ["rare"] * 2})))
    window = pa.table({"kind": ["common"] * 49 + ["rare"] * 51})
    weights = np.array([98 / 49] * 49 + [2 / 51] * 51)
    uniform = np.array([True] * 50 + [False] * 50)
    profile = build_profile(Rows(window, weights=weights, uniform=uniform, seen=100), baseline)
    assert profile.counts["kind"].values.sums.sum() == pytest.approx(100)
    assert sorted(profile.counts["kind"].values.sums.tolist())[-2:] == pytest.approx([2, 98])
    assert _parsed(profile.statistics).datasets[0].num_examples == 50
    assert (profile.rows, profile.weighted) == (100, False)


def test_infinities_are_counted_outside_of_the_range_and_nan_as_missing() -> None:
    baseline = create_baseline(Rows(pa.table({"a": np.arange(100.0)})))
    profile = build_profile(Rows(pa.table({"a": [-np.inf, 5.0, np.nan, np.inf, np.inf]})), baseline)
    values, presence = profile.counts["a"].values.sums, profile.counts["a"].presence.sums
    assert (values[0], values[-1], values.sum()) == (1.0, 2.0, 4.0)
    assert presence.tolist() == [4.0, 1.0]


def test_each_value_of_a_list_counts_and_its_row_is_the_cluster() -> None:
    lists = pa.chunked_array([pa.array([[1.0] * 10, [2.0] * 10, [], None] * 50)])
    column = Column.of(lists)
    reference = Layout.of(column, None, None).reference(None)
    assert reference.counts.values.total == 1_000.0
    assert reference.counts.presence.sums.tolist() == [100.0, 100.0]
    assert reference.counts.values.effective == pytest.approx(100.0, rel=0.02)


def test_a_category_seen_once_is_expected_to_be_unseen() -> None:
    column = Column.of(pa.chunked_array([pa.array(["a"] * 90 + [f"id{i}" for i in range(10)])]))
    reference = Layout.of(column, None, None).reference(None)
    assert reference.counts.values.sums[-1] == 10.0
    assert (reference.novel, reference.novel_pairs) == (10.0, 0.0)
    # Rows of the baseline itself have no unseen values, so they meet the counts with every value in its own cell.
    own = count_feature(column, reference.bins, None, None).values
    assert np.allclose(reference.values_beside(own, reference.counts.values).sums, own.sums)


def test_blocks_of_time_tell_what_only_one_of_them_holds() -> None:
    times = np.repeat(np.arange(6), 10) * DAY
    found = calendar_of(times, DAY, None)
    assert found is not None
    blocks = found[1]
    texts = [f"day {i // 10}" if i % 10 == 0 else "any" for i in range(60)]
    kept = Layout.of(Column.of(pa.chunked_array([pa.array(texts)])), None, blocks).reference(None).blocks
    assert kept is not None
    assert kept.novel.tolist() == [1.0] * 6
    numbers = np.concatenate([np.arange(50) % 10.0, np.full(10, 99.0)])
    outside = Layout.of(Column.of(pa.chunked_array([pa.array(numbers)])), None, blocks).reference(None).blocks
    assert outside is not None
    assert outside.novel.tolist() == [0.0] * 5 + [10.0]
    assert outside.values.sum() == 60.0


@given(data=st.data(), weighted=st.booleans(), clustered=st.booleans())
def test_cutting_rows_into_batches_never_changes_the_counts(
    data: st.DataObject, weighted: bool, clustered: bool
) -> None:
    table = _table(120, seed=data.draw(st.integers(0, 5)))
    cuts = sorted(data.draw(st.sets(st.integers(1, 39), max_size=5)))
    order = data.draw(st.permutations(range(len(cuts) + 1)))
    weights = np.random.default_rng(1).integers(1, 4, 120).astype(np.float64) if weighted else None
    # Requests of three rows; batches are cut between requests.
    clusters = np.repeat(np.arange(40), 3) if clustered else None
    for name in table.column_names:
        bins = Layout.of(Column.of(table[name]), None, None).reference(None).bins

        def count(start: int, end: int, name: str = name, bins: object = bins) -> FeatureCounts:
            return count_feature(
                Column.of(table[name].slice(start, end - start)),
                bins,  # type: ignore[arg-type]
                None if weights is None else weights[start:end],
                None if clusters is None else clusters[start:end] - clusters[start],
            )

        bounds = [0, *(3 * cut for cut in cuts), 120]
        parts = [count(bounds[i], bounds[i + 1]) for i in order]
        merged = parts[0]
        for part in parts[1:]:
            merged = merged + part
        whole = count(0, 120)
        assert merged.values == whole.values
        assert merged.presence == whole.presence
        if whole.location is not None:
            assert merged.location is not None
            assert merged.location.to_document() == pytest.approx(whole.location.to_document(), abs=1e-9)


@pytest.mark.parametrize(
    ("weights", "clusters", "effective"),
    [
        (None, None, 400.0),
        (np.where(np.arange(400) % 2 == 0, 3.0, 1.0), None, 320.0),
        (None, np.repeat(np.arange(100), 4), 100.0),
    ],
    ids=["independent rows count in full", "weights by Kish's formula", "equal rows of a request count once"],
)
def test_effective_numbers(weights: Floats | None, clusters: Indices | None, effective: float) -> None:
    # Four equal rows in a row, half of them 0; weights are spread evenly over the cells.
    cells = (np.arange(400) // 4) % 2
    assert Counts.of(cells, 2, weights, clusters).effective == pytest.approx(effective, rel=0.01)
