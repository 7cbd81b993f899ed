"""Attribution drift: has what the model goes by changed? Changes with the test of shares.

The features' shares of the mean absolute attribution are compared with a reference's, each with its standard error. That
answers for data drift that matters to the model, and for a model that reads the same data in another way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from monitor.compare.findings import Finding, Kind, Outcome
from monitor.profile.attributions import AttributionCounts
from monitor.profile.document import Floats

LARGE_EFFECT = 0.2
"""A change of 20 points of a share; with fewer rows than show it, no verdict."""
POWER = 0.8
CLARIFY_NDCG = 0.9
"""SageMaker Clarify's threshold: it alerts where NDCG is below."""


def attribution_findings(
    current: AttributionCounts,
    reference: AttributionCounts,
    *,
    level: float,
    min_effect: float,
    reference_name: str,
) -> Iterator[Finding]:
    """Yield a finding for each feature's share of attribution, and one for the agreement of the ranks.

    Args:
        current: of the window.
        reference: of training, or of an earlier window. Attributions made in another way are not comparable.
        level: of the false alarms of all these findings together; each feature gets an even part (Bonferroni).
        min_effect: smallest change of a share that flags, as a fraction: 0.05 is five points.
        reference_name: as findings name it, such as "training".
    """
    names = tuple(sorted({*current.names, *reference.names}))
    now, before = current.padded(names), reference.padded(names)
    if min(now.effective, before.effective) <= 1.0 or not now.totals.any() or not before.totals.any():
        yield _finding(None, "ndcg", reference_name, "no attributions on one side", outcome=Outcome.INSUFFICIENT)
        return
    critical = _Noise.of(now, before, level / len(names), max(LARGE_EFFECT, min_effect))
    ranks = (_ranks(now.totals), _ranks(before.totals))
    for j, name in enumerate(names):
        said = _sentence(name, (ranks[1][j], before.shares[j]), (ranks[0][j], now.shares[j]))
        value = abs(float(now.shares[j] - before.shares[j]))
        threshold = max(min_effect, float(critical.thresholds[j]))
        needed = critical.needed[j]
        lacking = value <= threshold and needed is not None
        yield _finding(
            name,
            "attribution_share",
            reference_name,
            said,
            value=value,
            threshold=threshold,
            p_value=critical.p_value(j, value),
            flagged=value > threshold,
            reason=_lacking(now.rows, needed) if lacking and needed is not None else None,
            outcome=Outcome.INSUFFICIENT if lacking else Outcome.JUDGED,
        )
    agreement = ndcg(now.totals, before.totals)
    yield _finding(
        None,
        "ndcg",
        reference_name,
        f"the ranking of the features by attribution agrees with the reference's by an NDCG of {agreement:.3f}; "
        f"SageMaker Clarify alerts below {CLARIFY_NDCG:g}",
        value=agreement,
        reason="measured without a threshold: informs only",
        outcome=Outcome.INFORMATIVE,
    )


def ndcg(current: Floats, reference: Floats) -> float:
    """Return how well the ranking by `current` (d,) attributions serves the `reference`'s; 1 where both rank alike.

    Normalised discounted cumulative gain: sum of a(f'_i) / log2(i + 1), with f'_i the i-th feature by current attribution
    and a its attribution in the reference, over the same sum in the reference's own order. SageMaker Clarify's measure of
    "feature attribution drift"; Järvelin and Kekäläinen (2002), Cumulated gain-based evaluation of IR techniques.
    """
    discounts = 1.0 / np.log2(np.arange(len(current)) + 2.0)
    ideal = float(np.sort(reference)[::-1] @ discounts)
    return float(reference[np.argsort(-current, kind="stable")] @ discounts) / ideal if ideal > 0.0 else 1.0


