"""The first half of a search: which slice stands out most, by counts alone; changes with how slices are ranked.

All conditions on a column come from one table of its levels by the cells of what is measured, ranges by sums of neighbouring
levels. The best conditions are then crossed with all conditions on the other columns: a beam search of depth two, in the order
of Slice Finder (Chung et al., 2019, ICDE). A pair neither half of which stands out alone is not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.compare.slice_search.levels import Levels, Mask, Predicate
from monitor.profile.counts import Indices
from monitor.profile.document import Floats

BEAM = 12
"""Conditions that are crossed with all others."""
_SIMPLER = 0.75
"""One condition is preferred to two where it stands out this much of what the best slice does."""
_LARGER = 0.9
"""Of slices with as many conditions, the one with most rows is preferred among those that stand out this much of the best."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """What is measured in each of n rows, in K cells.

    Attributes:
        cells: (n,) the cell of each row.
        size: K.
        current: (n,) the row is of the window, else of the reference.
        rows: (n,) how many independent rows each one tells as much as.
        scores: (K,) on which slices are compared by their mean; None compares all cells.
    """

    cells: Indices
    size: int
    current: Mask
    rows: Floats
    scores: Floats | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A slice, how much it stands out, how many rows it has, and the (K,) direction in which it does."""

    predicates: tuple[Predicate, ...]
    strength: float
    rows: float
    direction: Floats


def best_slice(cells: Cells, columns: Sequence[Levels], among: Mask, min_rows: float) -> Candidate | None:
    """Return the slice of the rows `among` (n,) that stands out most; None where none has rows enough, or stands out.

    Args:
        cells: what is measured.
        columns: to make conditions of, over the same n rows.
        among: rows to look at.
        min_rows: that the slice and the rest need, in the window and in the reference.
    """
    total = _table(cells, np.zeros(len(among), np.int64), 1, among)[:, 0]
    single = [c for levels in columns for c in _of_column(cells, levels, among, total, min_rows)]
    single.sort(key=lambda c: -c.strength)
    crossed = list(single)
    by_name = {levels.column: levels for levels in columns}
    for parent in single[:BEAM]:
        condition = parent.predicates[0]
        inside = among & by_name[condition.column].holds(condition)
        for levels in columns:
            if levels.column != condition.column:
                crossed += _of_column(cells, levels, inside, total, min_rows, condition)
    return _preferred(crossed)


def _preferred(candidates: Sequence[Candidate]) -> Candidate | None:
    if not candidates:
        return None
    enough = _SIMPLER * max(c.strength for c in candidates)
    conditions = min(len(c.predicates) for c in candidates if c.strength >= enough)
    alike = [c for c in candidates if len(c.predicates) == conditions]
    enough = _LARGER * max(c.strength for c in alike)
    return min(
        (c for c in alike if c.strength >= enough),
        key=lambda c: (-c.rows, -c.strength, [p.said for p in c.predicates]),
    )


def _of_column(
    cells: Cells, levels: Levels, among: Mask, total: Floats, min_rows: float, parent: Predicate | None = None
) -> list[Candidate]:
    predicates = levels.predicates
    if not predicates:
        return []
    table = _table(cells, levels.codes, levels.size, among)
    below = np.concatenate([np.zeros_like(table[:, :1]), table.cumsum(axis=1)], axis=1)
    inside = below[:, [p.last + 1 for p in predicates]] - below[:, [p.first for p in predicates]]
    outside = total[:, None, :] - inside
    strength, direction = _strengths(inside, outside, cells.scores)
    least = np.minimum(inside.sum(axis=2).min(axis=0), outside.sum(axis=2).min(axis=0))
    usable = (least >= min_rows) & (strength > 0.0)
    before = () if parent is None else (parent,)
    rows = inside[0].sum(axis=1)
    return [
        Candidate((*before, predicates[i]), float(strength[i]), float(rows[i]), direction[i])
        for i in np.flatnonzero(usable).tolist()
    ]


def _table(cells: Cells, codes: Indices, size: int, among: Mask) -> Floats:
    """Return (2, L, K) rows of the window and of the reference by level and cell, or (1, L, K) without a reference."""
    sides = 1 if cells.current.all() else 2
    side = np.where(cells.current[among], 0, 1)
    key = (side * size + codes[among]) * cells.size + cells.cells[among]
    counted = np.bincount(key, cells.rows[among], sides * size * cells.size)
    return counted.astype(np.float64).reshape(sides, size, cells.size)


def _strengths(inside: Floats, outside: Floats, scores: Floats | None) -> tuple[Floats, Floats]:
    """Return (C,) how much more slices changed than the rest, and (C, K) in which direction.

    With p the shares of the cells in the window and q in the reference, D = (p - q) inside minus (p - q) outside; its squares
    over their variances, less their expectation, as Pearson's. With scores, the standardised difference of the means.
    """
    n_in, n_out = inside.sum(axis=2, keepdims=True), outside.sum(axis=2, keepdims=True)
    p_in, p_out = inside / np.maximum(n_in, 1e-300), outside / np.maximum(n_out, 1e-300)
    sign = np.array([1.0, -1.0])[: len(inside), None, None]
    change_in, change_out = (sign * p_in).sum(axis=0), (sign * p_out).sum(axis=0)
    contrast = change_in - change_out
    own_in = inside.sum(axis=0) / np.maximum(n_in.sum(axis=0), 1e-300)
    own_out = outside.sum(axis=0) / np.maximum(n_out.sum(axis=0), 1e-300)
    doubt_in, doubt_out = (1.0 / np.maximum(n, 1e-300) for n in (n_in, n_out))
    if scores is not None:
        spread = sum(
            ((p @ scores**2 - (p @ scores) ** 2) * doubt[:, :, 0]).sum(axis=0)
            for p, doubt in ((p_in, doubt_in), (p_out, doubt_out))
        )
        strength = contrast @ scores / np.sqrt(np.maximum(spread, 1e-300))
        # Squared, so that "nearly as much" means the same as for cells.
        return np.sign(strength) * strength**2, np.broadcast_to(scores, contrast.shape)
    variance = own_in * doubt_in.sum(axis=0) + own_out * doubt_out.sum(axis=0)
    held = variance > 0.0
    squares = np.divide(contrast**2, variance, out=np.zeros_like(contrast), where=held)
    strength = squares.sum(axis=1) - (held.sum(axis=1) - 1)
    more = _own_change(change_in, own_in, doubt_in) > _own_change(change_out, own_out, doubt_out)
    # A cell that hardly occurs must not rule the direction.
    floor = 0.1 * variance.mean(axis=1, keepdims=True)
    direction = contrast / np.maximum(np.maximum(variance, floor), 1e-300)
    return np.where(more, strength, 0.0), direction


def _own_change(change: Floats, own: Floats, doubt: Floats) -> Floats:
    """Return Cohen's w^2 of (C, K) changes, the part that chance explains taken off."""
    squared = np.divide(change**2, own, out=np.zeros_like(change), where=own > 0.0).sum(axis=1)
    freedom = (own > 0.0).sum(axis=1) - 1
    less: Floats = squared - freedom * doubt.sum(axis=0)[:, 0]
    return less
