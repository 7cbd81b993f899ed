"""Times that are shifted: by one amount, or by whole quarters of hours as a time zone is; changes with what counts as a shift."""

from __future__ import annotations

import numpy as np

from monitor.compare.row_skew.differing import Differing, varied, weighted_median
from monitor.compare.row_skew.explanation import NEARLY_ALL, Explanation, Transformation, enough
from monitor.compare.row_skew.rounding import Floats

_SECOND = 1_000_000.0
_MINUTE = 60 * _SECOND
_QUARTER = 15 * _MINUTE
"""Time zones differ by multiples of a quarter of an hour."""
_HOUR = 60 * _MINUTE
_DISTINCT = 4
_FAR = 26 * _HOUR
"""The zones furthest apart are UTC-12 and UTC+14."""
_EPOCHS = {1.0: _SECOND, 1e3: 1e3, 1e6: 1.0, 1e9: 1e-3}
"""Ticks a second, and microseconds a tick, of numbers that are read as times."""
_PERIODS = {7.0: "days of the week", 12.0: "months", 24.0: "hours of the day", 60.0: "minutes", 360.0: "degrees"}
_RESTARTED = 0.01
_EARLIEST, _LATEST = 4e8, 5e9
"""Seconds since the epoch that are read as times: 1982 to 2128."""


def explain_times(training: Floats, served: Floats) -> Explanation | None:
    """Return by how much times (microseconds, n differing rows) are shifted, or None."""
    return _shift(Differing.of(training, served))


def explain_epochs(pairs: Differing) -> Explanation | None:
    """Return by how many quarters of an hour numbers are shifted that look like seconds or fractions since the epoch, or None."""
    for ticks, micros in _EPOCHS.items():
        bounds = (_EARLIEST * ticks, _LATEST * ticks)
        if all(bounds[0] <= side.min() and side.max() <= bounds[1] for side in (pairs.training, pairs.served)):
            times = Differing(pairs.training * micros, pairs.served * micros, pairs.counts, pairs.rows)
            found = _shift(times)
            return found if found is not None and found.parameters.get("hours") is not None else None
    return None


def explain_cycle(pairs: Differing) -> Explanation | None:
    """Return by how much whole numbers are shifted that start again at the end of a period, as the hours of a day do, or None."""
    values = np.concatenate([pairs.training, pairs.served])
    if not len(values) or (np.trunc(values) != values).any() or not varied(pairs.training, _DISTINCT):
        return None
    for period, name in _PERIODS.items():
        if values.max() - values.min() >= period:
            continue
        steps = np.mod(pairs.served - pairs.training, period)
        step = weighted_median(steps, pairs.counts)
        explained, restarted = (
            pairs.explained(steps == step),
            pairs.explained(pairs.served - pairs.training == step - period),
        )
        # Without a fair share of values that start again, a shift is as good an explanation, and a simpler one.
        if enough(explained, pairs.rows) and min(restarted, explained - restarted) >= _RESTARTED * pairs.rows:
            later = step if step <= period / 2 else step - period
            sentence = f"served is training {later:+g}, starting again after {period:g} as {name} do"
            parameters = {"offset": later, "period": period}
            return Explanation(Transformation.TIME_SHIFT, sentence, explained, pairs.rows, parameters)
    return None


def _shift(pairs: Differing) -> Explanation | None:
    if not varied(pairs.training, _DISTINCT):
        return None
    shifts = pairs.served - pairs.training
    return _one_shift(pairs, shifts) or _zone(pairs, shifts)


def _one_shift(pairs: Differing, shifts: Floats) -> Explanation | None:
    fit, unseen = pairs.fitting(), pairs.verifying()
    shift = weighted_median(fit.served - fit.training, fit.counts)
    quarters = round(shift / _QUARTER) * _QUARTER
    if quarters and abs(shift - quarters) < _SECOND:
        shift = quarters
    # Beside a shift of minutes, a fraction of a second that one side does not keep is no matter.
    slack = _SECOND if abs(shift) >= _MINUTE else 1.0
    held = np.abs(unseen.served - unseen.training - shift) < slack
    holds = np.abs(shifts - shift) < slack
    if not enough(unseen.explained(held), unseen.rows) or not enough(pairs.explained(holds), pairs.rows):
        return None
    parameters: dict[str, object] = {"seconds": shift / _SECOND}
    if shift % _QUARTER == 0:
        parameters["hours"] = [shift / _HOUR]
    sentence = f"served is {_amount(shift)} {'later' if shift > 0 else 'earlier'} than training"
    return Explanation(Transformation.TIME_SHIFT, sentence, pairs.explained(holds), pairs.rows, parameters)


def _zone(pairs: Differing, shifts: Floats) -> Explanation | None:
    """Return the two shifts, an hour apart, of a time zone that changes its clocks."""
    quarters = np.rint(shifts / _QUARTER)
    near = np.abs(shifts - quarters * _QUARTER) < _SECOND
    if not near.any():
        return None
    steps, place = np.unique(quarters[near], return_inverse=True)
    if len(steps) < 2:
        return None
    rows = np.bincount(place, weights=pairs.counts[near])
    low, high = sorted(steps[np.argsort(-rows, kind="stable")[:2]].tolist())
    if high - low != 4 or max(abs(low), abs(high)) * _QUARTER > _FAR:
        return None
    holds = near & ((quarters == low) | (quarters == high))
    explained = pairs.explained(holds)
    if explained < NEARLY_ALL * pairs.rows:
        return None
    hours = [low / 4, high / 4]
    sentence = f"served is shifted by {hours[0]:+g} or {hours[1]:+g} hours, as by a time zone that changes its clocks"
    return Explanation(Transformation.TIME_SHIFT, sentence, explained, pairs.rows, {"hours": hours})


def _amount(shift: float) -> str:
    size = abs(shift)
    if size % _HOUR == 0 or size % _QUARTER == 0:
        return f"{size / _HOUR:g} hour{'' if size == _HOUR else 's'}"
    return f"{size / _SECOND:g} second{'' if size == _SECOND else 's'}"
