"""What explains that numbers differ: lost digits, or a line (offset, scale, unit, both); changes when another way is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.compare.row_skew.differing import Differing, varied, weighted_median
from monitor.compare.row_skew.explanation import Explanation, Side, Transformation, enough, plain_number
from monitor.compare.row_skew.rounding import Floats, single
from monitor.compare.row_skew.times import explain_cycle, explain_epochs
from monitor.compare.row_skew.units import unit_of

_DISTINCT = 3
"""Distinct values that a line must hold for beside one for each of its parameters."""
_DIGITS = range(-3, 7)
_ROUNDINGS = 32
_NOISE_SINGLE, _NOISE_DOUBLE, _NOISE_WHOLE = _ROUNDINGS * 2.0**-24, 1e-11, 1e-15
"""Relative error left to numbers that were rounded so often in 32 bits, to computed ones in 64 bits, and to whole numbers."""
_SIGNIFICANT = range(1, 10)
_OF_ONE = {"factor": Transformation.SCALE, "offset": Transformation.OFFSET}

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Line:
    """served = training * factor + offset, but for `allowance` that rounding takes; fewer parameters are tried first."""

    factor: float
    offset: float
    parameters: int
    allowance: float = 0.0

    def misses(self, pairs: Differing) -> Floats:
        return np.asarray(np.abs(pairs.training * self.factor + self.offset - pairs.served))

    def holds(self, pairs: Differing, noise: float) -> _Mask:
        size = np.abs(pairs.served) + np.abs(pairs.training * self.factor) + abs(self.offset)
        return np.asarray(self.misses(pairs) <= noise * size + self.allowance)


def explain_numbers(training: Floats, served: Floats, *, narrow: bool) -> Explanation | None:
    """Return what turns the numbers of one side into those of the other, over the differing rows (n,), or None.

    `narrow` says that a side has floats of 32 bits, which cannot follow a line exactly.
    """
    pairs = Differing.of(training, served)
    if len(pairs.counts) < _DISTINCT:
        return None
    noise = _noise(pairs, narrow=narrow)
    return (
        _lost_digits(pairs, noise)
        or explain_epochs(pairs)
        or explain_cycle(pairs)
        or _exact_line(pairs, noise)
        or _rounded_line(pairs, noise)
    )


def _noise(pairs: Differing, *, narrow: bool) -> float:
    if narrow or _is_single(pairs.training) or _is_single(pairs.served):
        return _NOISE_SINGLE
    whole = all((np.trunc(side) == side).all() for side in (pairs.training, pairs.served))
    return _NOISE_WHOLE if whole else _NOISE_DOUBLE


def _is_single(values: Floats) -> bool:
    fractions = values[np.trunc(values) != values]
    return len(fractions) > 0 and bool((single(fractions) == fractions).all())


def _lost_digits(pairs: Differing, noise: float) -> Explanation | None:
    """Return whether one side has the other's numbers with fewer digits; of several ways the one that explains most."""
    found = [
        each for side in Side for each in _shortenings(pairs if side is Side.SERVED else pairs.swapped(), noise, side)
    ]
    return max(found, key=lambda each: each.explained, default=None)


def _shortenings(pairs: Differing, noise: float, side: Side) -> Iterator[Explanation]:
    """Yield the ways in which the second number of each pair, which is of `side`, can be the first one with fewer digits."""
    full, short = pairs.training, pairs.served
    for how, cut in (("cut off to a whole number", np.trunc), ("rounded down to a whole number", np.floor)):
        explanation = _shortened(
            pairs, cut(full) == short, Transformation.TRUNCATION, f"{side} is {side.other()} {how}", side, 0
        )
        if explanation is not None:
            yield explanation
            break
    as_single = single(full).astype(np.float64) == short
    narrowed = _shortened(
        pairs, as_single, Transformation.PRECISION, f"{side} is {side.other()} in 32 bits", side, None
    )
    if narrowed is not None:
        yield narrowed
        return
    sample = pairs.fitting()
    for digits in _DIGITS:
        if enough(sample.explained(_rounded(sample, digits, noise)), sample.rows):
            sentence = f"{side} is {side.other()} rounded to {_digits_text(digits)}"
            rounded = _rounded(pairs, digits, noise)
            explanation = _shortened(pairs, rounded, Transformation.ROUNDING, sentence, side, digits)
            if explanation is not None:
                yield explanation
                return


