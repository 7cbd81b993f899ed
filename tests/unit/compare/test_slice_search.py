from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.compare.slice_search.levels import levels_of
from monitor.compare.slice_search.search import FoundSlice, Search, search_change, search_loss
from monitor.errors import InputError
from monitor.records import Rows

ROWS = 4_000
Columns = dict[str, npt.NDArray[Any]]


def columns(rng: np.random.Generator, rows: int = ROWS) -> Columns:
    return {
        "origin": rng.choice(["EWR", "JFK", "LGA"], rows, p=[0.4, 0.3, 0.3]),
        "hour": rng.integers(5, 24, rows),
        "distance": rng.gamma(2.0, 500.0, rows),
        "delay": rng.normal(size=rows),
    }


def pair(seed: int, rows: int = ROWS) -> tuple[Columns, Columns]:
    rng = np.random.default_rng(seed)
    return columns(rng, rows), columns(rng, rows)


def rows_of(table: Columns, clusters: npt.NDArray[np.uint64] | None = None) -> Rows:
    return Rows(pa.table(dict(table)), clusters=clusters)


def moved(table: Columns, where: npt.NDArray[np.bool_], by: float = 1.0) -> Rows:
    return rows_of({**table, "delay": table["delay"] + by * where})


def said(found: FoundSlice) -> set[str]:
    return {p.said for p in found.predicates}


def test_a_change_in_one_category_is_found_with_its_share() -> None:
    current, reference = pair(1)
    (found,) = search_change(moved(current, current["origin"] == "EWR"), rows_of(reference), "delay")
    assert said(found) == {"origin='EWR'"}
    assert found.row_share == pytest.approx(0.4, abs=0.03)
    assert found.change_share is not None
    assert found.change_share > 0.9
    assert "of the change in delay is in origin='EWR' (4" in found.explanation


def test_a_change_in_a_range_of_a_number_is_found_as_a_range() -> None:
    current, reference = pair(2)
    far = current["distance"] > np.quantile(current["distance"], 0.75)
    (found,) = search_change(moved(current, far), rows_of(reference), "delay")
    (predicate,) = found.predicates
    assert predicate.said.startswith("distance from 1")
    assert found.row_share == pytest.approx(0.25, abs=0.03)


def test_a_change_in_a_crossed_slice_is_found_as_two_conditions() -> None:
    current, reference = pair(3)
    late = (current["origin"] == "JFK") & (current["hour"].astype(np.int64) >= 17)
    (found,) = search_change(moved(current, late, 1.5), rows_of(reference), "delay")
    assert [p.column for p in sorted(found.predicates, key=lambda p: p.column)] == ["hour", "origin"]
    assert found.row_share == pytest.approx(float(late.mean()), abs=0.04)


def test_two_slices_that_changed_are_both_found() -> None:
    current, reference = pair(4)
    where = np.isin(current["origin"], ["EWR", "LGA"])
    by = np.where(current["origin"] == "EWR", 2.0, 1.0)
    found = search_change(moved(current, where & True, 1.0), rows_of(reference), "delay")
    assert [said(f) for f in found] in ([{"origin='EWR'"}, {"origin='LGA'"}], [{"origin='LGA'"}, {"origin='EWR'"}])
    found = search_change(rows_of({**current, "delay": current["delay"] + by * where}), rows_of(reference), "delay")
    assert said(found[0]) == {"origin='EWR'"}


def test_values_that_go_missing_in_one_slice_are_a_change() -> None:
    current, reference = pair(5)
    gone = (current["origin"] == "LGA") & (np.random.default_rng(50).random(ROWS) < 0.3)
    delay = np.where(gone, np.nan, current["delay"].astype(np.float64))
    (found,) = search_change(rows_of({**current, "delay": delay}), rows_of(reference), "delay")
    assert said(found) == {"origin='LGA'"}


