"""Values that fit the type of their feature, and those that do not."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import InputError
from monitor.records import FeatureType, Misfits, ValueType
from monitor.window.conform import Origin, conform, readable_json

INT, FLOAT, BYTES = (FeatureType(value) for value in (ValueType.INT, ValueType.FLOAT, ValueType.BYTES))
INTS, TEXTS = FeatureType(ValueType.INT, True), FeatureType(ValueType.BYTES, True)


@pytest.mark.parametrize(
    ("given_", "kind", "origin", "expected", "misfits"),
    [
        pytest.param([1, None], FLOAT, Origin.TYPED, [1.0, None], None, id="whole numbers are floats"),
        pytest.param([1.0, math.nan, None], INT, Origin.TYPED, [1, None, None], None, id="whole floats with gaps are ints"),
        pytest.param([1.0, 2.5], INT, Origin.TYPED, [1, None], Misfits(1, ("2.5",)), id="2.5 is no whole number"),
        pytest.param([math.inf], INT, Origin.TYPED, [None], Misfits(1, ("Infinity",)), id="infinity is no whole number"),
        pytest.param([1e300], INT, Origin.TYPED, [None], Misfits(1, ("1e+300",)), id="an int has 64 bits"),
        pytest.param([True, False], INT, Origin.TYPED, [1, 0], None, id="booleans are 1 and 0"),
        pytest.param(["12.5", None], FLOAT, Origin.TYPED, [None, None], Misfits(1, ('"12.5"',)), id="typed text is no number"),
        pytest.param(["12.5", "x", ""], FLOAT, Origin.CSV, [12.5, None, None], Misfits(1, ('"x"',)), id="CSV numbers are text"),
        pytest.param(["5.0", " 7 ", "NA"], INT, Origin.CSV, [5, 7, None], None, id="CSV ints may be written as floats"),
        pytest.param(["0x1F", "12"], INT, Origin.CSV, [None, 12], Misfits(1, ('"0x1F"',)), id="0x1F is a code, no number"),
        pytest.param([7, 12], BYTES, Origin.CSV, ["7", "12"], None, id="a CSV number is text where text is wanted"),
        pytest.param([7, 12], BYTES, Origin.TYPED, [None, None], Misfits(2, ("12", "7")), id="a typed number is no text"),
        pytest.param(["5", '"x"', "2.5"], INT, Origin.JSON, [5, None, None], Misfits(2, ('"x"', "2.5")), id="JSON goes by value"),
        pytest.param(["[5]", "[5, 6]"], INT, Origin.JSON, [5, None], Misfits(1, ("[5, 6]",)), id="JSON lists of one"),
        pytest.param([[5], [], None, [5, 6]], INT, Origin.TYPED, [5, None, None, None], Misfits(1, ("[5, 6]",)), id="long lists"),
        pytest.param([5, None], INTS, Origin.TYPED, [[5], None], None, id="one value is a list of one"),
        pytest.param(
            [[1.0, 2.0], [1.5, 2.0], None, []], INTS, Origin.TYPED, [[1, 2], None, None, []], Misfits(1, ("[1.5, 2.0]",)),
            id="a list with a value that does not fit is missing as a whole",
        ),
        pytest.param([["a"], None], TEXTS, Origin.TYPED, [["a"], None], None, id="lists of text stay"),
        pytest.param([None, None], INTS, Origin.TYPED, [None, None], None, id="a column without values fits everything"),
    ],
)  # fmt: skip
def test_what_fits(
    given_: list[Any], kind: FeatureType, origin: Origin, expected: list[Any], misfits: Misfits | None
) -> None:
    column, found = conform(pa.array(given_), kind, origin)
    assert column.to_pylist() == expected
    assert column.type == kind.arrow()
    assert found == misfits


def test_misfits_keep_three_distinct_examples_in_order_and_long_ones_short() -> None:
    _, found = conform(pa.array(["d", "b", "a", "a", "c", "b" * 1000]), FLOAT)
    assert found is not None
    assert found.count == 6
    assert found.examples[:2] == ('"a"', '"b"')
    assert all(len(example) < 70 for example in found.examples)


def test_bytes_that_are_no_utf8_stay_bytes() -> None:
    column, found = conform(pa.array([b"\xff\xfe", b"ok"]), BYTES)
    assert (column.to_pylist(), found) == ([b"\xff\xfe", b"ok"], None)


def test_objects_are_refused() -> None:
    with pytest.raises(InputError, match="nested objects"):
        conform(pa.array([{"a": 1}]), INT)


def test_mixed_json_reads_as_text() -> None:
    assert readable_json(pa.array(['"x"', "5", None, "[1]"])).to_pylist() == ["x", "5", None, "[1]"]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))), st.integers(0, 40))
def test_batches_conform_as_the_whole_does(values: list[int | None], cut: int) -> None:
    whole, _ = conform(pa.array(values, pa.int64()), FLOAT)
    parts = [conform(pa.array(part, pa.int64()), FLOAT)[0] for part in (values[:cut], values[cut:])]
    assert pa.concat_arrays(parts).equals(whole)


@given(st.lists(st.one_of(st.none(), st.integers(-(2**53), 2**53))))
def test_an_int_survives_being_written_as_float_and_as_text(values: list[int | None]) -> None:
    floats = pa.array([None if value is None else float(value) for value in values], pa.float64())
    texts = pa.array([None if value is None else f" {value}" for value in values], pa.string())
    assert conform(floats, INT)[0].to_pylist() == values
    assert conform(texts, INT, Origin.CSV)[0].to_pylist() == values
