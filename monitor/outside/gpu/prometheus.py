"""GPUs by a Prometheus server that scrapes DCGM exporters; changes with how that is asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from monitor.act.gpu_readings import Gpu
from monitor.config.gpus import GpuSettings
from monitor.errors import InputError, TransientError
from monitor.matchers import parse_matchers
from monitor.outside.gpu.fields import METRICS, gpus_in
from monitor.outside.gpu.samples import Address, asked
from monitor.outside.http import HttpClient


class PrometheusSource:
    """Asks for the scraped values of the last minutes, in one query."""

    def __init__(self, http: HttpClient, address: Address, settings: GpuSettings) -> None:
        """Ask at `address`."""
        self._http = http
        self._address = address
        self._look_back = settings.look_back
        self._matchers = parse_matchers(settings.matchers)

    def look(self, now: datetime) -> tuple[Sequence[Gpu], str]:
        """Return what the server has."""
        try:
            samples = asked(self._http, self._address, METRICS, self._matchers, self._look_back, now)
        except (TransientError, InputError) as error:
            return (), str(error)
        gpus = gpus_in(samples)
        return gpus, "" if gpus else "the Prometheus server has no DCGM metrics of these minutes"
