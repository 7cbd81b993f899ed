"""A window's rows summed up as a whole and slice by slice; changes with how slices are profiled."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from monitor.profile.baseline import Baseline
from monitor.profile.derived.plan import derive
from monitor.profile.profile import Profile, build_profile, count_slice
from monitor.profile.slices import Spec
from monitor.records import Rows
from monitor.window.slicing import Places, SliceKey, rows_at, slice_columns, slices_of


@dataclass(frozen=True, slots=True)
class WindowProfile:
    """One window: the profile of all rows, and of those of each slice that has rows, in the order of the keys.

    Slices are counted on the whole baseline's cells and have no TFDV statistics.
    """

    overall: Profile
    slices: Mapping[SliceKey, Profile] = field(default_factory=dict)

    def without_statistics(self) -> WindowProfile:
        """Return the same without TFDV's statistics, which weigh most."""
        return replace(self, overall=replace(self.overall, statistics=b""))


def profile_window(rows: Rows, baseline: Baseline, specs: Collection[Spec] = ()) -> WindowProfile:
    """Sum a window's rows up, and those of the slices by `specs` that the baseline keeps."""
    return WindowProfile(build_profile(rows, baseline), profile_slices(rows, baseline, specs))


def profile_slices(rows: Rows, baseline: Baseline, specs: Collection[Spec]) -> dict[SliceKey, Profile]:
    """Return the profiles of the slices by `specs` that the baseline keeps and that have rows, in the order of the keys."""
    slices: dict[SliceKey, Profile] = {}
    rows = derive(rows, baseline.extras.derived)
    for spec in sorted(set(specs) & set(baseline.slices.specs)):
        found = slices_of(rows.features, spec).places
        kept = {key: places for key, places in found.items() if key in baseline.slices.kept}
        slices.update(_profiles(rows, baseline, kept))
    return dict(sorted(slices.items()))


def _profiles(rows: Rows, baseline: Baseline, kept: Mapping[SliceKey, Places]) -> Iterator[tuple[SliceKey, Profile]]:
    """Yield the profile of each slice of one spec; its rows are put side by side first, since a piece is then no copy."""
    if not kept:
        return
    ordered = rows_at(rows, np.concatenate(list(kept.values())))
    end = 0
    for key, places in kept.items():
        start, end = end, end + len(places)
        part = _piece(ordered, start, end, slice_columns(key))
        yield key, count_slice(part, baseline)


def _piece(rows: Rows, start: int, end: int, constant: Collection[str]) -> Rows:
    piece = slice(start, end)
    features: pa.Table = rows.features.select([name for name in rows.features.column_names if name not in constant])
    return replace(
        rows,
        features=features.slice(start, end - start),
        weights=None if rows.weights is None else rows.weights[piece],
        clusters=None if rows.clusters is None else rows.clusters[piece],
        event_times=None if rows.event_times is None else rows.event_times[piece],
        uniform=None if rows.uniform is None else rows.uniform[piece],
        prediction=None if rows.prediction in constant else rows.prediction,
        seen=end - start,
    )