def test_changes_that_cancel_each_other_are_found_without_a_share() -> None:
    current, reference = pair(6, 8_000)
    sign = np.select([current["origin"] == "JFK", current["origin"] == "LGA"], [1.0, -1.0], 0.0)
    rows = rows_of({**current, "delay": current["delay"] + sign})
    found = search_change(rows, rows_of(reference), "delay")
    assert {next(iter(said(f))) for f in found} == {"origin='JFK'", "origin='LGA'"}


def test_a_change_that_is_everywhere_is_in_no_slice() -> None:
    current, reference = pair(7)
    assert search_change(moved(current, np.ones(ROWS, bool)), rows_of(reference), "delay") == []


def test_a_shifted_mix_of_slices_alone_is_no_change_within_them() -> None:
    current, reference = pair(8)
    where = {"current": current["origin"] == "EWR", "reference": reference["origin"] == "EWR"}
    kept = ~where["reference"] | (np.random.default_rng(80).random(ROWS) < 0.5)
    before = {name: values[kept] for name, values in reference.items()}
    found = search_change(moved(current, where["current"], 2.0), moved(before, where["reference"][kept], 2.0), "delay")
    assert found == []


def test_a_category_feature_is_searched_too() -> None:
    current, reference = pair(9)
    late = current["hour"].astype(np.int64) >= 20
    origin = np.where(late & (current["origin"] == "JFK"), "EWR", current["origin"])
    (found,) = search_change(rows_of({**current, "origin": origin}), rows_of(reference), "origin")
    assert {p.column for p in found.predicates} == {"hour"}


def test_a_copy_of_the_feature_is_no_condition_unless_it_is_asked_for() -> None:
    current, reference = pair(10)
    current["copy"], reference["copy"] = current["delay"], reference["delay"]
    rows = rows_of({**current, "delay": current["delay"] + 2.0 * (current["copy"].astype(np.float64) > 0.5)})
    assert search_change(rows, rows_of(reference), "delay") == []
    asked = search_change(rows, rows_of(reference), "delay", Search(columns=["copy"]))
    assert {p.column for p in asked[0].predicates} == {"copy"}


def test_rows_of_one_request_are_one_observation() -> None:
    current, _ = pair(11, 100)
    many = {name: np.repeat(values, 40) for name, values in current.items()}
    clusters = np.repeat(np.arange(100, dtype=np.uint64), 40)
    rows = moved(many, many["origin"] == "EWR")
    before = rows_of(pair(12)[1])
    assert search_change(rows, before, "delay")
    assert search_change(replace(rows, clusters=clusters), before, "delay") == []


def test_days_that_differ_by_themselves_count_against_a_slice() -> None:
    current, reference = pair(13)
    rng = np.random.default_rng(130)
    day = np.arange(ROWS) // 200
    natural = rng.normal(scale=1.0, size=20)[day] * (reference["origin"] == "EWR")
    times = np.array([np.timedelta64(1, "D").astype("timedelta64[us]").astype(np.int64)])
    before = replace(
        rows_of({**reference, "delay": reference["delay"] + natural}), event_times=day.astype(np.int64) * times[0]
    )
    rows = replace(moved(current, current["origin"] == "EWR", 0.6), event_times=np.full(ROWS, 30 * times[0]))
    assert search_change(rows, before, "delay")
    assert search_change(rows, before, "delay", Search(block=timedelta(days=1))) == []


def test_a_loss_that_is_higher_in_a_slice_is_found_with_both_means() -> None:
    current, _ = pair(14)
    losses = np.random.default_rng(140).exponential(size=ROWS) * np.where(current["origin"] == "JFK", 2.0, 1.0)
    (found,) = search_loss(rows_of(current), losses)
    assert said(found) == {"origin='JFK'"}
    assert found.explanation.startswith("the loss is ")
    assert found.explanation.endswith(" elsewhere")


