"""Hours make a day: what adds up, adds up exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import InvariantBroken
from monitor.profile.baseline import Baseline
from monitor.profile.profile import Profile, count_rows
from monitor.profile.rollup import rolled_up, rolled_up_windows
from monitor.records import Misfits, Rows
from monitor.window.slicing import rows_at
from tests.slicing import HOUR, baseline_of, by, rows, window_of


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return baseline_of(rows(900, 1, hours=24 * 5), by(["side"]))


def hourly(whole: Rows, baseline: Baseline) -> list[Profile]:
    assert whole.event_times is not None
    numbers = whole.event_times // HOUR
    parts = [rows_at(whole, np.flatnonzero(numbers == number)) for number in np.unique(numbers)]
    return [count_rows(part, baseline) for part in parts]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 300), hours=st.integers(1, 30), weighted=st.booleans())
def test_hours_add_up_to_what_their_rows_are_together(
    baseline: Baseline, seed: int, count: int, hours: int, weighted: bool
) -> None:
    whole = rows(count, seed, hours=hours)
    if weighted:
        whole = replace(whole, weights=np.random.default_rng(seed).integers(1, 9, count).astype(float))
    day, parts = count_rows(whole, baseline), hourly(whole, baseline)
    found = rolled_up(parts)
    for name in day.counts:
        assert np.array_equal(found.counts[name].values.sums, day.counts[name].values.sums)
        assert np.array_equal(found.counts[name].presence.squares, day.counts[name].presence.squares)
    assert found.counts["x"].location is not None
    assert day.counts["x"].location is not None
    assert found.counts["x"].location.to_document() == pytest.approx(day.counts["x"].location.to_document())
    assert (found.rows, found.rows_seen) == (day.rows, day.rows_seen)
    assert found.n_effective == pytest.approx(day.n_effective)
    assert found.blocks == pytest.approx(day.blocks)
    assert found.mix == pytest.approx(day.mix)
    if len(parts) > 2:  # a day from hours is that day from its parts
        step = rolled_up([rolled_up(parts[:2]), *parts[2:]])
        assert step.blocks == pytest.approx(found.blocks)
        assert step.counts["colour"].values == found.counts["colour"].values


def test_there_are_no_statistics_and_misfits_add_up(baseline: Baseline) -> None:
    one, two = (count_rows(rows(50, seed), baseline, b"statistics") for seed in (1, 2))
    found = rolled_up(
        [replace(one, misfits={"x": Misfits(2, ('"a"', '"c"'))}), replace(two, misfits={"x": Misfits(3, ('"b"',))})]
    )
    assert found.statistics == b""
    assert found.misfits == {"x": Misfits(5, ('"a"', '"b"', '"c"'))}


def test_notable_values_are_weighed_by_the_rows_that_held_them() -> None:
    baseline = baseline_of(Rows(pa.table({"c": ["a", "b"] * 50})), length=None)
    one = count_rows(Rows(pa.table({"c": ["new"] * 30 + ["a"] * 70})), baseline)
    two = count_rows(Rows(pa.table({"c": ["a"] * 300})), baseline)
    ((value, share),) = rolled_up([one, two]).notable["c"]
    assert value == b"new"
    assert share == pytest.approx(0.075)


def test_a_feature_that_some_windows_lack_is_counted_where_it_is(baseline: Baseline) -> None:
    full, lacking = rows(100, 1), rows(50, 2)
    part = count_rows(replace(lacking, features=lacking.features.select(["x"])), baseline)
    found = rolled_up([count_rows(full, baseline), part])
    assert found.counts["x"].presence.total == 150
    assert found.counts["gap"].presence.total == 100


def test_a_prediction_that_the_baseline_lacks_may_have_changed_its_kind(baseline: Baseline) -> None:
    def predicting(values: list[object]) -> Profile:
        return count_rows(Rows(pa.table({"p": values}), prediction="p"), baseline)

    found = rolled_up([predicting([0.5, 0.6]), predicting(["yes", "no", "no"])])
    assert found.counts["p"].values.total == 3


def test_windows_roll_up_slice_by_slice(baseline: Baseline) -> None:
    one, two = window_of(rows(100, 1), baseline), window_of(rows(80, 2, sides=["west"]), baseline)
    found = rolled_up_windows([one, two])
    east, west = (("side", "east"),), (("side", "west"),)
    assert found.overall.rows == 180
    assert found.slices[east].rows == one.slices[east].rows
    assert found.slices[west].rows == one.slices[west].rows + 80


def test_profiles_of_different_baselines_do_not_add_up(baseline: Baseline) -> None:
    one = count_rows(rows(50, 1), baseline)
    for profiles in ([], [one, replace(one, baseline="another")]):
        with pytest.raises(InvariantBroken):
            rolled_up(profiles)
