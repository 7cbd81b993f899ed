"""What is kept of one feature, of a window and of a baseline; changes with what comparisons need."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from monitor.profile.bins import Bins, bins_from_document
from monitor.profile.counts import Counts, Location
from monitor.profile.document import Floats, pack_floats, unpack_floats


@dataclass(frozen=True, slots=True)
class FeatureCounts:
    """What is counted of one feature over some rows; two of disjoint clusters add up.

    Attributes:
        values: counts of the present values in the feature's cells.
        presence: counts of rows in two cells: present, missing.
        location: sums of the location score; None for categories.
    """

    values: Counts
    presence: Counts
    location: Location | None = None

    def __add__(self, other: FeatureCounts) -> FeatureCounts:
        """Return the counts of both."""
        both = self.location is not None and other.location is not None
        return FeatureCounts(
            self.values + other.values,
            self.presence + other.presence,
            self.location + other.location if both and self.location and other.location else None,
        )

    @property
    def missing_share(self) -> float:
        """Weighted share of rows without a value."""
        total = self.presence.total
        return float(self.presence.sums[1]) / total if total else 0.0

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "values": self.values.to_document(),
            "presence": self.presence.to_document(),
            "location": None if self.location is None else self.location.to_document(),
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> FeatureCounts:
        """Undo `to_document`."""
        location = document["location"]
        return cls(
            Counts.from_document(document["values"]),
            Counts.from_document(document["presence"]),
            None if location is None else Location(*location),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """A baseline's counts by B blocks of time, from which its own variation comes, and by S seasons.

    Attributes:
        values: (B, K) counts in the feature's cells.
        presence: (B, 2) rows present and missing.
        novel: (B,) values that no other block holds: unseen categories, or numbers outside the others' range.
        location: (B, 3) weight, total and squared total of the location score; (B, 0) for categories.
        seasonal_values, seasonal_presence, seasonal_location: the same of all rows of each season, (S, K), (S, 2), (S, 3).
    """

    values: Floats
    presence: Floats
    novel: Floats
    location: Floats
    seasonal_values: Floats
    seasonal_presence: Floats
    seasonal_location: Floats

    def __eq__(self, other: object) -> bool:
        """Compare all counts exactly."""
        return isinstance(other, Blocks) and self.to_document() == other.to_document()

    __hash__ = None  # type: ignore[assignment]

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {each.name: pack_floats(getattr(self, each.name)) for each in fields(self)}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Blocks:
        """Undo `to_document`."""
        return cls(**{each.name: unpack_floats(document[each.name]) for each in fields(cls)})


@dataclass(frozen=True, slots=True)
class FeatureReference:
    """What a baseline keeps of one feature.

    Attributes:
        bins: the cells, laid out on the baseline's values.
        counts: the baseline's own counts. A category seen once is counted as unseen, as it would be if it were left out
            (Good and Turing), so that a column of ids does not look new in every window.
        novel: weight of the values that would be new if they were left out.
        novel_pairs: the same for values seen twice; Var(novel share) = (novel + 2 novel_pairs) / total^2 (Good, 1953).
        blocks: None where the rows have no time, or cover fewer than five blocks.
        plain: counts of the values with those seen once in the cells of their own; None where that is no difference.
    """

    bins: Bins
    counts: FeatureCounts
    novel: float = 0.0
    novel_pairs: float = 0.0
    blocks: Blocks | None = None
    plain: Counts | None = None

    def values_beside(self, current: Counts, expected: Counts) -> Counts:
        """Return the counts to compare a window's values with, given those of the reference in the window's season.

        A window with fewer unseen values than a fresh sample would have (at the extreme, rows of the baseline itself)
        is no news, so no more of the values seen once are taken for unseen than the window has of those.
        """
        moved = self.counts.values
        if self.plain is None or expected.sums[-1] <= 0.0 or current.total <= 0.0:
            return expected
        fresh = float(current.sums[-1]) / current.total / (float(expected.sums[-1]) / expected.total)
        if fresh >= 1.0:
            return expected
        back = (1.0 - fresh) * (self.plain.sums / self.plain.total - moved.sums / moved.total)
        sums = np.maximum(expected.sums + back * expected.total, 0.0)
        squares = sums * (expected.total / expected.effective)
        return Counts(sums, squares, squares, float(squares.sum()))

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "bins": self.bins.to_document(),
            "counts": self.counts.to_document(),
            "novel": self.novel,
            "novel_pairs": self.novel_pairs,
            "blocks": None if self.blocks is None else self.blocks.to_document(),
            "plain": None if self.plain is None else self.plain.to_document(),
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> FeatureReference:
        """Undo `to_document`."""
        blocks, plain = document["blocks"], document["plain"]
        if blocks is not None and "seasonal_values" not in blocks:
            blocks = None  # made before seasons were kept: it is judged without its own variation in time
        return cls(
            bins_from_document(document["bins"]),
            FeatureCounts.from_document(document["counts"]),
            float(document["novel"]),
            float(document["novel_pairs"]),
            None if blocks is None else Blocks.from_document(blocks),
            None if plain is None else Counts.from_document(plain),
        )
