"""Calibrated two-sample tests on counts: value, threshold and p-value of one comparison; changes with the statistics.

Every test answers with a value on a scale of effects and the threshold that its false-alarm level, the number of rows and
the smallest effect of interest give; the change is significant when the value is above the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from monitor.compare.null import Null, needed_h
from monitor.compare.variation import Variation
from monitor.profile.counts import Counts, Location
from monitor.profile.document import Floats

LARGE_EFFECT = 0.5
"""Cohen's w of a large effect (Cohen 1988, Statistical Power Analysis, 7.2): with fewer rows than show it, no verdict."""
EXPECTED = 20.0
"""Expected count that a cell must have in the smaller sample (up to twice that when both are alike): Pearson's statistic
keeps its nominal level far into the tail, and the cells stay few enough for the power that `LARGE_EFFECT` asks for."""


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison: significant where `value` > `threshold`.

    Attributes:
        needed: rows that the window would need for evidence where it has too few; 0 where no number would do, since
            the reference has too few; None where it has enough.
        null: the distribution where nothing has changed, in words.
    """

    __test__ = False  # no test case, whatever its name says to pytest

    value: float
    threshold: float
    p_value: float
    needed: int | None = None
    null: str = ""


def shares_test(
    current: Counts,
    reference: Counts,
    *,
    level: float,
    min_effect: float,
    variation: Variation | None = None,
    joined: Collection[int] = (),
) -> Test:
    """Compare the distributions over K cells by Pearson's two-sample chi-square; the value is Cohen's w.

    w^2 = sum (p - q)^2 / pooled share, which is X^2 / h with h = nN / (n + N) of the effective numbers of rows. Cells
    that expect too few rows are joined with their neighbours, by pooled counts, which is blind to the difference; those in
    `joined` always are with the cell before them.
    """
    n, big = current.effective, reference.effective
    groups = _groups(current, reference, n, big, joined)
    p, q = _grouped(current.sums, groups), _grouped(reference.sums, groups)
    p, q = p / max(p.sum(), 1e-300), q / max(q.sum(), 1e-300)
    h = n * big / (n + big)
    freedom = len(p) - 1
    if freedom == 0:
        return Test(0.0, min_effect, 1.0, _rows_needed(1, level, n, big))
    squared = _squared_effect(p, q, n, big)
    null = _null(freedom, h, variation, groups)
    return Test(
        math.sqrt(squared),
        max(min_effect, math.sqrt(null.quantile(level))),
        null.tail(squared),
        _rows_needed(freedom, level, n, big),
        f"{len(p)} cells; w^2 is {null.said(level)}",
    )


def rate_test(
    current: tuple[float, float],
    reference: tuple[float, float],
    *,
    level: float,
    min_effect: float,
    variation: Variation | None = None,
) -> Test:
    """Compare two rates, each given as (rate, effective rows); the value is the absolute difference.

    Given the total of both, the window's count is compared with a binomial: the exact test of two Poisson rates
    (Przyborowski and Wilenski, 1940), which is conservative for two binomials and good at any expected count. `variation`
    holds counts without and with the property.
    """
    (rate, n), (usual, big) = current, reference
    if rate + usual > 1.0:
        # Near 1 the rarer outcome is the other one.
        rate, usual = 1.0 - rate, 1.0 - usual
        variation = None if variation is None else variation.mirrored()
    if n <= 0.0 or big <= 0.0:
        return Test(abs(rate - usual), max(min_effect, 1.0), 1.0, 0)
    theta = n / (n + big)
    p_value = _poisson_tail(rate * n, usual * big, theta)
    said = f"binomial, given the total of both, with probability {theta:.4g}"
    threshold = _critical_rate(usual, n, big, theta, level, up=rate >= usual)
    pooled = (rate * n + usual * big) / (n + big)
    unit = pooled * (1.0 - pooled)
    if variation is not None and unit > 0.0:
        # Two quiet blocks say little of how far apart blocks usually are, so the unit is at least that of all of them.
        own = float(np.average(variation.expected[:, 1], weights=variation.blocks.sum(axis=1)))
        unit = max(unit, own * (1.0 - own))
        null = _null(1, n * big / (n + big), variation, np.array([0, 1]))
        p_value = max(p_value, null.tail((rate - usual) ** 2 / unit))
        threshold = max(threshold, math.sqrt(null.quantile(level) * unit))
        said += f"; between blocks of time the squared difference is {unit:.4g} x {null.said(level)}"
    return Test(abs(rate - usual), max(min_effect, threshold), p_value, null=said)


def excess_test(
    current: tuple[float, float],
    reference: tuple[float, float],
    *,
    level: float,
    min_effect: float,
    variation: Variation | None = None,
) -> Test:
    """Compare two rates as `rate_test` does, where only a higher one is news; the value is the excess, at least 0."""
    test = rate_test(current, reference, level=level, min_effect=min_effect, variation=variation)
    return test if current[0] > reference[0] else Test(0.0, test.threshold, 1.0, null=test.null)


def location_test(
    current: Location,
    reference: Location,
    *,
    level: float,
    min_effect: float,
    rows: tuple[float, float],
    variation: Variation | None = None,
) -> Test:
    """Compare two mean scores; the value is Cohen's d, the difference in pooled standard deviations.

    Welch's t, with the variance between blocks of time added where it is known (a one-way random-effects model).

    Args:
        current: sums of the window.
        reference: sums of the reference.
        level: of the false alarms of this test.
        min_effect: smallest d of interest.
        rows: effective numbers of the window and of the reference.
        variation: of the weights and totals of the reference's blocks.
    """
    n, big = rows
    # The window's own spread counts too, or a constant reference would make any difference infinite.
    spread = (current.variance * n + reference.variance * big) / (n + big)
    difference = current.mean - reference.mean
    # A variance is a difference of two sums, so less than this of their size is rounding.
    if spread <= 1e-12 * max(1.0, current.mean**2, reference.mean**2):
        return Test(0.0, min_effect, 1.0)
    parts = [(current.variance_of_mean, max(n - 1.0, 1.0)), (reference.variance_of_mean, max(big - 1.0, 1.0))]
    if variation is not None:
        parts.append(variation.of_means(spread))
    variance = sum(part for part, _ in parts)
    if variance <= 0.0:
        return Test(0.0, min_effect, 1.0)
    freedom = variance**2 / sum(part**2 / f for part, f in parts)
    scale = math.sqrt(variance)
    p_value = float(2.0 * special.stdtr(freedom, -abs(difference) / scale))
    critical = float(-special.stdtrit(freedom, level / 2.0)) * scale
    said = f"d is {scale / math.sqrt(spread):.4g} x Student's t with {freedom:.4g} degrees of freedom"
    return Test(abs(difference) / math.sqrt(spread), max(min_effect, critical / math.sqrt(spread)), p_value, null=said)


def _null(freedom: int, h: float, variation: Variation | None, groups: npt.NDArray[np.int64]) -> Null:
    """Return chi-square over h, widened by what the reference's blocks vary beyond their numbers of rows.

    The block part's mean and variance come from each block against what is expected of it (method of moments); the sum is
    matched to an F distribution by two moments.
    """
    between = None if variation is None else variation.of_shares(groups)
    if variation is None or between is None or between.mean <= 0.0:
        return Null(freedom / h, float(freedom), math.inf)
    factor = variation.factor(between.memory)
    own = between.mean * factor
    mean = freedom / h + own
    variance = between.variance * factor**2 + 4.0 * own / h + 2.0 * freedom / h**2
    known = between.uncertainty * factor**2
    certainty = min(2.0 * mean**2 / known, (between.blocks - 1) * (mean / own) ** 2) if known > 0.0 else math.inf
    return Null.matched(mean, variance, certainty)


def _squared_effect(p: Floats, q: Floats, n: float, big: float) -> float:
    pooled = (p * n + q * big) / (n + big)
    return float(np.divide((p - q) ** 2, pooled, out=np.zeros_like(pooled), where=pooled > 0.0).sum())


def _groups(current: Counts, reference: Counts, n: float, big: float, joined: Collection[int]) -> npt.NDArray[np.int64]:
    """Return the first cell of each group of neighbouring cells that together expect enough rows."""
    shares = current.sums / max(current.total, 1e-300) * n + reference.sums / max(reference.total, 1e-300) * big
    smaller, larger = min(n, big), max(n, big)
    expected = (shares * smaller / (n + big)).tolist()
    least = EXPECTED * (1.0 + smaller / larger)
    starts, held = [0], 0.0
    for cell, amount in enumerate(expected):
        if held >= least and cell not in joined:
            starts.append(cell)
            held = 0.0
        held += amount
    if held < least and len(starts) > 1:
        starts.pop()
    return np.array(starts)


def _grouped(sums: Floats, groups: npt.NDArray[np.int64]) -> Floats:
    grouped: Floats = np.add.reduceat(sums, groups)
    return grouped


def _poisson_tail(here: float, there: float, theta: float) -> float:
    total = here + there
    if total <= 0.0:
        return 1.0
    more = float(special.betainc(here, there + 1.0, theta)) if here > 0.0 else 1.0
    fewer = float(special.betainc(there, here + 1.0, 1.0 - theta)) if there > 0.0 else 1.0
    return min(1.0, 2.0 * min(more, fewer))


@lru_cache(maxsize=4096)  # features without missing values all ask the same
def _critical_rate(usual: float, n: float, big: float, theta: float, level: float, *, up: bool) -> float:
    """Return the smallest difference of rates that would be significant; 1 where none would."""
    near, far = usual * n, n if up else 0.0
    if _poisson_tail(far, usual * big, theta) > level:
        # Even a rate of 0 would be no news, so the threshold that counts is the one upwards.
        return 1.0 if up else max(usual, _critical_rate(usual, n, big, theta, level, up=True))
    for _ in range(40):
        middle = (near + far) / 2.0
        if _poisson_tail(middle, usual * big, theta) > level:
            near = middle
        else:
            far = middle
    return abs(far / n - usual)


def _rows_needed(freedom: int, level: float, n: float, big: float) -> int | None:
    """Return None where n rows against `big` show a large effect with the wanted power, else how many would."""
    needed = needed_h(freedom, level, LARGE_EFFECT)
    if n > 0.0 and big > 0.0 and n * big / (n + big) >= needed:
        return None
    return math.ceil(needed * big / (big - needed)) if big > needed else 0


def corrected_level(false_alarm_rate: float, comparisons: int) -> float:
    """Return the level of each of several comparisons: half of the budget, split evenly (Bonferroni).

    The other half is left for what these tests are not: schema anomalies and comparisons that a user adds.
    """
    return 0.5 * false_alarm_rate / max(1, comparisons)
