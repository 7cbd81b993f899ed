from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import parquet
from scipy import stats

from monitor.act.retrain import Confirmation, RetrainState
from monitor.alert.alert import AlertState
from monitor.clock import Deadline, SystemClock
from monitor.demo import broker, flights, replay
from monitor.demo.broker import free_port
from monitor.demo.captured import Captured, captured
from monitor.demo.client import fetch
from monitor.demo.folder import LABEL_HORIZON
from monitor.demo.processes import Child, child
from monitor.errors import TransientError
from monitor.jobs.quality_windows import quality_windows
from monitor.records import EVENT_TIME, LABEL, PREDICTION, REQUEST_ID, Window
from monitor.report.quality_table import WindowQuality
from monitor.store.ledger import Ledger
from tests.unit.demo.servers import Adding, model_server

TOPICS = replay.Topics("flights.requests", "flights.labels")


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[tuple[str, Child]]:
    with broker.embedded(tmp_path / "broker.log", SystemClock()) as running:
        yield running


@contextmanager
def proxied(tmp_path: Path, address: str) -> Iterator[tuple[str, str]]:
    """Run a model server without TensorFlow and the real proxy in front of it; yields its address and that of its metrics."""
    proxy, metrics = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with model_server(Adding()) as model:
        command = [sys.executable, "-m", "monitor.cli", "proxy", "--upstream", f"http://{model}", "--listen", proxy]
        options = ["--topic", TOPICS.traffic, "--bootstrap-servers", address, "--trust-event-time"]
        with child("the proxy", [*command, *options, "--metrics-listen", metrics], tmp_path / "proxy.log") as running:
            deadline = Deadline.after(SystemClock(), 30)
            while fetch(proxy, "/v1/models/flights") is None:
                running.require_running()
                assert not deadline.expired(), running.failure("does not listen")
                Event().wait(0.05)
            yield proxy, metrics


@cache
def all_flights() -> pa.Table:
    return flights.load(flights.data_folder())


def two_days() -> pa.Table:
    return flights.between(all_flights(), datetime(2013, 7, 1, tzinfo=UTC), datetime(2013, 7, 3, tzinfo=UTC))


def progress_of(rows: pa.Table) -> replay.Progress:
    return replay.Progress(np.full(rows.num_rows, np.nan))


def read_all(address: str, least: int) -> list[Any]:
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=[address])
    consumer.assign([TopicPartition(topic, n) for topic in (TOPICS.traffic, TOPICS.labels) for n in range(3)])
    consumer.seek_to_beginning()
    found: list[Any] = []
    # The broker's own "latest" offset is that of the last batch's first record: read on until nothing comes.
    quiet = False
    while len(found) < least or not quiet:
        polled = consumer.poll(500)
        quiet = not polled
        found += [record for records in polled.values() for record in records]
    consumer.close()
    return found


def test_a_replay_is_answered_and_captured_entirely_with_the_time_it_replays(
    kafka: tuple[str, Child], tmp_path: Path
) -> None:
    address, _ = kafka
    rows = two_days()
    asked, progress = replay.requests_in(rows), progress_of(rows)
    landed = rows.num_rows - rows.column(flights.LANDED_AT).null_count
    replay.create_topics([address], TOPICS)
    with proxied(tmp_path, address) as (proxy, metrics):
        counts: list[Captured | None] = []

        def may_go_on() -> bool:
            counts.append(captured(metrics))
            return True

        going = replay.Replay([address], TOPICS, proxy, may_go_on, Event())
        going.run(replay.steps(rows), progress)
        deadline = Deadline.after(SystemClock(), 30)
        while (counted := captured(metrics)) != Captured(sent=asked):
            assert not deadline.expired(), counted
            Event().wait(0.05)
    assert (progress.asked, progress.answered, progress.labels) == (asked, asked, landed)
    assert counts, "nobody asked whether it may go on"
    expected = rows.column("departure_minute").to_numpy() / 1000
    np.testing.assert_allclose(replay.scored(rows, progress).column(PREDICTION).to_numpy(), expected, rtol=1e-6)
    found = read_all(address, asked + landed)
    assert Counter(record.topic for record in found) == {TOPICS.traffic: asked, TOPICS.labels: landed}
    requests = {record.key.decode(): dict(record.headers) for record in found if record.topic == TOPICS.traffic}
    assert set(requests) == set(rows.column(REQUEST_ID).to_pylist())
    assert requests["2013-07-01T12:00Z"]["driftline-event-time"] == b"2013-07-01T12:00:00.000000Z"
    assert {stated["driftline-version"] for stated in requests.values()} == {b"1"}
    labels = [record for record in found if record.topic == TOPICS.labels]
    assert all(replay.partition_of(record.key, 3) == record.partition for record in labels)
    assert {record.key.decode() for record in labels} <= set(requests)


def test_a_cancelled_replay_ends_early_and_one_held_back_asks_nothing(kafka: tuple[str, Child], tmp_path: Path) -> None:
    address, _ = kafka
    replay.create_topics([address], TOPICS)
    with proxied(tmp_path, address) as (proxy, _):
        for held in (False, True):
            cancelled, progress = Event(), progress_of(two_days())
            looked: list[bool] = []

            def may_go_on(held: bool = held, cancelled: Event = cancelled, looked: list[bool] = looked) -> bool:
                looked.append(held)
                if not held or len(looked) == 3:
                    cancelled.set()
                return not held

            going = replay.Replay([address], TOPICS, proxy, may_go_on, cancelled)
            going.run(replay.steps(two_days()), progress)
            assert progress.answered == progress.asked < replay.requests_in(two_days())
            assert len(looked) == (3 if held else 1)


