"""Slices of baselines and of windows: the same counts as a filter of the rows would give."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from monitor.errors import InputError
from monitor.profile.baseline import Baseline
from monitor.profile.profile import count_rows
from monitor.records import Rows
from monitor.window.slicing import rows_at
from tests.slicing import baseline_of, by, rows, window_of

EAST, WEST = (("side", "east"),), (("side", "west"),)


def filtered(given: Rows, **values: object) -> Rows:
    mask = np.ones(len(given), bool)
    for name, value in values.items():
        mask &= np.array(pc.equal(given.features[name], value))
    return rows_at(given, np.flatnonzero(mask))


def clustered(given: Rows) -> Rows:
    random = np.random.default_rng(1)
    clusters = random.integers(0, len(given) // 3, len(given)).astype(np.uint64)
    return replace(given, clusters=clusters, weights=random.random(len(given)) + 0.5)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_slice_of_a_window_is_counted_as_its_rows_alone(weighted: bool) -> None:
    baseline = baseline_of(rows(900, 1), by(["side"], ["month", "side"]))
    now = clustered(rows(700, 2)) if weighted else rows(700, 2)
    found = window_of(now, baseline)
    assert len(found.slices) == 2 + 6
    alone = count_rows(filtered(now, side="west"), baseline)
    assert found.slices[WEST] == replace(alone, counts={n: c for n, c in alone.counts.items() if n != "side"})
    crossed = found.slices[("month", "2"), ("side", "east")]
    both = filtered(now, side="east", month=2)
    assert crossed.counts["x"] == count_rows(both, baseline).counts["x"]
    assert set(crossed.counts) == {"colour", "gap", "x"}
    assert crossed.statistics == b""


def test_slices_of_one_spec_add_up_to_the_whole() -> None:
    baseline = baseline_of(rows(900, 1), by(["side"]))
    found = window_of(rows(700, 2), baseline)
    east, west = (found.slices[key].counts["gap"] for key in (EAST, WEST))
    whole = found.overall.counts["gap"]
    assert np.array_equal((east + west).values.sums, whole.values.sums)
    assert np.array_equal((east + west).presence.sums, whole.presence.sums)


def test_a_slice_of_a_baseline_has_the_cells_of_the_whole_and_the_counts_of_its_rows() -> None:
    given = rows(900, 1)
    baseline = baseline_of(given, by(["side"]))
    west = baseline.of_slice(WEST)
    alone = count_rows(filtered(given, side="west"), baseline)
    assert west.features["x"].bins is baseline.features["x"].bins
    assert west.features["x"].counts == alone.counts["x"]
    assert (west.rows, west.n_effective) == (alone.rows, alone.n_effective)
    assert west.fingerprint == baseline.fingerprint
    assert west.statistics == b""
    blocks = west.features["x"].blocks
    assert blocks is not None
    assert blocks.values.sum() == alone.counts["x"].values.total
    assert "side" not in west.features


def test_only_slices_with_enough_effective_rows_are_kept_and_the_rest_is_counted() -> None:
    given = rows(900, 1)
    few = baseline_of(given, by(["side"], ["side", "colour"], min_rows=150))
    large = [key for key in few.slices.kept if few.slices.kept[key].rows >= 150]
    assert list(few.slices.kept) == sorted(large)
    assert len(few.slices.kept) + few.slices.small == 2 + 6
    assert few.slices.small > 0
    doubled = replace(given, clusters=(np.arange(900) // 10).astype(np.uint64))
    assert baseline_of(doubled, by(["side"], min_rows=150)).slices.small == 2, "ten instances of an id are one row"


def test_of_many_slices_the_largest_are_kept() -> None:
    baseline = baseline_of(rows(900, 1), by(["side"], ["colour"], limit=3))
    sizes = sorted((kept.rows for kept in baseline.slices.kept.values()), reverse=True)
    assert baseline.slices.cut == 2
    assert min(sizes) >= 900 * 0.27


def test_slices_by_a_column_that_is_not_there_are_refused() -> None:
    with pytest.raises(InputError, match="no column 'origin' to slice by; the columns are: side, colour"):
        baseline_of(rows(900, 1), by(["origin"]))


def test_windows_are_sliced_only_as_asked_and_as_the_baseline_was() -> None:
    baseline = baseline_of(rows(900, 1), by(["side"], ["colour"]))
    now = rows(300, 2, sides=["east", "north"])
    assert list(window_of(now, baseline, ["side"]).slices) == [EAST]
    assert window_of(now, baseline, ["month"]).slices == {}
    lacking = replace(now, features=now.features.drop(["side"]))
    assert window_of(lacking, baseline, ["side"]).slices == {}


def test_a_feature_without_values_in_a_slice_and_a_slice_without_other_features() -> None:
    table = pa.table({"a": ["x"] * 60 + ["y"] * 60, "b": [None] * 60 + [1.0, 2.0] * 30})
    baseline = baseline_of(Rows(table), by(["a"], ["a", "b"]), None)
    nothing = baseline.of_slice((("a", "x"),)).features["b"]
    assert (nothing.counts.values.total, nothing.counts.missing_share) == (0.0, 1.0)
    alone = baseline_of(Rows(table.select(["a"])), by(["a"]), None)
    assert window_of(Rows(table.select(["a"])), alone).slices[("a", "y"),].rows == 60


def test_baselines_with_slices_survive_the_ledger() -> None:
    baseline = baseline_of(rows(900, 1), by(["side"], ["month"]))
    document = json.loads(json.dumps(baseline.to_document()))
    again = Baseline.from_document(document)
    assert again == baseline
    assert again.of_slice(EAST).features["x"].bins is again.features["x"].bins
    assert again.of_slice(EAST) == baseline.of_slice(EAST)


def test_baselines_from_before_there_were_slices_have_none() -> None:
    document = baseline_of(rows(200, 1)).to_document()
    del document["slices"]
    assert Baseline.from_document(document).slices.kept == {}
