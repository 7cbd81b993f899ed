from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from monitor.compare.explain import explain_missing, explain_novel, explain_values, number, percent, text
from monitor.profile.columns import Column
from monitor.profile.layout import Layout, count_feature, notable_values
from monitor.profile.moments import Moments


def _column(values: list[str] | list[float] | np.ndarray[tuple[int], np.dtype[np.float64]]) -> Column:
    return Column.of(pa.chunked_array([pa.array(values)]))


def test_categories_say_which_value_moved_from_what_share_to_what() -> None:
    before, now = _column(["UA"] * 176 + ["AA"] * 824), _column(["UA"] * 210 + ["AA"] * 780 + ["new"] * 10)
    known = Layout.of(before, None, None).reference(None)
    counts = count_feature(now, known.bins, None, None)
    notable = notable_values(now, known.bins, None)
    said = explain_values("carrier", known.bins, counts, known.counts, (None, None), (notable, ()))
    assert said == "carrier: 'AA' from 82.4% to 78.0%, 'UA' from 17.6% to 21.0%, 'new' from 0.0% to 1.0%"
    assert "such as 'new' 1.0%" in explain_novel("carrier", known.bins, counts, None, notable)


def test_numbers_say_how_moments_and_the_most_moved_cell_changed() -> None:
    before = _column(np.repeat(np.arange(10.0), 100))
    now = _column(np.concatenate([np.zeros(500), np.full(500, 9.0)]))
    known = Layout.of(before, None, None).reference(None)
    counts = count_feature(now, known.bins, None, None)
    moments = (Moments(4.5, 4.5, 0.0, 9.0, 0.0, 9.0, 0.5), Moments(4.5, 4.5, 1.0, 8.0, 0.0, 9.0, 0.1))
    assert explain_values("hour", known.bins, counts, known.counts, moments, ((), ())) == (
        "hour: mean from 4.5 to 4.5, median from 4.5 to 4.5, p10 from 1 to 0, p90 from 8 to 9, "
        "zeros from 10.0% to 50.0%, value 0 from 10.0% to 50.0%"
    )


def test_numbers_below_and_above_the_training_range() -> None:
    known = Layout.of(_column(np.arange(11.0)), None, None).reference(None)
    counts = count_feature(_column([-5.0, 3.0, 12.0, 15.0]), known.bins, None, None)
    said = explain_novel("a", known.bins, counts, None, ())
    assert said == "a: 50.0% above the training maximum 10 and 25.0% below the training minimum 0"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (percent(0.176), "17.6%"),
        (percent(0.00004), "0.004%"),
        (number(3.0), "3"),
        (number(0.123456), "0.1235"),
        (number(1e300), "1e+300"),
        (number(None), "unknown"),
        (text(b"\xff"), r"'\\xff'"),
        (text(b"x" * 50), "'" + "x" * 39 + "…'"),
        (explain_missing("a", 0.5, 0.0), "a: missing in 50.0% of the rows, 0.0% in the reference"),
    ],
)
def test_wording(written: str, expected: str) -> None:
    assert written == expected
