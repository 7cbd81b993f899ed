"""Drift of the joint distribution: pairs of features whose dependence changed; changes with how that is judged.

Only the dependence is compared. Two kinds of change of a single column leave it alone, and a pair is flagged only where
neither explains what is seen, so the p-value is the larger of two (an intersection-union test: Berger, 1982, Technometrics
24:295). Rows that come more or less often by one column's value keep the odds ratios of a table with fixed groups; a column
whose values were moved, scaled or clipped keeps the table of ranks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np

from monitor.compare.calibrated import LARGE_EFFECT, Test
from monitor.compare.findings import Finding, Kind, Outcome
from monitor.compare.null import Null, needed_h
from monitor.profile.joint.association import Change, change
from monitor.profile.joint.counts import FIXED, RANKED, PairCounts
from monitor.profile.joint.reference import PairReference

MEASURE = "cramers_v_change"


@dataclass(frozen=True, slots=True)
class _Judged:
    """One pair's test by one grouping.

    Attributes:
        now, before: Cramer's V.
        most: the combination of groups whose share of the rows differs most from the expected one.
    """

    test: Test
    now: float
    before: float
    most: str


def dependence_findings(
    current: PairCounts,
    other: PairCounts,
    known: PairReference,
    *,
    reference: str,
    level: float,
    min_effect: float,
    blocks: tuple[float, float],
    ignored: Collection[str] = (),
    moved: Collection[str] = (),
) -> Iterator[Finding]:
    """Yield one finding for each pair of features, in the order of the layout.

    Args:
        current: the window, counted on the layout of `known`.
        other: what it is compared with: the baseline's own counts, or those of an earlier window.
        known: the baseline's pairs.
        reference: name of what `other` is.
        level: of the false alarms of all pairs together, split evenly (Bonferroni).
        min_effect: least change of Cramer's V that is flagged.
        blocks: effective numbers of blocks of time of the window and of `other`.
        ignored: features that are not compared.
        moved: features whose own values were flagged against the same reference: their pairs are measured, but not flagged,
            since values that were exchanged for others take the dependence along.
    """
    kept = [place for place, pair in enumerate(known.layout.pairs) if not set(pair) & set(ignored)]
    if not kept:
        return
    factor = 1.0 / max(1.0, blocks[0]) + 1.0 / max(1.0, blocks[1])
    changes = [_change(current, other, kept, grouping) for grouping in (FIXED, RANKED)]
    for row, place in enumerate(kept):
        pair, own = known.layout.pairs[place], tuple(known.variation[place].tolist())
        labels = tuple(known.layout.groups[feature].labels for feature in pair)
        tests = [
            _Judged(
                _test(found, row, own, factor, level / len(kept), min_effect),
                float(found.now[row]),
                float(found.before[row]),
                _most(found, row, pair, labels),
            )
            for found in changes
        ]
        # Both must agree, so the one further from significance speaks.
        weaker = min(tests, key=lambda judged: judged.test.value / judged.test.threshold)
        p_value = max(judged.test.p_value for judged in tests)
        judged = replace(weaker, test=replace(weaker.test, p_value=p_value))
        yield _finding(pair, judged, reference, sorted(set(pair) & set(moved)))


def _change(current: PairCounts, other: PairCounts, kept: list[int], grouping: int) -> Change:
    return change(
        current.tables[kept, grouping],
        other.tables[kept, grouping],
        current.effective(grouping)[kept],
        other.effective(grouping)[kept],
    )


def _test(found: Change, row: int, own: tuple[float, ...], factor: float, level: float, min_effect: float) -> Test:
    scale, h, trace = float(found.scale[row]), float(found.h[row]), float(found.trace[row])
    if scale <= 0.0 or h <= 0.0:
        return Test(0.0, 1.0, 1.0, 0)
    squared = float(found.squared[row])
    # A dependence that leaves nothing to chance has no spread; rounding is no news all the same.
    null = _null(max(trace, 1e-9), max(float(found.largest[row]), 1e-9), h, own, factor)
    needed = needed_h(max(1, math.ceil(trace)), level, LARGE_EFFECT * math.sqrt(scale))
    return Test(
        value=math.sqrt(squared / scale),
        threshold=max(min_effect, math.sqrt(null.quantile(level) / scale)),
        p_value=null.tail(squared),
        needed=None if h >= needed else math.ceil(needed),
        null=f"{scale:g} times the squared change is {null.said(level)}",
    )


def _most(found: Change, row: int, pair: tuple[str, str], labels: tuple[tuple[str, ...], ...]) -> str:
    seen, expected = found.seen[row], found.expected[row]
    place = np.unravel_index(int(np.abs(seen - expected).argmax()), seen.shape)
    names = [
        f"{feature} " + " or ".join(itertools.compress(side, joins[row, :, at].tolist()))
        for feature, side, joins, at in zip(pair, labels, (found.rows, found.columns), place, strict=True)
    ]
    return f"{names[0]} with {names[1]}: {seen[place]:.1%} of the rows, {expected[place]:.1%} expected"


def _null(trace: float, largest: float, h: float, own: tuple[float, ...], factor: float) -> Null:
    """Return the distribution of the squared change where only chance and the baseline's own variation are at work.

    h times it is a sum of chi-squares of one degree of freedom with weights. As many equal weights as give the same sum,
    each as large as the largest, have the heavier tail (Schur convexity: Diaconis and Perlman, 1990), so a small p-value
    is never too small. The blocks' part is added as for a feature's shares.
    """
    freedom, sampling = trace / largest, trace / h
    mean, variance, uncertainty, blocks = own
    if mean <= 0.0:
        return Null(sampling, freedom, math.inf)
    between = mean * factor
    total = sampling + between
    spread = 2.0 * sampling**2 / freedom + 4.0 * between * largest / h + variance * factor**2
    known = uncertainty * factor**2
    certainty = min(2.0 * total**2 / known, (blocks - 1.0) * (total / between) ** 2) if known > 0.0 else math.inf
    return Null.matched(total, spread, certainty)


def _finding(pair: tuple[str, str], judged: _Judged, reference: str, moved: list[str]) -> Finding:
    test = judged.test
    reason = None if test.needed is None else _too_few(test.needed)
    if reason is None and moved:
        reason = f"the values of {' and '.join(moved)} changed by themselves, which may take the dependence along"
    flagged = test.value > test.threshold and reason is None
    return Finding(
        kind=Kind.JOINT_DRIFT,
        feature=" x ".join(pair),
        reference=reference,
        measure=MEASURE,
        value=test.value,
        threshold=test.threshold if reason is None else None,
        p_value=test.p_value,
        flagged=flagged,
        reason=reason,
        explanation=_explained(pair, judged, flagged=flagged),
        # A pair adds to what its features' own comparisons say, so it never makes a window insufficient.
        outcome=Outcome.JUDGED if reason is None else Outcome.INFORMATIVE,
        null=test.null,
    )


def _too_few(needed: int) -> str:
    if needed == 0:
        return "too few rows or values to tell a dependence"
    return f"too few rows: a large change of dependence shows from about {needed} effective rows on"


def _explained(pair: tuple[str, str], judged: _Judged, *, flagged: bool) -> str:
    named, before, now = " and ".join(pair), f"Cramer's V {judged.before:.2f}", f"{judged.now:.2f}"
    if not flagged:
        return f"{named}: {before} before, now {now}"
    if judged.now <= judged.before - judged.test.value / 4.0:
        said = f"they moved together before ({before}), now less ({now})"
    elif judged.now >= judged.before + judged.test.value / 4.0:
        said = f"they move together more than before ({before}, now {now})"
    else:
        said = f"they move together in another way ({before} before, now {now})"
    return f"{named}: {said}; most of all {judged.most}"