@dataclass(frozen=True, slots=True)
class _Noise:
    """What differences of shares chance alone makes.

    Attributes:
        scales: (d,) standard error of each difference.
        freedoms: (d,) degrees of freedom of these.
        thresholds: (d,) the difference that has probability `level`.
        needed: rows that the window would need to show a large effect; None where it has them, 0 where no number would do.
    """

    scales: Floats
    freedoms: Floats
    thresholds: Floats
    needed: tuple[int | None, ...]

    @classmethod
    def of(cls, now: AttributionCounts, before: AttributionCounts, level: float, large: float) -> _Noise:
        """Return Welch's t for each share.

        What one row brings is the larger of what both sides say: in a sample that happens to miss the rare large attributions
        both the share and its standard error are too low, which makes a plain t-test flag many times too often.
        """
        n, big = now.effective, before.effective
        row = np.maximum(now.row_variances, before.row_variances)
        theirs = row / big
        between, block_freedom = _between_blocks(now, before)
        variance = row / n + theirs + between
        squares = (row / n) ** 2 / (n - 1.0) + theirs**2 / (big - 1.0) + between**2 / block_freedom
        freedoms = np.divide(variance**2, squares, out=np.full(len(row), np.inf), where=squares > 0.0)
        quantiles = -special.stdtrit(np.minimum(freedoms, 1e9), level / 2.0)
        scales = np.sqrt(variance)
        room = (large / (quantiles + float(special.ndtri(POWER)))) ** 2 - theirs - between
        needed = tuple(
            None if own <= n * left else math.ceil(own / left * now.rows / n) if left > 0.0 else 0
            for own, left in zip(row, room, strict=True)
        )
        return cls(scales, freedoms, quantiles * scales, needed)

    def p_value(self, j: int, difference: float) -> float:
        """Return the probability of at least this difference where nothing has changed."""
        if self.scales[j] <= 0.0:
            return 1.0 if difference == 0.0 else 0.0
        freedom = min(float(self.freedoms[j]), 1e9)
        return float(2.0 * special.stdtr(freedom, -difference / self.scales[j]))


def _between_blocks(now: AttributionCounts, before: AttributionCounts) -> tuple[Floats, float]:
    """Return (d,) the variance that shares have from block to block of time beyond that of their rows, and its freedom.

    A one-way random-effects model by the method of moments: the spread of the reference's blocks, less what as few rows
    would spread by themselves; times 1/m + 1/M for a window of m blocks against a reference of M.
    """
    nothing = np.zeros(len(before.names)), 1.0
    table = np.array([sums for sums in before.blocks.values() if sums[1:].sum() > 0.0])
    if len(table) < 2:
        return nothing
    weights, totals = table[:, 0], table[:, 1:]
    shares = totals / totals.sum(axis=1, keepdims=True)
    rows = weights * before.effective / before.weight
    spread = shares.var(axis=0, ddof=1)
    own = before.row_variances * np.mean(1.0 / np.maximum(rows, 1.0))
    factor = 1.0 / _even(np.array([sums[0] for sums in now.blocks.values()])) + 1.0 / _even(weights)
    return np.maximum(spread - own, 0.0) * factor, len(table) - 1.0


def _even(weights: Floats) -> float:
    """Return how many blocks of even weight would tell as much; 1 where there is no time."""
    return float(weights.sum() ** 2 / (weights @ weights)) if weights.any() else 1.0


def _ranks(totals: Floats) -> list[int]:
    order = np.argsort(-totals, kind="stable")
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(1, len(order) + 1)
    return [int(rank) for rank in ranks]


def _sentence(name: str, before: tuple[int, float], now: tuple[int, float]) -> str:
    (old_rank, old), (new_rank, new) = before, now
    if old_rank == new_rank:
        return f"{name} keeps rank {new_rank}: {old:.1%} of attribution before, {new:.1%} now"
    moved = "fell" if new_rank > old_rank else "rose"
    return f"{name} {moved} from rank {old_rank} ({old:.1%} of attribution) to rank {new_rank} ({new:.1%})"


def _lacking(rows: int, needed: int) -> str:
    if needed == 0:
        return "too few rows in the reference"
    return f"too few rows: {rows:,} of about {needed:,} that would show a change of {LARGE_EFFECT * 100:.0f} points"


def _finding(
    feature: str | None,
    measure: str,
    reference: str,
    explanation: str,
    *,
    value: float | None = None,
    threshold: float | None = None,
    p_value: float | None = None,
    flagged: bool = False,
    reason: str | None = None,
    outcome: Outcome = Outcome.JUDGED,
) -> Finding:
    return Finding(
        kind=Kind.ATTRIBUTION_DRIFT,
        feature=feature,
        reference=reference,
        measure=measure,
        value=value,
        threshold=threshold,
        p_value=p_value,
        flagged=flagged,
        reason=reason,
        explanation=explanation,
        outcome=outcome,
    )
