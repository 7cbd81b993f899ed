"""Names of strata, and which of them count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.settings import FloorSettings
from monitor.window.strata import MAX_STRATA, Floors, stratum_name

FLOORS = Floors([FloorSettings(by=["status"], rows=7), FloorSettings(by=["a,b", "c"], rows=3)])


@pytest.mark.parametrize(
    ("columns", "values", "name"),
    [
        pytest.param(["status"], ["error"], "status=error", id="one column"),
        pytest.param(["country", "latency"], ["DE", "slow"], "country=DE,latency=slow", id="two columns"),
        pytest.param(["a"], ["x=1,y"], "a=x%3D1%2Cy", id="the signs that names are made with"),
        pytest.param(["a"], ["\0ü%"], "a=%00%C3%BC%25", id="what no database likes"),
        pytest.param(["a"], [""], "a=", id="an empty text"),
    ],
)
def test_a_stratum_is_named_by_its_values(columns: list[str], values: list[str], name: str) -> None:
    assert stratum_name(columns, values) == name


@given(st.lists(st.lists(st.text(max_size=200), min_size=3, max_size=3).map(tuple), unique=True, max_size=10))
def test_different_values_have_different_names_that_the_ledger_can_hold(values: list[tuple[str, ...]]) -> None:
    names = [stratum_name(["a" * 100, "b", "ü" * 50], each) for each in values]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 512 and name.isascii() for name in names)


@pytest.mark.parametrize(
    ("stratum", "rows"),
    [
        pytest.param("status=error", 7, id="of the first floor"),
        pytest.param(
            stratum_name(["a,b", "c"], ["1", "2"]), 3, id="of a floor with two columns, one of a strange name"
        ),
        pytest.param("c=2", 0, id="by something that no floor is by"),
        pytest.param("", 0, id="the default stratum"),
    ],
)
def test_a_floor_is_for_the_strata_by_its_columns(stratum: str, rows: int) -> None:
    assert FLOORS.rows(stratum) == rows


def test_the_strata_of_earlier_floors_come_first() -> None:
    floors = Floors([FloorSettings(by=["status"], rows=1), FloorSettings(by=["country"], rows=1)])
    many = [f"country={number}" for number in range(200)]
    first = floors.first(["", "other=1", *many, "status=error"])
    assert len(first) == MAX_STRATA
    assert "status=error" in first
    assert not first & {"", "other=1"}


@given(st.sets(st.integers(0, 400), min_size=40), st.randoms(use_true_random=False))
def test_whoever_sees_some_of_the_strata_keeps_those_that_count_among_all(seen: set[int], random: object) -> None:
    floors = Floors([FloorSettings(by=["c"], rows=1)])
    every = sorted(f"c={number}" for number in seen)
    some = random.sample(every, len(every) // 2)  # type: ignore[attr-defined]
    assert floors.first(every) & set(some) <= floors.first(some)
