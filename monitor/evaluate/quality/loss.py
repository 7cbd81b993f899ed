"""Whether a window's metrics are worse than usual, beyond what windows differ by themselves; changes with the test.

A metric of a new window is compared with the metrics of earlier blocks of the same length by the prediction interval of a normal
sample: t = (value - mean) / (s sqrt(1 + 1/B)), with B - 1 degrees of freedom, s their standard deviation (Hahn and Meeker, 1991,
Statistical Intervals, section 4.7). Blocks differ by sampling and by what days are like; both are in s. A window with fewer
labels than the blocks varies more: s is then taken as sampling alone, which grows with the square root of their ratio.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from monitor.compare.family import OVERALL_SHARE
from monitor.compare.findings import Finding, Kind, Outcome
from monitor.evaluate.evaluation import Evaluation
from monitor.evaluate.quality.direction import Worse
from monitor.evaluate.quality.reference import QualityReference, SliceQuality, named
from monitor.evaluate.wording import is_cross, metric_text, number_of, number_text
from monitor.window.slicing import SliceKey, slice_name

MIN_BLOCKS = 8
"""Fewer blocks say too little of how much quality varies by itself."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a window is judged.

    Attributes:
        alpha: false alarms per window, over all metrics and slices together.
        min_labels: labelled examples below which a slice is not judged.
        final: whether all labels have come that will; before that, fast labels are not like slow ones, and nothing is flagged.
    """

    alpha: float
    min_labels: int
    final: bool = True


def losses(
    evaluation: Evaluation,
    reference: QualityReference | None,
    worse: Mapping[Any, Worse | None],
    terms: Terms,
) -> dict[SliceKey, list[Finding]]:
    """Return a finding for each metric of each slice, the overall slice first; those that say nothing of quality inform only.

    Args:
        evaluation: of the window.
        reference: earlier blocks; None where there are none yet.
        worse: which way each metric gets worse (`direction.directions`).
        terms: see there.
    """
    single = [key for key in evaluation.metrics if not is_cross(key)]
    judged = [key for key in single if evaluation.examples.get(key, 0) >= terms.min_labels]
    tests = max(1, sum(direction is not None for direction in worse.values()))
    slices = max(1, sum(bool(key) for key in judged))
    share = OVERALL_SHARE if any(judged) else 1.0
    found: dict[SliceKey, list[Finding]] = {}
    for key in single:
        alpha = terms.alpha * (share if not key else (1.0 - share) / slices) / tests
        known = None if reference is None else reference.slices.get(slice_name(named(key)))
        findings = _of_slice(evaluation, key, known, reference.name if reference else "earlier", worse, terms, alpha)
        found[named(key)] = list(findings)
    return found


def _of_slice(
    evaluation: Evaluation,
    key: Any,
    known: SliceQuality | None,
    name: str,
    worse: Mapping[Any, Worse | None],
    terms: Terms,
    alpha: float,
) -> Iterator[Finding]:
    size = evaluation.examples.get(key, 0)
    for metric, value in evaluation.metrics[key].items():
        number = number_of(value)
        if metric.is_diff or number is None:
            continue
        text, direction = metric_text(metric), worse.get(metric)
        if direction is None:
            yield _finding(text, name, number, None, f"{text} is {number_text(number)} on {size:,} labelled examples")
        else:
            yield _judged(text, direction, number, size, known, name, terms, alpha)


def _judged(
    text: str,
    direction: Worse,
    value: float,
    size: int,
    known: SliceQuality | None,
    name: str,
    terms: Terms,
    alpha: float,
) -> Finding:
    said = f"{text} is {number_text(value)} on {size:,} labelled examples"
    if size < terms.min_labels:
        reason = f"{size:,} labelled examples; {terms.min_labels:,} are needed"
        return _finding(text, name, value, reason, f"{said}: too few to judge")
    usual, weights = _blocks(known, text)
    if len(usual) < MIN_BLOCKS or math.isnan(value):
        why = "it is no number" if math.isnan(value) else f"{len(usual)} earlier blocks; {MIN_BLOCKS} are needed"
        return _finding(text, name, value, why, f"{said}: {why}")
    blocks = len(usual)
    mean, deviation = float(usual.mean()), float(usual.std(ddof=1))
    deviation *= math.sqrt((1.0 + 1.0 / blocks) * max(1.0, float(weights.mean()) / size))
    bound = float(stats.t.isf(alpha / (2.0 if direction is Worse.EITHER else 1.0), blocks - 1)) * deviation
    t = (value - mean) / deviation if deviation > 0 else math.copysign(math.inf, value - mean) if value != mean else 0.0
    p_value = _p_value(t, direction, blocks - 1)
    threshold = mean - bound if _down(direction, t) else mean + bound
    passed = p_value < alpha
    usually = (
        f"; usual is {number_text(mean)}, and {'down' if _down(direction, t) else 'up'} to {number_text(threshold)}"
    )
    words = f"{said}{usually} in {blocks} blocks of this length"
    if passed and not terms.final:
        early = "labels are still coming: those that come early are not like the others"
        return _finding(text, name, value, early, words, threshold=threshold, p_value=p_value)
    return Finding(
        kind=Kind.QUALITY,
        feature=None,
        reference=name,
        measure=text,
        value=value,
        threshold=threshold,
        p_value=p_value,
        flagged=passed,
        reason=None,
        explanation=f"{words}: quality is lost" if passed else words,
        outcome=Outcome.JUDGED,
        null=f"t with {blocks - 1} degrees of freedom",
    )


def _blocks(known: SliceQuality | None, metric: str) -> tuple[Any, Any]:
    series: Sequence[float] = () if known is None else known.values.get(metric, ())
    values = np.asarray(series, dtype=np.float64)
    there = np.isfinite(values)
    sizes = np.asarray([] if known is None else known.sizes, dtype=np.float64)
    return values[there], sizes[: len(values)][there]


def _p_value(t: float, direction: Worse, freedom: int) -> float:
    if direction is Worse.EITHER:
        return float(2.0 * stats.t.sf(abs(t), freedom))
    return float(stats.t.cdf(t, freedom) if direction is Worse.LOWER else stats.t.sf(t, freedom))


def _down(direction: Worse, t: float) -> bool:
    return direction is Worse.LOWER or (direction is Worse.EITHER and t < 0)


def _finding(
    metric: str,
    reference: str,
    value: float,
    reason: str | None,
    explanation: str,
    *,
    threshold: float | None = None,
    p_value: float | None = None,
) -> Finding:
    return Finding(
        kind=Kind.QUALITY,
        feature=None,
        reference=reference,
        measure=metric,
        value=value,
        threshold=threshold,
        p_value=p_value,
        flagged=False,
        reason=reason,
        explanation=explanation,
        outcome=Outcome.INFORMATIVE if reason is None or threshold is not None else Outcome.INSUFFICIENT,
    )
