"""What was read of GPUs and of the requests in front of them, whoever read it; changes with what can be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Throttle(StrEnum):
    """Why a GPU's clock is held down."""

    POWER_CAP = "power cap"
    HARDWARE = "hardware slowdown"
    SOFTWARE_THERMAL = "thermal slowdown by the driver"
    HARDWARE_THERMAL = "thermal slowdown by the hardware"
    POWER_BRAKE = "power brake"


_THROTTLE_BITS = {
    0x04: Throttle.POWER_CAP,
    0x08: Throttle.HARDWARE,
    0x20: Throttle.SOFTWARE_THERMAL,
    0x40: Throttle.HARDWARE_THERMAL,
    0x80: Throttle.POWER_BRAKE,
}
"""NVML's nvmlClocksEventReasons; idle, set clocks, sync boost and displays hold nothing down that matters here."""


def throttle_of(mask: int) -> frozenset[Throttle]:
    """Return the reasons in a bit mask, which NVML and DCGM share."""
    return frozenset(reason for bit, reason in _THROTTLE_BITS.items() if mask & bit)


@dataclass(frozen=True, slots=True)
class GpuName:
    """Which GPU, or which MIG instance of one; `instance` is empty for a whole GPU."""

    index: str = ""
    uuid: str = ""
    hostname: str = ""
    instance: str = ""
    profile: str = ""
    product: str = ""

    def __str__(self) -> str:
        text = f"GPU {self.index or self.uuid or '?'}"
        if self.instance or self.profile:
            text += f" instance {self.instance}" if self.instance else " instance"
            text += f" ({self.profile})" if self.profile else ""
        return f"{text} of {self.hostname}" if self.hostname else text


@dataclass(frozen=True, slots=True)
class Reading:
    """What one GPU or instance showed at one time; None is what was not told.

    Attributes:
        utilisation: share of the time in which it worked, of a whole GPU; means nothing under MIG.
        activity: share of the time in which its engines, tensor cores or memory were active; 0 does not prove that it is idle.
        xid: the last XID error ever seen, which stays until the GPU or the exporter starts anew; 0 is none.
        new_xids: XID errors that are known to have just happened.
        ecc_errors: uncorrected memory errors since the driver was loaded.
        remap_failed: whether memory that broke could not be replaced; `remap_pending`: whether a reset would replace it.
        lost: what the driver said instead of answering; empty where it answered.
    """

    at: datetime
    utilisation: float | None = None
    activity: float | None = None
    memory_free_bytes: float | None = None
    memory_total_bytes: float | None = None
    temperature: float | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    clock_mhz: float | None = None
    throttle: frozenset[Throttle] | None = None
    xid: int | None = None
    new_xids: tuple[int, ...] = ()
    ecc_errors: int | None = None
    remap_failed: bool | None = None
    remap_pending: bool | None = None
    lost: str = ""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, or a MIG instance, and its readings, the oldest first."""

    name: GpuName
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True)
class Backlog:
    """How long requests took in front of the GPUs, on average over the last minutes; None is what was not told.

    Attributes:
        requests: how many were answered.
        queue_seconds: mean time in the queue of the batches.
        latency_seconds: mean duration of a request.
        trouble: why nothing is known; empty where something is.
    """

    requests: float | None = None
    queue_seconds: float | None = None
    latency_seconds: float | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a look brought: the GPUs that were asked for, and why there are none or fewer."""

    gpus: tuple[Gpu, ...] = ()
    trouble: str = ""
    backlog: Backlog = field(default_factory=Backlog)
