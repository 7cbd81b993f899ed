"""The verdict on some GPUs: is there room for a training, and how does serving do; changes with what is concluded from readings.

Nothing is called healthy that was not read: what is missing is unknown, and who asked decides what that means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from monitor.act.gpu_health import Health, health_of
from monitor.act.gpu_readings import Backlog, Gpu, Seen
from monitor.act.steps import Found, Headroom
from monitor.config.gpus import BacklogSettings, GpuSettings

GIB = 2**30
_TOLD_REASONS = 3
"""Reasons in the line for a person; the record has all of them."""


class ServingState(StrEnum):
    """How the GPUs that serve do, finer than Headroom; stands in the details."""

    HEALTHY = "healthy"
    STARVED = "starved"
    SATURATED = "saturated"
    UNSTABLE = "unstable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class _Judged:
    gpu: Gpu
    health: Health
    verdict: Headroom
    reasons: tuple[str, ...]

    def told(self) -> list[str]:
        return [f"{self.gpu.name}: {' and '.join(self.reasons)}"] if self.reasons else []

    def document(self) -> dict[str, Any]:
        name, health = self.gpu.name, self.health
        known = {
            "hostname": name.hostname,
            "index": name.index,
            "uuid": name.uuid,
            "instance": name.instance,
            "profile": name.profile,
            "product": name.product,
            "utilisation_ratio": None if health.utilisation is None else round(health.utilisation, 4),
            "memory_free_bytes": health.free_bytes,
            "memory_total_bytes": health.total_bytes,
            "temperature_celsius": health.temperature,
            "readings": health.readings,
            "verdict": self.verdict.value,
            "reasons": list(self.reasons),
            "notes": list(health.notes),
        }
        return {key: value for key, value in known.items() if value not in (None, "", [])}


def headroom(seen: Seen, settings: GpuSettings, now: datetime) -> Found:
    """Say whether there is room for a training on as many GPUs as `needed`; the verdict is a Headroom."""
    judged = [_room(gpu, settings, now) for gpu in seen.gpus]
    needed = settings.needed or max(1, len(judged))
    counts = Counter(each.verdict for each in judged)
    # A GPU that fell off the bus is often just not listed any more.
    counts[Headroom.UNKNOWN] += max(0, needed - len(judged))
    verdict = _enough(counts, needed)
    details = {"needed": needed, "gpus": [each.document() for each in judged]}
    if verdict is Headroom.HEALTHY:
        free = counts[Headroom.HEALTHY]
        return Found(verdict, f"{free} of {len(judged)} GPU(s) have room, {needed} needed", details)
    reasons = [reason for each in judged if each.verdict is verdict for reason in each.told()]
    if verdict is Headroom.UNKNOWN:
        reasons = [*_absent(seen, needed), *reasons]
    return Found(verdict, _line(reasons), details)


def serving(seen: Seen, settings: GpuSettings, now: datetime) -> Found:
    """Say how the GPUs that serve do; the verdict is a Headroom, and `details` has the finer `state`, a ServingState."""
    judged = [_sound(gpu, settings, now) for gpu in seen.gpus]
    state, verdict, reasons = _serving_state(judged, seen, settings)
    details: dict[str, Any] = {
        "state": state.value,
        "gpus": [each.document() for each in judged],
        "backlog": _backlog_document(seen.backlog),
    }
    return Found(verdict, _line(reasons), details)


def _serving_state(
    judged: Sequence[_Judged], seen: Seen, settings: GpuSettings
) -> tuple[ServingState, Headroom, list[str]]:
    for bad in (Headroom.FAILED, Headroom.SUSPECT):
        reasons = [reason for each in judged if each.verdict is bad for reason in each.told()]
        if reasons:
            return ServingState.UNSTABLE, bad, reasons
    reasons = [reason for each in judged if each.verdict is Headroom.UNKNOWN for reason in each.told()]
    absent = _absent(seen, settings.needed or 1)
    if reasons or absent:
        return ServingState.UNKNOWN, Headroom.UNKNOWN, [*absent, *reasons]
    used = [each.health.utilisation for each in judged if each.health.utilisation is not None]
    mean = sum(used) / len(used)
    return _by_load(mean, judged[0].health.over, seen.backlog, settings)


def _by_load(
    mean: float, over: str, backlog: Backlog, settings: GpuSettings
) -> tuple[ServingState, Headroom, list[str]]:
    used = f"utilisation {mean:.0%} {over}"
    limits = settings.backlog
    if limits is None or not backlog.requests:
        why = _no_backlog(backlog) if limits else "nobody was asked whether requests wait"
        if mean > settings.full_utilisation:
            return ServingState.SATURATED, Headroom.BUSY, [f"{used} (more than {settings.full_utilisation:.0%}); {why}"]
        if limits is not None and backlog.requests is None:
            return ServingState.UNKNOWN, Headroom.UNKNOWN, [f"{why}; {used}"]
        return ServingState.HEALTHY, Headroom.HEALTHY, [f"{used}; {why}"]
    waiting = _waiting(backlog, limits)
    if not waiting:
        return ServingState.HEALTHY, Headroom.HEALTHY, [f"{used}; {_times(backlog)}"]
    if mean < limits.low_utilisation:
        return (
            ServingState.STARVED,
            Headroom.SUSPECT,
            [f"{waiting}, but {used} (less than {limits.low_utilisation:.0%}): requests do not wait for the GPU"],
        )
    return ServingState.SATURATED, Headroom.BUSY, [f"{waiting} and {used}"]


def _no_backlog(backlog: Backlog) -> str:
    unknown = "whether requests wait is not told"
    return backlog.trouble or (unknown if backlog.requests is None else "no request was answered")


def _waiting(backlog: Backlog, limits: BacklogSettings) -> str:
    over = []
    if backlog.queue_seconds is not None and backlog.queue_seconds > limits.max_queue.total_seconds():
        over.append(f"{_time(backlog.queue_seconds)} in the queue (more than {_limit(limits.max_queue)})")
    if backlog.latency_seconds is not None and backlog.latency_seconds > limits.max_latency.total_seconds():
        over.append(f"{_time(backlog.latency_seconds)} a request (more than {_limit(limits.max_latency)})")
    return " and ".join(over)


def _room(gpu: Gpu, settings: GpuSettings, now: datetime) -> _Judged:
    judged = _sound(gpu, settings, now)
    if judged.verdict in (Headroom.FAILED, Headroom.SUSPECT) or judged.health.stale:
        return judged
    health = judged.health
    full = []
    if health.utilisation is not None and health.utilisation > settings.max_utilisation:
        full.append(f"utilisation {health.utilisation:.0%} {health.over} (more than {settings.max_utilisation:.0%})")
    if health.free_bytes is not None and health.total_bytes is not None:
        least = settings.least_free_bytes(health.total_bytes)
        if health.free_bytes < least:
            full.append(f"{health.free_bytes / GIB:.1f} GiB of memory free (less than {least / GIB:.1f})")
    if full:
        return _Judged(gpu, health, Headroom.BUSY, tuple(full))
    if judged.verdict is Headroom.HEALTHY and (health.free_bytes is None or health.total_bytes is None):
        return _Judged(gpu, health, Headroom.UNKNOWN, ("its free memory is not told",))
    return judged


def _sound(gpu: Gpu, settings: GpuSettings, now: datetime) -> _Judged:
    """Judge a GPU without regard to how much of it is free."""
    health = health_of(gpu, settings, now)
    if health.stale:
        return _Judged(gpu, health, Headroom.UNKNOWN, (health.stale,))
    if health.failed:
        return _Judged(gpu, health, Headroom.FAILED, health.failed + health.suspect)
    if health.suspect:
        return _Judged(gpu, health, Headroom.SUSPECT, health.suspect)
    if health.utilisation is None:
        return _Judged(gpu, health, Headroom.UNKNOWN, (health.no_utilisation,))
    return _Judged(gpu, health, Headroom.HEALTHY, ())


def _enough(counts: Mapping[Headroom, int], needed: int) -> Headroom:
    """Return the best that can be hoped for: of what is not known first, then of what waiting may free, and so on."""
    order = (Headroom.HEALTHY, Headroom.UNKNOWN, Headroom.BUSY, Headroom.SUSPECT)
    hoped = 0
    for verdict in order:
        hoped += counts[verdict]
        if hoped >= needed:
            return verdict
    return Headroom.FAILED


def _absent(seen: Seen, needed: int) -> list[str]:
    if seen.trouble and len(seen.gpus) < needed:
        return [seen.trouble]
    if not seen.gpus:
        return ["no GPU was seen"]
    missing = needed - len(seen.gpus)
    return [f"{len(seen.gpus)} GPU(s) seen, {needed} needed"] if missing > 0 else []


def _line(reasons: Sequence[str]) -> str:
    more = len(reasons) - _TOLD_REASONS
    return "; ".join(reasons[:_TOLD_REASONS]) + (f"; and {more} more" if more > 0 else "")


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _limit(length: timedelta) -> str:
    return _time(length.total_seconds())


def _times(backlog: Backlog) -> str:
    told = {"in the queue": backlog.queue_seconds, "a request": backlog.latency_seconds}
    return ", ".join(f"{_time(seconds)} {what}" for what, seconds in told.items() if seconds is not None)


def _backlog_document(backlog: Backlog) -> dict[str, Any]:
    known = {
        "requests": backlog.requests,
        "queue_seconds": backlog.queue_seconds,
        "latency_seconds": backlog.latency_seconds,
        "trouble": backlog.trouble,
    }
    return {key: value for key, value in known.items() if value not in (None, "")}
