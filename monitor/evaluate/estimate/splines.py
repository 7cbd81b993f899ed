"""Restricted cubic splines of one variable: cubic between knots, straight beyond them; changes with the shape of curves.

Source: F. E. Harrell, Regression Modeling Strategies (2015), 2.4.5, and table 2.3 for where knots lie.
"""

from __future__ import annotations

import numpy as np

from monitor.evaluate.examples import Floats

_QUANTILES = {
    3: (0.10, 0.50, 0.90),
    5: (0.05, 0.275, 0.50, 0.725, 0.95),
    7: (0.025, 0.1833, 0.3417, 0.50, 0.6583, 0.8167, 0.975),
}


def spline_columns(values: Floats, knots: Floats) -> Floats:
    """Return the columns (n, d): 1, the value, and one for each knot but two; without knots a straight line.

    They are divided by the squared distance of the outer knots, so that all are of the size of the values.
    """
    straight = [np.ones(len(values)), values]
    if len(knots) < 3:
        return np.stack(straight, axis=1)
    cubes = np.maximum(values[:, None] - knots, 0.0) ** 3
    last, before = knots[-1], knots[-2]
    back = (last - knots[:-2]) / (last - before)
    bent = cubes[:, :-2] - cubes[:, -2:-1] * back + cubes[:, -1:] * (back - 1.0)
    return np.concatenate([np.stack(straight, axis=1), bent / (last - knots[0]) ** 2], axis=1)


def knots_at(values: Floats, mass: Floats, count: int) -> Floats:
    """Return up to `count` knots (0, 3, 5 or 7) at the quantiles of values (n,) with mass (n,).

    Values that hold much of the mass take several quantiles at once; fewer than three knots are none.
    """
    if count == 0:
        return np.zeros(0)
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(mass[order])
    places = np.searchsorted(cumulative, np.array(_QUANTILES[count]) * cumulative[-1])
    knots = np.unique(values[order][np.minimum(places, len(values) - 1)])
    return knots if len(knots) >= 3 else np.zeros(0)
