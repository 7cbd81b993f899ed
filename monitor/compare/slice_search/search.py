"""Searches for the slices in which a change, or a loss, is concentrated, without being told which; changes with what is sought.

Half of the rows, by a hash of their ids, are searched (`explore`); the one slice that stands out most is tested on the other half
(`confirm`), which the search has not seen, so that the test's level holds however much was searched. Where it is confirmed, the
rest is searched for another, until one is not confirmed: a fixed sequence of tests, each at the full level, keeps the chance of
any false slice below it (Maurer, Hothorn and Lehmacher, 1995).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa

from monitor.compare.explain import number, percent
from monitor.compare.slice_search.confirm import Contrast, Sample, contrast_of
from monitor.compare.slice_search.explore import Candidate, Cells, best_slice
from monitor.compare.slice_search.levels import Levels, Mask, Predicate, levels_of
from monitor.errors import InputError
from monitor.profile.counts import Indices
from monitor.profile.document import Floats
from monitor.records import Rows

MAX_DEPENDENCE = 0.5
"""Columns with a larger Cramer's V with the feature are no conditions: they are the feature again, or a consequence of it."""
_LOSS_CELLS = 16


@dataclass(frozen=True, slots=True)
class Search:
    """How to search.

    Attributes:
        level: chance of any slice that is none.
        min_rows: of a slice and of the rest, in the window and in the reference.
        min_effect: by how many standard deviations a slice must have changed more than the rest.
        most: slices to return.
        columns: to make conditions of; None takes all features but the one that is searched, and for a change the label.
        block: length of the blocks of time that differ by themselves; None takes all rows as alike.
    """

    level: float = 0.01
    min_rows: int = 200
    min_effect: float = 0.1
    most: int = 3
    columns: Sequence[str] | None = None
    block: timedelta | None = None


DEFAULT = Search()


@dataclass(frozen=True, slots=True)
class FoundSlice:
    """A slice in which a change or a loss is concentrated.

    Attributes:
        predicates: the conditions that its rows meet, one or two; rows of the slices found before are not in it.
        row_share: of the window's weight.
        change_share: of the overall change (or loss) that is in the slice; None where there is hardly any overall.
        effect: by how many standard deviations it changed more than the rest.
        p_value: of the test on rows that the search has not seen.
        explanation: one sentence.
    """

    predicates: tuple[Predicate, ...]
    row_share: float
    change_share: float | None
    effect: float
    p_value: float
    explanation: str


def search_change(current: Rows, reference: Rows, feature: str, search: Search = DEFAULT) -> Sequence[FoundSlice]:
    """Return the slices in which the distribution of a feature changed more than in the rest, the clearest first.

    A change that is the same everywhere is in no slice. Missing values are a value of their own.

    Raises:
        InputError: the feature is not in both, holds lists, or is of another type in each.
    """
    tables = [current.features, reference.features]
    if any(feature not in table.column_names for table in tables):
        raise InputError(f"{feature}: not a column of both the window and the reference")
    measured = levels_of(feature, [table.column(feature) for table in tables], search.min_rows)
    if measured is None:
        raise InputError(f"{feature}: slices can be searched for numbers or categories, of one type on both sides")
    data = _Data.of([current, reference], search)
    cells = Cells(measured.codes, measured.size, data.current, data.rows)
    without = {feature, current.label, reference.label}
    columns = [
        levels
        for levels in _conditions(tables, search, without)
        if search.columns is not None or _dependence(levels, measured, ~data.current) <= MAX_DEPENDENCE
    ]

    def scores(found: Candidate) -> Floats:
        return found.direction[measured.codes]

    def said(found: Candidate, contrast: Contrast, inside: Mask) -> tuple[float | None, str]:
        share = None if _share(contrast) is None else _part_of_change(data, measured, inside)
        return _said_change(feature, found, contrast, share)

    return _found(data, cells, columns, search, scores, said)


