"""Readings of GPUs from DCGM's metrics, as dcgm-exporter names them; changes with those names.

A whole GPU that is cut into MIG instances is not a GPU of its own here: its temperature, power and errors are those of every
instance. DCGM_FI_DEV_GPU_UTIL says nothing of instances.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from monitor.act.gpu_readings import Gpu, GpuName, Reading, throttle_of
from monitor.outside.gpu.samples import Sample

_MIB = 2**20
_XIDS_COUNTED = "DCGM_EXP_XID_ERRORS_COUNT"
_FREE, _USED, _RESERVED = "DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_RESERVED"
_ACTIVITIES = ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_DRAM_ACTIVE")
_THROTTLES = ("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS")
_PLAIN = {
    "DCGM_FI_DEV_GPU_TEMP": "temperature",
    "DCGM_FI_DEV_POWER_USAGE": "power_watts",
    "DCGM_FI_DEV_POWER_MGMT_LIMIT": "power_limit_watts",
    "DCGM_FI_DEV_SM_CLOCK": "clock_mhz",
}
_WHOLE_NUMBERS = {"DCGM_FI_DEV_XID_ERRORS": "xid", "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": "ecc_errors"}
_YES_OR_NO = {"DCGM_FI_DEV_ROW_REMAP_FAILURE": "remap_failed", "DCGM_FI_DEV_ROW_REMAP_PENDING": "remap_pending"}

METRICS = (
    "DCGM_FI_DEV_GPU_UTIL",
    *(_FREE, _USED, _RESERVED),
    *_ACTIVITIES,
    *_THROTTLES,
    *_PLAIN,
    *_WHOLE_NUMBERS,
    *_YES_OR_NO,
    _XIDS_COUNTED,
)
"""All that is looked for; an exporter shows a part of it, by its own settings."""

_OF_THE_CARD = (
    "temperature",
    "power_watts",
    "power_limit_watts",
    "clock_mhz",
    "throttle",
    "xid",
    "ecc_errors",
    "remap_failed",
    "remap_pending",
)
_FIRST_BLANK = 2.0**47
"""DCGM's blanks begin here: of floating point numbers; those of 64 bit integers are larger (9223372036854775792 and on)."""

_BLANK_INT32 = (2_147_483_632, 2_147_483_647)


def value_of(number: float) -> float | None:
    """Return a number that DCGM exports, None for its blanks: not found, not supported, not permitted, not there yet."""
    if not math.isfinite(number) or number >= _FIRST_BLANK or _BLANK_INT32[0] <= number <= _BLANK_INT32[1]:
        return None
    return number


@dataclass(slots=True)
class _Collected:
    """What one GPU or instance showed, by time and metric."""

    labels: dict[str, str] = field(default_factory=dict)
    values: dict[datetime, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    new_xids: dict[datetime, set[int]] = field(default_factory=lambda: defaultdict(set))


def gpus_in(samples: Iterable[Sample]) -> list[Gpu]:
    """Return the GPUs and MIG instances that samples are of, each with one reading a time; blanks are no readings."""
    found: dict[tuple[str, str], _Collected] = defaultdict(_Collected)
    for sample in samples:
        value = value_of(sample.value)
        card = sample.labels.get("UUID") or sample.labels.get("uuid") or _host_and_index(sample.labels)
        if value is None or not card:
            continue
        one = found[card, sample.labels.get("GPU_I_ID", "")]
        one.labels.update(sample.labels)
        if sample.name == _XIDS_COUNTED:
            xid = sample.labels.get("xid", "")
            if value > 0 and xid.isdecimal():
                one.new_xids[sample.at].add(int(xid))
        else:
            one.values[sample.at][sample.name] = value
    cut = {card for card, instance in found if instance}
    cards = {card: _readings(one) for (card, instance), one in found.items() if not instance}
    gpus = []
    for (card, instance), one in sorted(found.items(), key=lambda each: each[0]):
        if instance:
            gpus.append(Gpu(_name(one.labels), tuple(_with_card(_readings(one), cards.get(card, {})))))
        elif card not in cut:
            gpus.append(Gpu(_name(one.labels), tuple(cards[card].values())))
    return [gpu for gpu in gpus if gpu.readings]


def hostname_of(labels: Mapping[str, str]) -> str:
    """Return the host in either spelling; as Prometheus renames a label that a target brings beside its own; or the target."""
    names = ("hostname", "Hostname", "exported_hostname", "exported_Hostname")
    return next((labels[name] for name in names if labels.get(name)), labels.get("instance", ""))


def _host_and_index(labels: Mapping[str, str]) -> str:
    return f"{hostname_of(labels)}/{labels['gpu']}" if labels.get("gpu") else ""


def _name(labels: Mapping[str, str]) -> GpuName:
    return GpuName(
        index=labels.get("gpu", ""),
        uuid=labels.get("UUID") or labels.get("uuid") or "",
        hostname=hostname_of(labels),
        instance=labels.get("GPU_I_ID", ""),
        profile=labels.get("GPU_I_PROFILE", ""),
        product=labels.get("modelName", ""),
    )


def _readings(one: _Collected) -> dict[datetime, Reading]:
    times = sorted({*one.values, *one.new_xids})
    return {at: _reading(at, one.values.get(at, {}), one.new_xids.get(at, set())) for at in times}


def _reading(at: datetime, values: Mapping[str, float], new_xids: set[int]) -> Reading:
    known: dict[str, Any] = {field: values[name] for name, field in _PLAIN.items() if name in values}
    known |= {field: int(values[name]) for name, field in _WHOLE_NUMBERS.items() if name in values}
    known |= {field: values[name] > 0 for name, field in _YES_OR_NO.items() if name in values}
    if "DCGM_FI_DEV_GPU_UTIL" in values:
        known["utilisation"] = values["DCGM_FI_DEV_GPU_UTIL"] / 100
    active = [values[name] for name in _ACTIVITIES if name in values]
    if active:
        known["activity"] = max(active)
    masks = [int(values[name]) for name in _THROTTLES if name in values]
    if masks:
        known["throttle"] = throttle_of(masks[0])
    if _FREE in values:
        known["memory_free_bytes"] = values[_FREE] * _MIB
        if _USED in values:
            known["memory_total_bytes"] = (values[_FREE] + values[_USED] + values.get(_RESERVED, 0)) * _MIB
    return Reading(at, new_xids=tuple(sorted(new_xids)), **known)


def _with_card(instance: Mapping[datetime, Reading], card: Mapping[datetime, Reading]) -> Iterable[Reading]:
    for at, reading in instance.items():
        whole = card.get(at)
        if whole is None:
            yield reading
            continue
        missing = {name: getattr(whole, name) for name in _OF_THE_CARD if getattr(reading, name) is None}
        yield replace(reading, **missing, new_xids=tuple(sorted({*reading.new_xids, *whole.new_xids})))
