"""The test of vectors: whether the means of their features moved, which are many at once; changes with its statistics.

Hotelling's two-sample test with the baseline's covariance, on bounded features among which are the random Fourier features
of a Gaussian kernel: so it sees shifts of the mean, and, as the maximum mean discrepancy does, other changes of the
distribution too (docs/decisions/0010-derived-columns.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from monitor.compare.calibrated import LARGE_EFFECT, Test
from monitor.compare.comparisons import D_PER_W
from monitor.compare.expected import alike
from monitor.compare.findings import Finding, Kind, Outcome
from monitor.compare.null import Null, needed_h
from monitor.compare.variation import Between, Variation
from monitor.profile.calendar import Calendar
from monitor.profile.derived.vector_sums import VectorReference, VectorSums
from monitor.profile.document import Floats

Mean = tuple[Floats, float]
"""Means (D,) of features, and how many independent rows they are of."""


def vector_test(
    current: Mean,
    reference: Mean,
    known: VectorReference,
    *,
    level: float,
    min_effect: float,
    variation: Variation | None = None,
) -> Test:
    """Compare two means of features; the value is their Mahalanobis distance, Cohen's d in many dimensions.

    h d^2, with h = nN / (n + N), is Hotelling's T^2 (Hotelling 1931, Annals of Mathematical Statistics 2:360), whose tail is
    that of F by the rows behind the covariance, widened by the features' kurtosis, and by blocks of time as in `calibrated`.

    Args:
        current: of the window.
        reference: of what it is compared with.
        known: what the baseline keeps, its scaling above all.
        level: of the false alarms of this test.
        min_effect: smallest distance of interest.
        variation: (B, 1 + D) weights and totals of the baseline's blocks, and (B, D) means expected of them.
    """
    (now, n), (usual, big) = current, reference
    scaling = known.scaling
    rank = scaling.shape[1]
    if rank == 0 or n <= 0.0 or big <= 0.0:
        return Test(0.0, max(min_effect, 1.0), 1.0, 0 if n > 0.0 or rank == 0 else 1)
    h = n * big / (n + big)
    squared = float(np.sum(((now - usual) @ scaling) ** 2))
    null = _null(known, n, big, variation)
    return Test(
        math.sqrt(squared),
        max(min_effect, math.sqrt(null.quantile(level))),
        null.tail(squared),
        _rows_needed(rank, level, h, big),
        f"{rank} directions; d^2 is {null.said(level)}",
    )


def expected_vectors(
    known: VectorReference,
    calendar: Calendar | None,
    mixes: tuple[Floats | None, Floats | None],
    blocks: tuple[float, float],
    *,
    training: bool,
) -> tuple[Mean, Variation | None]:
    """Return the mean to expect of a window by its seasons, and how blocks vary around theirs; as `expected.expected_of`.

    Args:
        known: the baseline's sums.
        calendar: the baseline's.
        mixes: (S,) shares of the window's rows, and of an earlier window's, in each season; None where they are not known.
        blocks: how many blocks of time the window and the reference cover.
        training: the reference is the baseline, which is taken from the window's seasons.
    """
    whole, mix = known.sums, mixes[0]
    mean = (whole.means, whole.effective)
    if calendar is None or known.blocks is None or known.seasons is None or whole.weight <= 0.0:
        return mean, None
    overall = np.concatenate([[whole.weight], whole.totals])
    seasons = np.where(known.seasons[:, :1] > 0.0, known.seasons, overall)
    weights, means = seasons[:, 0], seasons[:, 1:] / seasons[:, :1]
    ratio = whole.effective / whole.weight
    if training and mix is not None and len(mix) > 1:
        blocks = (blocks[0], max(1.0, float(mix @ calendar.seasons)))
        mean = (mix @ means, ratio / float((mix * mix / weights).sum()))
    shares = calendar.mixes
    if not training and not alike(*mixes):
        # The season is part of how much windows vary, so all rows are expected of every block.
        shares, weights, means = np.ones((len(known.blocks), 1)), overall[:1], overall[1:][None] / overall[0]
    behind = 1.0 / (shares**2 / weights).sum(axis=1)
    own = np.clip(known.blocks[:, 0] / behind, 0.0, 1.0)
    expected = shares @ means
    return mean, Variation(known.blocks, expected, own, behind, calendar.neighbours, *blocks, ratio)


@dataclass(frozen=True, slots=True)
class VectorPair:
    """The vectors of a window, and what they are compared with.

    Attributes:
        earlier: sums of an earlier window; None to compare with the baseline itself.
        known: what the baseline keeps.
        calendar: the baseline's.
        mixes: (S,) shares of the window's rows, and of an earlier window's, in each season, where they are known.
        blocks: how many blocks of time the window and the reference cover.
        min_effect: smallest effect of interest, in Cohen's w.
    """

    feature: str
    kind: Kind
    reference: str
    current: VectorSums
    earlier: VectorSums | None
    known: VectorReference
    calendar: Calendar | None
    mixes: tuple[Floats | None, Floats | None]
    blocks: tuple[float, float]
    min_effect: float


def vector_finding(pair: VectorPair, level: float) -> Finding:
    """Compare a pair at a level of false alarms; with too few rows nothing is flagged."""
    usual, variation = expected_vectors(
        pair.known, pair.calendar, pair.mixes, pair.blocks, training=pair.earlier is None
    )
    other = usual if pair.earlier is None else mean_of(pair.earlier)
    now = mean_of(pair.current)
    least = D_PER_W * pair.min_effect
    test = vector_test(now, other, pair.known, level=level, min_effect=least, variation=variation)
    lacking = test.needed is not None
    return Finding(
        kind=pair.kind,
        feature=pair.feature,
        reference=pair.reference,
        measure="vector_distance",
        value=test.value,
        threshold=None if lacking else test.threshold,
        p_value=test.p_value,
        flagged=test.value > test.threshold and not lacking,
        reason=None if test.needed is None else _too_few(now[1], other[1], test.needed),
        explanation=f"{pair.feature}: the vectors' mean and shape moved by {test.value:.2f} standard deviations",
        outcome=Outcome.INSUFFICIENT if lacking else Outcome.JUDGED,
        null=test.null,
    )


def _too_few(rows: float, others: float, needed: int) -> str:
    if needed == 0:
        return f"too few rows: the reference's {others:.0f} effective rows could not show even a large change"
    return f"too few rows: {rows:.0f} effective, a large change shows from about {needed} on"


def mean_of(sums: VectorSums) -> Mean:
    """Return the means of a window's features, and how many independent rows they are of."""
    return sums.means, sums.effective


