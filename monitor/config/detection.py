"""What a model's settings may say of how changes are judged, with defaults and limits."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from monitor.config.durations import Duration
from monitor.config.strict import Strict
from monitor.config.validation_settings import ValidationRules

Measure = Literal[
    "jensen_shannon",
    "l_infinity",
    "psi",
    "hellinger",
    "kolmogorov_smirnov",
    "wasserstein",
    "mean_shift",
    "median_shift",
    "zero_rate",
    "missing_rate",
    "unseen_share",
    "out_of_range_share",
]
"""Distances that a threshold can be set on, as `monitor.compare.thresholds` measures them."""


class FeatureSettings(Strict):
    """Overrides for one feature."""

    min_effect: float | None = Field(None, ge=0, description="Effect below which a change is not flagged.")
    ignore: bool = Field(False, description="Do not compare this feature.")
    importance: float | None = Field(
        None,
        gt=0,
        description="How much it matters, to rank findings by. Without it 1, or where training has attributions its share of "
        "them times the number of features.",
    )
    as_: Literal["text", "vector", "image", "values"] | None = Field(
        None,
        alias="as",
        description="What the feature holds, where it is not recognised (docs/text-vectors-images.md).",
    )
    thresholds: dict[Measure, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default_factory=dict,
        description="Distances above which this feature is flagged, in the stead of calibrated comparisons (docs/findings.md).",
    )


class PinnedSettings(Strict):
    """A past window, or a range of them, that a person chose to compare with."""

    start: AwareDatetime = Field(description="Start of its first window, RFC 3339.")
    end: AwareDatetime = Field(
        description="End of its last window; windows that start before it are not compared with it."
    )

    @model_validator(mode="after")
    def _order(self) -> PinnedSettings:
        if self.start >= self.end:
            raise ValueError("`end` must be after `start`")
        return self


class SchemaChange(Strict):
    """A change of the schema that was meant: what it explains informs, and flags nothing."""

    at: AwareDatetime = Field(description="When it comes into force, RFC 3339.")
    features: list[str] = Field(default_factory=list, description="The features that change; all where none is named.")
    note: str = Field("", description="What changed and why; findings repeat it.")


class DetectionSettings(Strict):
    """How changes are judged."""

    false_alarm_rate: float = Field(
        0.01, gt=0, lt=1, description="Budget of false alarms per window, over all features."
    )
    false_alarms_per_day: float | None = Field(
        None,
        gt=0,
        description="Budget of false alarms per day, which short windows share; a window never gets more than its own rate.",
    )
    schema_changes: list[SchemaChange] = Field(
        default_factory=list,
        description="Declared changes of the schema, which are no data breaks (docs/data-breaks.md).",
    )
    references: list[Literal["training", "previous", "seasonal", "pinned"]] = Field(
        ["training", "previous"],
        description="What a window is compared with: `training` (the baseline), the `previous` window, the same window "
        "of earlier seasons (`seasonal`), and a `pinned` range (docs/slices.md).",
    )
    seasons: list[Duration] = Field(
        [timedelta(days=7), timedelta(days=1)],
        min_length=1,
        description="With `seasonal`: how long a season is; the first of which an earlier window is known counts. Those "
        "that are no whole number of windows, or but one, are passed over.",
    )
    seasonal_windows: int = Field(
        4, ge=1, le=52, description="With `seasonal`: how many seasons back to go; their windows are added up."
    )
    pinned: PinnedSettings | None = Field(None, description="With `pinned`: the range.")
    min_slice_rows: int = Field(
        300, ge=50, description="Effective rows of the baseline below which a slice is not compared."
    )
    max_slices: int = Field(
        50, ge=1, le=1_000, description="Slices that are compared at most, those with the most rows in the baseline."
    )
    min_effect: float = Field(0.1, ge=0, description="Cohen's w below which a change is not flagged, however sure.")
    gradual: bool = Field(
        True,
        description="Look for changes that build up over windows too (docs/gradual.md), where the baseline's blocks of time are "
        "as long as the windows.",
    )
    joint: bool = Field(
        False,
        description="Compare the dependence between features too (docs/joint.md); kept with a baseline, so make a new one.",
    )
    validations: ValidationRules = Field(
        default_factory=list, description="Rules in SQL over the rows of a window (docs/validations.md)."
    )
    custom_validations: str | None = Field(
        None, description="File with TFDV's CustomValidationConfig, whose rules are judged too (docs/validations.md)."
    )
    features: dict[str, FeatureSettings] = Field(default_factory=dict, description="Overrides by feature.")

    def kinds(self) -> dict[str, str]:
        """Return what features hold, where that is said."""
        return {name: feature.as_ for name, feature in self.features.items() if feature.as_ is not None}

    @model_validator(mode="after")
    def _references(self) -> DetectionSettings:
        if len(set(self.references)) < len(self.references):
            raise ValueError("`references` names one of them twice")
        if ("pinned" in self.references) != (self.pinned is not None):
            raise ValueError("`pinned` among the `references` goes with a `pinned` range")
        return self
