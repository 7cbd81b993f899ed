from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from monitor.profile.derived.leave_out import gap, units_of
from monitor.profile.derived.plan import DerivedPlan, derive, plan_derived, vector_references, vector_sums
from monitor.records import Rows

ROWS = 150
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x07\0\0\0\x03\xff"


def _rows(**others: pa.Array) -> Rows:
    random = np.random.default_rng(0)
    vectors = random.normal(1.0, 1.0, (ROWS, 8))
    columns = {
        "age": pa.array(random.normal(size=ROWS)),
        "comment": pa.array([f"this is the comment with number {i}" for i in range(ROWS)]),
        "embedding": pa.array(vectors.tolist()),
        "photo": pa.array([PNG] * ROWS),
        **others,
    }
    return Rows(pa.table(columns), weights=np.ones(ROWS), clusters=(np.arange(ROWS) // 2).astype(np.uint64))


DERIVED = {
    "comment": ["length", "words", "unknown_words", "language"],
    "embedding": ["norm", "centroid_cosine", "direction1", "direction2", "direction3"],
    "photo": ["format", "width", "height", "bytes"],
}
NAMES = [f"{source}.{name}" for source, names in DERIVED.items() for name in names]


def test_derived_columns_stand_in_place_of_their_sources() -> None:
    rows = _rows()
    plan, own = plan_derived(rows, None, {})
    assert own.features.column_names == ["age", *NAMES]
    assert derive(rows, plan).features.schema == own.features.schema
    assert own.features.column("photo.width").to_pylist() == [7] * ROWS
    assert own.clusters is rows.clusters
    assert dict(plan.sources) == {f"{source}.{name}": source for source, names in DERIVED.items() for name in names}


def test_rows_of_plain_values_stay_the_same_object() -> None:
    rows = Rows(pa.table({"age": [1.0, 2.0], "city": ["a", "b"]}))
    plan, own = plan_derived(rows, None, {})
    assert plan == DerivedPlan()
    assert own is rows
    assert derive(rows, plan) is rows


def test_a_plan_survives_its_document_and_derives_the_same() -> None:
    rows = _rows()
    plan, _ = plan_derived(rows, None, {})
    again = DerivedPlan.from_document(json.loads(json.dumps(plan.to_document(), allow_nan=False)))
    assert again == plan
    assert derive(rows, again).features.equals(derive(rows, plan).features)


def test_a_window_does_not_depend_on_how_its_table_is_cut() -> None:
    rows = _rows()
    plan, _ = plan_derived(rows, None, {})
    cut = Rows(pa.concat_tables([rows.features.slice(0, 60), rows.features.slice(60)]))
    assert derive(cut, plan).features.combine_chunks().equals(derive(rows, plan).features.combine_chunks())


def test_what_a_window_lacks_or_holds_as_another_kind_is_not_derived() -> None:
    plan, _ = plan_derived(_rows(), None, {})
    window = Rows(pa.table({"age": [1.0], "comment": [2.0], "embedding": ["text"], "city": ["a"]}))
    assert derive(window, plan).features.column_names == ["age", "city"]
    assert vector_sums(window, plan, None) == {}


def test_a_windows_own_column_does_not_take_the_place_of_a_derived_one() -> None:
    plan, own = plan_derived(_rows(), None, {})
    window = _rows(**{"comment.length": pa.array(["x"] * ROWS)})
    assert derive(window, plan).features.column("comment.length").equals(own.features.column("comment.length"))


def test_an_empty_window_has_all_columns() -> None:
    rows = _rows()
    plan, own = plan_derived(rows, None, {})
    window = derive(Rows(rows.features.slice(0, 0)), plan)
    assert window.features.schema == own.features.schema
    assert len(window) == 0


def test_sums_of_vectors_leave_out_missing_ones_with_their_weights_and_clusters() -> None:
    vectors: list[list[float] | None] = [[float(i), *[1.0] * 7] for i in range(ROWS)]
    vectors[3] = None
    rows = _rows(embedding=pa.array(vectors))
    plan, _ = plan_derived(rows, None, {})
    clusters = np.arange(ROWS) // 2
    sums = vector_sums(rows, plan, clusters)["embedding"]
    assert sums.weight == ROWS - 1
    assert sums.square_total == 4.0 * (ROWS // 2 - 1) + 1.0
    assert vector_references(rows, plan, clusters, None)["embedding"].sums == sums


def test_what_is_left_out_with_a_row_is_its_cluster_or_itself() -> None:
    rows = _rows()
    assert units_of(rows, None).tolist() == [i // 2 for i in range(ROWS)]
    assert units_of(Rows(rows.features), None).tolist() == list(range(ROWS))


def test_the_gap_is_in_standard_deviations() -> None:
    values = np.array([0.0, 2.0, np.nan])
    assert gap(values, values) == 0.0
    assert gap(values + 1.0, values) == 1.0
    assert gap(np.array([np.nan]), np.array([np.nan])) == 0.0
