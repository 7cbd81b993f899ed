"""A real Prometheus and a real Alertmanager on free ports of the loopback, for tests of what comes of a metric.

`binary` skips a test, or fails it where servers are required, when a program is not installed. Everything that is started here is
stopped when its block ends, and every wait has a limit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import yaml
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from monitor.clock import Deadline, SystemClock
from tests.conftest import free_port
from tests.loopback import Reply, http_server

PACKAGES = {
    "amtool": "prometheus-alertmanager",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "promtool": "prometheus",
}
"""Programs and the Debian packages that have them; elsewhere the server is called alertmanager."""

INTERVAL = "200ms"
"""How often metrics are scraped and rules evaluated."""

Found = TypeVar("Found")

_READY_SECONDS = 30.0
_STOP_SECONDS = 10.0
_AGAIN_SECONDS = 0.05


def binary(name: str) -> str:
    """Return the path of a program of the Prometheus project, or skip (fail where servers are required)."""
    path = shutil.which(name) or shutil.which(name.removeprefix("prometheus-"))
    if path is None:
        reason = f"{name} is not on PATH (apt-get install {PACKAGES[name]})"
        if os.environ.get("DRIFTLINE_REQUIRE_SERVERS"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def eventually(look: Callable[[], Found | None], what: str, seconds: float = _READY_SECONDS) -> Found:
    """Return what `look` returns once it is true; fails after `seconds`, saying what was waited for."""
    deadline, pause = Deadline.after(SystemClock(), seconds), threading.Event()
    while not (found := look()):
        assert not deadline.expired(), f"within {seconds:g} s: {what}"
        pause.wait(_AGAIN_SECONDS)
    return found


@dataclass(frozen=True)
class Watching:
    """A Prometheus that scrapes `registry`, and the Alertmanager that it tells; both by their addresses."""

    registry: CollectorRegistry
    prometheus: str
    alertmanager: str

    def asked(self, query: str) -> list[float]:
        """Return the values that the Prometheus has for a query."""
        answer = httpx.get(f"{self.prometheus}/api/v1/query", params={"query": query}, timeout=_STOP_SECONDS)
        return [float(series["value"][1]) for series in answer.raise_for_status().json()["data"]["result"]]


@contextmanager
def watching(
    folder: Path, rules: Sequence[Mapping[str, Any]], receiver: str, token: str, repeat: str = "1s"
) -> Iterator[Watching]:
    """Start both and yield them once they answer.

    Args:
        folder: for their files and logs; empty.
        rules: of one group, as in a file of rules.
        receiver: URL to which the Alertmanager posts all alerts, at once, again after `repeat`, and when they end.
        token: bearer token that it sends.
        repeat: its `repeat_interval`; it groups by the labels `alertname` and `model`.
    """
    registry = CollectorRegistry()
    with (
        http_server(lambda _: Reply(200, {"Content-Type": CONTENT_TYPE_LATEST}, generate_latest(registry))) as metrics,
        _alertmanager(folder, receiver, token, repeat) as alertmanager,
        _prometheus(folder, rules, metrics.url, alertmanager) as prometheus,
    ):
        yield Watching(registry, prometheus, alertmanager)


@contextmanager
def _alertmanager(folder: Path, receiver: str, token: str, repeat: str) -> Iterator[str]:
    (folder / "token").write_text(token)
    config = {
        "route": {
            "receiver": "test",
            "group_by": ["alertname", "model"],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": repeat,
        },
        "receivers": [
            {
                "name": "test",
                "webhook_configs": [
                    {
                        "url": receiver,
                        "send_resolved": True,
                        "http_config": {"authorization": {"credentials_file": str(folder / "token")}},
                    }
                ],
            }
        ],
    }
    file = folder / "alertmanager.yml"
    file.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    arguments = (
        f"--config.file={file}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
    )
    with _running(binary("prometheus-alertmanager"), (*arguments, "--cluster.listen-address="), address, folder):
        yield f"http://{address}"


@contextmanager
def _prometheus(folder: Path, rules: Sequence[Mapping[str, Any]], metrics: str, alertmanager: str) -> Iterator[str]:
    groups = [{"name": "test", "interval": INTERVAL, "rules": [dict(rule) for rule in rules]}]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    config = {
        "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL},
        "rule_files": [str(folder / "rules.yml")],
        "scrape_configs": [{"job_name": "test", "static_configs": [{"targets": [metrics.removeprefix("http://")]}]}],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [alertmanager.removeprefix("http://")]}]}],
        },
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    arguments = (f"--config.file={file}", f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address={address}")
    with _running(binary("prometheus"), arguments, address, folder):
        yield f"http://{address}"


@contextmanager
def _running(program: str, arguments: Sequence[str], address: str, folder: Path) -> Iterator[None]:
    log = folder / f"{Path(program).name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen([program, *arguments], stdout=output, stderr=subprocess.STDOUT)
    try:
        eventually(lambda: _ready(process, address, log), f"{Path(program).name} is ready; its log: {log}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(process: subprocess.Popen[bytes], address: str, log: Path) -> bool:
    assert process.poll() is None, f"it stopped: {log.read_text(errors='replace')[-2000:]}"
    try:
        return httpx.get(f"http://{address}/-/ready", timeout=_STOP_SECONDS).is_success
    except httpx.TransportError:
        return False
