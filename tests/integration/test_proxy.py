"""`driftline proxy` as it runs: a process between clients and a model server, with a broker that is there, or is not."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.admin import NewTopic
from kafka.consumer.fetcher import ConsumerRecord

from collectors.decoders import decoder_of
from collectors.source import Block
from collectors.streams import streams_of
from collectors.wire.blocks import Envelope
from monitor.clock import Deadline, SystemClock
from monitor.config.settings import Settings
from monitor.cuts import Partition
from monitor.demo.broker import embedded
from monitor.records import FEATURE_PREFIX, FeatureType, SpanKind, ValueType
from tests.conftest import free_port
from tests.integration.conftest import Driftline

REQUESTS = 60
TYPES = {"miles": FeatureType(ValueType.FLOAT), "carrier": FeatureType(ValueType.BYTES)}
MODEL_STATUS = {"model_version_status": [{"version": "3", "state": "AVAILABLE"}]}


class _Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(MODEL_STATUS)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer({"predictions": [row["miles"] / 1000 for row in asked["instances"]]})

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def model() -> Iterator[str]:
    """URL of a model server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Model) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def proxied(
    log: Path, model: str, broker: str, topic: str, *options: str
) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """Run the proxy; yields its process, its port and that of its metrics."""
    port, metrics = free_port(), free_port()
    command = [
        *(sys.executable, "-m", "monitor.cli", "proxy", "--upstream", model, "--topic", topic),
        *("--bootstrap-servers", broker, "--listen", f"127.0.0.1:{port}", "--metrics-listen", f"127.0.0.1:{metrics}"),
        *options,
    ]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            wait(lambda: b"started" in log.read_bytes() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield process, port, metrics
        finally:
            process.kill()


def wait(done: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline, pause = Deadline.after(SystemClock(), seconds), threading.Event()
    while not done():
        assert not deadline.expired()
        pause.wait(0.05)


def ask(port: int, numbers: range) -> float:
    """Send a request for each number on one connection; returns the longest that one took, in seconds."""
    clock, slowest = SystemClock(), 0.0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for number in numbers:
        rows = [{"miles": number + 0.5, "carrier": "UA"}, {"miles": number + 0.25, "carrier": "AA"}]
        began = clock.monotonic()
        connection.request(
            "POST", "/v1/models/fares:predict", json.dumps({"instances": rows}), {"X-Request-Id": f"r-{number}"}
        )
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.headers["x-request-id"] == f"r-{number}"
        assert json.loads(answer.read()) == {"predictions": [row["miles"] / 1000 for row in rows]}  # type: ignore[operator]
        slowest = max(slowest, clock.monotonic() - began)
    connection.close()
    return slowest


def counters(port: int) -> dict[str, int]:
    """Return the totals of the capture, drops added up."""
    totals: dict[str, int] = {}
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as page:
        for line in page.read().decode().splitlines():
            name, _, value = line.partition(" ")
            short = name.partition("{")[0].removeprefix("driftline_capture_")
            if name.startswith("driftline_capture_") and not short.endswith("_created"):
                totals[short] = totals.get(short, 0) + int(float(value))
    return totals


def consumed(broker: str, topic: str, count: int) -> Block:
    """Return the first `count` messages of a topic with one partition."""
    consumer = KafkaConsumer(topic, bootstrap_servers=broker, auto_offset_reset="earliest", enable_auto_commit=False)
    found: list[ConsumerRecord] = []
    deadline = Deadline.after(SystemClock(), 30.0)
    while len(found) < count:
        assert not deadline.expired(), f"{len(found)} of {count} messages"
        found += [one for records in consumer.poll(500).values() for one in records]
    consumer.close()
    return Block(
        Partition(topic, 0, topic),
        1,
        0,
        len(found),
        np.arange(len(found), dtype=np.int64),
        [one.value for one in found],
        headers=[one.headers for one in found],
        timestamps=np.array([one.timestamp for one in found], dtype=np.int64),
    )


@pytest.mark.parametrize("name", ["embedded_broker", pytest.param("kafka_bootstrap", marks=pytest.mark.kafka)])
def test_what_clients_were_answered_is_what_a_collector_decodes(
    name: str, request: pytest.FixtureRequest, model: str, tmp_path: Path
) -> None:
    broker, topic = str(request.getfixturevalue(name)), f"fares-{uuid.uuid4().hex}"
    admin = KafkaAdminClient(bootstrap_servers=broker)
    admin.create_topics([NewTopic(topic, 1, 1)])
    admin.close()
    with proxied(tmp_path / "log", model, broker, topic) as (process, port, metrics):
        ask(port, range(REQUESTS))
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/readyz", timeout=20) as ready:
            assert ready.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (tmp_path / "log").read_text()
    block = consumed(broker, topic, REQUESTS)
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": [broker]},
            "models": {"fares": {"traffic": {"topic": topic, "format": "prediction_log"}}},
        }
    )
    (stream,) = streams_of(settings)
    envelope = Envelope(SpanKind.TRAFFIC, {"fares": TYPES}, {"fares": timedelta(hours=1)})
    decoded = decoder_of(stream, envelope)(block, SystemClock().now())
    assert not decoded.dead
    rows = decoded.parts["fares"].to_pylist()
    assert len(rows) == 2 * REQUESTS
    for index, row in enumerate(rows):
        number, instance = divmod(index, 2)
        assert (row["request_id"], row["instance"]) == (f"r-{number}", instance)
        assert row["version"] == "3"
        assert row["status"] == "200"
        assert row[FEATURE_PREFIX + "miles"] == number + (0.25 if instance else 0.5)
        assert row["prediction"] == row[FEATURE_PREFIX + "miles"] / 1000
        assert row["hash_rate"] == row["rate"] == 1.0


