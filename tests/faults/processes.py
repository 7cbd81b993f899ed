"""What tests of faults share: processes of `driftline` that are killed and started again, and what must be true afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from sqlalchemy import select

from monitor.clock import Deadline, SystemClock
from monitor.store import tables as t
from monitor.store.ledger import Ledger
from tests.conftest import ROOT


@dataclass
class Role:
    """One process of `driftline`, started again whenever it was killed."""

    command: list[str]
    log: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    log_begins: int = 0
    """Where in the log the process that runs now began."""

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.log_begins = log.tell()
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=self.environment)

    def await_started(self) -> None:
        """Return when it works; before that, a SIGTERM would end it as it ends any program."""
        deadline, pause = Deadline.after(SystemClock(), 60), threading.Event()
        while b"] started " not in self.log.read_bytes()[self.log_begins :]:
            assert self.process is not None
            assert self.process.poll() is None, f"it did not start:\n{self.log.read_text()[-3000:]}"
            assert not deadline.expired(), f"it does not start:\n{self.log.read_text()[-3000:]}"
            pause.wait(0.1)

    def kill(self) -> None:
        assert self.process is not None
        assert self.process.poll() is None, f"it had stopped by itself:\n{self.log.read_text()[-3000:]}"
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to drain and end, once it works; return its exit status."""
        self.await_started()
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def role(name: str, log: Path, config: Path) -> Role:
    """Return `driftline NAME -c CONFIG`, not started."""
    command = [sys.executable, "-m", "monitor.cli", name, "-c", str(config)]
    return Role(command, log, {**os.environ, "PYTHONPATH": str(ROOT)})


@contextmanager
def running(roles: Sequence[Role]) -> Iterator[None]:
    """Start all, and end with SIGKILL what the block did not stop."""
    for each in roles:
        each.start()
    try:
        yield
    finally:
        for each in roles:
            if each.process is not None and each.process.poll() is None:
                each.process.kill()
                each.process.wait()


def settings(
    folder: Path, *, bootstrap: Sequence[str], topic: str, store: str, models: Sequence[str], idle_timeout: str = "3s"
) -> Path:
    """Write a driftline.yaml whose cuts are small and frequent; all models come from one topic, in hourly windows."""
    model = {
        "traffic": {"topic": topic},
        "windows": {"length": "1h", "allowed_lateness": "6m", "idle_timeout": idle_timeout, "time": "replay"},
    }
    document = {
        "store": store,
        "spans": {"uri": "file:spans"},
        "kafka": {"bootstrap_servers": list(bootstrap), "group_id": topic},
        "collector": {"cut_interval": "500ms", "max_buffered_rows": 5000},
        "monitor": {"tick": "200ms", "lease": "3s"},
        "models": dict.fromkeys(models, model),
    }
    path = folder / "driftline.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def contiguous(ledger: Ledger) -> bool:
    """Say whether the committed ranges of every partition follow each other without gap or overlap."""
    with ledger.database.read() as connection:
        rows = connection.execute(
            select(t.cut_ranges).order_by(t.cut_ranges.c.source, t.cut_ranges.c.number, t.cut_ranges.c.start_offset)
        ).all()
    expected: dict[tuple[str, int], int] = {}
    for row in rows:
        if row.start_offset != expected.get((row.source, row.number), 0):
            return False
        expected[row.source, row.number] = row.end_offset
    return True


def identities_hold(ledger: Ledger) -> bool:
    """Say whether every message and every record of the committed ranges is accounted for."""
    totals = ledger.identities()
    return (
        totals["messages"] == totals["decoded"] + totals["dead_lettered"]
        and totals["records"] == totals["sampled_out"] + totals["kept"] + totals["late"]
    )


def judged(ledger: Ledger, models: Sequence[str]) -> dict[tuple[str, str, str], int]:
    """Return the rows of the newest revision of every judged window, by model, version and start."""
    documents = [document for model in models for document in ledger.findings(model)]
    assert all(document["rows"] == document["rows_seen"] for document in documents)
    return {(each["model"], each["version"], each["window_start"]): each["rows"] for each in documents}


def state(ledger: Ledger, roles: Sequence[Role]) -> str:
    """Return what one wants to read when a test has failed."""
    logs = "\n".join(f"== {each.log.name}\n{each.log.read_text()[-1500:]}" for each in roles)
    return f"{ledger.identities()}\n{logs}"
