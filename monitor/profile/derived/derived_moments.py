"""What people want to know of derived numbers, which TFDV's statistics do not have; changes with what explanations say."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from monitor.profile.derived.arrays import one_array
from monitor.profile.derived.plan import DerivedPlan
from monitor.profile.document import Floats
from monitor.profile.moments import Moments
from monitor.records import Rows


def derived_moments(rows: Rows, plan: DerivedPlan) -> Mapping[str, Moments]:
    """Return the moments of the derived columns of numbers, weighted where the rows are; none of a column without values.

    `rows` hold the derived columns: they are what `derive` or `plan_derived` returned.
    """
    found: dict[str, Moments] = {}
    for name in plan.sources:
        if name not in rows.features.column_names:
            continue
        column = one_array(rows.features.column(name))
        if pa.types.is_string(column.type):
            continue
        values = column.to_numpy(zero_copy_only=False).astype(np.float64)
        there = np.isfinite(values)
        if there.any():
            found[name] = _moments(
                values[there], np.ones(len(values))[there] if rows.weights is None else rows.weights[there]
            )
    return found


def _moments(values: Floats, weights: Floats) -> Moments:
    order = np.argsort(values, kind="stable")
    ordered, mass = values[order], np.cumsum(weights[order])
    low, middle, high = (
        float(ordered[min(int(np.searchsorted(mass, q * mass[-1])), len(ordered) - 1)]) for q in (0.1, 0.5, 0.9)
    )
    return Moments(
        mean=float(np.average(values, weights=weights)),
        median=middle,
        p10=low,
        p90=high,
        lowest=float(ordered[0]),
        highest=float(ordered[-1]),
        zero_share=float(weights[values == 0.0].sum() / mass[-1]),
    )