def _null(known: VectorReference, n: float, big: float, variation: Variation | None) -> Null:
    """Return Hotelling's distribution with the variance that the kurtosis and blocks of time add (Satterthwaite, 1946).

    T^2 (N - r) / (r N) is F(r, N - r) for normal features, their covariance being a mean over N rows. The variance of T^2 is
    2 r and the fourth cumulant of the difference, by which a mean of few heavy-tailed rows is not yet normal.
    """
    rank, h, behind = known.scaling.shape[1], n * big / (n + big), known.sums.effective
    mean = rank / h
    variance = 2.0 * rank / h**2 + max(0.0, known.kurtosis) * (n**-3.0 + big**-3.0)
    certainty = behind - rank
    between = None if variation is None else _between(variation, known.scaling)
    if variation is not None and between is not None and between.mean > 0.0:
        factor = variation.factor(between.memory)
        own, doubt = between.mean * factor, between.uncertainty * factor**2
        mean += own
        variance += between.variance * factor**2 + 4.0 * own / h
        certainty = min(certainty, 2.0 * mean**2 / doubt, (between.blocks - 1) * (mean / own) ** 2)
    matched = Null.matched(mean, variance, certainty)
    return replace(matched, mean=matched.mean * behind / (behind - rank))


def _between(variation: Variation, scaling: Floats) -> Between | None:
    """Return the variation of one block in d^2, its sampling noise taken off."""
    weights = variation.blocks[:, 0]
    n = weights * variation.ratio
    big = variation.behind * variation.ratio * (1.0 - variation.own)
    kept = (n >= 2.0) & (big >= 2.0)
    if int(kept.sum()) < 2:
        return None
    means = variation.blocks[kept, 1:] / weights[kept, None]
    residuals = (means - variation.expected[kept]) / (1.0 - variation.own[kept])[:, None] @ scaling
    freedom = np.full(len(residuals), scaling.shape[1])
    return variation.between(residuals, kept, (n[kept], big[kept]), freedom)


def _rows_needed(rank: int, level: float, h: float, big: float) -> int | None:
    """Return None where h rows show a large distance with the wanted power, else how many of the window would; 0 for none."""
    needed = needed_h(rank, level, D_PER_W * LARGE_EFFECT)
    if h >= needed:
        return None
    return math.ceil(needed * big / (big - needed)) if big > needed else 0
