"""Floats as they are compared; changes if TFDV's way of rounding them does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_NEAR_TIE = 1e-6
_EXACT_POWER = 22
"""10^22 is the largest power of ten that a float64 holds exactly."""

Floats = npt.NDArray[np.float64]


def round_decimals(values: Floats, digits: int) -> Floats:
    """Return values (n,) rounded to `digits` decimals exactly as Python's `round` does, which TFDV uses.

    `numpy.round` is not that: it rounds 2.675 to 2.68. Only values near the middle between two decimals differ, so only they
    are rounded one by one.
    """
    if digits > _EXACT_POWER:
        return np.array([round(value, digits) if np.isfinite(value) else value for value in values.tolist()])
    power = 10.0**digits
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = values * power
        rounded = np.rint(scaled) / power
        doubtful = (np.abs(np.abs(scaled - np.trunc(scaled)) - 0.5) < _NEAR_TIE) | (np.abs(scaled) >= 2.0**52)
    doubtful &= np.isfinite(values)
    rounded = np.where(np.isfinite(values), rounded, values)
    rounded[doubtful] = [round(value, digits) for value in values[doubtful].tolist()]
    return rounded


def single(values: Floats) -> npt.NDArray[np.float32]:
    """Return values (n,) in the 32 bits that a tf.Example has for a float; too large ones are infinite there."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def as_compared(values: Floats, digits: int | None) -> Floats:
    """Return values (n,) so that equal ones count as equal: rounded to `digits` where given, then to 32 bits.

    Whole numbers stay as they are: a tf.Example holds them exactly, as int64.
    """
    rounded = values if digits is None else round_decimals(values, digits)
    with np.errstate(invalid="ignore"):
        whole = np.trunc(rounded) == rounded
    return np.where(whole, rounded, single(rounded).astype(np.float64))
