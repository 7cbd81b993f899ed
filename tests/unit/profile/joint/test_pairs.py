from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from monitor.profile.calendar import calendar_of
from monitor.profile.columns import Column
from monitor.profile.features import FeatureReference
from monitor.profile.joint import layout as layouts
from monitor.profile.joint.counts import FIXED, RANKED, PairCounts, count_pairs
from monitor.profile.joint.layout import LEFT_OUT, PairLayout, groups_of
from monitor.profile.joint.reference import PairReference, pair_reference
from monitor.profile.layout import Layout

ROWS = 4_000
HOUR = timedelta(hours=1) // timedelta(microseconds=1)


def _columns(seed: int = 0, rows: int = ROWS) -> dict[str, pa.ChunkedArray]:
    rng = np.random.default_rng(seed)
    heat = rng.normal(20.0, 5.0, rows)
    sold = np.where(heat + rng.normal(0.0, 3.0, rows) > 20.0, "ice", rng.choice(["tea", "coffee"], rows))
    return {
        "heat": pa.chunked_array([heat]),
        "noise": pa.chunked_array([rng.normal(size=rows)]),
        "sold": pa.chunked_array([pa.array(sold.tolist())]),
        "often_missing": pa.chunked_array([pa.array(heat, mask=rng.random(rows) < 0.3)]),
        "constant": pa.chunked_array([np.ones(rows)]),
        "id": pa.chunked_array([[f"id{row}" for row in range(rows)]]),
        "many": pa.chunked_array([[[1.0, 2.0]] * rows]),
    }


def _read(columns: dict[str, pa.ChunkedArray]) -> dict[str, Column]:
    return {name: Column.of(column) for name, column in columns.items()}


def _made(
    columns: dict[str, pa.ChunkedArray], weights: npt.NDArray[np.float64] | None = None
) -> tuple[dict[str, FeatureReference], PairReference]:
    read = _read(columns)
    features = {name: Layout.of(column, weights, None).reference(None) for name, column in read.items()}
    return features, pair_reference(read, features, weights, None, None)


FEATURES, REFERENCE = _made(_columns())
LAYOUT = REFERENCE.layout


def _counted(
    columns: dict[str, pa.ChunkedArray], **also: npt.NDArray[np.float64] | npt.NDArray[np.int64]
) -> PairCounts:
    return count_pairs(_read(columns), LAYOUT, FEATURES, also.get("weights"), also.get("clusters"))  # type: ignore[arg-type]


def _part(columns: dict[str, pa.ChunkedArray], start: int, stop: int) -> dict[str, pa.ChunkedArray]:
    return {name: column.slice(start, stop - start) for name, column in columns.items()}


def test_pairs_come_strongest_first_without_columns_of_one_group_lists_or_ids() -> None:
    assert LAYOUT.pairs[0] == ("heat", "often_missing")
    assert {name for pair in LAYOUT.pairs for name in pair} == {"heat", "noise", "sold", "often_missing"}
    assert len(LAYOUT.pairs) == 6


def test_the_number_of_pairs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "MAX_PAIRS", 2)
    _, made = _made(_columns())
    assert made.layout.pairs == LAYOUT.pairs[:2]
    assert set(made.layout.groups) == {name for pair in made.layout.pairs for name in pair}


def test_groups_have_names_and_missing_is_one_where_it_is_common() -> None:
    assert len(LAYOUT.groups["heat"].labels) == 4
    assert LAYOUT.groups["heat"].labels[0].startswith("below ")
    assert LAYOUT.groups["heat"].missing == LEFT_OUT
    assert LAYOUT.groups["often_missing"].labels[-1] == "missing"
    assert set(LAYOUT.groups["sold"].labels) == {"ice", "tea", "coffee"}
    assert groups_of(FEATURES["constant"]) is None


def test_a_table_counts_what_goes_together() -> None:
    columns = _columns()
    place = LAYOUT.pairs.index(("heat", "sold"))
    table = REFERENCE.counts.tables[place, FIXED]
    heat = columns["heat"].to_numpy()
    cuts = LAYOUT.groups["heat"].cuts
    assert cuts is not None
    warm = np.searchsorted(cuts, heat, side="right")
    ice = LAYOUT.groups["sold"].labels.index("ice")
    sold = np.array(columns["sold"].to_pylist()) == "ice"
    assert table[:4, ice].tolist() == np.bincount(warm[sold], minlength=4).tolist()
    assert table.sum() == ROWS


