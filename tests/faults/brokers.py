"""Apache Kafka brokers of a test's own, that it may kill and start again with their logs kept; changes with how Kafka is run."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor.clock import Deadline, SystemClock
from tests.conftest import ROOT, free_port

LIBRARIES = ROOT / ".tools" / "kafka" / "libs"
_START_SECONDS = 90
# Compiling no more than the plainest code and collecting with one thread leaves the two processors to what is tested.
_JAVA = ["java", "-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
_LOGGING = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"


def require_kafka() -> None:
    """Skip the test, or fail it where servers are required, when Apache Kafka's own jars or Java are not here."""
    if shutil.which("java") and (LIBRARIES / ".complete").exists():
        return
    reason = "Java or the jars of Apache Kafka are not here (`scripts/kafka.sh fetch` gets the jars)"
    if os.environ.get("DRIFTLINE_REQUIRE_SERVERS"):
        pytest.fail(reason)
    pytest.skip(reason)


def _java(*arguments: str) -> list[str]:
    return [*_JAVA, _LOGGING, "-cp", f"{LIBRARIES}/*", *arguments]


@dataclass
class Broker:
    """One broker, that is a controller too. Its log folder outlives its process."""

    number: int
    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def properties(self) -> Path:
        return self.folder / "server.properties"

    def start(self) -> None:
        """Start it; it listens some seconds later."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(_java("kafka.Kafka", str(self.properties)), stdout=log, stderr=log)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        assert self.process is not None
        assert self.process.poll() is None, f"broker {self.number} had stopped by itself:\n{self.said()}"
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def await_listening(self) -> None:
        """Return when it takes connections."""
        deadline, pause = Deadline.after(SystemClock(), _START_SECONDS), threading.Event()
        while True:
            assert self.process is not None
            assert self.process.poll() is None, f"broker {self.number} did not start:\n{self.said()}"
            assert not deadline.expired(), f"broker {self.number} does not listen:\n{self.said()}"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            pause.wait(0.1)

    def said(self) -> str:
        """Return the end of what it logged."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]


@dataclass(frozen=True)
class Cluster:
    """Brokers that know each other."""

    brokers: list[Broker]

    @property
    def bootstrap(self) -> list[str]:
        """host:port of every broker."""
        return [f"127.0.0.1:{broker.port}" for broker in self.brokers]

    def __str__(self) -> str:
        version = next(LIBRARIES.glob("kafka_2.13-*.jar")).stem.rpartition("-")[2]
        return f"Apache Kafka {version}, {len(self.brokers)} broker(s)"


@contextmanager
def cluster(folder: Path, size: int) -> Iterator[Cluster]:
    """Run brokers, each record on all of them and acknowledged by all but one; stop them in the end."""
    found = Cluster([_prepared(number, folder / f"broker-{number}") for number in range(1, size + 1)])
    ports = [free_port() for _ in found.brokers]
    voters = ",".join(f"{number}@127.0.0.1:{port}" for number, port in enumerate(ports, 1))
    for broker, port in zip(found.brokers, ports, strict=True):
        broker.properties.write_text(_properties(broker, port, voters, size))
    _format(found)
    try:
        for broker in found.brokers:
            broker.start()
        for broker in found.brokers:
            broker.await_listening()
        yield found
    finally:
        for broker in found.brokers:
            if broker.process is not None and broker.process.poll() is None:
                broker.kill()


def _prepared(number: int, folder: Path) -> Broker:
    folder.mkdir(parents=True)
    return Broker(number, free_port(), folder)


def _format(of: Cluster) -> None:
    """Give the log folders their identity."""
    identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    # "--" would be taken for an option.
    identity = "k" + identity[1:]
    tasks = []
    for broker in of.brokers:
        with (broker.folder / "log").open("ab") as log:
            tool = _java("kafka.tools.StorageTool", "format", "-t", identity, "-c", str(broker.properties))
            tasks.append(subprocess.Popen(tool, stdout=log, stderr=log))
    for broker, task in zip(of.brokers, tasks, strict=True):
        assert task.wait(_START_SECONDS) == 0, broker.said()


def _properties(broker: Broker, controller_port: int, voters: str, size: int) -> str:
    in_sync = max(1, size - 1)
    return f"""\
process.roles=broker,controller
node.id={broker.number}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{broker.port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker.port}
log.dirs={broker.folder / "data"}
auto.create.topics.enable=false
default.replication.factor={size}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={size}
offsets.topic.num.partitions=3
transaction.state.log.replication.factor={size}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor={size}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
# The dead are noticed soon.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
controller.quorum.fetch.timeout.ms=2000
# Small, for small heaps.
log.cleaner.dedupe.buffer.size=8388608
num.network.threads=2
num.io.threads=4
background.threads=2
"""
