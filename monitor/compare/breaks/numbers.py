"""Breaks that change every number of a column by one rule: unit, sign, base of codes, time zone; changes with the rules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.compare.breaks import clock
from monitor.compare.breaks.causes import Break, Cause, broken
from monitor.compare.breaks.columns import Numbers
from monitor.compare.breaks.envelope import Envelope
from monitor.compare.breaks.evidence import Evidence, kolmogorov_noise
from monitor.compare.breaks.units import KNOWN, Unit, free_units

FAR = 5.0
"""A factor that no known pair of units has must be at least this, or at most its inverse: drift goes less far."""
_MEAN_ERRORS = 4.0
_MEAN_DRIFT = 0.15
_FEW_CODES = 32
_MEASURED = 4
"""Different cuts from which on a column is one of measurements: a few codes become others by many factors."""
_CLOSER = 2.0
"""How many times closer a rule must bring the distributions on average."""
_ROUNDING = 0.2
"""Largest error of rounding, in standard deviations, with which a unit is still recognised."""
_CHANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Rule:
    """One way in which every value may have changed.

    Attributes:
        expected: the baseline's distribution after the change.
        actual: the window's.
        rounding: how far apart equal values may be.
        certain: something other than the distance shows that there was a change, which may then be a small one.
    """

    cause: Cause
    detail: str
    said: str
    expected: Envelope
    actual: Envelope
    rounding: float = 0.0
    certain: bool = False


def find_number_break(feature: str, now: Numbers, before: Numbers) -> Break | None:
    """Return the one rule that explains a column of numbers, or None where none does convincingly."""
    for rules in (_rules(now, before), _converted(now, before, KNOWN), _converted(now, before, _free(now, before))):
        best = _best(list(rules), now, before)
        if best is not None:
            rule, gap = best
            return broken(feature, rule.cause, rule.detail, 1.0 - gap, rule.said)
    return None


def _best(rules: Sequence[Rule], now: Numbers, before: Numbers) -> tuple[Rule, float] | None:
    """Return the convincing rule that brings the distributions closest on the whole, with the gap that it leaves."""
    noise = kolmogorov_noise(now.rows, before.rows)
    actual, usual = now.envelope, before.envelope
    own, whole = actual.gap(usual), actual.apart(usual)
    found: list[tuple[float, int, float]] = []
    for i, rule in enumerate(rules):
        gap = rule.actual.strain(rule.expected, rule.rounding)
        if not Evidence(1.0 if rule.certain else own, gap, noise).convincing:
            continue
        # Where bounds are wide, rules that are off by a little everywhere pass, and the distributions must come closer too.
        apart = rule.actual.apart(rule.expected)
        if rule.certain or _CLOSER * apart <= whole:
            found.append((apart, i, gap))
    if not found:
        return None
    _, i, gap = min(found)
    return rules[i], gap


def _rules(now: Numbers, before: Numbers) -> Iterator[Rule]:
    actual, usual = now.envelope, before.envelope
    yield Rule(Cause.SIGN_FLIPPED, "times -1", "every value looks negated", usual.mirrored(), actual)
    yield from _recoded(now, before, actual, usual)
    for hours, expected, shown in clock.rotations(now, before):
        said = f"every time of day looks shifted by {hours:+d} hours (another time zone)"
        yield Rule(Cause.TIME_SHIFTED, f"{hours:+d} hours", said, expected, shown)


def _free(now: Numbers, before: Numbers) -> Iterable[Unit]:
    return free_units(now.cuts[1:10], before.cuts[1:10], FAR)


def _converted(now: Numbers, before: Numbers, units: Iterable[Unit]) -> Iterator[Rule]:
    """Yield the changes of unit that fit the mean and the decimals, for columns of measurements."""
    if min(len(now.distinct), len(before.distinct)) < _MEASURED:
        return
    actual, usual = now.envelope, before.envelope
    for unit in (written for each in units for written in each.written):
        if not _fits_mean(unit, now, before):
            continue
        rounding = _rounding(unit, now, before)
        # Where rounding leaves few different values, it would fit any unit.
        if rounding <= _ROUNDING * abs(unit.factor) * before.deviation and _on_grid(unit, now, before, rounding):
            said = f"every value looks {unit.said}"
            yield Rule(Cause.NEW_UNIT, unit.detail, said, usual.mapped(unit), actual, rounding)


def _recoded(now: Numbers, before: Numbers, actual: Envelope, usual: Envelope) -> Iterator[Rule]:
    """Yield the change between codes from 0 and codes from 1.

    Only between these two: a month or a year moves on by one too, but never from 0.
    """
    ends = (before.cuts[0], now.cuts[0])
    if ends not in {(0.0, 1.0), (1.0, 0.0)} or min(now.step, before.step) < 1.0:
        return
    if not 2.0 <= before.cuts[-1] - before.cuts[0] < _FEW_CODES:
        return
    by = ends[1] - ends[0]
    change = f"codes from {ends[0]:.0f} became codes from {ends[1]:.0f}"
    said = f"every code looks {'raised' if by > 0.0 else 'lowered'} by 1 ({change})"
    expected = usual.mapped(lambda values: values + by)
    yield Rule(Cause.RECODED, f"{by:+.0f}", said, expected, actual, certain=_exchanged(now, before, by))


def _exchanged(now: Numbers, before: Numbers, by: float) -> bool:
    """Tell whether the code at one end is gone, which is no chance, and one beyond the other end is as frequent as that was."""
    lost, last = (before.cuts[0], before.cuts[-1]) if by > 0.0 else (before.cuts[-1], before.cuts[0])
    lost_cell, last_cell, new_cell = before.bins.cells(np.array([lost, last, last + by]))
    was, usual, gained = before.cells[lost_cell], before.cells[last_cell], now.cells[new_cell]
    absent = now.cells[lost_cell] == 0.0 and (1.0 - was) ** now.rows <= _CHANCE
    return bool(absent and abs(gained - usual) <= 4.0 * math.sqrt(usual / now.rows) + 0.01)


def _fits_mean(unit: Unit, now: Numbers, before: Numbers) -> bool:
    """Tell whether the mean is as near to where the unit would put it as sampling and some drift leave it."""
    spread = abs(unit.factor) * before.deviation
    error = spread * math.sqrt(1.0 / max(1.0, now.rows) + 1.0 / max(1.0, before.rows))
    return abs(now.mean - (unit.factor * before.mean + unit.offset)) <= _MEAN_ERRORS * error + _MEAN_DRIFT * spread


def _on_grid(unit: Unit, now: Numbers, before: Numbers, rounding: float) -> bool:
    """Tell whether the window's values are ones that the unit makes of the baseline's decimals.

    Whole miles become multiples of 1.609, so a window of all sorts of whole numbers never was in whole miles.
    """
    step = before.step
    if step == 0.0 or unit.change is None:
        return True
    original = (now.distinct - unit.offset) / unit.factor
    off = np.abs(original - np.rint(original / step) * step)
    return bool((off <= rounding / abs(unit.factor) + 1e-6 * np.abs(original)).all())


def _rounding(unit: Unit, now: Numbers, before: Numbers) -> float:
    """Return by how much a value may be off its exact change.

    A window on a decimal grid that the exact change would leave was rounded to that grid.
    """
    step = now.step
    if step == 0.0:
        return 0.0
    ratio = abs(unit.factor) * before.step / step
    kept = ratio >= 1.0 - 1e-9 and abs(ratio - round(ratio)) <= 1e-9 * ratio
    return 0.0 if kept else 0.5 * step * (1.0 + 1e-6)
