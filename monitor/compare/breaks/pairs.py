"""Columns that hold another column's values: swapped, or copied; changes with how two columns are told to be mixed up."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from monitor.compare.breaks.categories import distance, evidence, membership
from monitor.compare.breaks.causes import Break, Cause, broken
from monitor.compare.breaks.columns import Column, Numbers, Words
from monitor.compare.breaks.evidence import Evidence, kolmogorov_noise
from monitor.profile.document import Floats

_NOISY = 0.25
"""Frequencies that sampling moves by more than this are not compared."""

Columns = Mapping[str, Column]


def find_copies(now: Columns, before: Columns, moved: Collection[str]) -> Iterator[Break]:
    """Yield each moved column that equals another one of the window, which is like its own baseline and stays.

    Equal means that all the statistics are; columns that were equal in training too are no news.
    """
    same: dict[object, list[str]] = {}
    for name in sorted(now):
        signature = _signature(now[name])
        if signature is not None:
            same.setdefault(signature, []).append(name)
    for name in sorted(moved & now.keys()):
        others = [other for other in same.get(_signature(now[name]), ()) if other != name]
        own = _own(now, before, name)
        for other in others:
            if _signature(before[other]) == _signature(before[name]) or _own(now, before, other) >= own:
                continue
            said = f"holds the values of {other}"
            yield broken(name, Cause.DUPLICATED, f"copy of {other}", 1.0, said, other)
            break


def find_swaps(now: Columns, before: Columns, moved: Collection[str]) -> Iterator[Break]:
    """Yield both columns of each swap: each is like the other's baseline, and unlike its own."""
    names = sorted(moved & now.keys())
    taken: set[str] = set()
    for name, other in _candidates(names, now, before):
        if name in taken or other in taken:
            continue
        found = [_crossed(now, before, name, other), _crossed(now, before, other, name)]
        if all(each.convincing for each in found):
            taken |= {name, other}
            for mine, partner, each in ((name, other, found[0]), (other, name, found[1])):
                said = f"holds what {partner} should hold, and {partner} what it should (two swapped columns)"
                yield broken(mine, Cause.SWAPPED, f"with {partner}", 1.0 - each.after, said, partner)


def _candidates(names: list[str], now: Columns, before: Columns) -> Iterator[tuple[str, str]]:
    """Yield the pairs of which each one's middle lies within what the other usually holds; there may be many columns."""
    cuts: dict[str, tuple[Floats, Floats]] = {}
    for name in names:
        ours, own = now[name], before[name]
        if isinstance(ours, Numbers) and isinstance(own, Numbers):
            cuts[name] = ours.cuts, own.cuts
    if cuts:
        numbers = list(cuts)
        middle = np.array([ours[5] for ours, _ in cuts.values()])[:, None]
        low, high = np.array([(own[2], own[8]) for _, own in cuts.values()]).T
        inside = (low <= middle) & (middle <= high)
        for i, j in np.argwhere(np.triu(inside & inside.T, 1)):
            yield numbers[i], numbers[j]
    words = [name for name in names if isinstance(now[name], Words)]
    for i, name in enumerate(words):
        for other in words[i + 1 :]:
            if _shared(now[name], before[other]) and _shared(now[other], before[name]):
                yield name, other


def _shared(now: Column, before: Column) -> bool:
    if not isinstance(now, Words) or not isinstance(before, Words) or not now.shares:
        return False
    return max(now.shares, key=lambda value: now.shares[value]).encode() in before.known


def _crossed(now: Columns, before: Columns, name: str, other: str) -> Evidence:
    """Return how far a column's window is from its own baseline and from the other column's."""
    ours, own, theirs = now[name], before[name], before[other]
    if isinstance(ours, Words) and isinstance(own, Words) and isinstance(theirs, Words):
        found = evidence(ours, own, theirs.shares)
        if found.noise <= _NOISY and ours.listed and theirs.listed:
            return found
        return membership(ours, theirs.known)
    if isinstance(ours, Numbers) and isinstance(own, Numbers) and isinstance(theirs, Numbers):
        # The cells are those of the column's own baseline.
        return Evidence(
            ours.envelope.gap(own.envelope),
            ours.envelope.gap(theirs.envelope),
            kolmogorov_noise(ours.rows, theirs.rows),
        )
    return Evidence(0.0, math.inf, 0.0)


def _own(now: Columns, before: Columns, name: str) -> float:
    """Return how far a column of the window is from its own baseline."""
    ours, own = now[name], before[name]
    if isinstance(ours, Words) and isinstance(own, Words):
        return distance(ours.shares, own.shares)
    if isinstance(ours, Numbers) and isinstance(own, Numbers):
        return ours.envelope.gap(own.envelope)
    return math.inf


def _signature(column: Column) -> object:
    """Return what is equal of equal columns, and of no others but by a rare chance; None where too little is known."""
    if isinstance(column, Words):
        return tuple(sorted(column.shares.items())) if column.unique > 1 else None
    if len(column.distinct) < 4:
        return None
    return (*column.cuts.tolist(), float(f"{column.mean:.12g}"), float(f"{column.deviation:.9g}"))