def search_loss(
    current: Rows,
    losses: Floats,
    search: Search = DEFAULT,
    *,
    reference: tuple[Rows, Floats] | None = None,
) -> Sequence[FoundSlice]:
    """Return the slices in which the loss rose more than in the rest, or without a reference is higher; the clearest first.

    Args:
        current: rows of the window.
        losses: (n,) loss of each, finite.
        search: how to search.
        reference: rows and losses of an earlier time.
    """
    both = [(current, losses)] if reference is None else [(current, losses), reference]
    data = _Data.of([rows for rows, _ in both], search)
    values = np.concatenate([each for _, each in both])
    edges = np.unique(np.quantile(values, np.arange(1, _LOSS_CELLS) / _LOSS_CELLS))
    codes = np.searchsorted(edges, values, side="right")
    size = len(edges) + 1
    held = np.bincount(codes, minlength=size)
    means = np.bincount(codes, values, size) / np.maximum(held, 1)
    cells = Cells(codes, size, data.current, data.rows, means)
    columns = list(_conditions([rows.features for rows, _ in both], search, set()))

    def said(found: Candidate, contrast: Contrast, _: Mask) -> tuple[float | None, str]:
        return _said_loss(found, contrast, rose=reference is not None)

    return _found(data, cells, columns, search, lambda _: values, said)


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    """What is needed of the rows of both sides, (n,) each."""

    current: Mask
    weights: Floats
    rows: Floats
    clusters: Indices
    blocks: Indices | None
    explored: Mask

    @classmethod
    def of(cls, sides: Sequence[Rows], search: Search) -> _Data:
        current = np.concatenate([np.full(len(rows), i == 0) for i, rows in enumerate(sides)])
        weights = [np.ones(len(rows)) if rows.weights is None else rows.weights for rows in sides]
        ids = [np.arange(len(rows), dtype=np.uint64) if rows.clusters is None else rows.clusters for rows in sides]
        numbers = [np.unique(each, return_inverse=True)[1].astype(np.int64) for each in ids]
        # Two sides may name different requests alike; in the same half they are all the same independent rows.
        starts = np.cumsum([0, *(int(each.max()) + 1 if len(each) else 0 for each in numbers)])
        clusters = np.concatenate([each + start for each, start in zip(numbers, starts, strict=False)])
        rows = [w * _per_weight(w, c) for w, c in zip(weights, numbers, strict=True)]
        blocks = None
        if search.block is not None and all(each.event_times is not None for each in sides):
            length = max(1, search.block // timedelta(microseconds=1))
            times = np.concatenate([each.event_times for each in sides if each.event_times is not None])
            blocks = np.unique(times // length, return_inverse=True)[1].astype(np.int64)
        explored = _coin(np.concatenate(ids))
        return cls(current, np.concatenate(weights), np.concatenate(rows), clusters, blocks, explored)


def _found(
    data: _Data,
    cells: Cells,
    columns: Sequence[Levels],
    search: Search,
    scores: Callable[[Candidate], Floats],
    said: Callable[[Candidate, Contrast, Mask], tuple[float | None, str]],
) -> list[FoundSlice]:
    by_name = {levels.column: levels for levels in columns}
    rest = np.ones(len(data.current), bool)
    found: list[FoundSlice] = []
    while len(found) < search.most:
        best = best_slice(cells, columns, rest & data.explored, search.min_rows / 2.0)
        if best is None:
            break
        inside = np.logical_and.reduce([by_name[p.column].holds(p) for p in best.predicates])
        unseen = rest & ~data.explored
        if not _enough(data, inside, unseen, search.min_rows / 4.0):
            break
        contrast = contrast_of(_sample(data, scores(best), unseen), inside[unseen])
        if contrast.p_value > search.level or contrast.effect < search.min_effect:
            break
        # The test leaves earlier slices out; people want to know of how much of the window this is.
        whole = contrast_of(_sample(data, scores(best), ~data.explored), (inside & rest)[~data.explored])
        share, sentence = said(best, whole, inside & rest)
        found.append(FoundSlice(best.predicates, whole.share, share, contrast.effect, contrast.p_value, sentence))
        rest &= ~inside
    return found


def _sample(data: _Data, scores: Floats, kept: Mask) -> Sample:
    blocks = None if data.blocks is None else data.blocks[kept]
    _, clusters = np.unique(data.clusters[kept], return_inverse=True)
    return Sample(scores[kept], data.current[kept], data.weights[kept], clusters.astype(np.int64), blocks)


def _enough(data: _Data, inside: Mask, among: Mask, least: float) -> bool:
    sides = [data.current] if data.current.all() else [data.current, ~data.current]
    return all(float(data.rows[among & part & side].sum()) >= least for part in (inside, ~inside) for side in sides)


def _conditions(tables: Sequence[pa.Table], search: Search, without: set[str | None]) -> list[Levels]:
    names = tables[0].column_names if search.columns is None else search.columns
    shared = [n for n in names if n not in without and all(n in table.column_names for table in tables)]
    cut = [levels_of(name, [table.column(name) for table in tables], search.min_rows) for name in shared]
    return [levels for levels in cut if levels is not None]


def _dependence(levels: Levels, measured: Levels, among: Mask) -> float:
    """Return Cramer's V (1946) between a column and the feature, in the rows `among`."""
    key = levels.codes[among] * measured.size + measured.codes[among]
    table = np.bincount(key, minlength=levels.size * measured.size).reshape(levels.size, measured.size)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    smaller = min(table.shape) - 1
    if smaller < 1:
        return 0.0
    total = float(table.sum())
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    return float(np.sqrt(((table - expected) ** 2 / expected).sum() / (total * smaller)))


def _per_weight(weights: Floats, clusters: Indices) -> float:
    """Return how many independent rows one unit of weight tells as much as (Kish, 1965), clusters being one row each."""
    whole = np.bincount(clusters, weights)
    squares = float(whole @ whole)
    return float(weights.sum()) / squares if squares > 0.0 else 0.0


def _coin(ids: np.typing.NDArray[np.uint64]) -> Mask:
    """Return one bit of each id, mixed (the finaliser of SplitMix64; Steele, Lea and Flood, 2014)."""
    mixed = ids.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    coin: Mask = (mixed >> np.uint64(63)) == 1
    return coin


def _part_of_change(data: _Data, measured: Levels, inside: Mask) -> float:
    """Return the part of the overall change of the distribution that a slice's own change makes up, between 0 and 1.

    The change of the shares of all levels is a sum over slices of what each changed by, times its share of the window's rows
    (and of what their sizes changed by). Its part is its projection onto the whole, on the rows that the search has not seen.
    """
    unseen = ~data.explored
    whole = _shares(data, measured, unseen & data.current) - _shares(data, measured, unseen & ~data.current)
    own = _shares(data, measured, unseen & inside & data.current) - _shares(
        data, measured, unseen & inside & ~data.current
    )
    now = data.weights * (unseen & data.current)
    part = float(now[inside].sum() / now.sum()) * float(own @ whole) / max(float(whole @ whole), 1e-300)
    return min(1.0, max(0.0, part))


def _shares(data: _Data, measured: Levels, kept: Mask) -> Floats:
    sums = np.bincount(measured.codes[kept], data.weights[kept], measured.size)
    shares: Floats = sums / max(float(sums.sum()), 1e-300)
    return shares


def _said_change(feature: str, found: Candidate, contrast: Contrast, share: float | None) -> tuple[float | None, str]:
    where = " and ".join(p.said for p in found.predicates)
    if share is None:
        return None, f"{feature} changed in {where} ({_whole(contrast.share)} of the rows) otherwise than elsewhere"
    return share, f"{_whole(share)} of the change in {feature} is in {where} ({_whole(contrast.share)} of the rows)"


def _said_loss(found: Candidate, contrast: Contrast, *, rose: bool) -> tuple[float | None, str]:
    where = " and ".join(p.said for p in found.predicates)
    share = _share(contrast)
    if not rose:
        means = f"{number(contrast.inside)} in {where} ({_whole(contrast.share)} of the rows)"
        return share, f"the loss is {means}, {number(contrast.outside)} elsewhere"
    if share is None:
        return None, f"the loss rose in {where} ({_whole(contrast.share)} of the rows), and not elsewhere"
    return share, f"{_whole(share)} of the rise in loss is in {where} ({_whole(contrast.share)} of the rows)"


def _share(contrast: Contrast) -> float | None:
    """Return the share of the overall change that is in the slice, at most 1; None where there is hardly any overall."""
    if contrast.overall < 2.0 * contrast.error or contrast.overall <= 0.0:
        return None
    return min(1.0, max(0.0, contrast.share * contrast.inside / contrast.overall))


def _whole(share: float) -> str:
    return f"{100.0 * share:.0f}%" if share >= 0.095 else percent(share)
