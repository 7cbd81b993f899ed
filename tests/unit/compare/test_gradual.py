from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.compare.findings import Finding, Kind
from monitor.compare.gradual.findings import Budget, accumulated_findings, change_of, count_tracks
from monitor.compare.gradual.scan import HISTORY, MIN_SPAN, critical_mean, level_of, rate_of, scan
from monitor.compare.gradual.state import Quantity, Residual, State, accept, advance, begin, residual_of
from monitor.compare.gradual.usual import MIN_BLOCKS, Usual, learn
from monitor.profile.bins import CategoricalBins, NumericBins
from monitor.profile.calendar import Calendar, Cycle
from monitor.profile.counts import Counts, Location
from monitor.profile.document import Floats
from monitor.profile.features import Blocks, FeatureCounts, FeatureReference

DAY = timedelta(days=1) // timedelta(microseconds=1)
FIRST = 15_706
"""2013-01-01 in days since the epoch."""
ROWS = 1_000
LEVEL = level_of(0.001)
NONE = np.zeros(0)


def calendar(blocks: int) -> Calendar:
    return Calendar(DAY, Cycle.NONE, FIRST + np.arange(blocks), np.ones((blocks, 1)), np.array([float(blocks)]))


def numbers(means: Floats) -> FeatureReference:
    """Make a baseline of ROWS scores a day, of these means and unit variance."""
    weights = np.full(len(means), float(ROWS))
    squares = weights * (1.0 + means**2)
    each = Location(
        ROWS * len(means), ROWS * means.sum(), squares.sum(), squares.sum(), ROWS * means.sum(), ROWS * len(means)
    )
    presence = np.stack([weights, np.zeros(len(means))], axis=1)
    blocks = Blocks(
        values=np.stack([weights / 2, weights / 2], axis=1),
        presence=presence,
        novel=np.zeros(len(means)),
        location=np.stack([weights, weights * means, squares], axis=1),
        seasonal_values=NONE,
        seasonal_presence=NONE,
        seasonal_location=NONE,
    )
    counts = FeatureCounts(counted(*(blocks.values.sum(axis=0))), counted(*presence.sum(axis=0)), each)
    return FeatureReference(NumericBins(np.array([0.0])), counts, blocks=blocks)


def words(shares: Floats) -> FeatureReference:
    """Make a baseline of ROWS categories a day, of which these shares are the one frequent value."""
    bins = CategoricalBins((b"blue",), (b"green",), complete=True)
    values = np.zeros((len(shares), bins.size))
    values[:, 0], values[:, 1] = ROWS * shares, ROWS * (1.0 - shares)
    presence = np.stack([np.full(len(shares), float(ROWS)), np.zeros(len(shares))], axis=1)
    blocks = Blocks(values, presence, np.zeros(len(shares)), np.zeros((len(shares), 0)), NONE, NONE, NONE)
    counts = FeatureCounts(counted(*values.sum(axis=0)), counted(*presence.sum(axis=0)))
    return FeatureReference(bins, counts, blocks=blocks)


def counted(*cells: float) -> Counts:
    sums = np.array(cells, np.float64)
    return Counts(sums, sums, sums, float(sums.sum()))


def window(mean: float, rows: int = ROWS, missing: int = 0) -> FeatureCounts:
    squared = rows * (1.0 + mean**2)
    location = Location(rows, rows * mean, squared, squared, rows * mean, rows)
    return FeatureCounts(counted(rows / 2, rows / 2), counted(rows, missing), location)


def noisy(seed: int, count: int, spread: float = 0.05) -> Floats:
    return np.random.default_rng(seed).normal(scale=spread, size=count)


def begun(reference: FeatureReference, blocks: int = 60) -> State:
    state = begin(reference, calendar(blocks))
    assert state is not None
    return state


def after(state: State, means: Floats, first: int = FIRST + 60) -> State:
    for place, mean in enumerate(means.tolist(), start=first):
        state = advance(state, residual_of(window(mean), state, place))
    return state


def judged(state: State, measure: str = "accumulated_d") -> Finding:
    budget = Budget(false_alarms=0.001, tracks=count_tracks([state]))
    return next(f for f in accumulated_findings("temp", state, budget, kind=Kind.DRIFT) if f.measure == measure)


def usual(levels: Floats, noise: float = 1e-3, periods: tuple[int, ...] = ()) -> Usual:
    learnt = learn(levels, np.full(len(levels), noise), np.arange(len(levels)), periods)
    assert learnt is not None
    return learnt


def test_a_slow_rise_is_found_and_dated_though_no_day_shows_it() -> None:
    state = begun(numbers(noisy(1, 60)))
    rise = np.concatenate([np.zeros(20), 0.02 * np.arange(1, 13)])
    found = judged(after(state, noisy(2, 32, 0.02) + rise))
    assert found.flagged
    assert found.kind is Kind.DRIFT
    assert found.reference == "accumulated"
    assert found.explanation.startswith("temp: has risen for 1")
    assert "days since 2013-03-2" in found.explanation
    assert found.explanation.endswith("standard deviations in all")


