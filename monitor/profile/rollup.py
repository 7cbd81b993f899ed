"""Several windows as one: hours to a day, days to a week, the same hour of several weeks; changes with what adds up.

Counts add up exactly. TFDV's sketches do not (they depend on order and batching), so that a roll-up has no statistics.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np

from monitor.errors import InvariantBroken
from monitor.profile.extras import added
from monitor.profile.features import FeatureCounts
from monitor.profile.layout import NOTABLE
from monitor.profile.profile import Notable, Profile
from monitor.profile.sliced import WindowProfile
from monitor.records import Misfits
from monitor.window.slicing import SliceKey


def rolled_up(profiles: Sequence[Profile]) -> Profile:
    """Return the profile of the rows of several windows that do not overlap, without TFDV's statistics.

    `notable` values are those that some window names; a window in which a value is not among the heaviest counts as one without
    it. Where a prediction that the baseline lacks has changed between numbers and text, the last window's kind is counted.

    Raises:
        InvariantBroken: there are no profiles, or they were made on different baselines.
    """
    if len({each.baseline for each in profiles}) != 1:
        raise InvariantBroken("only profiles that were made on one baseline add up")
    last = profiles[-1]
    counts = _counts(profiles)
    return replace(
        last,
        statistics=b"",
        counts=counts,
        notable=_notable(profiles, counts),
        rows=sum(each.rows for each in profiles),
        rows_seen=sum(each.rows_seen for each in profiles),
        n_effective=_kish((_weight(each), each.n_effective) for each in profiles),
        blocks=max(1.0, _kish((_weight(each), each.blocks) for each in profiles)),
        mix=_mix(profiles),
        misfits=_misfits(profiles),
        extras=added([each.extras for each in profiles]),
    )


def rolled_up_windows(windows: Sequence[WindowProfile]) -> WindowProfile:
    """Return several windows as one, as a whole and slice by slice; raises InvariantBroken as `rolled_up`."""
    parts: dict[SliceKey, list[Profile]] = defaultdict(list)
    for window in windows:
        for key, profile in window.slices.items():
            parts[key].append(profile)
    overall = rolled_up([window.overall for window in windows])
    return WindowProfile(overall, {key: rolled_up(parts[key]) for key in sorted(parts)})


def _counts(profiles: Sequence[Profile]) -> dict[str, FeatureCounts]:
    found: dict[str, list[FeatureCounts]] = defaultdict(list)
    for profile in profiles:
        for name, counts in profile.counts.items():
            found[name].append(counts)
    return {name: reduce(add, (each for each in many if _alike(each, many[-1]))) for name, many in found.items()}


def _alike(one: FeatureCounts, other: FeatureCounts) -> bool:
    return len(one.values.sums) == len(other.values.sums) and (one.location is None) == (other.location is None)


def _notable(profiles: Sequence[Profile], counts: dict[str, FeatureCounts]) -> dict[str, Notable]:
    found: dict[str, Notable] = {}
    for name in dict.fromkeys(name for profile in profiles for name in profile.notable):
        mass: dict[bytes, float] = defaultdict(float)
        for profile in profiles:
            for value, share in profile.notable.get(name, ()):
                mass[value] += share * profile.counts[name].values.total
        total = counts[name].values.total
        heaviest = sorted(mass.items(), key=lambda pair: (-pair[1], pair[0]))[:NOTABLE]
        found[name] = tuple((value, amount / total) for value, amount in heaviest if total > 0.0)
    return found


def _mix(profiles: Sequence[Profile]) -> tuple[float, ...] | None:
    mass = [(_weight(each), np.array(each.mix)) for each in profiles if each.mix is not None]
    total = sum(weight for weight, _ in mass)
    if len(mass) < len(profiles) or total <= 0.0:
        return profiles[-1].mix
    mixed = sum((weight * mix for weight, mix in mass), start=np.zeros(len(mass[0][1]))) / total
    return tuple(mixed.tolist())


def _weight(profile: Profile) -> float:
    """Return the weight of all rows: every feature counts each of them as present or missing."""
    return next((counts.presence.total for counts in profile.counts.values()), float(profile.rows))


def _kish(parts: Iterable[tuple[float, float]]) -> float:
    """Return the effective number of independent parts with (weight, effective number) each.

    Kish's number is W^2 / S with S the sum of squared weights, and S adds up: a part's is its W^2 / effective number.
    """
    known = [(weight, number) for weight, number in parts if weight > 0.0 and number > 0.0]
    squares = sum(weight * weight / number for weight, number in known)
    return sum(weight for weight, _ in known) ** 2 / squares if squares else 0.0


def _misfits(profiles: Sequence[Profile]) -> dict[str, Misfits]:
    found: dict[str, Misfits] = {}
    for profile in profiles:
        for name, misfit in profile.misfits.items():
            before = found.get(name, Misfits(0))
            examples = sorted({*before.examples, *misfit.examples})[:3]
            found[name] = Misfits(before.count + misfit.count, tuple(examples))
    return found