def test_a_model_server_that_is_gone_ends_the_replay_with_one_clear_line(kafka: tuple[str, Child]) -> None:
    address, _ = kafka
    replay.create_topics([address], TOPICS)
    going = replay.Replay([address], TOPICS, f"127.0.0.1:{free_port()}", lambda: True, Event())
    with pytest.raises(TransientError, match="cannot be reached"):
        going.run(replay.steps(two_days()), progress_of(two_days()))


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
@pytest.mark.timeout(600)
def test_the_fast_demo_finds_summer_retrains_the_model_and_counts_everything_once(tmp_path: Path) -> None:
    place = tmp_path / "demo"
    done = subprocess.run(command(place), capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    ledger = Ledger.open(f"sqlite:///{place / 'driftline.db'}", "default")
    documents, counts = ledger.findings("flights"), ledger.identities()
    evaluated = quality_windows(ledger, "flights")
    check_loop(ledger, place)
    ledger.close()
    days = sorted({document["window_start"][:10] for document in documents})
    assert (days[0], days[-1], len(days)) == ("2013-06-20", "2013-07-10", 21)
    flagged = {
        finding["feature"]
        for document in documents
        for finding in document["findings"]
        if finding["flagged"] and finding["reference"] == "training"
    }
    assert "temp" in flagged
    assert "weekday" not in flagged
    traffic = parquet.read_table(place / "traffic.parquet")
    requests, labels = len(traffic.column(REQUEST_ID).unique()), traffic.num_rows - traffic.column(LABEL).null_count
    assert f"✓ {requests:,} requests sent over HTTP = {requests:,} answered by the model server" in done.stdout
    assert counts["messages"] == counts["decoded"] == requests + labels
    assert counts["records"] == counts["kept"] + counts["late"] == traffic.num_rows + labels
    assert traffic.column(PREDICTION).null_count == 0
    assert f"✓ {labels:,} labels sent = {labels:,} labels in the store" in done.stdout
    assert "The model itself, by week" in done.stdout
    told = done.stdout.partition("What was done about it")[2]
    steps = ["QualityLost fires", "Training", "Gate passed", "Canary", "Promoted", "Confirmed"]
    places = [told.find(step) for step in steps]
    assert -1 not in places, told
    assert places == sorted(places), told
    assert "Alert clears" in told
    assert "✗" not in done.stdout
    json.dumps(documents, allow_nan=False)
    alone = 0
    for name in days:
        day = datetime.fromisoformat(f"{name}T00:00:00+00:00")
        of_day = [window for window in evaluated if window.start.startswith(name)]
        if len(of_day) == 1:  # on the others the canary has answered some, which the replayed rows do not tell
            alone += 1
            check_quality(of_day[0], traffic, Window(day, day + timedelta(days=1)))
    assert alone > 10


def check_loop(ledger: Ledger, place: Path) -> None:
    """The lost quality has led to one retrain, which is in service and has cleared the alert."""
    quiet = ledger.alerts.list(model="flights", state=AlertState.INACTIVE)
    (alert,) = [*ledger.alerts.list(model="flights"), *quiet]
    (retrain,) = ledger.retrains.list(model="flights")
    assert alert.state in (AlertState.RESOLVED, AlertState.INACTIVE)
    assert (retrain.state, retrain.confirmation) == (RetrainState.PROMOTED, Confirmation.CLEARED)
    assert (retrain.fingerprint, retrain.episode) == (alert.fingerprint, 1)
    served = {document["version"] for document in ledger.findings("flights")[-3:]}
    assert served == {retrain.candidate["version"]}
    config = (place / "models" / "models.config").read_text(encoding="utf-8")
    assert re.search(rf'key: "stable"\s+value: {retrain.candidate["version"]}', config), config
    assert [each.number for each in ledger.baselines.all_of("flights") if each.active] == [2]
    lines = (place / "notifications.jsonl").read_text(encoding="utf-8").splitlines()
    bodies = [json.loads(line)["body"] for line in lines]
    told = [body["status"] for body in bodies if body["groupLabels"].get("alertname") == "QualityLost"]
    assert (told[0], told[-1], len(told) % 2) == ("firing", "resolved", 0)


def check_quality(window: WindowQuality, traffic: pa.Table, day: Window) -> None:
    """Compare what the ledger says of a day with the replayed rows, by the definition of each metric."""
    assert window.evaluation is not None
    landings = flights.between(all_flights(), day.start, day.end)
    rows = flights.between(traffic, day.start, day.end)
    assert rows.column(REQUEST_ID) == landings.column(REQUEST_ID)
    took = pc.subtract(landings.column(flights.LANDED_AT), landings.column(EVENT_TIME))
    known = rows.filter(pc.less_equal(took, pa.scalar(LABEL_HORIZON, took.type)))
    late, scores = known.column(LABEL).to_numpy() == 1, known.column(PREDICTION).to_numpy()
    found = window.measured()
    assert window.evaluation["labels"]["labelled"] == found["example_count"] == known.num_rows
    assert found["mean_label"] == pytest.approx(late.mean())
    assert found["binary_accuracy"] == pytest.approx(np.mean((scores > 0.5) == late))
    # The share of pairs in the right order; TFMA's has 10,000 thresholds.
    wins = stats.mannwhitneyu(scores[late], scores[~late]).statistic
    assert found["auc"] == pytest.approx(wins / (late.sum() * (~late).sum()), abs=1e-3)
    assert window.estimated("auc") is not None


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