def test_a_small_step_is_found_and_dated() -> None:
    state = begun(numbers(noisy(1, 60, 0.1)))
    step = np.concatenate([np.zeros(20), np.full(25, -0.18)])
    found = judged(after(state, np.tile([0.1, -0.1, 0.0], 15) + step))
    assert found.flagged
    assert "temp: has been lower for 2" in found.explanation
    assert "; no single day shows it" in found.explanation


def test_a_quiet_sequence_is_not_flagged_and_says_so() -> None:
    found = judged(after(begun(numbers(noisy(1, 60))), noisy(2, 60)))
    assert not found.flagged
    assert found.value is not None
    assert found.threshold is not None
    assert found.value <= found.threshold
    assert found.explanation == "temp: has stayed near its usual level"


def test_two_windows_are_too_few() -> None:
    found = judged(after(begun(numbers(noisy(1, 60))), np.full(MIN_SPAN - 1, 5.0)))
    assert not found.flagged
    assert found.value is None
    assert found.reason == "too few windows: a change must have lasted for 3"


def test_one_strange_day_is_not_flagged() -> None:
    days = noisy(2, 30)
    days[25] = 5.0
    assert not judged(after(begun(numbers(noisy(1, 60))), days)).flagged


def test_missing_values_that_become_more_are_told_in_percent() -> None:
    state = begun(numbers(noisy(1, 60)))
    for place in range(30):
        state = advance(state, residual_of(window(0.0, missing=10 + 2 * place), state, FIRST + 60 + place))
    found = judged(state, "accumulated_missing_h")
    assert found.flagged
    assert found.kind is Kind.MISSING_VALUES
    assert found.explanation.startswith("temp: the share of missing values has ")
    assert "from 0.0% to " in found.explanation


def test_a_category_that_grows_is_named() -> None:
    state = begun(words(0.2 + noisy(1, 60, 0.01)))
    for place in range(20):
        blue = ROWS * (0.2 + 0.005 * place)
        counts = FeatureCounts(counted(blue, ROWS - blue, *np.zeros(16)), counted(ROWS, 0.0))
        state = advance(state, residual_of(counts, state, FIRST + 60 + place))
    found = judged(state, "accumulated_share_h")
    assert found.flagged
    assert found.explanation.startswith("temp: the share of ")
    assert "risen" in found.explanation or "fallen" in found.explanation


def test_a_share_of_nothing_stays_nothing_at_any_number_of_rows() -> None:
    state = begun(numbers(noisy(1, 60)))
    place = next(i for i, track in enumerate(state.tracks) if track.quantity is Quantity.MISSING)
    values = [residual_of(window(0.0, rows), state, FIRST).values[place] for rows in (30, 300, 30_000)]
    assert values == [0.0, 0.0, 0.0]


def test_a_window_without_values_tells_nothing_of_the_location() -> None:
    state = begun(numbers(noisy(1, 60)))
    empty = FeatureCounts(counted(0.0, 0.0), counted(0.0, float(ROWS)), Location())
    state = advance(state, residual_of(empty, state, FIRST + 60))
    told = {track.quantity: len(state.arrays(i)[0]) for i, track in enumerate(state.tracks)}
    assert told == {Quantity.LOCATION: 0, Quantity.MISSING: 1}


def test_a_revision_replaces_what_the_window_said_before() -> None:
    state = begun(numbers(noisy(1, 60)))
    once = after(state, np.array([0.1, 0.2, 0.3]))
    twice = after(after(state, np.array([0.1, 9.0, 0.3])), np.array([0.2]), first=FIRST + 61)
    assert twice == once


def test_the_state_survives_its_document() -> None:
    state = after(begun(numbers(noisy(1, 60))), noisy(2, 70))
    again = State.from_document(state.to_document())
    assert again.to_document() == state.to_document()
    assert judged(again) == judged(state)
    assert len(again.history) == HISTORY


def test_what_a_person_accepted_is_not_flagged_again_but_a_further_rise_is() -> None:
    state = accept(after(begun(numbers(noisy(1, 60))), noisy(2, 20) + 0.5))
    assert state.history == ()
    same = after(state, noisy(3, 30) + 0.5, first=FIRST + 80)
    assert not judged(same).flagged
    assert judged(after(same, noisy(4, 20) + 1.0, first=FIRST + 110)).flagged


def test_accepting_before_any_window_changes_nothing() -> None:
    state = begun(numbers(noisy(1, 60)))
    assert accept(state).to_document() == state.to_document()


def test_too_few_blocks_begin_nothing() -> None:
    assert begin(numbers(noisy(1, MIN_BLOCKS - 1)), calendar(MIN_BLOCKS - 1)) is None
    assert begin(replace(numbers(noisy(1, 60)), blocks=None), calendar(60)) is None


