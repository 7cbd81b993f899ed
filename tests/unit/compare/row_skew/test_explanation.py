"""Planted transformations are recovered, and noise is given no name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.compare.row_skew.comparison import SkewOptions, row_skew
from monitor.compare.row_skew.explanation import Transformation
from tests.unit.compare.row_skew.sides import Values, examples, explained, feature, skew

SEEDS = st.integers(0, 2**32 - 1)
ROWS = st.integers(30, 200)
Floats = np.ndarray[Any, np.dtype[np.float64]]


def skewed_numbers(seed: int, rows: int) -> Floats:
    """Return numbers of a heavy-tailed distribution, of either sign."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.lognormal(2, 1, rows) * rng.choice([1, -1], rows))


def nonzero(value: float) -> bool:
    return abs(value) > 1e-3


FACTORS = st.floats(-1e4, 1e4).filter(lambda value: nonzero(value) and abs(abs(value) - 1) > 1e-3)
OFFSETS = st.floats(-1e4, 1e4).filter(nonzero)


def close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-4 * max(abs(one), abs(other), 1e-3)


@given(SEEDS, ROWS, FACTORS, st.booleans())
def test_a_factor(seed: int, rows: int, factor: float, narrow: bool) -> None:
    numbers = skewed_numbers(seed, rows)
    served = (numbers * factor).astype(np.float32 if narrow else np.float64)
    found = explained(numbers, served)
    assert found is not None
    assert found.kind in (Transformation.SCALE, Transformation.UNIT)
    assert close(found.parameters["factor"], factor)
    assert found.explained == found.of == rows


@given(SEEDS, ROWS, OFFSETS)
def test_an_offset(seed: int, rows: int, offset: float) -> None:
    numbers = skewed_numbers(seed, rows)
    found = explained(numbers, numbers + offset)
    assert found is not None
    assert (found.kind, set(found.parameters) - {"from", "to"}) in (
        (Transformation.OFFSET, {"offset"}),
        (Transformation.UNIT, {"offset"}),
    )
    assert close(found.parameters["offset"], offset)


@given(SEEDS, ROWS, FACTORS, OFFSETS)
@example(0, 30, 7720.0, 2.7854118)  # 2.785412 holds for one half of the rows, not for the other
def test_a_factor_and_an_offset(seed: int, rows: int, factor: float, offset: float) -> None:
    numbers = skewed_numbers(seed, rows)
    found = explained(numbers, numbers * factor + offset)
    assert found is not None
    assert found.kind in (Transformation.AFFINE, Transformation.UNIT)
    assert close(found.parameters["factor"], factor)
    assert close(found.parameters["offset"], offset)


@pytest.mark.parametrize(
    ("convert", "names"),
    [
        (lambda x: x * 1.609344, ("miles", "kilometres")),
        (lambda x: x * 0.621, ("kilometres", "miles")),
        (lambda x: x * 1.61, ("miles", "kilometres")),
        (lambda x: x * 1.8 + 32, ("degrees Celsius", "degrees Fahrenheit")),
        (lambda x: (x - 32) / 1.8, ("degrees Fahrenheit", "degrees Celsius")),
        (lambda x: x + 273.15, ("degrees Celsius", "kelvins")),
        (lambda x: x * 2.54, ("inches", "centimetres")),
        (lambda x: x * 2.20462, ("kilograms", "pounds")),
        (lambda x: x * 100, ("units or shares", "cents or percent")),
        (lambda x: x / 1000, ("milliseconds, whole or milli-units", "seconds, kilo- or whole units")),
    ],
)
@pytest.mark.parametrize("rounded", [False, True])
def test_a_unit_by_its_name(convert: Callable[[Floats], Floats], names: tuple[str, str], rounded: bool) -> None:
    served = convert(skewed_numbers(1, 400) * 10)
    found = explained(skewed_numbers(1, 400) * 10, np.round(served, 1) if rounded else served)
    assert found is not None
    assert (found.kind, found.parameters["from"], found.parameters["to"]) == (Transformation.UNIT, *names)
    assert found.sentence.endswith(f"{names[0]} in training, {names[1]} in serving")


@given(SEEDS, ROWS, st.integers(0, 4), st.booleans(), st.booleans())
def test_rounding(seed: int, rows: int, digits: int, narrow: bool, training: bool) -> None:
    numbers = skewed_numbers(seed, rows).astype(np.float32 if narrow else np.float64)
    sides = (numbers, np.round(numbers.astype(np.float64), digits).astype(numbers.dtype))
    found = explained(*(sides[::-1] if training else sides))
    assert found is not None
    assert found.kind is Transformation.ROUNDING
    assert found.parameters == {"side": "training" if training else "served", "digits": digits}


