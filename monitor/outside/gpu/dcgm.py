"""GPUs by a DCGM exporter's own page of metrics; changes with how that is asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from monitor.act.gpu_readings import Gpu
from monitor.config.gpus import GpuSettings
from monitor.errors import InputError, TransientError
from monitor.outside.gpu.fields import METRICS, gpus_in
from monitor.outside.gpu.samples import Address, Sample, scraped
from monitor.outside.http import HttpClient


class DcgmSource:
    """Looks at an exporter, and remembers its looks for `look_back`: one alone does not tell when an error happened."""

    def __init__(self, http: HttpClient, address: Address, settings: GpuSettings) -> None:
        """Ask at `address`."""
        self._http = http
        self._address = address
        self._keep = settings.look_back
        self._looks: list[tuple[datetime, list[Sample]]] = []

    def look(self, now: datetime) -> tuple[Sequence[Gpu], str]:
        """Return what this look and those before it showed; an exporter that is gone leaves its last looks to grow old."""
        trouble = ""
        try:
            self._looks.append((now, scraped(self._http, self._address, METRICS, now)))
        except (TransientError, InputError) as error:
            trouble = str(error)
        self._looks = [(at, samples) for at, samples in self._looks if now - self._keep <= at <= now]
        gpus = gpus_in(sample for _, samples in self._looks for sample in samples)
        if not trouble and not gpus:
            trouble = "the exporter shows no DCGM metrics"
        return gpus, trouble
