"""Numbers that lost digits; changes with how lost precision shows."""

from __future__ import annotations

import numpy as np

from monitor.compare.breaks.causes import Break, Cause, broken
from monitor.compare.breaks.columns import Numbers, multiples
from monitor.compare.breaks.evidence import kolmogorov_noise

_CHANCE = 1e-4
"""How likely a window without the break may be to look as round as this one."""
_EMPTY = 1e-3


def find_rounding(feature: str, now: Numbers, before: Numbers) -> Break | None:
    """Return the break where the window's values are rounder than chance lets the baseline's be, and else where they were."""
    step = now.step
    if step <= before.step * 1.5 or len(before.distinct) < 3 or len(now.distinct) < 2:
        return None
    gap = now.envelope.gap(before.envelope, step)
    if gap > kolmogorov_noise(now.rows, before.rows) or min(_by_cuts(now, before), _by_cells(now, before)) > _CHANCE:
        return None
    to = "whole numbers" if step == 1.0 else f"multiples of {step:g}"
    said = f"every value looks rounded to {to}, where training holds {_digits(before.step)}"
    return broken(feature, Cause.ROUNDED, f"to {to}", 1.0 - gap, said)


def _digits(step: float) -> str:
    if step == 0.0 or step < 1e-3:
        return "many decimals"
    return f"steps of {step:g}"


def _by_cuts(now: Numbers, before: Numbers) -> float:
    """Return the probability that all the window's cuts are round, given how many of the baseline's are (Laplace's rule)."""
    round_ones = int(multiples(before.distinct, now.step).sum())
    share = (round_ones + 1) / (len(before.distinct) + 2)
    return float(share ** len(now.distinct))


def _by_cells(now: Numbers, before: Numbers) -> float:
    """Return the probability that the cells without a round number in them are as empty as they are in the window."""
    low, high = before.bins.edges[:-1], before.bins.edges[1:]
    barren = np.ceil(low / now.step) * now.step >= high
    if float(now.cells[1:-1][barren].sum()) > _EMPTY:
        return 1.0
    return float((1.0 - min(1.0, float(before.cells[1:-1][barren].sum()))) ** now.rows)