@given(SEEDS, ROWS)
def test_truncation_is_told_from_rounding(seed: int, rows: int) -> None:
    numbers = skewed_numbers(seed, rows) * 10
    found = explained(numbers, np.trunc(numbers).astype(np.int64))
    assert found is not None
    assert (found.kind, found.parameters) == (Transformation.TRUNCATION, {"side": "served", "digits": 0})


TEXTS = ["Chicago", "Boston North", "Los Angeles", "New York City", "El Paso del Norte", "Springfield"]


@pytest.mark.parametrize(
    ("change", "kind", "parameters"),
    [
        (str.upper, Transformation.CASE, {}),
        (lambda text: f"  {text} ", Transformation.WHITESPACE, {}),
        (lambda text: f" {text.lower()}", Transformation.CASE, {}),
        (lambda text: text[:4], Transformation.TRUNCATION, {"side": "served", "length": 4}),
        (
            lambda _: "unknown",
            Transformation.DEFAULT_FILL,
            {"side": "served", "value": "unknown", "instead_of": "values"},
        ),
        (lambda text: f"city-{TEXTS.index(text)}", Transformation.CATEGORY_MAP, None),
        (TEXTS.index, Transformation.CATEGORY_MAP, None),
    ],
)
@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=100))
def test_texts_written_otherwise(
    change: Callable[[str], Any], kind: Transformation, parameters: dict[str, Any] | None, drawn: list[str]
) -> None:
    texts = [*TEXTS, *TEXTS, *drawn]
    found = explained(texts, [change(text) for text in texts])
    assert found is not None
    assert found.kind is kind
    if parameters is not None:
        assert found.parameters == parameters


def test_swapped_categories_are_told_by_their_map() -> None:
    texts = ["red", "green", "blue"] * 20
    found = explained(texts, [{"red": "blue", "blue": "red"}.get(text, text) for text in texts])
    assert found is not None
    assert (found.kind, found.explained, found.of) == (Transformation.CATEGORY_MAP, 40, 40)
    assert found.parameters == {"map": {"blue": "red", "red": "blue"}, "categories": 2}


def test_swapped_codes_of_two_categories_are_no_line() -> None:
    codes = [0, 1] * 20
    found = explained(codes, [1 - code for code in codes])
    assert found is not None
    assert (found.kind, found.parameters["map"]) == (Transformation.CATEGORY_MAP, {"0": "1", "1": "0"})


@given(SEEDS, st.integers(40, 200), st.sampled_from([-1.0, 0.0, 999.0]), st.booleans())
def test_a_default_for_what_is_missing(seed: int, rows: int, default: float, training: bool) -> None:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(50, 10, rows)
    missing = np.arange(rows) % 4 == 0
    sides = (np.where(missing, np.nan, numbers), np.where(missing, default, numbers))
    found = explained(*(sides[::-1] if training else sides))
    assert found is not None
    side = "training" if training else "served"
    assert (found.kind, found.parameters) == (
        Transformation.DEFAULT_FILL,
        {"side": side, "value": default, "instead_of": "missing"},
    )


def test_a_default_in_place_of_values() -> None:
    numbers = skewed_numbers(3, 100)
    found = explained(numbers, np.where(np.arange(100) % 3 == 0, 0.0, numbers))
    assert found is not None
    assert (found.kind, found.explained, found.parameters["value"]) == (Transformation.DEFAULT_FILL, 34, 0.0)


def test_what_is_mostly_so_anyway_is_no_default() -> None:
    mostly = np.where(np.arange(200) % 50 == 7, 1.0, 0.0)
    assert explained(np.where(np.arange(200) < 20, np.nan, mostly), mostly) is None


START = datetime(2013, 1, 1, tzinfo=UTC)


@given(SEEDS, ROWS, st.integers(-48, 48).filter(bool), st.sampled_from(["time", "text", "seconds", "milliseconds"]))
def test_times_shifted_by_quarters_of_an_hour(seed: int, rows: int, quarters: int, written: str) -> None:
    seconds = np.random.default_rng(seed).integers(0, 365 * 86_400, rows)
    shift = timedelta(minutes=15 * quarters)
    training = [START + timedelta(seconds=int(each)) for each in seconds]
    served = [moment + shift for moment in training]
    write: dict[str, Callable[[datetime], Any]] = {
        "time": lambda moment: moment,
        "text": lambda moment: moment.isoformat(),
        "seconds": lambda moment: int(moment.timestamp()),
        "milliseconds": lambda moment: int(moment.timestamp() * 1000),
    }
    found = explained(*([write[written](moment) for moment in side] for side in (training, served)))
    assert found is not None
    assert (found.kind, found.parameters["hours"]) == (Transformation.TIME_SHIFT, [quarters / 4])


