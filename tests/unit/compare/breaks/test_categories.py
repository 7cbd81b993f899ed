from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from monitor.compare.breaks.categories import find_rewriting
from monitor.compare.breaks.causes import Cause
from tests.unit.compare.breaks.columns_of import word_pair

AIRPORTS = {"JFK": 0.4, "LGA": 0.25, "EWR": 0.15, "ATL": 0.1, "BOS": 0.06, "SFO": 0.04}
CODES = {"3": 0.4, "7": 0.3, "12": 0.2, "30": 0.1}
COMPANIES = {"Blue Ribbon": 0.5, "Taxi Affiliation": 0.3, "Chicago Elite": 0.15, "Choice": 0.05}


def drawn(shares: dict[str, float], n: int, seed: int) -> list[str]:
    return [str(v) for v in np.random.default_rng(seed).choice(list(shares), n, p=list(shares.values()))]


@pytest.mark.parametrize("rows", [300, 5_000])
@pytest.mark.parametrize(
    ("shares", "rewrite", "cause", "detail"),
    [
        (AIRPORTS, str.lower, Cause.RECODED, "lower case"),
        (AIRPORTS, lambda v: f"airport:{v}", Cause.RECODED, "airport:value"),
        (AIRPORTS, lambda v: f"b'{v}'", Cause.RECODED, "b'value'"),
        (AIRPORTS, lambda v: str(sorted(AIRPORTS).index(v)), Cause.RECODED, "other codes, same frequencies"),
        (AIRPORTS, lambda v: v[:2], Cause.TRUNCATED, "after 2 characters"),
        (CODES, lambda v: str(int(v) + 1), Cause.RECODED, "numbers one higher"),
        (CODES, lambda v: v.zfill(3), Cause.RECODED, "with leading zeros to 3 digits"),
        (CODES, lambda v: f"{v}.0", Cause.RECODED, "numbers as decimals"),
        (COMPANIES, str.upper, Cause.RECODED, "upper case"),
        (COMPANIES, lambda v: v[:8], Cause.TRUNCATED, "after 8 characters"),
        ({f"x-{k}": v for k, v in AIRPORTS.items()}, lambda v: v.removeprefix("x-"), Cause.RECODED, "without 'x-'"),
    ],
    ids=[
        "lower case",
        "a prefix",
        "bytes as text",
        "other codes",
        "cut to two letters",
        "codes from 1",
        "padded with zeros",
        "codes as decimals",
        "upper case",
        "cut to eight letters",
        "without the prefix",
    ],
)
def test_a_rewriting_is_told_by_what_was_done(
    shares: dict[str, float], rewrite: Callable[[str], str], cause: Cause, detail: str, rows: int
) -> None:
    now, before = word_pair(drawn(shares, 8_000, 1), [rewrite(value) for value in drawn(shares, rows, 2)])
    found = find_rewriting("origin", now, before)
    assert found is not None
    assert found.cause is cause
    assert detail in found.detail
    assert found.share > 0.85


def test_very_many_values_cut_off_are_told_by_which_are_known() -> None:
    planes = [
        [f"N{v}Q" for v in np.random.default_rng(seed).integers(100, 3_000, n)] for seed, n in ((1, 20_000), (2, 300))
    ]
    found = find_rewriting("plane", *word_pair(planes[0], [value[:3] for value in planes[1]]))
    assert found is not None
    assert (found.cause, found.detail) == (Cause.TRUNCATED, "after 3 characters")


def test_the_sentence_shows_an_example() -> None:
    now, before = word_pair(drawn(AIRPORTS, 8_000, 1), [value.lower() for value in drawn(AIRPORTS, 1_000, 2)])
    found = find_rewriting("origin", now, before)
    assert found is not None
    assert found.explanation == (
        "origin: every value is written in another way ('JFK' became 'jfk'); this is a data break, not drift"
    )


DATES = {f"2013-01-{day:02d}": 1.0 / 31.0 for day in range(1, 32)}


@pytest.mark.parametrize("rows", [300, 5_000])
@pytest.mark.parametrize(
    ("before", "now"),
    [
        (AIRPORTS, AIRPORTS),
        (AIRPORTS, {**AIRPORTS, "JFK": 0.3, "LGA": 0.35}),
        (AIRPORTS, {**AIRPORTS, "JFK": 0.35, "never seen": 0.05}),
        (AIRPORTS, {"JFK": 1.0}),
        (DATES, {value.replace("-01-", "-02-"): share for value, share in DATES.items()}),
        (CODES, {"3": 0.1, "7": 0.2, "12": 0.3, "31": 0.4}),
    ],
    ids=["none", "mass moved", "an unseen value", "one value left", "dates of the next month", "other frequencies"],
)
def test_a_drift_is_no_rewriting(before: dict[str, float], now: dict[str, float], rows: int) -> None:
    assert find_rewriting("origin", *word_pair(drawn(before, 8_000, 3), drawn(now, rows, 4))) is None
