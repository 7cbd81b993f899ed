from __future__ import annotations

import numpy as np
import pytest

from monitor.compare.breaks.absence import find_constant, find_null, find_type_change
from monitor.compare.breaks.causes import Cause
from monitor.profile.counts import Counts
from monitor.profile.features import FeatureCounts
from monitor.records import FeatureType, Misfits, ValueType
from tests.unit.compare.breaks.columns_of import pair, word_pair


def presence(present: int, missing: int) -> FeatureCounts:
    cells = np.repeat([0, 1], [present, missing])
    return FeatureCounts(Counts.nothing(1), Counts.of(cells, 2, None, None))


@pytest.mark.parametrize(
    ("now", "before", "misfits", "found"),
    [
        (presence(0, 100), presence(95, 5), None, True),
        (presence(3, 97), presence(100, 0), None, True),
        (presence(80, 20), presence(100, 0), None, False),
        (presence(0, 100), presence(10, 90), None, False),
        (presence(0, 100), presence(100, 0), Misfits(100, ('"12"',)), False),
    ],
    ids=["all gone", "nearly all gone", "some missing", "always sparse", "gone by misfits"],
)
def test_a_column_gone_null(now: FeatureCounts, before: FeatureCounts, misfits: Misfits | None, found: bool) -> None:
    result = find_null("fare", now, before, misfits)
    assert (result is not None) == found
    if result is not None:
        assert result.cause is Cause.GONE_NULL
        assert "where training lacks it in" in result.explanation


@pytest.mark.parametrize(
    ("kind", "examples", "detail"),
    [
        (ValueType.FLOAT, ('"12.5"', '"3"'), "numbers written as text for numbers"),
        (ValueType.FLOAT, ('"12,5"',), "numbers with a decimal comma, as text, for numbers"),
        (ValueType.FLOAT, ('"JFK"',), "texts for numbers"),
        (ValueType.INT, ("12.5", "0.1"), "fractions for whole numbers"),
        (ValueType.INT, ("[1, 2]",), "lists for whole numbers"),
        (ValueType.BYTES, ("3", "4"), "numbers for text"),
    ],
)
def test_a_type_change_says_what_came_for_what(kind: ValueType, examples: tuple[str, ...], detail: str) -> None:
    found = find_type_change("fare", FeatureType(kind), Misfits(90, examples), 100)
    assert found is not None
    assert (found.cause, found.detail, found.share) == (Cause.TYPE_CHANGED, detail, 0.9)


@pytest.mark.parametrize("misfits", [None, Misfits(10, ('"12.5"',))], ids=["none", "a few"])
def test_a_few_misfits_are_no_type_change(misfits: Misfits | None) -> None:
    assert find_type_change("fare", FeatureType(ValueType.FLOAT), misfits, 100) is None


RANDOM = np.random.default_rng(1)
FARES = RANDOM.lognormal(2.5, 0.6, 4_000).round(2)
HOURS = RANDOM.integers(0, 24, 4_000).astype(float)
MOSTLY_ZERO = np.where(RANDOM.random(4_000) < 0.8, 0.0, FARES)


@pytest.mark.parametrize(
    ("before", "value", "found"),
    [
        (FARES, 0.0, True),
        (FARES, -1.0, True),
        (FARES, float(np.median(FARES)), True),
        (HOURS, -1.0, True),
        (HOURS, 7.0, False),
        (HOURS % 3.0, 3.0, False),
        (MOSTLY_ZERO, 0.0, False),
        (np.zeros(100), 7.0, False),
    ],
    ids=[
        "fares of 0",
        "fares of -1",
        "fares all alike",
        "hours of -1",
        "one hour of the day",
        "a new code",
        "mostly zero before",
        "another constant",
    ],
)
def test_a_column_of_numbers_gone_constant(
    before: np.ndarray[tuple[int], np.dtype[np.float64]], value: float, found: bool
) -> None:
    result = find_constant("fare", *pair(before, np.full(300, value)))
    assert (result is not None) == found
    assert result is None or result.cause is Cause.GONE_CONSTANT


@pytest.mark.parametrize(
    ("value", "found"),
    [("unknown", True), ("", True), ("zzz", True), ("JFK", False)],
    ids=["word", "empty", "new", "usual"],
)
def test_a_column_of_words_gone_constant(value: str, found: bool) -> None:
    result = find_constant("origin", *word_pair(["JFK"] * 40 + ["LGA"] * 60, [value] * 100))
    assert (result is not None) == found
    assert result is None or result.detail == repr(value)
