"""What a verdict is made from: a window, the baseline, references and settings; changes with what a window is held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from monitor.compare.findings import Kind
from monitor.config.detection import DetectionSettings, FeatureSettings
from monitor.profile.baseline import Baseline
from monitor.profile.document import Floats
from monitor.profile.extras import ProfileExtras
from monitor.profile.features import FeatureCounts
from monitor.profile.moments import Moments, moments_of
from monitor.profile.profile import Notable, Profile
from monitor.profile.schema import thresholds

TRAINING = "training"
PREVIOUS = "previous"
"""The earlier window that TFDV's own drift comparators are measured against."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a window is compared with: the baseline's own rows, or those of an earlier window.

    Attributes:
        extras: of an earlier window; None of the baseline, which has its own.
        blocks: effective number of blocks of time that the rows cover.
        mix: (S,) shares of an earlier window's rows in each season, where they are known.
    """

    name: str
    counts: Mapping[str, FeatureCounts]
    notable: Mapping[str, Notable]
    moments: Mapping[str, Moments]
    statistics: bytes
    extras: ProfileExtras | None
    blocks: float
    mix: Floats | None = None

    @classmethod
    def training(cls, baseline: Baseline) -> Reference:
        """Return the baseline's own rows as a reference."""
        counts = {name: reference.counts for name, reference in baseline.features.items()}
        moments = {**moments_of(baseline.statistics), **baseline.extras.moments}
        return cls(TRAINING, counts, {}, moments, baseline.statistics, None, baseline.blocks)

    @classmethod
    def earlier(cls, name: str, profile: Profile) -> Reference:
        """Return an earlier window, or several rolled up, as a reference."""
        moments = {**moments_of(profile.statistics), **profile.extras.moments}
        statistics, extras, mix = profile.statistics, profile.extras, _mix(profile)
        return cls(name, profile.counts, profile.notable, moments, statistics, extras, profile.blocks, mix)

    @property
    def is_training(self) -> bool:
        """Whether this is the baseline."""
        return self.name == TRAINING

    @property
    def kind(self) -> Kind:
        """What a finding about a feature is against it."""
        return Kind.SKEW if self.is_training else Kind.DRIFT

    @property
    def schema_side(self) -> str | None:
        """What a schema calls comparisons with it, where it has a word for them."""
        return {TRAINING: "skew", PREVIOUS: "drift"}.get(self.name)


@dataclass(frozen=True)  # no slots: what is derived is kept
class Case:
    """A window to be judged.

    Attributes:
        profile: of its rows, on the cells of `baseline`.
        share: of the window's budget of false alarms.
    """

    profile: Profile
    baseline: Baseline
    references: Sequence[Reference]
    settings: DetectionSettings
    share: float = 1.0

    def kinds(self, otherwise: Kind) -> dict[str, Kind]:
        """Return the features to compare, and what a finding about each is: `otherwise`, but of predictions.

        The label and what the settings ignore are none of them.
        """
        profile, baseline = self.profile, self.baseline
        labels = {profile.label, baseline.label}
        predictions = {profile.prediction, baseline.prediction}
        names = {*baseline.features, *profile.counts, *baseline.extras.vectors} - labels
        return {
            str(name): Kind.PREDICTION_DRIFT if self.source(name) in predictions else otherwise
            for name in names
            if not self.override(name).ignore
        }

    def source(self, name: str) -> str:
        """Return the column that a derived column comes from, or itself."""
        return self.baseline.extras.derived.sources.get(name, name)

    def override(self, name: str) -> FeatureSettings:
        """Return what the settings say of a feature, or of the column that it is derived from."""
        said = self.settings.features
        return said.get(name) or said.get(self.source(name)) or FeatureSettings()

    def min_effect(self, name: str) -> float:
        """Return Cohen's w below which nothing about this feature is flagged."""
        own = self.override(name).min_effect
        return self.settings.min_effect if own is None else own

    def importance(self, name: str | None) -> float:
        """Return how much a feature matters, 1 being the mean."""
        if name is None:
            return 1.0
        own = self.override(name).importance
        if own is not None:
            return own
        known = self.baseline.extras.attributions
        if known is None or self.source(name) not in known.names:
            return 1.0
        return max(1e-9, float(known.shares[known.names.index(self.source(name))]) * len(known.names))

    @cached_property
    def moments(self) -> Mapping[str, Moments]:
        """Moments of the window's numbers."""
        return {**moments_of(self.profile.statistics), **self.profile.extras.moments}

    @property
    def mix(self) -> Floats | None:
        """Shares (S,) of the window's rows in each season, where they are known."""
        return _mix(self.profile)

    @cached_property
    def limits(self) -> Mapping[tuple[str, str, str], float]:
        """The thresholds of the user's schema by feature, side ("skew" or "drift") and measure."""
        return {(feature, side, measure): limit for feature, side, measure, limit in thresholds(self.baseline.schema)}


def _mix(profile: Profile) -> Floats | None:
    return None if profile.mix is None else np.array(profile.mix)
