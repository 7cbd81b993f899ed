"""How long requests take in front of the GPUs, by TensorFlow Serving's metrics; changes with their names.

They are histograms in microseconds; means are of what was counted between the first and the last look.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise

from monitor.act.gpu_readings import Backlog
from monitor.config.gpus import BacklogSettings
from monitor.errors import InputError, TransientError
from monitor.matchers import Matcher, parse_matchers
from monitor.outside.gpu.samples import Address, Sample, asked, scraped
from monitor.outside.http import HttpClient

QUEUE = ":tensorflow:serving:batching_session:queuing_latency"
LATENCY = ":tensorflow:serving:request_latency"
METRICS = tuple(f"{name}_{part}" for name in (QUEUE, LATENCY) for part in ("sum", "count"))
_MICROSECONDS = 1e6


class ServingBacklog:
    """Looks at TensorFlow Serving's page of metrics, and remembers its looks for `look_back`: its counters never start anew."""

    def __init__(self, http: HttpClient, address: Address, settings: BacklogSettings, look_back: timedelta) -> None:
        """Ask at `address`."""
        self._http = http
        self._address = address
        self._model = settings.model_name
        self._keep = look_back
        self._looks: list[tuple[datetime, list[Sample]]] = []

    def look(self, now: datetime) -> Backlog:
        """Return the means between the remembered looks; nothing is known after the first."""
        try:
            self._looks.append((now, scraped(self._http, self._address, METRICS, now)))
        except (TransientError, InputError) as error:
            return Backlog(trouble=f"TensorFlow Serving: {error}")
        self._looks = [(at, samples) for at, samples in self._looks if now - self._keep <= at <= now]
        if len(self._looks) < 2:
            return Backlog(trouble="requests were counted once only: their times are known from the second look on")
        return means(sample for _, samples in self._looks for sample in samples if _is_of(sample, self._model))


class ServingBacklogAtPrometheus:
    """Asks a Prometheus server for what it scraped of TensorFlow Serving."""

    def __init__(self, http: HttpClient, address: Address, settings: BacklogSettings, look_back: timedelta) -> None:
        """Ask at `address`."""
        self._http = http
        self._address = address
        model = [Matcher("model_name", "=", settings.model_name)] if settings.model_name else []
        self._matchers = (*parse_matchers(settings.matchers), *model)
        self._look_back = look_back

    def look(self, now: datetime) -> Backlog:
        """Return the means of the scraped values of the last minutes."""
        try:
            return means(asked(self._http, self._address, METRICS, self._matchers, self._look_back, now))
        except (TransientError, InputError) as error:
            return Backlog(trouble=f"TensorFlow Serving: {error}")


def means(samples: Iterable[Sample]) -> Backlog:
    """Return what the counters grew by, over all series; samples of a series are in their order in time."""
    series: dict[tuple[str, frozenset[tuple[str, str]]], list[float]] = defaultdict(list)
    for sample in samples:
        series[sample.name, frozenset(sample.labels.items())].append(sample.value)
    if not series:
        return Backlog(trouble="TensorFlow Serving's metrics are not there")
    grown: dict[str, float] = defaultdict(float)
    for (name, _), values in series.items():
        # A counter that fell began anew with its process.
        grown[name] += sum(after - before if after >= before else after for before, after in pairwise(values))
    return Backlog(grown[f"{LATENCY}_count"], _mean(grown, QUEUE), _mean(grown, LATENCY))


def _mean(grown: dict[str, float], name: str) -> float | None:
    count = grown[f"{name}_count"]
    return grown[f"{name}_sum"] / count / _MICROSECONDS if count else None


def _is_of(sample: Sample, model: str | None) -> bool:
    return model is None or sample.labels.get("model_name") == model
