from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow as pa
import pytest

from monitor.clock import SystemClock
from monitor.demo import broker, flights, replay
from monitor.demo.processes import Child
from monitor.errors import TransientError
from monitor.records import PREDICTION
from monitor.store.ledger import Ledger

TOPICS = replay.Topics("flights.requests", "flights.labels")


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[tuple[str, Child]]:
    with broker.embedded(tmp_path / "broker.log", SystemClock()) as running:
        yield running


def two_days() -> pa.Table:
    july = flights.load(flights.data_folder())
    rows = flights.between(july, datetime(2013, 7, 1, tzinfo=UTC), datetime(2013, 7, 3, tzinfo=UTC))
    return rows.append_column(PREDICTION, pa.array(np.full(rows.num_rows, 0.5)))


def test_a_replay_is_in_kafka_entirely_and_keyed(kafka: tuple[str, Child]) -> None:
    from kafka import KafkaConsumer, TopicPartition

    address, _ = kafka
    rows, counted = two_days(), Counter[str]()
    landed = rows.num_rows - rows.column(flights.LANDED_AT).null_count
    replay.create_topics([address], TOPICS)
    sent: list[int] = []
    replay.replay([address], TOPICS, replay.messages(rows), sent.append, Event())
    consumer = KafkaConsumer(bootstrap_servers=[address])
    consumer.assign([TopicPartition(topic, n) for topic in (TOPICS.traffic, TOPICS.labels) for n in range(3)])
    consumer.seek_to_beginning()
    # The broker's own "latest" offset is that of the last batch's first record: read on until nothing comes.
    quiet = False
    while sum(counted.values()) < rows.num_rows + landed or not quiet:
        polled = consumer.poll(500)
        quiet = not polled
        for partition, records in polled.items():
            counted[partition.topic] += len(records)
            assert all(replay.partition_of(record.key, 3) == partition.partition for record in records)
    consumer.close()
    assert counted == {TOPICS.traffic: rows.num_rows, TOPICS.labels: landed}
    assert sum(sent) == rows.num_rows + landed


def test_a_cancelled_replay_ends_early(kafka: tuple[str, Child]) -> None:
    address, _ = kafka
    cancelled, sent = Event(), list[int]()
    replay.create_topics([address], TOPICS)
    cancelled.set()
    replay.replay([address], TOPICS, replay.messages(two_days()), sent.append, cancelled)
    assert sent == []


def test_without_a_broker_there_is_one_clear_line(kafka: tuple[str, Child]) -> None:
    address, process = kafka
    process.stop()
    with pytest.raises(TransientError, match=address):
        replay.create_topics([address], TOPICS)


def command(directory: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "monitor.cli", "demo", "--fast", "--dir", str(directory), *arguments]


def listening(address: str) -> bool:
    host, port = address.rsplit(":", 1)
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_fast_demo_finds_summer_and_counts_everything_once(tmp_path: Path) -> None:
    place = tmp_path / "demo"
    done = subprocess.run(command(place), capture_output=True, text=True, timeout=380, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    ledger = Ledger.open(f"sqlite:///{place / 'driftline.db'}", "default")
    documents, counts = ledger.findings("flights"), ledger.identities()
    ledger.close()
    assert [document["window_start"][:10] for document in documents][:2] == ["2013-06-20", "2013-06-21"]
    assert len(documents) == 21
    flagged = {
        finding["feature"]
        for document in documents
        for finding in document["findings"]
        if finding["flagged"] and finding["reference"] == "training"
    }
    assert "temp" in flagged
    assert "weekday" not in flagged
    assert counts["messages"] == counts["decoded"] == counts["records"] == counts["kept"] + counts["late"]
    assert "temp" in done.stdout
    json.dumps(documents, allow_nan=False)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_an_interrupt_stops_everything_that_was_started(tmp_path: Path) -> None:
    place = tmp_path / "demo"
    with subprocess.Popen(command(place), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        assert demo.stdout is not None
        said = ""
        while "Train the model" not in said:
            line = demo.stdout.readline()
            assert line, f"it ended before it trained: {said}"
            said += line
        address = next(part for part in said.split() if part.startswith("127.0.0.1:"))
        assert listening(address)
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=60)
        assert demo.returncode == 130, rest
        assert "Traceback" not in rest
        assert not listening(address)
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = process.read_text("utf-8", "replace")
            assert str(place) not in line, f"still running: {line}"
