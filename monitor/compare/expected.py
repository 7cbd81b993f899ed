"""What a reference leads to expect of a window: the counts of the same seasons, and how much blocks of time vary around theirs.

Changes with what is taken for usual.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.compare.variation import Variation
from monitor.profile.calendar import Calendar
from monitor.profile.counts import Counts, Indices, Location
from monitor.profile.document import Floats
from monitor.profile.features import Blocks, FeatureCounts, FeatureReference

_UNLIKE = 0.1
"""Share of the rows that may lie in other seasons in two windows that are compared as of the same season."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A reference as one window is compared with it.

    Attributes:
        counts: of the reference, put together from the window's seasons where they are known.
        values, presence, location: variation of the blocks in each; None where the baseline knows no blocks.
    """

    counts: FeatureCounts
    values: Variation | None = None
    presence: Variation | None = None
    location: Variation | None = None


def expected_of(
    reference: FeatureCounts,
    known: FeatureReference | None,
    calendar: Calendar | None,
    mixes: tuple[Floats | None, Floats | None],
    blocks: tuple[float, float],
    *,
    training: bool,
) -> Expected:
    """Return what is expected of a window.

    Args:
        reference: counts of what it is compared with.
        known: what the baseline keeps of the feature, blocks among it.
        calendar: the baseline's.
        mixes: (S,) shares of the window's rows, and of an earlier window's, in each season; None where they are not known.
        blocks: how many blocks of time the window and the reference cover.
        training: the reference is the baseline, which is taken from the window's seasons. An earlier window is what it is: if it
            lies in other seasons, these are part of how much windows vary.
    """
    if known is None or known.blocks is None or calendar is None:
        return Expected(reference)
    seasons = _Seasons.told_apart(known.blocks, known.counts, calendar)
    mix = mixes[0]
    if training and mix is not None and len(mix) > 1:
        blocks = (blocks[0], max(1.0, float(mix @ calendar.seasons)))
        reference = seasons.mixed(known.counts, mix)
    if not training and not alike(*mixes):
        seasons = _Seasons.allalike(known.blocks, known.counts)
    return seasons.expected(reference, known.blocks, known.counts, calendar.neighbours, blocks)


def alike(one: Floats | None, other: Floats | None) -> bool:
    """Say whether the rows of two windows lie in the same seasons, but for a tenth of them."""
    return one is not None and other is not None and float(np.abs(one - other).sum()) / 2.0 <= _UNLIKE


@dataclass(frozen=True, slots=True)
class _Seasons:
    """The rows of a baseline by S seasons, and the shares in which each of its B blocks lies in them.

    Attributes:
        mixes: (B, S).
        values: (S, K), none of whose rows are empty.
        presence: (S, 2), likewise.
        location: (S, 3), likewise; None for categories.
    """

    mixes: Floats
    values: Floats
    presence: Floats
    location: Floats | None

    @classmethod
    def told_apart(cls, kept: Blocks, whole: FeatureCounts, calendar: Calendar) -> _Seasons:
        location = kept.seasonal_location if whole.location is not None and whole.location.weight > 0.0 else None
        return cls(
            calendar.mixes,
            _filled(kept.seasonal_values, whole.values.sums, kept.seasonal_values.sum(axis=1)),
            _filled(kept.seasonal_presence, whole.presence.sums, kept.seasonal_presence.sum(axis=1)),
            None if location is None else _filled(location, location.sum(axis=0), location[:, 0]),
        )

    @classmethod
    def allalike(cls, kept: Blocks, whole: FeatureCounts) -> _Seasons:
        """Return one season of all rows: what is expected of a block is then the same whenever it is."""
        location = kept.seasonal_location.sum(axis=0)[None]
        return cls(
            np.ones((len(kept.values), 1)),
            whole.values.sums[None],
            whole.presence.sums[None],
            location if whole.location is not None and whole.location.weight > 0.0 else None,
        )

    def mixed(self, whole: FeatureCounts, mix: Floats) -> FeatureCounts:
        """Return counts of a baseline whose rows lie in the seasons as `mix` (S,) says, of as many rows as tell that."""
        location = None
        if self.location is not None:
            weight = _behind(self.location[:, 0], mix)
            mean, squared = (float(each) for each in mix @ (self.location[:, 1:] / self.location[:, :1]))
            location = Location(weight, weight * mean, weight * squared, weight * squared, weight * mean, weight)
        elif whole.location is not None:
            location = whole.location
        return FeatureCounts(
            _mixed(self.values, whole.values, mix), _mixed(self.presence, whole.presence, mix), location
        )

    def expected(
        self,
        reference: FeatureCounts,
        kept: Blocks,
        whole: FeatureCounts,
        neighbours: Indices,
        blocks: tuple[float, float],
    ) -> Expected:
        location = None
        if self.location is not None:
            behind = 1.0 / (self.mixes**2 / self.location[:, 0]).sum(axis=1)
            own = np.clip(kept.location[:, 0] / behind, 0.0, 1.0)
            means = self.mixes @ (self.location[:, 1:2] / self.location[:, :1])
            location = Variation(kept.location, means, own, behind, neighbours, *blocks)
        return Expected(
            reference,
            self._of_shares(kept.values, self.values, whole.values, neighbours, blocks),
            self._of_shares(kept.presence, self.presence, whole.presence, neighbours, blocks),
            location,
        )

    def _of_shares(
        self, kept: Floats, seasonal: Floats, whole: Counts, neighbours: Indices, blocks: tuple[float, float]
    ) -> Variation | None:
        if whole.total <= 0.0:
            return None
        totals = seasonal.sum(axis=1)
        expected = self.mixes @ (seasonal / totals[:, None])
        behind = 1.0 / (self.mixes**2 / totals).sum(axis=1)
        own = np.clip(kept.sum(axis=1) / behind, 0.0, 1.0)
        return Variation(kept, expected, own, behind, neighbours, *blocks, whole.effective / whole.total)


def _filled(sums: Floats, whole: Floats, weights: Floats) -> Floats:
    """Return sums (S, K) by season, those of all rows where a season has none."""
    filled: Floats = np.where(weights[:, None] > 0.0, sums, whole)
    return filled


def _mixed(seasonal: Floats, whole: Counts, mix: Floats) -> Counts:
    if whole.total <= 0.0:
        return whole
    totals = seasonal.sum(axis=1)
    counted = mix @ (seasonal / totals[:, None]) * (_behind(totals, mix) * whole.effective / whole.total)
    return Counts(counted, counted, counted, float(counted.sum()))


def _behind(totals: Floats, mix: Floats) -> float:
    """Return how many rows tell a mixture of means, each of `totals` rows, as well as so many rows of one mean would."""
    return 1.0 / float((mix * mix / totals).sum())
