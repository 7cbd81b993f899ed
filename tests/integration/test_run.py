"""`driftline run` as a process: it works on files, shows metrics, reloads its settings, and drains on SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.clock import Deadline, SystemClock, rfc3339
from monitor.store.ledger import Ledger
from tests.conftest import free_port
from tests.unit.outside.gpu.servers import Pages, serving

START = datetime(2026, 3, 1, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


def lines(hours: range, per_hour: int = 40) -> str:
    """Return records of some hours, and one line that cannot be read."""
    found = ["{broken"]
    for hour in hours:
        for place in range(per_hour):
            moment = START + timedelta(hours=hour, minutes=place)
            body = {"model": "m", "version": "1", "request_id": f"{hour}-{place}", "event_time": rfc3339(moment)}
            found.append(json.dumps(body | {"features": {"x": place}, "prediction": 0.5}))
    return "\n".join(found) + "\n"


class Running:
    """The process, its log, and its ledger."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.log = folder / "log"
        self.write_settings()
        (folder / "requests.jsonl").write_text(lines(range(4)))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "monitor.cli",
                    "run",
                    "-c",
                    str(folder / "driftline.yaml"),
                    "--log-format",
                    "json",
                ],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def write_settings(self, extra: str = "") -> None:
        (self.folder / "driftline.yaml").write_text(
            "models:\n  m:\n    traffic: {files: '*.jsonl'}\n"
            "    windows: {length: 1h, allowed_lateness: 1m, idle_timeout: 1s, time: replay}\n"
            "collector: {cut_interval: 200ms}\nmonitor: {tick: 200ms}\n"
            f"api: {{listen: '127.0.0.1:{self.port}'}}\n{extra}"
        )

    def events(self, name: str) -> list[dict[str, object]]:
        found = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [event for event in found if event["event"] == name]

    def until(self, done: Callable[[], bool], seconds: float = 60) -> None:
        deadline, pause = Deadline.after(SystemClock(), seconds), threading.Event()
        while not done():
            assert self.process.poll() is None, self.log.read_text()
            assert not deadline.expired(), self.log.read_text()
            pause.wait(0.1)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    started = Running(tmp_path, free_port())
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.wait()


@pytest.fixture
def exporter() -> Iterator[Pages]:
    with serving() as pages:
        yield pages


def test_run_judges_files_reloads_and_drains(running: Running, exporter: Pages) -> None:
    running.until(lambda: len(running.events("window_judged")) == 3)
    page = urllib.request.urlopen(f"http://127.0.0.1:{running.port}/metrics", timeout=10).read().decode()
    assert "driftline_ledger_messages 161.0" in page
    assert 'driftline_ledger_unaccounted{identity="records"} 0.0' in page
    assert 'driftline_windows_judged{model="m",verdict="insufficient_evidence"} 3.0' in page

    running.write_settings("nonsense: 1\n")
    running.process.send_signal(signal.SIGHUP)
    running.until(lambda: len(running.events("reload_refused")) == 1)
    assert "nonsense" in str(running.events("reload_refused")[0]["reason"])
    assert running.events("draining") == []

    running.write_settings("team: 2026-02-30\n")
    running.process.send_signal(signal.SIGHUP)
    running.until(lambda: len(running.events("reload_refused")) == 2)

    running.write_settings(f"spans: {{keep: 30d}}\ngpus: {{g: {{source: dcgm, url: '{exporter.url}/metrics'}}}}\n")
    running.process.send_signal(signal.SIGHUP)
    running.until(lambda: len(running.events("started")) == 2)
    running.until(lambda: len(exporter.asked) > 0)  # though no decision asks for the GPUs
    with (running.folder / "requests.jsonl").open("a") as file:
        file.write(lines(range(4, 6)))
    running.until(lambda: len(running.events("window_judged")) == 5)

    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=60) == 0
    ledger = Ledger.open(f"sqlite:///{running.folder}/state/driftline.db", "default")
    assert [(found["rows"], found["revision"]) for found in ledger.findings("m")] == [(40, 1)] * 5
    assert ledger.identities()["messages"] == 242
    ledger.close()
