"""GPUs as settings describe them; changes with how sources, selection and verdicts come together."""

from __future__ import annotations

import threading
from datetime import datetime

from monitor.act import gpu
from monitor.act.gpu_readings import Backlog, Seen
from monitor.act.steps import Found
from monitor.clock import Clock
from monitor.config.gpus import GpuSettings
from monitor.outside.gpu.backlog import ServingBacklog, ServingBacklogAtPrometheus
from monitor.outside.gpu.dcgm import DcgmSource
from monitor.outside.gpu.nvml import NvmlSource
from monitor.outside.gpu.prometheus import PrometheusSource
from monitor.outside.gpu.samples import Address
from monitor.outside.gpu.source import BacklogSource, GpuSource, wanted
from monitor.outside.http import HttpClient


class WatchedGpus:
    """Some GPUs; keep one for as long as they matter, since looks are remembered. Safe to share between threads.

    What cannot be asked is unknown, never an error: who asked decides what that means.
    """

    def __init__(self, settings: GpuSettings, source: GpuSource, backlog: BacklogSource | None, clock: Clock) -> None:
        """Look at `source`, and at `backlog` when serving is asked about."""
        self._settings = settings
        self._source = source
        self._backlog = backlog
        self._clock = clock
        self._lock = threading.Lock()

    def look(self) -> None:
        """Remember how things are, where nobody else does: between two questions there may be hours."""
        with self._lock:
            now = self._clock.now()
            if self._settings.source != "prometheus":
                self._source.look(now)
            if (
                self._settings.backlog is not None
                and self._settings.backlog.url is not None
                and self._backlog is not None
            ):
                self._backlog.look(now)

    def headroom(self) -> Found:
        """Say whether there is room for a training; `verdict` is a Headroom."""
        with self._lock:
            now = self._clock.now()
            return gpu.headroom(self._seen(now, Backlog()), self._settings, now)

    def serving(self) -> Found:
        """Say how the GPUs that serve do; `verdict` is a Headroom, `details["state"]` a ServingState."""
        with self._lock:
            now = self._clock.now()
            backlog = Backlog() if self._backlog is None else self._backlog.look(now)
            return gpu.serving(self._seen(now, backlog), self._settings, now)

    def _seen(self, now: datetime, backlog: Backlog) -> Seen:
        found, trouble = self._source.look(now)
        chosen = tuple(each for each in found if wanted(each.name, self._settings))
        if found and not chosen and not trouble:
            trouble = f"none of the {len(found)} GPU(s) seen is one that the settings name"
        return Seen(chosen, trouble, backlog)


def gpus_of(settings: GpuSettings, http: HttpClient, clock: Clock) -> WatchedGpus:
    """Return the GPUs that settings describe; nothing is asked before the first question."""
    seconds = settings.timeout.total_seconds()
    token = settings.token.get_secret_value() if settings.token is not None else ""
    address = Address(settings.url or "", seconds, token)
    backlog: BacklogSource | None = None
    if settings.backlog is not None:
        if settings.backlog.url is not None:
            at = Address(settings.backlog.url, seconds)
            backlog = ServingBacklog(http, at, settings.backlog, settings.look_back)
        else:
            backlog = ServingBacklogAtPrometheus(http, address, settings.backlog, settings.look_back)
    return WatchedGpus(settings, _source(settings, http, address), backlog, clock)


def _source(settings: GpuSettings, http: HttpClient, address: Address) -> GpuSource:
    if settings.source == "nvml":
        return NvmlSource(settings)
    if settings.source == "dcgm":
        return DcgmSource(http, address, settings)
    return PrometheusSource(http, address, settings)
