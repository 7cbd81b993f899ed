"""GPUs of this machine by NVIDIA's management library; changes with that library.

The library is loaded where it is first needed: most machines have none, and `nvidia-ml-py` only binds to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from importlib import import_module
from typing import Any

from monitor.act.gpu_readings import Gpu, GpuName, Reading, throttle_of
from monitor.config.gpus import GpuSettings


class _LostError(Exception):
    """The driver does not reach this GPU any more; the message is the driver's."""


class NvmlSource:
    """Looks at the GPUs of this machine, and remembers its looks for `look_back`.

    XID errors are known from the first look on: the library tells of them as they happen, and of none before.
    """

    def __init__(self, settings: GpuSettings, library: Callable[[], Any] = lambda: import_module("pynvml")) -> None:
        """Use what `library` returns, when the first look is made."""
        self._keep = settings.look_back
        self._library = library
        self._nvml: Any = None
        self._events: Any = None
        self._seen: dict[GpuName, list[Reading]] = {}

    def look(self, now: datetime) -> tuple[Sequence[Gpu], str]:
        """Return what this look and those before it showed."""
        trouble = self._start()
        if not trouble:
            try:
                self._read(now)
            except self._nvml.NVMLError as error:
                trouble = f"NVIDIA's library says: {error}"
                self._stop()
        for name, readings in list(self._seen.items()):
            self._seen[name] = [reading for reading in readings if now - self._keep <= reading.at <= now]
            if not self._seen[name]:
                del self._seen[name]
        if not trouble and not self._seen:
            trouble = "this machine has no NVIDIA GPU"
        return [Gpu(name, tuple(readings)) for name, readings in self._seen.items()], trouble

    def _start(self) -> str:
        """Load the library and begin to listen for errors, where that was not done; return what is wrong."""
        if self._events is not None:
            return ""
        try:
            self._nvml = self._library()
        except ImportError:
            return "the Python package nvidia-ml-py is not installed"
        nvml = self._nvml
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            return f"this machine has no NVIDIA GPU that can be asked: {error}"
        try:
            self._events = nvml.nvmlEventSetCreate()
            for index in range(nvml.nvmlDeviceGetCount()):
                self._listen(index)
        except nvml.NVMLError as error:
            self._stop()
            return f"NVIDIA's library says: {error}"
        return ""

    def _listen(self, index: int) -> None:
        """Ask to be told of XID errors; a GPU that is lost, or has no such thing, shows up in the readings."""
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            nvml.nvmlDeviceRegisterEvents(handle, nvml.nvmlEventTypeXidCriticalError, self._events)
        except nvml.NVMLError:
            return

    def _stop(self) -> None:
        nvml, self._events = self._nvml, None
        try:
            nvml.nvmlShutdown()
        except nvml.NVMLError:
            return

    def _read(self, now: datetime) -> None:
        xids = self._new_xids()
        for index in range(self._nvml.nvmlDeviceGetCount()):
            try:
                handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
            except self._nvml.NVMLError as error:
                self._remember(self._name_at(index), Reading(now, lost=str(error)))
                continue
            self._read_one(handle, index, xids, now)

    def _name_at(self, index: int) -> GpuName:
        return next((name for name in self._seen if name.index == str(index)), GpuName(index=str(index)))

    def _read_one(self, handle: Any, index: int, xids: dict[str, tuple[int, ...]], now: datetime) -> None:
        name = self._name_at(index)
        try:
            uuid = _text(self._told(self._nvml.nvmlDeviceGetUUID, handle))
            name = GpuName(str(index), uuid, product=_text(self._told(self._nvml.nvmlDeviceGetName, handle)))
            card = replace(self._card(handle, now), new_xids=xids.get(uuid, ()))
            mode = self._told(self._nvml.nvmlDeviceGetMigMode, handle)
            if mode is not None and mode[0] == self._nvml.NVML_DEVICE_MIG_ENABLE:
                self._read_instances(handle, name, card)
            else:
                self._remember(name, replace(self._with_memory(card, handle), utilisation=self._utilisation(handle)))
        except _LostError as error:
            self._remember(name, Reading(now, lost=str(error), new_xids=xids.get(name.uuid, ())))

    def _read_instances(self, handle: Any, name: GpuName, card: Reading) -> None:
        nvml = self._nvml
        for index in range(self._told(nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            instance = self._told(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index)
            if instance is None:
                continue
            number = self._told(nvml.nvmlDeviceGetGpuInstanceId, instance)
            _, _, profile = _text(self._told(nvml.nvmlDeviceGetName, instance)).rpartition("MIG ")
            named = replace(name, instance="" if number is None else str(number), profile=profile or "MIG")
            self._remember(named, self._with_memory(card, instance))

    def _card(self, handle: Any, now: datetime) -> Reading:
        nvml = self._nvml
        power = self._told(nvml.nvmlDeviceGetPowerUsage, handle)
        limit = self._told(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
        mask = self._told(nvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
        if mask is None:  # drivers before 535 know the older name
            mask = self._told(nvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
        remapped = self._told(nvml.nvmlDeviceGetRemappedRows, handle)
        return Reading(
            now,
            temperature=self._told(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
            power_watts=None if power is None else power / 1000,
            power_limit_watts=None if limit is None else limit / 1000,
            clock_mhz=self._told(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM),
            throttle=None if mask is None else throttle_of(int(mask)),
            ecc_errors=self._told(
                nvml.nvmlDeviceGetTotalEccErrors,
                handle,
                nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
                nvml.NVML_VOLATILE_ECC,
            ),
            remap_pending=None if remapped is None else bool(remapped[2]),
            remap_failed=None if remapped is None else bool(remapped[3]),
        )

    def _with_memory(self, reading: Reading, handle: Any) -> Reading:
        memory = self._told(self._nvml.nvmlDeviceGetMemoryInfo, handle)
        if memory is None:
            return reading
        return replace(reading, memory_free_bytes=float(memory.free), memory_total_bytes=float(memory.total))

    def _utilisation(self, handle: Any) -> float | None:
        """Return the mean of the driver's own samples, which reach back some seconds; else of the last fraction of one."""
        sampled = self._told(self._nvml.nvmlDeviceGetSamples, handle, self._nvml.NVML_GPU_UTILIZATION_SAMPLES, 0)
        values = [sample.sampleValue.uiVal for sample in sampled[1] if sample.timeStamp] if sampled else []
        if values:
            return float(sum(values)) / len(values) / 100
        rates = self._told(self._nvml.nvmlDeviceGetUtilizationRates, handle)
        return None if rates is None else float(rates.gpu) / 100

    def _new_xids(self) -> dict[str, tuple[int, ...]]:
        """Return the XID errors since the last look, by the UUID of their GPU."""
        nvml = self._nvml
        found: dict[str, tuple[int, ...]] = {}
        for _ in range(1_000):  # a GPU that fails may fail faster than it is read
            try:
                event = nvml.nvmlEventSetWait_v2(self._events, 0)
                uuid = _text(nvml.nvmlDeviceGetUUID(event.device))
            except nvml.NVMLError:  # none is waiting, or its GPU is lost, which the readings show
                break
            found[uuid] = (*found.get(uuid, ()), int(event.eventData))
        return found

    def _told(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a GPU answers; None where it does not know such a thing."""
        nvml = self._nvml
        try:
            return call(*arguments)
        except nvml.NVMLError as error:
            if error.value in (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_RESET_REQUIRED):
                raise _LostError(str(error)) from error
            return None

    def _remember(self, name: GpuName, reading: Reading) -> None:
        self._seen.setdefault(name, []).append(reading)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
