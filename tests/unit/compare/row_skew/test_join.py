"""Rows of both sides find each other by their keys, whatever types these have."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.compare.row_skew.join import Joined, join
from monitor.errors import InputError
from tests.unit.compare.row_skew.sides import Values, table

KEYS = st.lists(st.none() | st.integers(0, 6), max_size=12)


def joined(training: Values, served: Values, **options: Any) -> Joined:
    columns = ([column] for column in table({"training": training, "served": served}).values())
    return join(*columns, **{"digits": None, "duplicates": False, **options})


@pytest.mark.parametrize(
    ("training", "served"),
    [
        ([1, 2, 3], [3, 4, 1]),
        ([1.0, 2.0, 3.0], [3, 4, 1]),
        (["1", "2", "3"], [3, 4, 1]),
        (["1", "2", "3"], [3.0, 4.0, 1.0]),
        (["a", "b", "c"], ["c", "d", "a"]),
        ([b"\xff", b"b", b"c"], ["c", "d", "e"]),
        ([0.1, 0.25, 0.3], pa.array([0.3, 0.4, 0.1], pa.float32())),
        ([20_130_101_001.0, 7.0, 20_130_101_003.0], [20_130_101_003, 9, 20_130_101_001]),
        (["2013-01-01", "2013-01-02", "2013-01-03"], [datetime(2013, 1, day, tzinfo=UTC) for day in (3, 4, 1)]),
    ],
)
def test_keys_are_equal_in_whatever_type_they_are_written(training: Values, served: Values) -> None:
    pairs = joined(training, served)
    wanted = {(2, 0), (0, 2)} if len(pairs.training) == 2 else {(2, 0)}
    assert set(zip(pairs.training.tolist(), pairs.served.tolist(), strict=True)) == wanted


@pytest.mark.parametrize(("training", "served"), [(["007"], [7]), ([20_130_101_001], [20_130_101_002]), (["1.5"], [1])])
def test_keys_that_only_look_alike_are_different(training: Values, served: Values) -> None:
    assert not len(joined(training, served).training)


def test_float_keys_are_rounded_where_floats_are() -> None:
    assert not len(joined([1.12345], [1.12456]).training)
    assert len(joined([1.12345], [1.12456], digits=2).training) == 1


def test_a_row_without_a_part_of_its_key_is_left_out() -> None:
    one, other = table({"a": [1, 1, None], "b": ["x", None, "x"]}), table({"a": [1, 2], "b": ["x", "x"]})
    pairs = join([*one.values()], [*other.values()], digits=None, duplicates=False)
    assert (pairs.training.tolist(), pairs.served.tolist()) == ([0], [0])
    assert (pairs.stats.base_missing_id_count, pairs.stats.ids_missing_in_base_count) == (2, 1)


def test_the_parts_of_a_key_are_not_run_together() -> None:
    one, other = table({"a": ["ab", "a"], "b": ["c", "bc"]}), table({"a": ["a"], "b": ["bc"]})
    assert join([*one.values()], [*other.values()], digits=None, duplicates=False).training.tolist() == [1]


def test_keys_that_do_not_identify_rows_are_refused_before_they_fill_memory() -> None:
    with pytest.raises(InputError, match="name the columns that identify a row"):
        joined([1] * 20_000, [1] * 20_000, duplicates=True)


def test_a_key_of_lists_is_refused() -> None:
    with pytest.raises(InputError, match="holds lists"):
        joined([[1, 2]], [[1, 2]])


@given(KEYS, KEYS)
def test_pairs_and_counts_are_those_of_two_loops(training: list[int | None], served: list[int | None]) -> None:
    one, other = (pa.array(keys, pa.int64()) for keys in (training, served))
    base, test = (Counter(key for key in keys if key is not None) for keys in (training, served))
    every = [
        (i, j)
        for i, j in product(range(len(training)), range(len(served)))
        if training[i] is not None and training[i] == served[j]
    ]
    unique = [(i, j) for i, j in every if base[training[i] or 0] == 1 == test[training[i] or 0]]
    for duplicates, wanted in ((True, every), (False, unique)):
        pairs = joined(one, other, duplicates=duplicates)
        assert sorted(zip(pairs.training.tolist(), pairs.served.tolist(), strict=True)) == wanted
    stats = joined(one, other).stats
    assert stats.matching_pairs_count == len(every)
    assert stats.identifiers_count == len(base | test)
    assert stats.ids_missing_in_base_count == len(test.keys() - base.keys())
    assert stats.ids_missing_in_test_count == len(base.keys() - test.keys())
    assert stats.duplicate_id_count == sum(base[key] > 1 or test[key] > 1 for key in base | test)
    assert stats.base_with_id_count + stats.base_missing_id_count == len(training)
    assert stats.test_with_id_count + stats.test_missing_id_count == len(served)
