"""The hash of ids, which collectors, windows and files must agree on for ever."""

from __future__ import annotations

import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from monitor.hashing import hash_ids


@given(st.lists(st.text()))
def test_the_hash_is_xxh3_of_the_utf8_bytes(ids: list[str]) -> None:
    expected = [xxhash.xxh3_64_intdigest(text.encode(errors="surrogatepass")) for text in ids]
    assert hash_ids(pa.array(ids, pa.string())).tolist() == expected


def test_the_hash_of_a_known_id_never_changes() -> None:
    assert hash_ids(pa.array(["a"]))[0] == 16629034431890738719


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param(pa.array([17, 4]), id="integers are hashed as their decimal text"),
        pytest.param(pa.array([b"17", b"4"]), id="bytes are hashed as they are"),
        pytest.param(pa.chunked_array([["17"], [], ["4"]]), id="chunks make no difference"),
        pytest.param(pa.array(["17", "4"], pa.large_string()), id="large strings are strings"),
    ],
)
def test_all_ways_to_hold_an_id_have_one_hash(ids: pa.Array) -> None:
    assert hash_ids(ids).tolist() == hash_ids(pa.array(["17", "4"])).tolist()


def test_a_null_id_and_a_float_id_are_refused() -> None:
    with pytest.raises(ValueError, match="null"):
        hash_ids(pa.array(["a", None]))
    with pytest.raises(TypeError, match="double"):
        hash_ids(pa.array([1.5]))
