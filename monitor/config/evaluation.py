"""What a model's `evaluation` may say: how its quality is measured once labels arrive, and estimated before."""

from __future__ import annotations

from pydantic import Field

from monitor.config.strict import Strict


class EvaluationSettings(Strict):
    """Quality of one model, by labels."""

    eval_config: str = Field(
        description="File with TFMA's EvalConfig, as text proto (.pbtxt), YAML or JSON: metrics, slices, thresholds."
    )
    min_labels: int = Field(
        300, ge=1, description="Labelled rows below which a window, or a slice of it, is not judged."
    )
    false_alarm_rate: float = Field(
        0.01,
        gt=0,
        lt=1,
        description="False alarms per window that the quality findings may make together, over all metrics and slices.",
    )
    estimate: bool = Field(
        True,
        description="Estimate quality from the scores alone while labels are missing, and check it when they come.",
    )
