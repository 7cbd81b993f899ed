"""What `gpus` may say: where the state of GPUs is read, and what counts as busy; changes with the sources."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from monitor.config.strict import Strict


class GpuSettings(Strict):
    """Some GPUs that are looked at together."""

    source: Literal["nvml", "dcgm", "prometheus"] = Field(
        description="NVIDIA's library on this machine, a DCGM exporter, or a Prometheus server that scrapes one."
    )
    url: str | None = Field(None, description="Of the exporter's /metrics, or of the Prometheus server.")
