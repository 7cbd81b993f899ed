"""Baselines and windows for tests of slices: rows of two sides and three colours, counted without TFDV."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from monitor.profile.baseline import Baseline
from monitor.profile.calendar import calendar_of
from monitor.profile.columns import Column
from monitor.profile.effective import cluster_numbers, effective_blocks, effective_rows
from monitor.profile.layout import Layout
from monitor.profile.profile import count_rows
from monitor.profile.sliced import WindowProfile, profile_slices
from monitor.profile.slices import NO_SLICING, Slicing, reference_slices, slice_specs
from monitor.records import Rows

HOUR = 3_600_000_000
SIDES = ("east", "west")


def rows(
    count: int,
    seed: int,
    *,
    moved: Collection[str] = (),
    hours: int = 40,
    sides: Sequence[str] = SIDES,
    by: float = 1.0,
) -> Rows:
    """Return rows in which `x` is shifted by `by` on the sides in `moved`, spread over `hours` since the epoch."""
    random = np.random.default_rng(seed)
    side = random.choice(sides, count, p=None if len(sides) != 2 else [0.7, 0.3])
    table = {
        "side": side,
        "colour": random.choice(["red", "green", "blue"], count, p=[0.5, 0.3, 0.2]),
        "month": random.integers(1, 4, count),
        "x": random.normal(size=count) + np.isin(side, list(moved)) * by,
        "gap": np.where(random.random(count) < 0.2, np.nan, random.normal(size=count)),
    }
    times = np.sort(random.integers(0, hours * HOUR, count))
    return Rows(pa.table(table), event_times=times, seen=count)


def baseline_of(given: Rows, slicing: Slicing = NO_SLICING, length: int | None = HOUR) -> Baseline:
    """Return the baseline that `create_baseline` makes, but for its schema and statistics, which are empty."""
    times, clusters = given.event_times, cluster_numbers(given)
    cut = None if times is None or length is None else calendar_of(times, length, given.weights)
    calendar, blocks = (None, None) if cut is None else cut
    layouts = {
        name: Layout.of(Column.of(given.features.column(name)), given.weights, blocks)
        for name in given.features.column_names
    }
    return Baseline(
        schema=b"",
        schema_inferred=True,
        statistics=b"",
        features={name: layout.reference(clusters) for name, layout in layouts.items()},
        column_types={},
        rows=len(given),
        n_effective=effective_rows(given, clusters),
        weighted=given.weights is not None,
        prediction=given.prediction,
        label=given.label,
        block_length=None if calendar is None else length,
        blocks=effective_blocks(times, None if calendar is None else length, given.weights),
        calendar=calendar,
        slices=reference_slices(given, layouts, slicing, length),
    )


def by(*columns: Sequence[str], min_rows: float = 50.0, limit: int = 50) -> Slicing:
    return Slicing.by(columns, min_rows, limit)


def window_of(given: Rows, baseline: Baseline, *columns: Sequence[str]) -> WindowProfile:
    """Return what `profile_window` returns, but for TFDV's statistics."""
    specs = slice_specs(columns) if columns else baseline.slices.specs
    return WindowProfile(count_rows(given, baseline), profile_slices(given, baseline, specs))


def without_times(given: Rows) -> Rows:
    return replace(given, event_times=None)
