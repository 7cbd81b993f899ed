"""How a feature's values are spread in the reference and now, for people to look at; changes with what charts show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from monitor.compare.explanation import cell_labels
from monitor.profile.baseline import Baseline
from monitor.profile.bins import Bins
from monitor.profile.features import FeatureCounts
from monitor.profile.profile import Profile


@dataclass(frozen=True, slots=True)
class Bar:
    """One cell: its share of the rows in the reference and now, each between 0 and 1."""

    label: str
    reference: float
    current: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """The cells of one feature that hold anything, in the order of their values, missing values last."""

    feature: str
    bars: Sequence[Bar]


def distributions(baseline: Baseline, profile: Profile, features: Iterable[str]) -> list[Distribution]:
    """Return the distributions of those of `features` that both sides counted."""
    return [
        spread(name, baseline.features[name].bins, baseline.features[name].counts, profile.counts[name])
        for name in features
        if name in baseline.features and name in profile.counts
    ]


def spread(feature: str, bins: Bins, reference: FeatureCounts, current: FeatureCounts) -> Distribution:
    """Return one feature's distribution from its counts, which are both on the cells of `bins`."""
    labels = cell_labels(bins)
    sides = [_shares(reference), _shares(current)]
    bars: dict[str, Bar] = {}
    for label, before, now in zip([*labels, "missing"], *sides, strict=True):
        # Several buckets share one label: to a reader they are all "other values".
        earlier = bars.get(label, Bar(label, 0.0, 0.0))
        bars[label] = Bar(label, earlier.reference + before, earlier.current + now)
    return Distribution(feature, [bar for bar in bars.values() if bar.reference or bar.current])


def _shares(counts: FeatureCounts) -> list[float]:
    """Return the share of each cell and of missing rows; they add up to 1 unless there are no rows."""
    present = 1.0 - counts.missing_share if counts.presence.total else 0.0
    total = counts.values.total
    shares = [float(count) / total * present if total else 0.0 for count in counts.values.sums]
    return [*shares, counts.missing_share]
