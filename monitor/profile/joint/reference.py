"""What a baseline keeps of its pairs of features: layout, tables, and how much they vary by themselves; changes with these."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.profile.calendar import BlockNumbers
from monitor.profile.columns import Column
from monitor.profile.counts import Indices
from monitor.profile.document import Floats, pack_floats, unpack_floats
from monitor.profile.features import FeatureReference
from monitor.profile.joint.association import change, cramers_v
from monitor.profile.joint.counts import FIXED, Codes, PairCounts, code, count_pairs, table
from monitor.profile.joint.layout import SIDE, PairLayout, groups_of, layout_of

_SAMPLE = 10_000
"""Rows, evenly spaced, on which the strength of dependence is measured where the pairs are more than are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class PairReference:
    """What a baseline keeps of its pairs of features.

    Attributes:
        layout: pairs and groups.
        counts: of the baseline's rows.
        variation: (P, 4) of the squared change of one block of time against the others, sampling taken off: mean, variance,
            squared standard error of the mean, and blocks; all zeros where nothing is known of it.
    """

    layout: PairLayout
    counts: PairCounts
    variation: Floats

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "layout": self.layout.to_document(),
            "counts": self.counts.to_document(),
            "variation": pack_floats(self.variation),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> PairReference:
        """Undo `to_document`."""
        return cls(
            PairLayout.from_document(document["layout"]),
            PairCounts.from_document(document["counts"]),
            unpack_floats(document["variation"]),
        )

    def __eq__(self, other: object) -> bool:
        """Compare everything exactly."""
        return isinstance(other, PairReference) and self.to_document() == other.to_document()

    __hash__ = None  # type: ignore[assignment]


def pair_reference(
    columns: Mapping[str, Column],
    features: Mapping[str, FeatureReference],
    weights: Floats | None,
    clusters: Indices | None,
    blocks: BlockNumbers | None,
) -> PairReference:
    """Choose the pairs of a baseline's features, count them, and learn how much they vary between blocks of time.

    Args:
        columns: of the baseline's n rows.
        features: what the baseline keeps of each column.
        weights: (n,), or None where each row counts once.
        clusters: (n,) numbers from 0, or None where all rows are independent.
        blocks: the block of time of each row, or None.
    """
    groups = {
        name: found
        for name in sorted(columns.keys() & features.keys())
        if columns[name].owners is None and (found := groups_of(features[name])) is not None
    }
    coded = {name: code(columns[name], groups[name], features[name].bins, weights) for name in groups}
    codes = {name: both[FIXED] for name, both in coded.items() if both is not None}
    layout = layout_of(groups, _strongest_first(codes, weights))
    counts = count_pairs(columns, layout, features, weights, clusters)
    if blocks is None:
        return PairReference(layout, counts, np.zeros((len(layout.pairs), 4)))
    ratio = counts.weight / counts.square_total if counts.square_total > 0.0 else 0.0
    variation = [
        _variation(_by_block(codes[first], codes[second], weights, blocks), whole, ratio)
        for (first, second), whole in zip(layout.pairs, counts.tables[:, FIXED], strict=True)
    ]
    return PairReference(layout, counts, np.array(variation, np.float64).reshape(len(variation), 4))


def _strongest_first(codes: Mapping[str, Codes], weights: Floats | None) -> list[tuple[str, str]]:
    """Return all pairs by falling Cramer's V, ties by name."""
    names = sorted(codes)
    pairs = list(itertools.combinations(names, 2))
    if not pairs:
        return []
    step = max(1, len(codes[names[0]]) // _SAMPLE)
    few = {name: codes[name][::step] for name in names}
    sampled = None if weights is None else weights[::step]
    strengths = np.concatenate(list(_strengths(pairs, few, sampled)))
    return [pairs[place] for place in np.argsort(-strengths, kind="stable").tolist()]


def _strengths(pairs: list[tuple[str, str]], codes: Mapping[str, Codes], weights: Floats | None) -> Iterator[Floats]:
    for start in range(0, len(pairs), 4096):
        some = [table(codes[first], codes[second], weights) for first, second in pairs[start : start + 4096]]
        yield cramers_v(np.array(some))


def _by_block(first: Codes, second: Codes, weights: Floats | None, blocks: BlockNumbers) -> Floats:
    """Return (B, SIDE, SIDE) tables of one pair."""
    slots = SIDE + 1
    cells = (blocks.of_rows * slots + first) * slots + second
    counted = np.bincount(cells, weights, blocks.total * slots * slots).reshape(blocks.total, slots, slots)
    return counted[: blocks.kept, :SIDE, :SIDE].astype(np.float64)


def _variation(blocks: Floats, whole: Floats, ratio: float) -> tuple[float, float, float, float]:
    """Return what a block's squared change has beyond sampling, by the method of moments, each against the rest.

    The same estimate as for one feature's shares, with the weights of the chi-squares in place of degrees of freedom.
    """
    rest = np.maximum(whole - blocks, 0.0)
    n, big = blocks.sum(axis=(1, 2)) * ratio, rest.sum(axis=(1, 2)) * ratio
    enough = (n >= 2.0) & (big >= 2.0)
    if enough.sum() < 2:
        return 0.0, 0.0, 0.0, 0.0
    found = change(blocks[enough], rest[enough], n[enough], big[enough], tails=False)
    kept = found.scale > 0.0
    count = int(kept.sum())
    if count < 2:
        return 0.0, 0.0, 0.0, 0.0
    squared, h = found.squared[kept], found.h[kept]
    trace, squares = found.trace[kept], found.trace_squares[kept]
    mean = float((h * squared - trace).sum() / h.sum())
    if mean <= 0.0:
        return 0.0, 0.0, 0.0, float(count)
    noise = 4.0 * mean / h + 2.0 * squares / h**2
    total = float(np.average((squared - mean - trace / h) ** 2, weights=h)) * count / (count - 1)
    # Cauchy-Schwarz: a quadratic form of rank r has at least this variance.
    rank = max(1.0, float((trace**2 / np.maximum(squares, 1e-300)).max()))
    variance = max(2.0 * mean**2 / rank, total - float(np.average(noise, weights=h)))
    return mean, variance, total / count, float(count)