def test_counts_of_parts_add_up() -> None:
    columns = _columns(seed=1)
    whole = _counted(columns)
    parts = _counted(_part(columns, 0, 1_500)) + _counted(_part(columns, 1_500, ROWS))
    assert np.array_equal(parts.tables[:, FIXED], whole.tables[:, FIXED])
    assert np.array_equal(parts.tables[:, RANKED].sum(axis=(1, 2)), whole.tables[:, RANKED].sum(axis=(1, 2)))
    assert parts.weight == whole.weight
    assert np.array_equal(parts.effective(FIXED), whole.effective(FIXED))


@pytest.mark.parametrize("factor", [1.0, 2.54, 1000.0])
def test_a_rising_transformation_keeps_the_table_of_ranks(factor: float) -> None:
    columns = _columns()
    columns["heat"] = pa.chunked_array([columns["heat"].to_numpy() * factor + 32.0])
    place = LAYOUT.pairs.index(("heat", "sold"))
    assert np.array_equal(_counted(columns).tables[place, RANKED], REFERENCE.counts.tables[place, RANKED])
    assert not np.array_equal(_counted(columns).tables[place, FIXED], REFERENCE.counts.tables[place, FIXED])


def test_categories_never_seen_and_rare_missing_values_are_left_out() -> None:
    columns = _columns()
    columns["sold"] = pa.chunked_array([["beer"] * 100, *columns["sold"].slice(100).chunks])
    columns["heat"] = pa.chunked_array([pa.array([None] * 50 + columns["heat"].to_pylist()[50:])])
    place = LAYOUT.pairs.index(("heat", "sold"))
    assert _counted(columns).tables[place].sum(axis=(1, 2)).tolist() == [ROWS - 100, ROWS - 100]
    assert _counted(columns).tables[LAYOUT.pairs.index(("heat", "noise")), FIXED].sum() == ROWS - 50


def test_a_column_that_is_gone_or_of_another_kind_is_not_counted() -> None:
    columns = _columns()
    del columns["noise"]
    columns["heat"] = pa.chunked_array([["warm"] * ROWS])
    columns["sold"] = pa.chunked_array([[["ice"]] * ROWS])
    assert not _counted(columns).tables.any()
    assert _counted(columns).weight == ROWS


def test_weights_count_rows_and_clusters_lower_their_effective_number() -> None:
    columns = _columns()
    twice = _counted(columns, weights=np.full(ROWS, 2.0))
    assert np.array_equal(twice.tables[:, FIXED], 2.0 * REFERENCE.counts.tables[:, FIXED])
    assert np.array_equal(twice.effective(FIXED), REFERENCE.counts.effective(FIXED))
    clustered = _counted(columns, clusters=np.arange(ROWS) // 4)
    assert np.array_equal(clustered.tables, REFERENCE.counts.tables)
    assert np.array_equal(clustered.effective(FIXED), REFERENCE.counts.effective(FIXED) / 4.0)


def test_equal_weights_change_no_rank() -> None:
    assert _counted(_columns(), weights=np.ones(ROWS)) == REFERENCE.counts


def test_no_rows_make_counts_of_nothing() -> None:
    empty = _counted(_part(_columns(), 0, 0))
    assert not empty.tables.any()
    assert not empty.effective(FIXED).any()


def test_documents_come_back_exactly() -> None:
    assert PairCounts.from_document(json.loads(json.dumps(REFERENCE.counts.to_document()))) == REFERENCE.counts
    assert PairReference.from_document(json.loads(json.dumps(REFERENCE.to_document()))) == REFERENCE
    assert PairLayout.from_document(LAYOUT.to_document()) == LAYOUT


@pytest.mark.parametrize(
    ("swing", "least", "most"), [(0.0, 0.0, 0.004), (1.0, 0.02, 1.0)], ids=["steady", "turning from hour to hour"]
)
def test_the_variation_between_blocks_is_what_chance_does_not_explain(swing: float, least: float, most: float) -> None:
    rng = np.random.default_rng(0)
    times = np.arange(40 * 200) * (HOUR // 200)
    slope = 1.0 + swing * np.repeat(rng.normal(size=40), 200)
    one = rng.normal(size=len(times))
    columns = _read(
        {
            "one": pa.chunked_array([one]),
            "other": pa.chunked_array([slope * one + rng.normal(size=len(times))]),
        }
    )
    laid = calendar_of(times, HOUR, None)
    assert laid is not None
    features = {name: Layout.of(column, None, laid[1]).reference(None) for name, column in columns.items()}
    made = pair_reference(columns, features, None, None, laid[1])
    mean, _, _, blocks = made.variation[0].tolist()
    assert least <= mean <= most
    assert blocks == 40
    assert PairReference.from_document(made.to_document()) == made
