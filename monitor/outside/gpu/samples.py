"""Samples of Prometheus metrics, from an exporter's text or a server's answer; changes with those two forms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from prometheus_client.parser import text_string_to_metric_families

from monitor.clock import EPOCH
from monitor.errors import InputError, TransientError
from monitor.matchers import Matcher
from monitor.outside.http import Answer, HttpClient


class Unreadable(InputError):
    """A server answered something else than was asked for; the message holds nothing of the answer's body."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series."""

    name: str
    labels: Mapping[str, str]
    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Address:
    """Where samples are asked for; `token` is a bearer token, empty without one."""

    url: str
    timeout_seconds: float
    token: str = ""

    def headers(self) -> dict[str, str]:
        """Return the headers of a request."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def scraped(http: HttpClient, address: Address, names: Sequence[str], at: datetime) -> list[Sample]:
    """Return the samples of some metrics that an exporter shows, as of `at`.

    Raises:
        TransientError: it does not answer, or says that it cannot.
        InputError: what it says is no metrics.
    """
    answer = http.send("GET", address.url, headers=address.headers(), timeout_seconds=address.timeout_seconds)
    _check(answer, "the exporter")
    # The parser gives counters OpenMetrics' suffix, which DCGM's have not.
    wanted = {**{f"{name}_total": name for name in names}, **{name: name for name in names}}
    try:
        families = list(text_string_to_metric_families(answer.body.decode()))
    except (ValueError, IndexError, KeyError, TypeError):  # what its parser makes of text that is no metrics
        raise Unreadable("the exporter's answer is not Prometheus' text format") from None
    return [
        Sample(wanted[sample.name], dict(sample.labels), at, float(sample.value))
        for family in families
        for sample in family.samples
        if sample.name in wanted
    ]


def asked(
    http: HttpClient,
    address: Address,
    names: Sequence[str],
    matchers: Sequence[Matcher],
    look_back: timedelta,
    now: datetime,
) -> list[Sample]:
    """Return the samples of some metrics that a Prometheus server has of the last `look_back`, by series and time.

    They are the scraped ones at their own times. A range query would repeat the last one for five minutes, and what stopped
    would look alive.

    Raises:
        TransientError: it does not answer, or says that it cannot.
        InputError: it refuses, or what it says is no answer.
    """
    conditions = ", ".join([f'__name__=~"{"|".join(names)}"', *map(str, matchers)])
    query = f"{{{conditions}}}[{max(1, math.ceil(look_back.total_seconds()))}s]"
    url = f"{address.url.rstrip('/')}/api/v1/query?" + urlencode(
        {"query": query, "time": f"{(now - EPOCH).total_seconds():.3f}"}
    )
    answer = http.send("GET", url, headers=address.headers(), timeout_seconds=address.timeout_seconds)
    _check(answer, "the Prometheus server")
    try:
        return list(_matrix(answer.json()))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise Unreadable("the Prometheus server's answer is not that of a query") from None


def _matrix(document: Any) -> Iterable[Sample]:
    if document["status"] != "success" or document["data"]["resultType"] != "matrix":
        raise ValueError
    for series in document["data"]["result"]:
        labels = {str(name): str(value) for name, value in series["metric"].items()}
        name = labels.pop("__name__")
        for seconds, value in series["values"]:
            yield Sample(name, labels, EPOCH + timedelta(seconds=float(seconds)), float(value))


def _check(answer: Answer, who: str) -> None:
    if answer.status >= 500 or answer.status in (408, 429):
        raise TransientError(f"{who} answers with status {answer.status}")
    if not 200 <= answer.status < 300:
        raise Unreadable(f"{who} answers with status {answer.status}")
