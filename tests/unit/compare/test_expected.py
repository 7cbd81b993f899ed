"""What a reference leads to expect of a window: its seasons, and how much blocks of time vary around theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose
from scipy import signal

from monitor.compare.calibrated import Test, shares_test
from monitor.compare.case import Case, Reference
from monitor.compare.expected import Expected, alike, expected_of
from monitor.compare.findings import Finding
from monitor.compare.judge import calibrated_findings
from monitor.compare.variation import Between, Variation
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import Baseline
from monitor.profile.calendar import Calendar, Cycle, calendar_of
from monitor.profile.columns import Column
from monitor.profile.counts import Indices
from monitor.profile.document import Floats
from monitor.profile.features import FeatureCounts, FeatureReference
from monitor.profile.layout import Layout, count_feature
from monitor.profile.profile import count_rows
from monitor.records import Rows
from tests.slicing import HOUR, baseline_of

DAYS = 10
EACH = 40
"""Rows of each hour."""
LEVEL = 1e-4


def mix_of(shares: Mapping[int, float]) -> Floats:
    mix = np.zeros(24)
    for hour, share in shares.items():
        mix[hour] = share
    return mix


def at(hour: int) -> Floats:
    return mix_of({hour: 1.0})


@dataclass(frozen=True, slots=True)
class Known:
    """A baseline of one column whose mean has a swing of two standard deviations over the day."""

    reference: FeatureReference
    calendar: Calendar
    weighted: bool

    @classmethod
    def of(cls, *, hours: Sequence[int] = range(24), weighted: bool = False, words: bool = False) -> Known:
        random = np.random.default_rng(3)
        starts = np.array([day * 24 + hour for day in range(DAYS) for hour in hours])
        times = np.repeat(starts, EACH) * HOUR + random.integers(0, HOUR, len(starts) * EACH)
        found = calendar_of(times, HOUR, None)
        assert found is not None
        calendar, blocks = found
        assert calendar.cycle is Cycle.HOUR
        weights = random.uniform(0.5, 3.0, len(times)) if weighted else None
        column = cls.column(times // HOUR % 24, random, words=words)
        return cls(Layout.of(column, weights, blocks).reference(None), calendar, weighted)

    @staticmethod
    def column(hours: Indices, random: np.random.Generator, *, words: bool = False) -> Column:
        values = random.normal(np.sin(hours * np.pi / 12.0) * 2.0)
        drawn = pa.array(np.where(values > 0.0, "up", "down")) if words else pa.array(values)
        return Column.of(pa.chunked_array([drawn]))

    def window(self, hour: int, rows: int = 400) -> FeatureCounts:
        column = self.column(np.full(rows, hour), np.random.default_rng(100 + hour))
        return count_feature(column, self.reference.bins, None, None)

    def training(self, mix: Floats | None) -> Expected:
        return expected_of(
            self.reference.counts, self.reference, self.calendar, (mix, None), (1.0, float(DAYS * 24)), training=True
        )

    def earlier(self, counts: FeatureCounts, mixes: tuple[Floats | None, Floats | None]) -> Expected:
        return expected_of(counts, self.reference, self.calendar, mixes, (1.0, 1.0), training=False)


@pytest.fixture(scope="module")
def known() -> Known:
    return Known.of()


@pytest.mark.parametrize("hour", [0, 6, 18])
@pytest.mark.parametrize("words", [False, True], ids=["numbers", "categories"])
def test_a_window_of_one_season_is_compared_with_that_seasons_own_counts(hour: int, words: bool) -> None:
    known = Known.of(words=words)
    blocks = known.reference.blocks
    assert blocks is not None
    expected = known.training(at(hour))
    assert_allclose(expected.counts.values.sums, blocks.seasonal_values[hour])
    assert_allclose(expected.counts.presence.sums, blocks.seasonal_presence[hour])
    if words:
        assert expected.counts.location is None
        assert expected.location is None
    else:
        assert expected.counts.location is not None
        weight, total, squared = blocks.seasonal_location[hour]
        assert expected.counts.location.weight == weight == DAYS * EACH
        assert expected.counts.location.mean == pytest.approx(total / weight)
        assert expected.counts.location.variance == pytest.approx(squared / weight - (total / weight) ** 2)


@pytest.mark.parametrize(
    ("shares", "rows"),
    [
        pytest.param({3: 1.0}, 400.0, id="one season: all of its rows"),
        pytest.param({3: 0.5, 15: 0.5}, 800.0, id="two seasons in halves: the rows of both"),
        pytest.param({3: 0.9, 15: 0.1}, 400 / (0.9**2 + 0.1**2), id="mostly one: few more rows than that has"),
        pytest.param(dict.fromkeys(range(24), 1 / 24), 9_600.0, id="the whole day: all rows"),
    ],
)
def test_a_mix_has_the_seasons_in_proportion_and_the_rows_that_tell_it(
    known: Known, shares: dict[int, float], rows: float
) -> None:
    blocks, mix = known.reference.blocks, mix_of(shares)
    assert blocks is not None
    counts = known.training(mix).counts
    by_season = blocks.seasonal_values / blocks.seasonal_values.sum(axis=1, keepdims=True)
    assert_allclose(counts.values.sums / counts.values.total, mix @ by_season)
    assert counts.values.effective == pytest.approx(rows)
    assert counts.presence.effective == pytest.approx(rows)
    assert counts.location is not None
    assert counts.location.mean == pytest.approx(
        float(mix @ (blocks.seasonal_location[:, 1] / blocks.seasonal_location[:, 0]))
    )
    assert counts.location.variance_of_mean == pytest.approx(counts.location.variance / rows)


def test_rows_of_uneven_weight_tell_a_season_less_well() -> None:
    weighted = Known.of(weighted=True)
    whole = weighted.reference.counts.values
    ratio = whole.effective / whole.total
    assert ratio < 0.6
    counts = weighted.training(at(3)).counts.values
    blocks = weighted.reference.blocks
    assert blocks is not None
    assert counts.effective == pytest.approx(float(blocks.seasonal_values[3].sum()) * ratio)


def test_as_many_blocks_are_behind_a_season_as_lie_in_it(known: Known) -> None:
    whole, night = known.training(None).values, known.training(at(3)).values
    assert whole is not None
    assert night is not None
    assert (whole.window, whole.reference) == (1.0, DAYS * 24.0)
    assert (night.window, night.reference) == (1.0, DAYS)


def test_a_season_without_rows_falls_back_to_all_rows() -> None:
    mornings = Known.of(hours=range(12))
    counts, whole = mornings.training(at(20)).counts, mornings.reference.counts
    assert_allclose(counts.values.sums, whole.values.sums)
    assert_allclose(counts.presence.sums, whole.presence.sums)
    assert counts.location is not None
    assert whole.location is not None
    assert counts.location.mean == pytest.approx(whole.location.mean)
    half = mornings.training(mix_of({2: 0.5, 20: 0.5})).counts.values
    one = mornings.training(at(2)).counts.values
    assert_allclose(half.sums / half.total, 0.5 * one.sums / one.total + 0.5 * whole.values.sums / whole.values.total)


@pytest.mark.parametrize(
    ("kept", "calendar"),
    [(False, True), (True, False)],
    ids=["no blocks of the feature", "no calendar"],
)
def test_without_blocks_a_reference_is_what_it_is(known: Known, kept: bool, calendar: bool) -> None:
    reference = known.reference if kept else replace(known.reference, blocks=None)
    counts = reference.counts
    found = expected_of(
        counts, reference, known.calendar if calendar else None, (at(3), None), (1.0, 9.0), training=True
    )
    assert found == Expected(counts)


def test_a_window_without_times_is_compared_with_all_rows(known: Known) -> None:
    assert known.training(None).counts is known.reference.counts


def test_a_feature_that_is_always_missing_has_presence_alone() -> None:
    random = np.random.default_rng(0)
    times = np.sort(random.integers(0, 240, 2_000)) * HOUR
    found = calendar_of(times, HOUR, None)
    assert found is not None
    calendar, blocks = found
    nothing = Column.of(pa.chunked_array([pa.array([None] * 2_000, pa.float64())]))
    reference = Layout.of(nothing, None, blocks).reference(None)
    expected = expected_of(reference.counts, reference, calendar, (at(3), None), (1.0, 240.0), training=True)
    assert expected.values is None
    assert expected.location is None
    assert expected.counts.missing_share == 1.0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param(at(3), at(3), True, id="one hour and the same"),
        pytest.param(at(3), at(4), False, id="one hour and the next"),
        pytest.param(mix_of({3: 0.5, 4: 0.5}), mix_of({3: 0.6, 4: 0.4}), True, id="a tenth lies elsewhere"),
        pytest.param(mix_of({3: 0.5, 4: 0.5}), mix_of({3: 0.65, 4: 0.35}), False, id="more than a tenth does"),
        pytest.param(at(3), None, False, id="it is not known"),
    ],
)
def test_windows_are_of_one_season_where_nine_tenths_of_the_rows_are(
    one: Floats, other: Floats | None, same: bool
) -> None:
    assert alike(one, other) is same


def between(variation: Variation | None) -> Between:
    assert variation is not None
    found = variation.of_shares(np.arange(variation.blocks.shape[1]))
    assert found is not None
    return found


def of_shares(expected: Expected, now: FeatureCounts) -> Test:
    before = expected.counts.values
    return shares_test(now.values, before, level=LEVEL, min_effect=0.0, variation=expected.values)


def test_an_earlier_window_of_the_same_season_varies_as_blocks_do_around_their_seasons(known: Known) -> None:
    # There is nothing from day to day but sampling.
    same = known.earlier(known.window(6), (at(6), at(6)))
    assert between(same.values).mean < 0.01
    assert same.counts == known.window(6), "an earlier window is what it is"
    assert of_shares(same, known.window(6)).value == 0.0
    night = of_shares(same, known.window(18))
    assert night.value > night.threshold


@pytest.mark.parametrize("other", [at(18), None], ids=["of another season", "of an unknown one"])
def test_an_earlier_window_of_another_season_varies_as_seasons_do(known: Known, other: Floats | None) -> None:
    wide = known.earlier(known.window(18), (at(6), other))
    assert between(wide.values).mean > 0.5
    test = of_shares(wide, known.window(6))
    assert test.value < test.threshold, "day and night differ, as they ever did"
    assert wide.location is not None
    narrow = known.earlier(known.window(18), (at(6), at(6))).location
    assert narrow is not None
    spread = known.window(6).location
    assert spread is not None
    assert wide.location.of_means(spread.variance)[0] > 10.0 * narrow.of_means(spread.variance)[0]


def variation_of(residuals: Floats, window: float, reference: float) -> Variation:
    """Make blocks of means with these residuals, of so many rows that sampling explains nothing."""
    rows = 1e9
    blocks = np.stack([np.full(len(residuals), rows), rows * residuals], axis=1)
    every = np.zeros(len(residuals))
    neighbours = np.arange(len(residuals) - 1)
    return Variation(blocks, every[:, None], every, every + 1e12, neighbours, window, reference)


NEVER = 1e12
"""Blocks of a reference so long that it does not vary."""


@pytest.mark.parametrize("blocks", [1, 2, 7, 30])
@pytest.mark.parametrize("memory", [0.3, 0.8, 0.95])
def test_a_mean_of_blocks_that_remember_varies_as_a_simulated_one(blocks: int, memory: float) -> None:
    random, runs = np.random.default_rng(blocks), 20_000
    noise = random.normal(size=(runs, blocks)) * np.sqrt(1.0 - memory**2)
    noise[:, 0] = random.normal(size=runs)  # begun as it goes on, with variance 1
    series = signal.lfilter([1.0], [1.0, -memory], noise, axis=1)
    factor = variation_of(np.zeros(3), float(blocks), NEVER).factor(memory)
    # The relative standard error of a variance of so many runs is 1%.
    assert factor == pytest.approx(series.mean(axis=1).var(), rel=0.04)
    lags = np.abs(np.subtract.outer(np.arange(blocks), np.arange(blocks)))
    assert factor == pytest.approx((memory**lags).mean(), rel=1e-6)


@pytest.mark.parametrize("blocks", [1.0, 4.0, 24.0])
def test_blocks_without_memory_average_out(blocks: float) -> None:
    assert variation_of(np.zeros(3), blocks, NEVER).factor(0.0) == pytest.approx(1.0 / blocks)
    assert variation_of(np.zeros(3), blocks, 8.0).factor(0.0) == pytest.approx(1.0 / blocks + 1.0 / 8.0)


@pytest.mark.parametrize(
    ("memory", "expected"),
    [(0.7, pytest.approx(0.7, abs=0.03)), (0.0, pytest.approx(0.0, abs=0.03)), (-0.7, 0.0), (0.999, 0.95)],
    ids=["it is measured", "there is none", "swinging is no memory", "no longer than the longest"],
)
def test_memory_is_read_off_neighbouring_blocks(memory: float, expected: float) -> None:
    noise = np.random.default_rng(1).normal(size=5_000)
    residuals = signal.lfilter([1.0], [1.0, -memory], noise)
    variation = variation_of(residuals, 10.0, NEVER)
    added, _ = variation.of_means(1.0)
    own = float((residuals**2).mean())
    assert added / own == pytest.approx(variation.factor(min(max(memory, 0.0), 0.95)), rel=0.15)
    assert variation._memory(residuals[:, None], np.ones(len(residuals), bool), own) == expected


def test_neighbours_that_do_not_follow_each_other_tell_no_memory() -> None:
    residuals = np.repeat(np.random.default_rng(1).normal(size=50), 2)
    together = variation_of(residuals, 10.0, NEVER)
    apart = replace(together, neighbours=np.zeros(0, np.int64))
    assert together.of_means(1.0)[0] > 2.0 * apart.of_means(1.0)[0]


def hourly(first_day: int, days: int, seed: int, *, rows: int = 200, hours: Sequence[int] = range(24)) -> Rows:
    """Return rows with a mean and a mix by hour of day; each hour also goes its own way a little."""
    random = np.random.default_rng(seed)
    starts = np.array([day * 24 + hour for day in range(first_day, first_day + days) for hour in hours])
    of = np.repeat(starts, rows)
    hour = of % 24
    own = np.repeat(random.normal(scale=0.05, size=len(starts)), rows)
    x = random.normal(np.sin(hour * np.pi / 12.0) + own)
    busy = random.random(len(of)) < 0.2 + 0.5 * (hour >= 12)
    table = pa.table({"x": x, "kind": np.where(busy, "busy", "idle")})
    return Rows(table, event_times=of * HOUR + random.integers(0, HOUR, len(of)))


@pytest.fixture(scope="module")
def seasonal() -> Baseline:
    return baseline_of(hourly(0, 14, 1))


def judged(rows: Rows, baseline: Baseline) -> list[Finding]:
    case = Case(count_rows(rows, baseline), baseline, [Reference.training(baseline)], DetectionSettings())
    return list(calibrated_findings(case))


def flagged(findings: Sequence[Finding]) -> set[str]:
    return {str(finding.feature) for finding in findings if finding.flagged}


def test_a_normal_hour_of_any_day_is_rarely_flagged_and_every_one_is_without_seasons(seasonal: Baseline) -> None:
    blind = baseline_of(replace(hourly(0, 14, 1), event_times=None))
    false, blindly = 0, 0
    for day in range(6):
        for hour in range(24):
            window = hourly(20 + day, 1, 1_000 + day * 24 + hour, hours=[hour])
            false += bool(flagged(judged(window, seasonal)))
            blindly += day == 0 and bool(flagged(judged(window, blind)))
    # The budget spent is 0.005 a window; four or more of 144 have probability 0.006 at that rate.
    assert false <= 3
    assert blindly >= 20


@pytest.mark.parametrize("hour", [0, 6, 18])
def test_half_a_standard_deviation_in_one_hour_is_found(seasonal: Baseline, hour: int) -> None:
    found = 0
    for day in range(10):
        window = hourly(20 + day, 1, 2_000 + day * 24 + hour, hours=[hour])
        moved = window.features.set_column(0, "x", pa.array(np.array(window.features["x"]) + 0.5))
        found += "x" in flagged(judged(replace(window, features=moved), seasonal))
    assert found >= 8


def test_what_is_usual_at_night_is_found_by_day(seasonal: Baseline) -> None:
    night = hourly(20, 1, 5, hours=[3])
    noon = replace(night, event_times=None if night.event_times is None else night.event_times + 12 * HOUR)
    assert flagged(judged(night, seasonal)) == set()
    assert flagged(judged(noon, seasonal)) == {"x", "kind"}