def _rounded(pairs: Differing, digits: int, noise: float) -> _Mask:
    unit = 10.0**-digits
    # Nothing was computed with these numbers, so only what the last bit stands for is lost.
    error = noise / _ROUNDINGS * np.abs(pairs.served)
    on_grid = np.abs(np.rint(pairs.served / unit) * unit - pairs.served) <= error
    near = np.abs(pairs.training - pairs.served) <= 0.5 * unit + error
    # Where noise is as large as the last digit, every number is on the grid.
    return np.asarray(on_grid & near & (error < 0.2 * unit))


def _shortened(
    pairs: Differing, holds: _Mask, kind: Transformation, sentence: str, side: Side, digits: int | None
) -> Explanation | None:
    explained = pairs.explained(holds)
    if not enough(explained, pairs.rows):
        return None
    if not varied(pairs.served[holds], 2) or not varied(pairs.training[holds], _DISTINCT):
        return None
    parameters = {"side": str(side)} | ({} if digits is None else {"digits": digits})
    return Explanation(kind, sentence, explained, pairs.rows, parameters)


def _digits_text(digits: int) -> str:
    if digits < 0:
        return f"multiples of {10**-digits}"
    return "a whole number" if digits == 0 else f"{digits} decimal{'s' if digits > 1 else ''}"


def _exact_line(pairs: Differing, noise: float) -> Explanation | None:
    fit = pairs.fitting()
    for fitted in (_offset, _scale, _affine):
        line = fitted(fit)
        if line is None:
            continue
        # What few digits explain of the one half may, by a hair, not hold for the other.
        for told in (_shortest(line, fit, noise), line):
            if _verified(told, pairs, noise):
                return _told(told, pairs, noise)
    return None


def _rounded_line(pairs: Differing, noise: float) -> Explanation | None:
    """Return the line whose result was rounded on one side: miles made kilometres with one decimal."""
    for rounded, swapped in ((pairs, False), (pairs.swapped(), True)):
        unit = _last_place(rounded)
        if unit is None:
            continue
        fit = rounded.fitting()
        lines = [_refined(line, fit, unit) for line in (_offset(fit), _scale(fit), _affine(fit)) if line is not None]
        lines = [_shortest(line, fit, noise) for line in lines]
        passed = [line for line in lines if _verified(line, rounded, noise)]
        if passed:
            # A parameter more always fits a little better: it must fit clearly better to be believed.
            best = min(passed, key=lambda line: float(np.mean(line.misses(fit))) * (1 + 0.25 * line.parameters))
            line = _Line(
                1 / best.factor, -best.offset / best.factor, best.parameters, best.allowance / abs(best.factor)
            )
            return _told(line if swapped else best, pairs, noise)
    return None


def _offset(fit: Differing) -> _Line | None:
    return _Line(1.0, weighted_median(fit.served - fit.training, fit.counts), 1)


def _scale(fit: Differing) -> _Line | None:
    there = (fit.training != 0) & (fit.served != 0)
    if not there.any():
        return None
    # The larger a number, the less its rounding matters for the ratio.
    weights = fit.counts[there] * np.abs(fit.training[there])
    return _Line(weighted_median(fit.served[there] / fit.training[there], weights), 0.0, 1)


def _affine(fit: Differing) -> _Line | None:
    """Fit a line by the median of slopes between points half of the range apart (Theil 1950, Sen 1968, on n/2 pairs)."""
    order = np.argsort(fit.training, kind="stable")
    a, b, counts = fit.training[order], fit.served[order], fit.counts[order]
    half = len(a) // 2
    run, rise = a[len(a) - half :] - a[:half], b[len(a) - half :] - b[:half]
    apart = run > 0
    if not apart.any():
        return None
    weights = np.minimum(counts[:half], counts[len(a) - half :])[apart]
    factor = weighted_median(rise[apart] / run[apart], weights)
    if factor == 0:
        return None
    return _Line(factor, weighted_median(b - factor * a, counts), 2)


def _last_place(pairs: Differing) -> float | None:
    """Return the unit of the last decimal of nearly all served numbers; None where there is none, or they vary too little."""
    low, high = np.quantile(pairs.served, [0.05, 0.95])
    for digits in range(5):
        unit = 10.0**-digits
        error = 1e-6 * unit + 1e-7 * np.abs(pairs.served)
        # As in `_rounded`: where the error is as large as the unit, every number is on the grid.
        grid = (np.abs(np.rint(pairs.served / unit) * unit - pairs.served) <= error) & (error < 0.2 * unit)
        if enough(pairs.explained(grid), int(pairs.counts.sum())):
            return unit if 4 * unit <= high - low else None
    return None


