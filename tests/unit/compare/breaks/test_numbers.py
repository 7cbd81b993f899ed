from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from monitor.compare.breaks.causes import Cause
from monitor.compare.breaks.numbers import find_number_break
from monitor.profile.document import Floats
from tests.unit.compare.breaks.columns_of import pair

Change = Callable[[Floats], Floats]


def miles(n: int, seed: int) -> Floats:
    """Return whole numbers with a long tail."""
    values: Floats = np.rint(np.random.default_rng(seed).lognormal(6.5, 0.7, n))
    return values


def degrees(n: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(15.0, 8.0, n).round(1)


def hours(n: int, seed: int) -> Floats:
    return np.random.default_rng(seed).binomial(23, 0.6, n).astype(float)


def clock_times(n: int, seed: int) -> Floats:
    minutes = np.random.default_rng(seed).beta(3.0, 2.0, n) * 1439.0
    times: Floats = np.floor(minutes / 60.0) * 100.0 + np.floor(minutes % 60.0)
    return times


def weekdays(n: int, seed: int) -> Floats:
    return np.random.default_rng(seed).integers(0, 7, n).astype(float)


@pytest.mark.parametrize("rows", [300, 5_000])
@pytest.mark.parametrize(
    ("values", "change", "cause", "detail"),
    [
        (miles, lambda v: v * 1.609344, Cause.NEW_UNIT, "miles to kilometres"),
        (miles, lambda v: v * 1.61, Cause.NEW_UNIT, "times 1.61: miles to kilometres"),
        (miles, lambda v: np.rint(v * 1.609344), Cause.NEW_UNIT, "miles to kilometres"),
        (miles, lambda v: v / 1.609344, Cause.NEW_UNIT, "kilometres to miles"),
        (miles, lambda v: v * 1_000.0, Cause.NEW_UNIT, "times 1000: whole units to thousandths"),
        (miles, lambda v: v / 60.0, Cause.NEW_UNIT, "seconds to minutes"),
        (miles, lambda v: v * 17.5, Cause.NEW_UNIT, "times about 1"),
        (degrees, lambda v: v * 1.8 + 32.0, Cause.NEW_UNIT, "times 1.8 plus 32: Celsius to Fahrenheit"),
        (degrees, lambda v: (v - 32.0) / 1.8, Cause.NEW_UNIT, "Fahrenheit to Celsius"),
        (degrees, lambda v: v + 273.15, Cause.NEW_UNIT, "plus 273.15: Celsius to Kelvin"),
        (miles, lambda v: -v, Cause.SIGN_FLIPPED, "times -1"),
        (hours, lambda v: (v + 5.0) % 24.0, Cause.TIME_SHIFTED, "+5 hours"),
        (hours, lambda v: (v - 8.0) % 24.0, Cause.TIME_SHIFTED, "-8 hours"),
        (clock_times, lambda v: (v // 100.0 + 5.0) % 24.0 * 100.0 + v % 100.0, Cause.TIME_SHIFTED, "+5 hours"),
        (weekdays, lambda v: v + 1.0, Cause.RECODED, "+1"),
        (lambda n, seed: weekdays(n, seed) + 1.0, lambda v: v - 1.0, Cause.RECODED, "-1"),
    ],
    ids=[
        "miles in kilometres",
        "with a short factor",
        "rounded to kilometres",
        "kilometres in miles",
        "in thousandths",
        "seconds in minutes",
        "a factor of no known pair",
        "degrees in Fahrenheit",
        "degrees in Celsius",
        "degrees in Kelvin",
        "negated",
        "hours of another zone",
        "hours of a zone westwards",
        "hhmm of another zone",
        "codes from 1",
        "codes from 0",
    ],
)
def test_a_break_is_told_by_its_cause_and_parameter(
    values: Callable[[int, int], Floats], change: Change, cause: Cause, detail: str, rows: int
) -> None:
    now, before = pair(values(8_000, 1), change(values(rows, 2)))
    found = find_number_break("distance", now, before)
    assert found is not None
    assert found.cause is cause
    assert detail in found.detail
    assert found.share > 0.85
    assert found.explanation.startswith("distance: every ")
    assert found.explanation.endswith("; this is a data break, not drift")


@pytest.mark.parametrize("rows", [300, 5_000])
@pytest.mark.parametrize("values", [miles, degrees, hours, clock_times])
@pytest.mark.parametrize(
    "change",
    [
        lambda v: v,
        lambda v: v + 0.25 * v.std(),
        lambda v: v - 0.5 * v.std(),
        lambda v: np.minimum(v, np.quantile(v, 0.9)),
        lambda v: v.mean() + 1.3 * (v - v.mean()),
        lambda v: v * 1.05,
        lambda v: v * 1.3,
        lambda v: v * np.random.default_rng(5).lognormal(0.4, 0.3, len(v)),
    ],
    ids=["none", "up", "down", "clipped", "wider", "growth of 5%", "growth of 30%", "uneven growth"],
)
def test_a_drift_is_no_break(values: Callable[[int, int], Floats], change: Change, rows: int) -> None:
    now, before = pair(values(8_000, 3), change(values(rows, 4)))
    assert find_number_break("distance", now, before) is None


def test_counts_that_grew_as_much_as_a_unit_stay_counts() -> None:
    random = np.random.default_rng(6)
    rates = random.lognormal(3.0, 0.8, 4_000)
    # Poisson counts of rates 3.28 times as high are nearly 3.28 times as high, but any whole number comes up.
    now, before = pair(random.poisson(rates).astype(float), random.poisson(3.2808 * rates[:1_000]).astype(float))
    assert find_number_break("rides", now, before) is None


def test_months_that_move_on_by_one_are_no_new_codes() -> None:
    random = np.random.default_rng(7)
    now, before = pair(random.integers(1, 4, 3_000).astype(float), random.integers(2, 5, 500).astype(float))
    assert find_number_break("month", now, before) is None


def test_the_sentence_names_the_factor_and_the_units() -> None:
    now, before = pair(miles(8_000, 1), miles(1_000, 2) * 1.609344)
    found = find_number_break("distance", now, before)
    assert found is not None
    assert found.explanation == (
        "distance: every value looks multiplied by 1.609 (miles became kilometres); this is a data break, not drift"
    )
