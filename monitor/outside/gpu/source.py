"""What a source of readings is; changes with what is asked of one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from monitor.act.gpu_readings import Backlog, Gpu, GpuName
from monitor.config.gpus import GpuSettings


class GpuSource(Protocol):
    """Where the state of GPUs is read."""

    def look(self, now: datetime) -> tuple[Sequence[Gpu], str]:
        """Return the GPUs with their readings of the last minutes, and why some may be missing, empty where nothing is amiss."""
        ...


class BacklogSource(Protocol):
    """Where it is read how long requests take."""

    def look(self, now: datetime) -> Backlog:
        """Return the means of the last minutes."""
        ...


def wanted(name: GpuName, settings: GpuSettings) -> bool:
    """Say whether settings ask for this GPU or instance; a host's name may be given with or without its domain."""
    hosts = {name.hostname, name.hostname.split(":")[0], name.hostname.split(".")[0]}
    return (
        (not settings.hostnames or not hosts.isdisjoint(settings.hostnames))
        and (not settings.devices or name.index in settings.devices or name.uuid in settings.devices)
        and (not settings.instances or name.instance in settings.instances or name.profile in settings.instances)
    )
