"""What `gpus` may say: where the state of GPUs is read, and what counts as busy; changes with the sources."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from monitor.config.durations import Duration
from monitor.config.strict import Strict
from monitor.matchers import Matchers

HTTP_URL = r"^https?://[^/?#\s]+[^?#\s]*$"
MEMORY = r"^\d+(\.\d+)?\s*(%|MiB|GiB|TiB)$"
_BYTES = {"MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


class BacklogSettings(Strict):
    """Whether requests wait in front of the GPUs, by TensorFlow Serving's own metrics."""

    url: str | None = Field(
        None,
        pattern=HTTP_URL,
        description="Of TensorFlow Serving's metrics, as http://host:8501/monitoring/prometheus/metrics; "
        "without it they are asked of the Prometheus server.",
    )
    model_name: str | None = Field(None, description="Only requests to this model, as TensorFlow Serving calls it.")
    matchers: Matchers = Field("", description="Labels of the series, where a Prometheus server is asked.")
    max_queue: Duration = Field(
        timedelta(milliseconds=50), description="Mean time in the queue of the batches above which requests pile up."
    )
    max_latency: Duration = Field(
        timedelta(seconds=1), description="Mean duration of a request above which requests pile up."
    )
    low_utilisation: float = Field(
        0.5, ge=0, le=1, description="Utilisation below which requests that pile up do not wait for the GPU."
    )


class GpuSettings(Strict):
    """Some GPUs that are looked at together."""

    source: Literal["nvml", "dcgm", "prometheus"] = Field(
        description="NVIDIA's library on this machine, a DCGM exporter, or a Prometheus server that scrapes one."
    )
    url: str | None = Field(
        None, pattern=HTTP_URL, description="Of the exporter's /metrics, or of the Prometheus server."
    )
    token: SecretStr | None = Field(
        None, description="Bearer token for that address; write ${NAME} and keep it out of the file."
    )
    matchers: Matchers = Field("", description='Labels of the series at a Prometheus server, as job="dcgm".')
    hostnames: list[str] = Field(default_factory=list, description="Only GPUs of these hosts; all without it.")
    devices: list[str] = Field(default_factory=list, description="Only these GPUs, by index or UUID; all without it.")
    instances: list[str] = Field(
        default_factory=list, description="Only these MIG instances, by id or profile, as 1g.10gb; all without it."
    )
    needed: int | None = Field(
        None, ge=1, le=10_000, description="How many of them a training needs; all that are seen without it."
    )
    look_back: Duration = Field(timedelta(minutes=5), description="How far back readings count.")
    stale_after: Duration = Field(
        timedelta(minutes=2), description="Age of the newest reading above which nothing is said of a GPU."
    )
    max_utilisation: float = Field(0.5, ge=0, le=1, description="Mean utilisation above which a GPU is busy.")
    full_utilisation: float = Field(
        0.95, ge=0, le=1, description="Mean utilisation above which serving is saturated, where no `backlog` is known."
    )
    min_free_memory: str = Field(
        "50%", pattern=MEMORY, description="Free memory below which a GPU is busy, as 20GiB or 50%."
    )
    max_temperature: float = Field(85, gt=0, le=150, description="Temperature in °C above which a GPU is suspect.")
    ignore_xids: list[int] = Field(default_factory=list, description="XID errors that are known and do not matter.")
    timeout: Duration = Field(timedelta(seconds=10), description="How long an answer may take.")
    backlog: BacklogSettings | None = None

    @model_validator(mode="after")
    def _source_and_address(self) -> Self:
        if (self.url is None) != (self.source == "nvml"):
            raise ValueError(
                "`source: nvml` is this machine and has no `url`"
                if self.source == "nvml"
                else f"`source: {self.source}` needs a `url`"
            )
        if self.matchers and self.source != "prometheus":
            raise ValueError("`matchers` goes with `source: prometheus`")
        if self.hostnames and self.source == "nvml":
            raise ValueError("`source: nvml` is this machine: leave `hostnames` out")
        if self.token is not None and self.url is None:
            raise ValueError("`token` goes with a `url`")
        return self

    @model_validator(mode="after")
    def _backlog_from_somewhere(self) -> Self:
        if self.backlog is not None:
            if self.backlog.url is None and self.source != "prometheus":
                raise ValueError("`backlog` needs a `url`, or `source: prometheus`")
            if self.backlog.url is not None and self.backlog.matchers:
                raise ValueError("`backlog.matchers` goes with a Prometheus server, not with `backlog.url`")
        return self

    @model_validator(mode="after")
    def _times_that_fit(self) -> Self:
        if not timedelta(0) < self.stale_after <= self.look_back:
            raise ValueError("`stale_after` is more than nothing and at most `look_back`")
        if self.timeout <= timedelta(0):
            raise ValueError("`timeout` is more than nothing")
        return self

    def least_free_bytes(self, total: float) -> float:
        """Return the free memory in bytes that a GPU with `total` bytes must have."""
        number, unit = re.fullmatch(r"([\d.]+)\s*(\S+)", self.min_free_memory).groups()  # type: ignore[union-attr]
        return float(number) / 100 * total if unit == "%" else float(number) * _BYTES[unit]
