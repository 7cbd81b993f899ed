"""What `retrain.trainer` may say: who trains a model anew, and how to ask; changes with the kinds of trainers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from monitor.config.strict import Strict


class TrainerSettings(Strict):
    """One trainer."""

    type: Literal["http", "command", "kafka"] = Field(description="How it is asked.")
