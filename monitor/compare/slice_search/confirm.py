"""The second half of a search: does the slice stand out in rows that the search has not seen? Changes with the test.

A difference of differences of means, (window - reference) inside minus (window - reference) outside, by a one-sided t-test. Rows
of one request are one observation; where blocks of time are told apart, what they differ by themselves counts too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from monitor.compare.slice_search.levels import Mask
from monitor.profile.counts import Indices
from monitor.profile.document import Floats

_MIN_BLOCKS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The rows to test on, window and reference together.

    Attributes:
        scores: (n,) what is compared.
        current: (n,) the row is of the window.
        weights: (n,).
        clusters: (n,) rows of one number belong together; numbers from 0.
        blocks: (n,) number of each row's block of time; None where that is not known.
    """

    scores: Floats
    current: Mask
    weights: Floats
    clusters: Indices
    blocks: Indices | None


@dataclass(frozen=True, slots=True)
class Contrast:
    """How much more a slice changed than the rest.

    Attributes:
        inside, outside: change of the mean score; the mean itself without a reference.
        overall: the same of all rows, and `error` its standard error.
        effect: (inside - outside) in standard deviations of the scores.
        share: of the window's weight that is in the slice.
    """

    inside: float
    outside: float
    overall: float
    error: float
    effect: float
    share: float
    p_value: float


def contrast_of(sample: Sample, inside: Mask) -> Contrast:
    """Test a slice, given (n,) which rows are in it; both sides need rows in the window, and in the reference if there is one."""
    parts = [inside, ~inside]
    (change_in, flow_in), (change_out, flow_out) = (_change(sample, part) for part in parts)
    overall, flow = _change(sample, np.ones(len(inside), bool))
    difference = change_in - change_out
    squared, freedom = _squared_error(sample, flow_in - flow_out), math.inf
    between = None if sample.blocks is None else _between_blocks(sample, sample.blocks, inside)
    if between is not None and between[0] > squared:
        squared, freedom = between
    centred = sample.scores - np.average(sample.scores, weights=sample.weights)
    spread = math.sqrt(float(np.average(centred**2, weights=sample.weights)))
    ratio = difference / math.sqrt(squared) if squared > 0.0 else 0.0
    here = sample.weights * sample.current
    return Contrast(
        inside=change_in,
        outside=change_out,
        overall=overall,
        error=math.sqrt(_squared_error(sample, flow)),
        effect=difference / spread if spread > 0.0 else 0.0,
        share=float(here[inside].sum() / here.sum()),
        p_value=float(special.ndtr(-ratio) if math.isinf(freedom) else special.stdtr(freedom, -ratio)),
    )


def _change(sample: Sample, part: Mask) -> tuple[float, Floats]:
    """Return the change of a part's mean, and (n,) what each row moves it by (its influence)."""
    change, flow = 0.0, np.zeros(len(part))
    for side, sign in ((sample.current, 1.0), (~sample.current, -1.0)):
        held = part & side
        weight = float(sample.weights[held].sum())
        if weight > 0.0:
            mean = float(sample.weights[held] @ sample.scores[held]) / weight
            change += sign * mean
            flow[held] = sign * sample.weights[held] * (sample.scores[held] - mean) / weight
    return change, flow


def _squared_error(sample: Sample, flow: Floats) -> float:
    """Return the variance of a sum of influences, those of one cluster added up first (linearisation)."""
    whole = np.bincount(sample.clusters, flow)
    return float(whole @ whole)


def _between_blocks(sample: Sample, blocks: Indices, inside: Mask) -> tuple[float, float] | None:
    """Return the variance that blocks of time give to the contrast, and its degrees of freedom; None with too few blocks.

    Measured on the reference's blocks, or on the window's own where there is no reference.
    """
    alone = bool(sample.current.all())
    usual = np.full(len(inside), True) if alone else ~sample.current
    count = int(blocks.max()) + 1
    means, weights = [], []
    for part in (inside, ~inside):
        held = usual & part
        weight = np.bincount(blocks[held], sample.weights[held], count)
        total = np.bincount(blocks[held], (sample.weights * sample.scores)[held], count)
        means.append(total / np.maximum(weight, 1e-300))
        weights.append(weight)
    kept = (weights[0] > 0.0) & (weights[1] > 0.0)
    number = int(kept.sum())
    if number < _MIN_BLOCKS:
        return None
    variance = float((means[0] - means[1])[kept].var(ddof=1))
    window = len(np.unique(blocks[sample.current]))
    return variance * (1.0 / number + (0.0 if alone else 1.0 / window)), float(number - 1)
