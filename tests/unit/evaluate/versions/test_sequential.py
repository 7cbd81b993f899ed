"""Verdicts hour by hour: false alarms, detection, and what makes an hour comparable."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evaluate.examples import Floats
from monitor.evaluate.versions.blocks import unpaired_blocks
from monitor.evaluate.versions.boundary import anytime_multiplier, normal_multiplier
from monitor.evaluate.versions.deciding import Decision, Interval, Rule, Verdict, judged
from monitor.evaluate.versions.sequential import PairedSequential, Sequential
from monitor.evaluate.versions.sums import Sums, hourly_sums

HOUR = 3_600_000_000
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]
EXPERIMENTS = 1_000
HOURS = 48


def hourly(losses: Floats) -> dict[int, Sums]:
    """Return the sums of losses (hours, n) of plain rows."""
    n = losses.shape[1]
    sums = zip(losses.sum(axis=1).tolist(), np.square(losses).sum(axis=1).tolist(), strict=True)
    return {hour * HOUR: Sums(n, n, n, loss, n, loss, squared) for hour, (loss, squared) in enumerate(sums)}


def wrong(share: float) -> Draw:
    return lambda random, shape: (random.random(shape) < share).astype(np.float64)


def normal(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return random.normal(size=shape)


def heavy(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return np.asarray(np.exp(1.5 * random.normal(size=shape)))


@pytest.mark.parametrize(
    ("draw", "stable", "candidate", "bound"),
    [
        pytest.param(normal, 100, 100, None, id="A against B"),
        pytest.param(wrong(0.1), 100, 100, 1.0, id="errors in ten of a hundred"),
        pytest.param(wrong(0.01), 1_000, 20, 1.0, id="rare errors of a canary with few requests"),
        pytest.param(heavy, 500, 20, None, id="squared errors of which few make up most"),
    ],
)
def test_looking_every_hour_makes_no_more_false_alarms_than_alpha(
    draw: Draw, stable: int, candidate: int, bound: float | None
) -> None:
    random = np.random.default_rng(5)
    stopped = naive = 0
    for _ in range(EXPERIMENTS):
        one, two = hourly(draw(random, (HOURS, stable))), hourly(draw(random, (HOURS, candidate)))
        stopped += Sequential(one, two).verdict(Rule(bound=bound)).verdict is not Verdict.UNDECIDED
        naive += _ever_significant(one, two)
    # Two standard errors of a count of 1,000 experiments.
    assert stopped <= EXPERIMENTS * 0.05 + 2 * math.sqrt(EXPERIMENTS * 0.05 * 0.95)
    assert naive > EXPERIMENTS * 0.15


def _ever_significant(stable: dict[int, Sums], candidate: dict[int, Sums]) -> bool:
    """Say whether an ordinary 95% interval excludes zero after any hour."""
    blocks = unpaired_blocks(stable, candidate)
    weights = blocks.information[:, None]
    errors = np.sqrt(np.cumsum((weights**2 * blocks.spreads / blocks.effective).sum(axis=1)))
    return bool((np.abs(np.cumsum(blocks.information * blocks.differences)) > 1.96 * errors).any())


@pytest.mark.parametrize(
    ("stable", "candidate", "at_most"),
    [
        # A test of one look that was planned for a power of 80% takes 3,834 requests of either, and 2,163 of the canary.
        pytest.param(100, 100, 5_500, id="A against B"),
        pytest.param(950, 50, 3_500, id="a canary with a twentieth of the traffic"),
    ],
)
def test_twelve_errors_in_a_hundred_instead_of_ten_are_told(stable: int, candidate: int, at_most: int) -> None:
    random = np.random.default_rng(6)
    decisions = [
        Sequential(hourly(wrong(0.10)(random, (250, stable))), hourly(wrong(0.12)(random, (250, candidate)))).verdict(
            Rule(bound=1.0)
        )
        for _ in range(60)
    ]
    assert {each.verdict for each in decisions} == {Verdict.WORSE}
    assert np.median([_hours(each) * candidate for each in decisions]) < at_most


def _hours(decision: Decision) -> float:
    return math.inf if decision.decided_in is None else decision.decided_in / HOUR + 1


def test_the_interval_holds_the_true_difference_at_all_looks() -> None:
    random = np.random.default_rng(7)
    missed = 0
    for _ in range(300):
        one, two = hourly(wrong(0.3)(random, (40, 60))), hourly(wrong(0.2)(random, (40, 90)))
        hours = sorted(one)
        looks = [
            Sequential({h: one[h] for h in hours[:n]}, {h: two[h] for h in hours[:n]}).verdict(Rule(bound=1.0))
            for n in (1, 2, 4, 8, 16, 40)
        ]
        missed += any(each.interval is None or not each.interval[0] <= -0.1 <= each.interval[1] for each in looks)
    assert missed <= 300 * 0.05


def test_equal_versions_are_equivalent_within_a_margin() -> None:
    random = np.random.default_rng(8)
    one, two = (hourly(wrong(0.1)(random, (60, 300))) for _ in range(2))
    assert Sequential(one, two).verdict(Rule(margin=0.02, bound=1.0)).verdict is Verdict.EQUIVALENT
    undecided = Sequential(one, two).verdict(Rule(margin=0.001, bound=1.0))
    assert undecided.verdict is Verdict.UNDECIDED
    assert "requests of the candidate tell" in undecided.reason


def test_that_nobody_has_erred_yet_is_no_proof_of_equivalence() -> None:
    none = hourly(np.zeros((1, 100)))
    rule = Rule(margin=0.01, bound=1.0)
    assert Sequential(none, none).verdict(rule).verdict is Verdict.UNDECIDED
    assert PairedSequential(none).verdict(rule).verdict is Verdict.UNDECIDED
    found = PairedSequential(hourly(np.zeros((1, 3_000)))).verdict(rule)
    assert found.verdict is Verdict.EQUIVALENT
    assert found.fixed_interval == pytest.approx((-3.92 / 3_000, 3.92 / 3_000), rel=1e-3)


@pytest.mark.parametrize(
    ("interval", "margin", "expected"),
    [
        ((-0.3, -0.1), None, Verdict.BETTER),
        ((0.1, 0.3), None, Verdict.WORSE),
        ((-0.1, 0.1), None, Verdict.UNDECIDED),
        ((-0.1, 0.1), 0.2, Verdict.EQUIVALENT),
        ((0.1, 0.15), 0.2, Verdict.EQUIVALENT),
        ((0.1, 0.3), 0.2, Verdict.WORSE),
        ((-0.3, 0.1), 0.2, Verdict.NO_WORSE),
        ((-0.3, -0.1), 0.2, Verdict.BETTER),
        ((-0.1, 0.3), 0.2, Verdict.UNDECIDED),
    ],
)
def test_an_interval_says(interval: Interval, margin: float | None, expected: Verdict) -> None:
    assert judged(interval, margin) is expected


def test_a_verdict_stays_until_another_one_is_reached() -> None:
    random = np.random.default_rng(9)
    # Better by 1 for 20 hours, then worse by 2, so that the mean difference passes through zero.
    shifts = np.array([-1.0] * 20 + [2.0] * 30)[:, None]
    one, two = hourly(random.normal(size=(50, 100))), hourly(random.normal(size=(50, 100)) + shifts)

    def after(hours: int) -> Decision:
        kept = sorted(one)[:hours]
        return Sequential({h: one[h] for h in kept}, {h: two[h] for h in kept}).verdict(Rule())

    assert after(20).verdict is Verdict.BETTER
    assert after(20).decided_in == after(30).decided_in
    assert after(30).verdict is Verdict.BETTER
    assert "lay below zero when this was decided" in after(30).reason
    assert after(50).verdict is Verdict.WORSE
    assert after(50).decided_in == pytest.approx(31 * HOUR, abs=2 * HOUR)


def test_versions_are_compared_within_hours_only() -> None:
    # At night all have few errors, and only by night the candidate has much traffic: its mean is lower, and it is no better.
    random = np.random.default_rng(10)
    one: dict[int, Sums] = {}
    two: dict[int, Sums] = {}
    for hour in range(48):
        night = hour % 24 < 12
        share, n, m = (0.05, 100, 400) if night else (0.25, 400, 100)
        one |= hourly_sums(wrong(share)(random, (1, n))[0], hours=np.full(n, hour * HOUR))
        two |= hourly_sums(wrong(share)(random, (1, m))[0], hours=np.full(m, hour * HOUR))
    found = Sequential(one, two).verdict(Rule(bound=1.0))
    assert found.verdict is Verdict.UNDECIDED
    assert found.estimate == pytest.approx(0.0, abs=0.02)
    alone = hourly_sums(np.ones(500), hours=np.full(500, 99 * HOUR))
    assert Sequential({**one, **alone}, two).verdict(Rule(bound=1.0)).interval == found.interval


def test_hours_with_few_requests_are_put_together() -> None:
    random = np.random.default_rng(11)
    found = Sequential(hourly(normal(random, (30, 500))), hourly(normal(random, (30, 20)))).verdict(Rule())
    assert found.looks == 10
    assert found.requests == (15_000, 600)
    early = Sequential(hourly(normal(random, (2, 500))), hourly(normal(random, (2, 20)))).verdict(Rule())
    assert (early.verdict, early.interval, early.looks) == (Verdict.UNDECIDED, None, 0)
    assert early.reason == "a look takes 50 requests with labels of each version in the same hours"


def test_instances_of_one_request_are_not_independent() -> None:
    random = np.random.default_rng(12)
    alarms = {True: 0, False: 0}
    for _ in range(200):
        sides = []
        for _side in range(2):
            clusters = np.repeat(np.arange(1_000, dtype=np.uint64), 10)
            shared = random.normal(size=1_000)[clusters.astype(int)]
            sides.append((shared, clusters, (clusters // np.uint64(100)).astype(np.int64) * HOUR))
        for known in alarms:
            one, two = (
                hourly_sums(losses, clusters=clusters if known else None, hours=hours)
                for losses, clusters, hours in sides
            )
            alarms[known] += Sequential(one, two).verdict(Rule()).verdict is not Verdict.UNDECIDED
    assert alarms[True] <= 10
    assert alarms[False] > 60


SOME = st.lists(st.floats(0, 10, allow_subnormal=False), min_size=60, max_size=80)


@given(st.lists(st.tuples(SOME, SOME), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_hours_added_one_by_one_in_any_order_equal_all_at_once(
    hours: list[tuple[list[float], list[float]]], random: object
) -> None:
    arrays = [(np.array(one), np.array(two)) for one, two in hours]
    whole = Sequential(
        *(
            hourly_sums(
                np.concatenate([pair[side] for pair in arrays]),
                hours=np.repeat(np.arange(len(arrays)) * HOUR, [len(pair[side]) for pair in arrays]),
            )
            for side in (0, 1)
        )
    )
    order = list(enumerate(arrays))
    random.shuffle(order)  # type: ignore[attr-defined]
    grown = Sequential()
    for number, (one, two) in order:
        for part in (slice(None, 30), slice(30, None)):
            (stable,), (candidate,) = hourly_sums(one[part]).values(), hourly_sums(two[part]).values()
            grown = grown.update(number * HOUR, stable, candidate)
    expected, found = whole.verdict(Rule()), grown.verdict(Rule())
    assert (found.verdict, found.requests, found.looks) == (expected.verdict, expected.requests, expected.looks)
    assert found.interval == pytest.approx(expected.interval, abs=1e-6)


def test_paired_hours_add_up_too() -> None:
    random = np.random.default_rng(13)
    losses = random.normal(0.1, 1.0, (20, 100))
    grown = PairedSequential()
    for hour, sums in hourly(losses).items():
        grown = grown.update(hour, sums)
    found = grown.verdict(Rule())
    assert found == PairedSequential(hourly(losses)).verdict(Rule())
    assert found.estimate == pytest.approx(losses.mean())
    width = np.sqrt(sum(row.var(ddof=1) for row in losses) / 20 / 2_000) * normal_multiplier(0.05)
    assert found.fixed_interval == pytest.approx((losses.mean() - width, losses.mean() + width))
    assert found.verdict is Verdict.WORSE


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_the_boundary_is_that_of_the_paper_and_narrowest_where_it_shall_be(alpha: float) -> None:
    times = np.arange(1.0, 20_001.0)
    multiplier = anytime_multiplier(times, 1_000.0, alpha)
    assert times[(multiplier).argmin()] == pytest.approx(1_000, abs=1)
    # As Waudby-Smith et al. write it, per standard deviation, with the rho² that is told from the boundary's own minimum.
    x = multiplier[999] ** 2 - 1.0  # At the minimum log((1 + x) / alpha²) = x, so that the square is 1 + x.
    rho2 = x / 1_000.0
    margin = np.sqrt(2 * (times * rho2 + 1) / (times**2 * rho2) * np.log(np.sqrt(times * rho2 + 1) / alpha))
    assert multiplier == pytest.approx(margin * np.sqrt(times), rel=1e-9)