def test_while_kafka_is_away_serving_goes_on_memory_is_bounded_and_drops_are_counted(
    model: str, tmp_path: Path
) -> None:
    with embedded(tmp_path / "broker.log", SystemClock()) as (address, broker):
        limit = 2**16
        with proxied(tmp_path / "log", model, address, "fares", "--max-buffer-bytes", str(limit), "--drain", "1") as (
            process,
            port,
            metrics,
        ):
            ask(port, range(10))
            wait(lambda: counters(metrics)["sent_total"] == 10)
            broker.stop()
            assert ask(port, range(10, 210)) < 5.0
            away = counters(metrics)
            assert away["dropped_total"] > 100
            assert 0 < away["buffered_bytes"] <= limit
            process.send_signal(signal.SIGTERM)
            assert process.wait(40) == 0, (tmp_path / "log").read_text()


def test_kafka_may_come_later(model: str, tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with proxied(tmp_path / "log", model, nobody, "fares", "--drain", "0.5") as (process, port, metrics):
        assert ask(port, range(20)) < 5.0
        wait(lambda: b"capture_not_sent" in (tmp_path / "log").read_bytes())
        assert counters(metrics)["sent_total"] == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    text = (tmp_path / "log").read_text()
    assert text.count("capture_not_sent") == 1
    assert "capture_cut_short" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["--upstream", "ftp://x"], "http://", id="an upstream that is no HTTP server"),
        pytest.param(["--upstream", "http://x/path"], "http://", id="an upstream with a path"),
        pytest.param(["--listen", "8500"], "HOST:PORT", id="an address without a host"),
        pytest.param(["--bootstrap-servers", " "], "--bootstrap-servers", id="no broker"),
        pytest.param(["--rate", "0"], "--rate", id="a rate of nothing"),
    ],
)
def test_what_makes_no_sense_is_refused(driftline: Driftline, arguments: list[str], says: str) -> None:
    basics = ["--upstream", "http://127.0.0.1:1", "--topic", "t", "--bootstrap-servers", "127.0.0.1:1"]
    ran = driftline("proxy", *basics, *arguments)
    assert ran.code == 2
    assert says in ran.stderr


def test_an_address_that_is_taken_is_one_line_and_not_a_traceback(driftline: Driftline, model: str) -> None:
    taken = model.removeprefix("http://")
    ran = driftline(
        "proxy", "--upstream", model, "--listen", taken, "--topic", "t", "--bootstrap-servers", "127.0.0.1:1"
    )
    assert ran.code == 2
    assert f"--listen {taken}" in ran.stderr.strip().splitlines()[-1]
