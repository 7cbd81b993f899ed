from __future__ import annotations

import numpy as np

from monitor.compare.breaks.causes import Cause
from monitor.compare.breaks.columns import Column
from monitor.compare.breaks.pairs import find_copies, find_swaps
from tests.unit.compare.breaks.columns_of import numbers, pair, word_pair, words

RANDOM = np.random.default_rng(1)
FARES = [RANDOM.lognormal(2.5, 0.6, n).round(2) for n in (4_000, 300)]
SECONDS = [RANDOM.lognormal(6.5, 0.5, n).round() for n in (4_000, 300)]
ORIGIN = [[str(v) for v in RANDOM.choice(["JFK", "LGA"], n, p=[0.7, 0.3])] for n in (4_000, 300)]
CARRIER = [[str(v) for v in RANDOM.choice(["UA", "B6"], n)] for n in (4_000, 300)]


def sides(fare: int, origin: int) -> tuple[dict[str, Column], dict[str, Column]]:
    """Return the window and the baseline; `fare` and `origin` say which of two columns stands in their place."""
    values, texts = [FARES, SECONDS], [ORIGIN, CARRIER]
    now: dict[str, Column] = {
        "fare": pair(FARES[0], values[fare][1])[0],
        "seconds": pair(SECONDS[0], values[1 - fare][1])[0],
        "origin": word_pair(ORIGIN[0], texts[origin][1])[0],
        "carrier": word_pair(CARRIER[0], texts[1 - origin][1])[0],
    }
    before: dict[str, Column] = {
        "fare": numbers(FARES[0]),
        "seconds": numbers(SECONDS[0]),
        "origin": words(ORIGIN[0]),
        "carrier": words(CARRIER[0]),
    }
    return now, before


def test_swapped_columns_are_told_on_both() -> None:
    now, before = sides(1, 1)
    found = {each.feature: each.partner for each in find_swaps(now, before, set(now))}
    assert found == {"fare": "seconds", "seconds": "fare", "origin": "carrier", "carrier": "origin"}


def test_a_swap_with_a_column_of_very_many_values_is_told_by_which_are_known() -> None:
    planes = [[f"N{v}" for v in RANDOM.integers(0, 3_000, n)] for n in (20_000, 300)]
    before: dict[str, Column] = {"origin": words(ORIGIN[0]), "plane": words(planes[0])}
    now: dict[str, Column] = {
        "origin": word_pair(ORIGIN[0], planes[1])[0],
        "plane": word_pair(planes[0], ORIGIN[1])[0],
    }
    assert {each.feature for each in find_swaps(now, before, set(now))} == {"origin", "plane"}


def test_columns_in_their_place_are_not_swapped() -> None:
    now, before = sides(0, 0)
    assert list(find_swaps(now, before, set(now))) == []
    assert list(find_copies(now, before, set(now))) == []


def test_one_column_like_another_is_no_swap() -> None:
    now, before = sides(0, 0)
    now["fare"] = pair(FARES[0], SECONDS[1])[0]
    assert list(find_swaps(now, before, set(now))) == []


def test_a_copy_is_told_on_the_column_that_lost_its_values() -> None:
    now, before = sides(0, 0)
    now["fare"] = pair(FARES[0], SECONDS[1])[0]
    found = list(find_copies(now, before, set(now)))
    assert [(each.feature, each.cause, each.partner) for each in found] == [("fare", Cause.DUPLICATED, "seconds")]


def test_columns_that_were_equal_in_training_are_no_copies() -> None:
    values = numbers(FARES[0])
    drifted = pair(FARES[0], FARES[1] * 3.0)[0]
    found = find_copies({"a": drifted, "b": drifted}, {"a": values, "b": values}, {"a", "b"})
    assert list(found) == []
