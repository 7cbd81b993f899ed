"""What one GPU's readings of the last minutes say about it alone; changes with the signs of trouble."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from monitor.act.gpu_readings import Gpu, Reading, Throttle
from monitor.config.gpus import GpuSettings

APPLICATION_XIDS = frozenset({8, 11, 13, 31, 32, 43, 45, 68, 69})
"""Errors that end a program, most often its own; NVIDIA's catalogue says to start the program again."""

FATAL_XIDS = frozenset({48, 62, 64, 79, 95, 119, 120, 140, 143})
"""Errors after which NVIDIA's catalogue says to reset the GPU, the machine, or to have it replaced."""

IDLE_MEMORY_RATIO = 0.1
"""Used share of memory below which an instance whose engines show nothing is idle: contexts alone take some."""

IDLE_POWER_RATIO = 0.25
"""Share of its power limit below which a whole card is idle: data centre GPUs idle at 10% to 15% of it."""

_HEAT_AND_FAULTS = frozenset(
    {Throttle.HARDWARE, Throttle.SOFTWARE_THERMAL, Throttle.HARDWARE_THERMAL, Throttle.POWER_BRAKE}
)
"""Reasons that are trouble; a power cap is how a GPU that works hard looks."""


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of a GPU from its readings within `look_back`.

    Attributes:
        failed, suspect: what is wrong, in words; notes: what a person may want to know and what holds nothing back.
        over: what time the readings are of, for a person.
        stale: why nothing can be said; empty where something can.
        utilisation: mean; None where it was not told or cannot be known, which `no_utilisation` says.
        free_bytes: the least free memory; None where it was not told.
    """

    over: str = ""
    stale: str = ""
    failed: tuple[str, ...] = ()
    suspect: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    readings: int = 0
    utilisation: float | None = None
    no_utilisation: str = ""
    free_bytes: float | None = None
    total_bytes: float | None = None
    temperature: float | None = None


def health_of(gpu: Gpu, settings: GpuSettings, now: datetime) -> Health:
    """Return what the readings say; those from the future are left out, as a clock that was set back makes them."""
    recent = [reading for reading in gpu.readings if now - settings.look_back <= reading.at <= now]
    if not recent:
        return Health(stale=f"no reading within {minutes(settings.look_back)}")
    if now - recent[-1].at > settings.stale_after:
        return Health(stale=f"its last reading is {minutes(now - recent[-1].at)} old", readings=len(recent))
    fresh, standing = _xids(recent, frozenset(settings.ignore_xids))
    temperatures = [reading.temperature for reading in recent if reading.temperature is not None]
    utilisation, why_not = _utilisation(recent, is_instance=bool(gpu.name.instance or gpu.name.profile))
    free = [reading.memory_free_bytes for reading in recent if reading.memory_free_bytes is not None]
    length = recent[-1].at - recent[0].at
    return Health(
        over=f"over {minutes(length)}" if length else "in one look",
        failed=tuple(_failures(recent, fresh)),
        suspect=tuple(_suspicions(recent, fresh, standing, settings)),
        notes=tuple(_notes(recent, fresh, standing)),
        readings=len(recent),
        utilisation=utilisation,
        no_utilisation=why_not,
        free_bytes=min(free, default=None),
        total_bytes=_newest_total(recent),
        temperature=max(temperatures, default=None),
    )


def minutes(length: timedelta) -> str:
    """Return a length of time for a person, as 90 s or 5 min."""
    seconds = length.total_seconds()
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.3g} min"


def _failures(recent: list[Reading], fresh: frozenset[int]) -> list[str]:
    found = []
    if recent[-1].lost:
        found.append(f"the driver says: {recent[-1].lost}")
    found += [f"XID error {xid}, after which it must be reset" for xid in sorted(fresh & FATAL_XIDS)]
    errors = _new_ecc_errors(recent)
    if errors:
        found.append(f"{errors} uncorrected memory error(s)")
    if recent[-1].remap_failed:
        found.append("memory that broke could not be replaced")
    return found


def _suspicions(
    recent: list[Reading], fresh: frozenset[int], standing: frozenset[int], settings: GpuSettings
) -> list[str]:
    found = [f"XID error {xid}" for xid in sorted(fresh - FATAL_XIDS - APPLICATION_XIDS)]
    found += [
        f"XID error {xid} is the last it had, nobody knows when; reset it if that was not done, and restart the exporter"
        for xid in sorted(standing & FATAL_XIDS)
    ]
    hottest = max((reading.temperature for reading in recent if reading.temperature is not None), default=None)
    if hottest is not None and hottest > settings.max_temperature:
        found.append(f"{hottest:g} °C (more than {settings.max_temperature:g})")
    reasons = {reason for reading in recent for reason in reading.throttle or ()} & _HEAT_AND_FAULTS
    if reasons:
        found.append(f"its clock was held down: {', '.join(sorted(reasons))}")
    if recent[-1].remap_pending:
        found.append("memory that broke waits for a reset to be replaced")
    return found


def _notes(recent: list[Reading], fresh: frozenset[int], standing: frozenset[int]) -> list[str]:
    found = [f"XID error {xid} of a program" for xid in sorted(fresh & APPLICATION_XIDS)]
    found += [f"XID error {xid} some time ago" for xid in sorted(standing - FATAL_XIDS)]
    if recent[-1].ecc_errors and not _new_ecc_errors(recent):
        found.append(f"{recent[-1].ecc_errors} uncorrected memory error(s) some time ago")
    return found


def _xids(recent: list[Reading], ignored: frozenset[int]) -> tuple[frozenset[int], frozenset[int]]:
    """Return the XID errors of the last minutes, and the one that was there before; a reset, back to 0, ends both."""
    fresh: set[int] = set()
    last = recent[0].xid
    for position, reading in enumerate(recent):
        fresh.update(reading.new_xids)
        if reading.xid is None or position == 0:
            continue
        if reading.xid == 0:
            fresh = set(reading.new_xids)
        elif reading.xid != last:
            fresh.add(reading.xid)
        last = reading.xid
    standing = {last} if last else set()
    return frozenset(fresh) - ignored, frozenset(standing) - fresh - ignored


def _new_ecc_errors(recent: list[Reading]) -> int:
    """Return how far the counter grew; it begins anew when the driver does, and what came before that is mended."""
    counts = [reading.ecc_errors for reading in recent if reading.ecc_errors is not None]
    grown = 0
    for before, after in pairwise(counts):
        grown = grown + after - before if after >= before else after
    return grown


def _newest_total(recent: list[Reading]) -> float | None:
    return next((reading.memory_total_bytes for reading in reversed(recent) if reading.memory_total_bytes), None)


def _utilisation(recent: list[Reading], *, is_instance: bool) -> tuple[float | None, str]:
    told = [] if is_instance else [reading.utilisation for reading in recent if reading.utilisation is not None]
    if told:
        return sum(told) / len(told), ""
    active = [reading.activity for reading in recent if reading.activity is not None]
    if any(active):
        return sum(active) / len(active), ""
    if (active or is_instance) and (_idle_by_memory(recent) or _idle_by_power(recent)):
        return 0.0, ""
    if not active:
        return None, "its utilisation is not told"
    return None, "its engines show no work, which does not prove that it is idle, and its memory is in use"


def _idle_by_memory(recent: list[Reading]) -> bool:
    newest = recent[-1]
    if newest.memory_free_bytes is None or not newest.memory_total_bytes:
        return False
    return 1 - newest.memory_free_bytes / newest.memory_total_bytes < IDLE_MEMORY_RATIO


def _idle_by_power(recent: list[Reading]) -> bool:
    shares = [
        reading.power_watts / reading.power_limit_watts
        for reading in recent
        if reading.power_watts is not None and reading.power_limit_watts
    ]
    return bool(shares) and max(shares) < IDLE_POWER_RATIO
