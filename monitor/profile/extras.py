"""What baselines and profiles keep beside the counts of single columns; changes with what is compared beside them.

Derived columns of texts, vectors and images; the vectors' own sums; pairs of columns; attributions. All but the derived columns
add up over windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from operator import add
from typing import Any

from monitor.profile.attributions import PREFIX, AttributionCounts, attribution_summary
from monitor.profile.calendar import BlockNumbers
from monitor.profile.columns import Column
from monitor.profile.counts import Indices
from monitor.profile.derived.derived_moments import derived_moments
from monitor.profile.derived.plan import DerivedPlan, vector_references, vector_sums
from monitor.profile.derived.vector_sums import VectorReference, VectorSums
from monitor.profile.features import FeatureReference
from monitor.profile.joint.counts import PairCounts, count_pairs
from monitor.profile.joint.reference import PairReference, pair_reference
from monitor.profile.moments import Moments
from monitor.records import Rows

NOTHING_DERIVED = DerivedPlan()


@dataclass(frozen=True, slots=True)
class BaselineExtras:
    """What a baseline keeps beside its features.

    Attributes:
        derived: how texts, vectors and images become columns.
        vectors: by vector column.
        moments: of derived columns, which TFDV's statistics do not hold.
        pairs: None where the joint distribution is not compared.
        attributions: None where none were logged.
    """

    derived: DerivedPlan = NOTHING_DERIVED
    vectors: Mapping[str, VectorReference] = field(default_factory=dict)
    moments: Mapping[str, Moments] = field(default_factory=dict)
    pairs: PairReference | None = None
    attributions: AttributionCounts | None = None

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "derived": self.derived.to_document(),
            "vectors": {name: reference.to_document() for name, reference in self.vectors.items()},
            "moments": {name: asdict(moments) for name, moments in self.moments.items()},
            "pairs": None if self.pairs is None else self.pairs.to_document(),
            "attributions": None if self.attributions is None else self.attributions.to_document(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> BaselineExtras:
        """Undo `to_document`; nothing where there is no document, as in a baseline from before there were any."""
        if document is None:
            return NO_EXTRAS
        pairs, attributions = document["pairs"], document["attributions"]
        return cls(
            DerivedPlan.from_document(document["derived"]),
            {name: VectorReference.from_document(each) for name, each in document["vectors"].items()},
            {name: Moments(**each) for name, each in document["moments"].items()},
            None if pairs is None else PairReference.from_document(pairs),
            None if attributions is None else AttributionCounts.from_document(attributions),
        )


NO_EXTRAS = BaselineExtras()


@dataclass(frozen=True, slots=True)
class ProfileExtras:
    """What a profile keeps beside its features; see `BaselineExtras`."""

    vectors: Mapping[str, VectorSums] = field(default_factory=dict)
    moments: Mapping[str, Moments] = field(default_factory=dict)
    pairs: PairCounts | None = None
    attributions: AttributionCounts | None = None

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "vectors": {name: sums.to_document() for name, sums in self.vectors.items()},
            "moments": {name: asdict(moments) for name, moments in self.moments.items()},
            "pairs": None if self.pairs is None else self.pairs.to_document(),
            "attributions": None if self.attributions is None else self.attributions.to_document(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> ProfileExtras:
        """Undo `to_document`; nothing where there is no document."""
        if document is None:
            return cls()
        pairs, attributions = document["pairs"], document["attributions"]
        return cls(
            {name: VectorSums.from_document(each) for name, each in document["vectors"].items()},
            {name: Moments(**each) for name, each in document["moments"].items()},
            None if pairs is None else PairCounts.from_document(pairs),
            None if attributions is None else AttributionCounts.from_document(attributions),
        )


NOTHING_BESIDE = ProfileExtras()


def baseline_extras(
    rows: Rows,
    compared: Rows,
    derived: DerivedPlan,
    features: Mapping[str, FeatureReference],
    columns: Mapping[str, Column],
    clusters: Indices | None,
    blocks: BlockNumbers | None,
    *,
    joint: bool,
    block_length: int | None,
) -> BaselineExtras:
    """Return the extras of a baseline.

    Args:
        rows: as they came.
        compared: with derived columns in the stead of those they come from.
        derived: how those were made.
        features: what is kept of each column of `compared`.
        columns: those columns.
        clusters: (n,) cluster numbers, or None.
        blocks: block and season of each row, or None.
        joint: keep pairs of columns.
        block_length: of a block of time, in microseconds.
    """
    pairs = pair_reference(columns, features, rows.weights, clusters, blocks) if joint else None
    return BaselineExtras(
        derived,
        vector_references(rows, derived, clusters, blocks),
        derived_moments(compared, derived),
        pairs,
        attribution_summary(rows, block_length=block_length),
    )


def profile_extras(
    rows: Rows,
    compared: Rows,
    kept: BaselineExtras,
    features: Mapping[str, FeatureReference],
    columns: Mapping[str, Column],
    clusters: Indices | None,
    block_length: int | None,
) -> ProfileExtras:
    """Return the extras of a window's rows that a baseline keeps too; see `baseline_extras`."""
    return ProfileExtras(
        vector_sums(rows, kept.derived, clusters),
        derived_moments(compared, kept.derived),
        None if kept.pairs is None else count_pairs(columns, kept.pairs.layout, features, rows.weights, clusters),
        None if kept.attributions is None else attribution_summary(rows, block_length=block_length),
    )


def added(parts: Sequence[ProfileExtras]) -> ProfileExtras:
    """Return the extras of several windows that do not overlap; what one of them lacks is left out, and so are moments."""
    names = set.intersection(*(set(each.vectors) for each in parts))
    pairs = [each.pairs for each in parts if each.pairs is not None]
    attributions = [each.attributions for each in parts if each.attributions is not None]
    return ProfileExtras(
        {name: reduce(add, (each.vectors[name] for each in parts)) for name in sorted(names)},
        {},
        reduce(add, pairs) if len(pairs) == len(parts) else None,
        reduce(add, attributions) if len(attributions) == len(parts) else None,
    )


def is_attribution(name: str) -> bool:
    """Say whether a column holds logged attributions, which have comparisons of their own."""
    return name.startswith(PREFIX)
