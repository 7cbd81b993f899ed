"""Data breaks of a window: what changed because of how values are made or sent; changes with the order of the questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from monitor.compare.breaks.absence import find_constant, find_null, find_type_change
from monitor.compare.breaks.categories import find_rewriting
from monitor.compare.breaks.causes import Break
from monitor.compare.breaks.columns import Column, Numbers, Words, columns
from monitor.compare.breaks.numbers import find_number_break
from monitor.compare.breaks.pairs import find_copies, find_swaps
from monitor.compare.breaks.precision import find_rounding
from monitor.profile.baseline import Baseline
from monitor.profile.profile import Profile


def find_breaks(profile: Profile, baseline: Baseline, moved: Mapping[str, float]) -> Sequence[Break]:
    """Return at most one break a feature, in the order of their names; none for a profile without statistics (a slice).

    Args:
        profile: the window, profiled on `baseline`.
        baseline: the training reference.
        moved: the features whose comparison with training is significant; a break is looked for in these only, so that it
            raises no alarm of its own. Columns of another type are always told.
    """
    if not profile.statistics or not profile.rows:
        return ()
    found = {each.feature: each for each in _types(profile, baseline)}
    candidates = {name for name in moved if name in profile.counts and name in baseline.features} - found.keys()
    for name in sorted(candidates):
        null = find_null(name, profile.counts[name], baseline.features[name].counts, profile.misfits.get(name))
        if null is not None:
            found[name] = null
    if not candidates - found.keys():
        return [found[name] for name in sorted(found)]
    bins = {name: reference.bins for name, reference in baseline.features.items()}
    now = columns(profile.statistics, profile.counts, bins)
    before = columns(baseline.statistics, {name: r.counts for name, r in baseline.features.items()}, bins)
    both = now.keys() & before.keys()
    now, before = {name: now[name] for name in both}, {name: before[name] for name in both}
    for step in (find_copies, find_swaps, _constants, _changes):
        for each in step(now, before, (candidates & both) - found.keys()):
            found[each.feature] = each
    return [found[name] for name in sorted(found)]


def _types(profile: Profile, baseline: Baseline) -> Iterator[Break]:
    for name, misfits in profile.misfits.items():
        if name in baseline.column_types:
            change = find_type_change(name, baseline.column_types[name], misfits, profile.rows)
            if change is not None:
                yield change


def _constants(now: Mapping[str, Column], before: Mapping[str, Column], names: set[str]) -> Iterator[Break]:
    for name in names:
        constant = find_constant(name, now[name], before[name])
        if constant is not None:
            yield constant


def _changes(now: Mapping[str, Column], before: Mapping[str, Column], names: set[str]) -> Iterator[Break]:
    for name in names:
        ours, theirs = now[name], before[name]
        change = None
        if isinstance(ours, Numbers) and isinstance(theirs, Numbers):
            change = find_number_break(name, ours, theirs) or find_rounding(name, ours, theirs)
        elif isinstance(ours, Words) and isinstance(theirs, Words):
            change = find_rewriting(name, ours, theirs)
        if change is not None:
            yield change