def test_a_time_zone_that_changes_its_clocks_is_two_shifts() -> None:
    training = [START + timedelta(days=day, hours=day % 24) for day in range(365)]
    served = [moment - timedelta(hours=4 if 90 < place < 300 else 5) for place, moment in enumerate(training)]
    found = explained(training, served)
    assert found is not None
    assert (found.kind, found.parameters) == (Transformation.TIME_SHIFT, {"hours": [-5.0, -4.0]})


@given(SEEDS, st.integers(100, 200), st.integers(-11, 11).filter(bool))
def test_hours_of_the_day_start_again(seed: int, rows: int, shift: int) -> None:
    hours = np.random.default_rng(seed).permutation(np.arange(rows) % 24)
    found = explained(hours, (hours + shift) % 24)
    assert found is not None
    assert (found.kind, found.parameters) == (Transformation.TIME_SHIFT, {"offset": shift, "period": 24})


@pytest.mark.parametrize(
    ("training", "served"),
    [(["1", "2", "12.5"] * 3, [1.0, 2.0, 12.5] * 3), ([1, 2, 3], ["1", "2", "3"])],
)
def test_a_number_written_as_text(training: Values, served: Values) -> None:
    found = explained(training, served)
    assert found is not None
    assert found.kind is Transformation.TYPE


def test_the_type_of_tf_examples() -> None:
    sides = examples({"id": [[1], [2]], "x": [[1], [2]]}), examples({"id": [[1], [2]], "x": [[1.0], [2.0]]})
    (found,) = row_skew(*sides, ["id"], SkewOptions()).features
    assert found.mismatch_count == 2
    assert found.explanations[0].parameters == {"training": "INT", "served": "FLOAT"}


def test_lists_in_another_order_and_lists_of_converted_values() -> None:
    lists = [[float(row), row + 0.5, row * 2.25 + 7] for row in range(1, 40)]
    reordered, scaled = (
        explained(lists, each) for each in ([row[::-1] for row in lists], [[x * 2.54 for x in row] for row in lists])
    )
    assert reordered is not None
    assert reordered.kind is Transformation.ORDER
    assert scaled is not None
    assert (scaled.kind, scaled.parameters["to"]) == (Transformation.UNIT, "centimetres")


def test_a_few_rows_that_differ_otherwise_do_not_hide_a_transformation() -> None:
    numbers = skewed_numbers(5, 1000)
    served = numbers * 3.5
    served[::30] = skewed_numbers(6, 34)
    found = explained(numbers, served)
    assert found is not None
    assert (found.kind, found.parameters, found.explained) == (Transformation.SCALE, {"factor": 3.5}, 966)


@given(SEEDS, ROWS)
def test_noise_has_no_name(seed: int, rows: int) -> None:
    numbers = skewed_numbers(seed, rows)
    noise = np.random.default_rng(seed + 1)
    assert explained(numbers, numbers + noise.normal(0, 1, rows)) is None
    assert explained(numbers, noise.permutation(numbers)) is None
    assert explained(np.round(numbers), np.round(numbers) + noise.integers(-3, 4, rows)) is None


@given(SEEDS, ROWS)
def test_wrong_labels_have_no_name(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice(["yes", "no"], rows)
    wrong = np.where(rng.random(rows) < 0.2, np.where(labels == "yes", "no", "yes"), labels)
    assert explained(labels, wrong) is None
    assert explained((labels == "yes").astype(int), (wrong == "yes").astype(int)) is None


@pytest.mark.parametrize("served", [[1] * 50, [1.5] * 50, ["b"] * 50])
def test_one_constant_against_another_is_an_accident(served: Values) -> None:
    assert explained(["a"] * 50 if isinstance(served[0], str) else [0] * 50, served) is None


def test_a_feature_that_is_missing_altogether_has_no_default() -> None:
    (found,) = skew({"id": range(50), "x": [0] * 50}, {"id": range(50)}).features
    assert (found.base_only, found.explanations) == (50, ())


def test_infinite_numbers_are_differences_like_others() -> None:
    numbers = skewed_numbers(9, 60)
    served = numbers * 4
    served[0] = np.inf
    found = feature(numbers, served).explanations[0]
    assert (found.kind, found.explained, found.of) == (Transformation.SCALE, 59, 60)


def test_parameters_and_counts_are_json() -> None:
    found = explained(pa.array([1.0, 2.5, 3.0, 4.0, 5.5]), pa.array([2.0, 3.5, 4.0, 5.0, 6.5]))
    assert found is not None
    assert found.to_json() == {
        "kind": "offset",
        "explained": 5,
        "of": 5,
        "parameters": {"offset": 1.0},
        "explanation": "served = training + 1",
    }
