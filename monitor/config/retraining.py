"""What a model's `retrain` may say: trainer, headroom, gate, canary, promotion; changes with the steps of a retrain."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from monitor.config.canary import CanarySettings
from monitor.config.durations import Duration
from monitor.config.strict import Strict
from monitor.config.trainers import TrainerSettings


class HeadroomSettings(Strict):
    """Whether the GPUs have room for a training."""

    gpus: str = Field(description="Name from `gpus`.")
    on_unknown: Literal["proceed", "defer"] = Field(
        "proceed", description="What to do where nothing can be said of them."
    )
    give_up_after: Duration = Field(timedelta(hours=12), description="How long to wait for room.")


class GateSettings(Strict):
    """What a candidate must show before it serves anybody."""

    labelled: Duration = Field(timedelta(days=7), description="How far back the labelled rows reach it is tried on.")
    max_rows: int = Field(50_000, ge=1_000, description="Most rows that it is tried on.")
    min_labels: int = Field(300, ge=1, description="Labelled rows without which a candidate is rejected.")
    unseen: Literal["prefer", "require"] = Field(
        "prefer",
        description="Whether it is tried on rows that it cannot have been trained on where there are `min_labels` of "
        "them, or else rejected.",
    )
    metrics: list[str] = Field(
        default_factory=list,
        description="Metrics of docs/versions.md in which it must not be worse than the present version; the first loss of "
        "the problem without it. They decide where the EvalConfig has no thresholds on changes.",
    )
    margin: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="Largest difference in these that does not matter."
    )
    require_improvement: bool = Field(False, description="Whether it must be better, not only no worse.")
    trust_trainer: bool = Field(
        False,
        description="Whether the trainer's own evaluation counts (`statistics.blessing` is BLESSED) where there are no "
        "labels, or the rows lack what the model asks for.",
    )
    signature: str = Field("serving_default", description="Signature that is asked.")
    output: str | None = Field(None, description="Output that is the prediction; `traffic.output` without it.")
    output_class: int | Literal["argmax"] | None = Field(
        None, description="Class whose score is the prediction; `traffic.output_class` without it."
    )
    smoke_rows: int = Field(32, ge=1, le=1_000, description="Rows that it must answer first, and by which it is timed.")
    present: str | None = Field(
        None,
        description="Where the present version lies, with {version} in its place, to compare latency with; without it, where "
        "a promoted candidate lay.",
    )
    max_latency_ratio: float = Field(
        2.0, gt=0, description="Slowest that it may be, as a multiple of the present model."
    )
    timeout: Duration = Field(timedelta(minutes=10), description="How long loading it and running it may take.")
    max_memory_mib: int = Field(8_192, ge=2_048, description="Address space that running it may take.")
    max_size_mib: int = Field(2_048, ge=1, description="Size that its files may have.")


class RetrainSettings(Strict):
    """How a model is trained anew."""

    trainer: TrainerSettings = Field(description="Who trains it.")
    data: Duration = Field(timedelta(days=30), description="How far back the spans reach that it is trained on.")
    min_labelled_rows: int = Field(1_000, ge=0, description="Labelled rows there must be among them.")
    cooldown: Duration = Field(timedelta(hours=24), description="Least time between two retrains of the model.")
    approval: Literal["none", "required"] = Field("none", description="Whether a person must agree.")
    approve_within: Duration = Field(timedelta(hours=24), description="How long a wish waits for that.")
    headroom: HeadroomSettings | None = None
    submit_within: Duration = Field(timedelta(minutes=30), description="How long to try to reach the trainer.")
    silent_for: Duration = Field(
        timedelta(minutes=30), description="How long a trainer may give no sign of life before it counts as lost."
    )
    train_within: Duration = Field(timedelta(hours=24), description="How long a training may take.")
    gate: GateSettings = GateSettings()
    canary: CanarySettings | None = None
    adopt_baseline: bool = Field(True, description="Whether a promoted version brings a new baseline.")
    confirm_within: Duration = Field(
        timedelta(days=2), description="How long the alert that started it may take to clear after the promotion."
    )
