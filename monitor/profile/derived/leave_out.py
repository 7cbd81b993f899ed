"""A baseline's own rows seen as fresh rows would be; changes with how that is done.

What is learned of the baseline (a vocabulary, a centroid) fits its own rows better than it fits new rows of the same
distribution, and a comparison would call that difference drift. So a row of the baseline is measured by what is learned of
the rest: leaving out its unit, which is its block of time, its request, or itself.
"""

from __future__ import annotations

import numpy as np

from monitor.profile.calendar import BlockNumbers
from monitor.profile.counts import Indices
from monitor.profile.document import Floats
from monitor.records import Rows

TRIFLE = 0.05
"""Standard deviations between a baseline's rows and the same rows left out that no comparison takes for a change."""


def units_of(rows: Rows, blocks: BlockNumbers | None) -> Indices:
    """Return the unit of each row, numbered from 0: its block of time where those are known, else its cluster, else itself."""
    if blocks is not None:
        return blocks.of_rows
    if rows.clusters is None:
        return np.arange(len(rows))
    numbers: Indices = np.unique(rows.clusters, return_inverse=True)[1].astype(np.int64)
    return numbers


def gap(kept: Floats, left_out: Floats) -> float:
    """Return how far apart both ways of measuring the same rows are on average, in standard deviations; NaN is skipped."""
    there = np.isfinite(kept) & np.isfinite(left_out)
    if not there.any():
        return 0.0
    difference = abs(float(np.mean(kept[there] - left_out[there])))
    if difference == 0.0:
        return 0.0
    return difference / max(float(np.std(left_out[there])), 1e-12)