def test_a_constant_column_is_followed_by_its_missing_share_only() -> None:
    reference = numbers(np.zeros(60))
    still = Location(60 * ROWS, 0.0, 0.0, 0.0, 0.0, 60 * ROWS)
    state = begun(replace(reference, counts=replace(reference.counts, location=still)))
    assert [track.quantity for track in state.tracks] == [Quantity.MISSING]


def test_a_weekly_season_is_learnt_and_expected() -> None:
    weekend = np.where(np.arange(70) % 7 >= 5, 1.0, 0.0)
    learnt = usual(weekend + noisy(1, 70), periods=(7,))
    assert np.allclose(learnt.expected(np.arange(700, 714)), weekend[:14], atol=0.15)
    assert learnt.variance.max() < 0.02


def test_days_that_carry_over_widen_the_threshold() -> None:
    rng = np.random.default_rng(3)
    alone = rng.normal(size=90)
    carried = np.zeros(90)
    for i in range(1, 90):
        carried[i] = 0.7 * carried[i - 1] + alone[i]
    thresholds = []
    for levels in (alone, carried):
        learnt = usual(levels / levels.std())
        span = scan(learnt, np.arange(100, 130), np.full(30, 0.5), np.full(30, 1e-3))
        assert span is not None
        thresholds.append(critical_mean(learnt, span, LEVEL))
    assert thresholds[1] > 1.5 * thresholds[0]


def test_gaps_between_windows_are_fine() -> None:
    learnt = usual(noisy(1, 60))
    places = np.array([100, 101, 140, 171, 172, 400])
    span = scan(learnt, places, np.full(6, 0.5), np.full(6, 1e-3))
    assert span is not None
    assert span.p_value < LEVEL


@pytest.mark.parametrize("rate", [1e-3, 1e-5, 1e-7])
def test_levels_and_rates_undo_each_other(rate: float) -> None:
    assert math.isclose(rate_of(level_of(rate)), rate, rel_tol=1e-6)


@pytest.mark.parametrize(("blocks", "carry_over"), [(60, 0.0), (60, 0.5), (30, 0.0)])
def test_false_alarms_stay_within_their_budget(blocks: int, carry_over: float) -> None:
    rng = np.random.default_rng(blocks)
    alarms, seen, windows = 0, 0, 70
    for _ in range(12):
        levels = rng.normal(size=blocks + windows)
        for i in range(1, len(levels)):
            levels[i] = carry_over * levels[i - 1] + math.sqrt(1.0 - carry_over**2) * levels[i]
        levels = 0.1 * levels + rng.normal(scale=ROWS**-0.5, size=len(levels))
        learnt = usual(levels[:blocks])
        for end in range(blocks + MIN_SPAN, len(levels)):
            kept = slice(max(blocks, end - HISTORY), end)
            span = scan(learnt, np.arange(len(levels))[kept], levels[kept], np.full(kept.stop - kept.start, 1e-3))
            seen += 1
            if span is not None and span.p_value < level_of(0.005):
                alarms += 1
                break
    # 0.005 a window would be 4 of 800; a Poisson of that mean passes 9 in one run of a hundred.
    assert seen > 500
    assert alarms <= 9


def test_a_change_is_dated_by_the_better_of_step_and_rise() -> None:
    places = np.arange(50, 90)
    step = change_of(places, np.where(places >= 75, 0.3, 0.0))
    rise = change_of(places, np.maximum(0.0, 0.05 * (places - 70)))
    assert (step.place, step.steady, round(step.total, 6)) == (75, False, 0.3)
    assert (rise.place, rise.steady, round(rise.total, 6)) == (71, True, 0.95)


@given(st.permutations(range(12)), st.integers(0, 11))
@settings(max_examples=25, deadline=None)
def test_the_order_in_which_windows_come_does_not_matter(order: list[int], again: int) -> None:
    residuals = [Residual(place, (float(place), 0.0), (1.0, 1.0)) for place in range(12)]
    state = State(DAY, ())
    for place in [*order, again]:
        state = advance(state, residuals[place])
    assert list(state.history) == residuals


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=40), st.sampled_from([1.0, -1.0]))
@settings(max_examples=50, deadline=None)
def test_a_fall_is_as_surprising_as_a_rise(residuals: list[float], sign: float) -> None:
    learnt = replace(usual(noisy(1, 60)), level=np.zeros(8))
    places, noises = np.arange(100, 100 + len(residuals)), np.full(len(residuals), 1e-3)
    one = scan(learnt, places, np.array(residuals), noises)
    other = scan(learnt, places, sign * np.array(residuals), noises)
    assert one is not None
    assert other is not None
    assert 0.0 <= one.p_value <= 1.0
    assert one.p_value == other.p_value
    assert one.mean == sign * other.mean