def test_a_loss_that_rose_in_a_slice_is_told_from_one_that_was_always_high() -> None:
    current, reference = pair(15)
    rng = np.random.default_rng(150)
    always, rose = (np.where(current["origin"] == o, 2.0, 1.0) for o in ("JFK", "EWR"))
    before = rng.exponential(size=ROWS) * np.where(reference["origin"] == "JFK", 2.0, 1.0)
    now = rng.exponential(size=ROWS) * always * rose
    (found,) = search_loss(rows_of(current), now, reference=(rows_of(reference), before))
    assert said(found) == {"origin='EWR'"}
    assert "of the rise in loss is in origin='EWR'" in found.explanation


def test_in_300_data_sets_without_a_slice_one_is_found_no_more_often_than_the_level_says() -> None:
    found = 0
    for seed in range(300):
        current, reference = ({name: c[name] for name in ("origin", "distance", "delay")} for c in pair(seed, 300))
        by = 0.5 * (seed % 2)
        rows = moved(current, np.ones(300, bool), by)
        found += bool(search_change(rows, rows_of(reference), "delay", Search(level=0.05, min_effect=0.0, min_rows=50)))
    # 300 at 0.05 are 15; a binomial passes 24 in one of a hundred.
    assert found <= 24


@pytest.mark.parametrize(
    ("feature", "changed", "words"),
    [
        ("other", {}, "not a column of both"),
        ("delay", {"delay": pa.array([[1.0]] * 10)}, "numbers or categories"),
        ("delay", {"delay": pa.array(["late"] * 10)}, "numbers or categories"),
    ],
)
def test_a_feature_that_cannot_be_searched_is_said(feature: str, changed: Columns, words: str) -> None:
    current, reference = pair(16, 10)
    with pytest.raises(InputError, match=words):
        search_change(Rows(pa.table({**current, **changed})), rows_of(reference), feature)


def test_few_or_no_rows_hold_no_slice() -> None:
    current, reference = pair(17, 50)
    empty = {name: values[:0] for name, values in current.items()}
    assert search_change(rows_of(current), rows_of(reference), "delay") == []
    assert search_change(rows_of(empty), rows_of(reference), "delay") == []
    assert search_loss(rows_of(current), np.ones(50)) == []


def test_conditions_say_what_they_hold() -> None:
    few = levels_of("hour", [pa.chunked_array([[1, 2, 3, None]])], 1)
    assert few is not None
    assert {p.said for p in few.predicates} == {
        "hour=1",
        "hour=2",
        "hour=3",
        "hour up to 2",
        "hour from 2",
        "hour missing",
    }
    words = levels_of("origin", [pa.chunked_array([["a", "a", "b", None]]), pa.chunked_array([["a"]])], 2)
    assert words is not None
    assert {p.said for p in words.predicates} == {"origin='a'", "origin missing"}


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=60))
@settings(max_examples=50, deadline=None)
def test_every_value_meets_exactly_the_conditions_that_hold_it(values: list[float | None]) -> None:
    levels = levels_of("x", [pa.chunked_array([pa.array(values, pa.float64())])], 1)
    if levels is None:
        assert all(value is None for value in values)
        return
    assert (levels.codes < levels.size).all()
    for predicate in levels.predicates:
        inside = levels.holds(predicate)
        if predicate.last < len(levels.edges) - 1:
            low, high = levels.edges[predicate.first], levels.edges[predicate.last + 1]
            expected = [v is not None and low <= v < high for v in values]
            assert inside.tolist() == expected


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_the_same_rows_give_the_same_slices_and_sound_numbers(seed: int) -> None:
    current, reference = pair(seed, 1_000)
    rows, before = moved(current, current["origin"] == "LGA", 1.0), rows_of(reference)
    found = search_change(rows, before, "delay", Search(min_rows=80))
    assert found == search_change(rows, before, "delay", Search(min_rows=80))
    for each in found:
        assert 0.0 < each.row_share < 1.0
        assert each.change_share is None or 0.0 <= each.change_share <= 1.0
        assert 0.0 <= each.p_value <= 0.01
        assert each.effect >= 0.1
