from __future__ import annotations

import io
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.spans import canonical_order, seal, segment, span_name
from collectors.wire.blocks import Envelope
from collectors.wire.json_records import JsonDecoder
from monitor.clock import EPOCH
from monitor.hashing import hash_ids
from monitor.records import SpanKind, Window, WindowKey, traffic_schema
from tests.unit.collectors.worlds import START, TYPES, record

KEY = WindowKey("flights", "1", Window.holding(START, timedelta(days=1)))


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        pytest.param("flights", "flights", id="a plain name"),
        pytest.param("a/b", "a%2Fb", id="a slash"),
        pytest.param("..", "%2E%2E", id="the parent folder"),
        pytest.param(".", "%2E", id="this folder"),
        pytest.param("v1.2", "v1.2", id="dots inside"),
        pytest.param("", "%", id="nothing, as labels have for a version"),
        pytest.param("%", "%25", id="a percent sign"),
        pytest.param("ü \0", "%C3%BC%20%00", id="what no file system likes"),
    ],
)
def test_any_text_is_one_path_segment(text: str, quoted: str) -> None:
    assert segment(text) == quoted


@given(st.lists(st.text(max_size=300), unique=True))
def test_different_texts_are_different_safe_segments(texts: list[str]) -> None:
    segments = [segment(text) for text in texts]
    assert len(set(segments)) == len(texts)
    for made in segments:
        assert 0 < len(made) <= 100
        assert "/" not in made
        assert set(made) != {"."}
        assert made.isascii()


def test_a_span_is_named_by_kind_model_version_window_and_id() -> None:
    key = WindowKey("a b", "1", Window.holding(EPOCH, timedelta(hours=1)))
    assert span_name(SpanKind.TRAFFIC, key, "id") == "traffic/a%20b/1/19700101T000000Z/id.parquet"


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "ab", "b", "ü"]), st.integers(0, 2)), max_size=30),
    st.randoms(use_true_random=False),
)
def test_the_order_is_by_hash_id_and_instance_whatever_came_first(
    rows: list[tuple[int, str, int]], random: object
) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    order = canonical_order(
        np.array([row[0] for row in shuffled], dtype=np.uint64),
        pa.array([row[1] for row in shuffled], pa.string()),
        np.array([row[2] for row in shuffled], dtype=np.int64),
    )
    assert [shuffled[index] for index in order] == sorted(rows, key=lambda row: (row[0], row[1].encode(), row[2]))


def test_a_span_file_holds_the_rows_in_canonical_order_and_says_so_in_its_row_of_the_manifest() -> None:
    decoder = JsonDecoder(Envelope(SpanKind.TRAFFIC, {"flights": TYPES}, {"flights": timedelta(days=36_500)}))
    values = [record(index, features={"distance": index or "far"}) for index in range(50)]
    table = decoder.decode(values, START).parts["flights"]
    hashes = hash_ids(table.column("request_id"))
    file = seal(SpanKind.TRAFFIC, KEY, table, hashes, theta=2**64, types=TYPES)
    stored = pq.read_table(io.BytesIO(file.content))
    assert stored.schema == traffic_schema(TYPES)
    assert stored.column("hash").to_pylist() == sorted(hashes.tolist())
    assert hash_ids(stored.column("request_id")).tolist() == stored.column("hash").to_pylist()
    span = file.span
    assert (span.rows, span.misfits, span.theta, span.size_bytes) == (50, 1, 2**64, len(file.content))
    assert (span.min_hash, span.max_hash) == (min(hashes.tolist()), max(hashes.tolist()))