def _refined(line: _Line, fit: Differing, unit: float) -> _Line:
    """Return the least squares line through the points that `line` all but holds for, allowing for half of a unit."""
    factor, offset = line.factor, line.offset
    near = line.misses(fit) <= 2 * unit
    a, b, weights = fit.training[near], fit.served[near], fit.counts[near].astype(np.float64)
    if len(a) >= _DISTINCT:
        if line.parameters == 2:
            mean_a, mean_b = np.average(a, weights=weights), np.average(b, weights=weights)
            spread = float(np.sum(weights * (a - mean_a) ** 2))
            factor = float(np.sum(weights * (a - mean_a) * (b - mean_b))) / spread if spread else factor
            offset = float(mean_b - factor * mean_a)
        elif line.offset == 0 and np.any(a):
            factor = float(np.sum(weights * a * b) / np.sum(weights * a * a))
        else:
            offset = float(np.average(b - a, weights=weights))
    return _Line(factor or line.factor, offset, line.parameters, 0.5 * unit * 1.02)


def _shortest(line: _Line, fit: Differing, noise: float) -> _Line:
    """Return the line in the fewest significant digits, or the exact ones of a known unit, that explain no fewer rows."""
    target = fit.explained(line.holds(fit, noise))

    def as_good(factor: float, offset: float) -> bool:
        return fit.explained(_Line(factor, offset, line.parameters, line.allowance).holds(fit, noise)) >= target

    unit = unit_of(line.factor, line.offset)
    if unit is not None and as_good(unit[2], unit[3]):
        return _Line(unit[2], unit[3], line.parameters, line.allowance)
    factor = _fewest_digits(line.factor, lambda value: as_good(value, line.offset))
    return _Line(
        factor, _fewest_digits(line.offset, lambda value: as_good(factor, value)), line.parameters, line.allowance
    )


def _fewest_digits(value: float, as_good: Callable[[float], bool]) -> float:
    for digits in _SIGNIFICANT:
        short = float(f"{value:.{digits}g}")
        if short and as_good(short):
            return short
    return value


def _verified(line: _Line, pairs: Differing, noise: float) -> bool:
    """Say whether a fitted line holds for nearly all rows, and for nearly all of the half that it was not fitted on."""
    if line.factor == 0 or not np.isfinite([line.factor, line.offset]).all():
        return False
    same = _Line(1.0, 0.0, 0, line.allowance)
    if enough(pairs.explained(same.holds(pairs, noise)), pairs.rows):  # nothing that the noise does not explain as well
        return False
    holds, unseen = line.holds(pairs, noise), pairs.verifying()
    held = line.holds(unseen, noise)
    return (
        enough(unseen.explained(held), unseen.rows)
        and enough(pairs.explained(holds), pairs.rows)
        and varied(unseen.training[held], 2)
        and all(varied(side[holds], _DISTINCT + line.parameters) for side in (pairs.training, pairs.served))
    )


def _told(line: _Line, pairs: Differing, noise: float) -> Explanation:
    parameters: dict[str, float | str] = {}
    if line.factor != 1:
        parameters["factor"] = line.factor
    if line.offset:
        parameters["offset"] = line.offset
    kind = (
        Transformation.AFFINE if len(parameters) > 1 else _OF_ONE.get(next(iter(parameters), ""), Transformation.AFFINE)
    )
    sentence = _formula(line)
    unit = unit_of(line.factor, line.offset)
    if unit is not None:
        kind = Transformation.UNIT
        parameters |= {"from": unit[0], "to": unit[1]}
        sentence += f": {unit[0]} in training, {unit[1]} in serving"
    return Explanation(kind, sentence, pairs.explained(line.holds(pairs, noise)), pairs.rows, parameters)


def _formula(line: _Line) -> str:
    text = "served = training"
    if line.factor != 1:
        text += f" × {plain_number(line.factor)}"
    if line.offset:
        text += f" {'+' if line.offset > 0 else '-'} {plain_number(abs(line.offset))}"
    return text + (", then rounded" if line.allowance else "")
