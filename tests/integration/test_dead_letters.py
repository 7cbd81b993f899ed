"""Dead letters from the topic to the ledger, to their own topic, and back to records, each of them once."""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from collectors.forwarding import Forwarder
from collectors.letter_topic import KafkaLetterTopic
from collectors.metrics import CollectorMetrics
from collectors.replaying import Replayer, find
from collectors.runner import Collector
from collectors.sources import open_sources
from monitor.clock import SystemClock, rfc3339
from monitor.config.loading import load_settings
from monitor.config.settings import KafkaSettings
from monitor.cuts import SpanStorage
from monitor.dead_letters import Choice, StoredLetter
from monitor.errors import StaleClaim, TransientError
from monitor.store import tables as t
from monitor.store.ledger import Ledger
from monitor.store.span_storage import open_storage
from tests.integration.conftest import Driftline

START = datetime(2026, 3, 1, tzinfo=UTC)


def message(index: int, model: str = "known") -> bytes:
    moment = START + timedelta(seconds=index)
    body = {"model": model, "version": "1", "request_id": f"{model}-{index}", "event_time": rfc3339(moment)}
    return json.dumps(body | {"features": {"x": index}}).encode()


@dataclass
class Place:
    """A folder with a settings file, and what a collector makes of it."""

    folder: Path
    stream: dict[str, object]
    kafka: dict[str, object] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "driftline.yaml"

    def configure(self, models: Sequence[str], **collector: object) -> None:
        document = {
            "models": {model: {"traffic": self.stream} for model in models},
            "collector": {"cut_interval": "50ms", "max_dead_letter_ratio": 1.0} | collector,
        }
        self.config.write_text(yaml.safe_dump(document | ({"kafka": self.kafka} if self.kafka else {})))

    def collect(self) -> None:
        settings = load_settings(self.config)
        with self.ledger() as ledger:
            for kind, (streams, source) in open_sources(settings, SystemClock()).items():
                Collector(
                    kind,
                    streams,
                    settings.collector,
                    ledger=ledger.cuts,
                    storage=self.storage(),
                    source=source,
                    clock=SystemClock(),
                    registry=CollectorRegistry(),
                ).run(threading.Event(), until_caught_up=True)

    def ledger(self) -> Opened:
        return Opened(load_settings(self.config).store)

    def storage(self) -> SpanStorage:
        return open_storage(load_settings(self.config).spans.uri)

    def ids(self) -> Counter[str]:
        with self.ledger() as ledger, ledger.database.read() as connection:
            names = connection.execute(select(t.spans.c.name).where(t.spans.c.state == "sealed")).scalars().all()
        tables = [pq.read_table(self.folder / "state" / "spans" / name) for name in names]
        return Counter(value for table in tables for value in table.column("request_id").to_pylist())

    def letters(self) -> list[StoredLetter]:
        with self.ledger() as ledger:
            return ledger.dead_letters.find(Choice(), 1000)

    def unaccounted(self) -> tuple[int, int]:
        with self.ledger() as ledger:
            totals = ledger.identities()
        return (
            totals["messages"] - totals["decoded"] - totals["dead_lettered"],
            totals["records"] - totals["sampled_out"] - totals["kept"] - totals["late"],
        )


class Opened:
    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> Ledger:
        self.ledger = Ledger.open(self.url, "default")
        return self.ledger

    def __exit__(self, *_: object) -> None:
        self.ledger.close()


@pytest.fixture
def files(tmp_path: Path) -> Place:
    place = Place(tmp_path, {"files": str(tmp_path / "*.jsonl")})
    lines = [message(1), b"{broken", message(2, "new"), message(3), message(4, "new"), b"[]"]
    (tmp_path / "requests.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return place


@pytest.fixture(params=["embedded_broker", pytest.param("kafka_bootstrap", marks=pytest.mark.kafka)])
def topic(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    address = str(request.getfixturevalue(request.param))
    name = f"requests-{uuid.uuid4().hex}"
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(name, 2, 1), NewTopic(f"{name}.dead", 1, 1), NewTopic(f"{name}.copies", 1, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=address)
    for index in range(40):
        producer.send(name, message(index, "new" if index % 4 == 3 else "known"), partition=index % 2)
    producer.send(name, b"{broken", partition=0, headers=[("trace", b"t-1")])
    producer.send(name, None, key=b"k", partition=1)
    producer.flush()
    producer.close()
    return Place(tmp_path, {"topic": name}, {"bootstrap_servers": [address], "group_id": name})


def read_all(place: Place, name: str) -> list[tuple[str, dict[str, bytes], bytes]]:
    assert place.kafka is not None
    consumer = KafkaConsumer(**{key: place.kafka[key] for key in ("bootstrap_servers",)}, enable_auto_commit=False)
    where = TopicPartition(name, 0)
    consumer.assign([where])
    consumer.seek_to_beginning(where)
    end = consumer.end_offsets([where])[where]
    found: list[tuple[str, dict[str, bytes], bytes]] = []
    while consumer.position(where) < end:
        records = consumer.poll(500).get(where, [])
        found += [(record.key.decode(), dict(record.headers), record.value) for record in records]
    consumer.close()
    return found


def test_letters_of_a_model_that_was_added_become_records_once(files: Place, driftline: Driftline) -> None:
    files.configure(["known"])
    files.collect()
    assert files.ids() == Counter(["known-1", "known-3"])
    listed = [
        json.loads(line)
        for line in driftline("dlq", "list", "-c", files.config, "--format", "jsonl").stdout.splitlines()
    ]
    assert [(each["reason"], each["bytes_kept"]) for each in listed] == [
        ("not JSON", False),
        ("model is not monitored on this topic", False),
        ("model is not monitored on this topic", False),
        ("not a JSON object", False),
    ]
    files.configure(["known", "new"])
    dry = driftline("dlq", "replay", "-c", files.config, "--dry-run")
    assert (dry.code, "2 of 4 dead letter(s) would become records" in dry.stdout) == (0, True)
    assert files.ids() == Counter(["known-1", "known-3"])
    done = driftline("dlq", "replay", "-c", files.config)
    assert "2 of 4 dead letter(s) became records" in done.stdout
    assert "1 can still not be read: not JSON" in done.stdout
    assert files.ids() == Counter(["known-1", "known-3", "new-2", "new-4"])
    assert "0 of 2" in driftline("dlq", "replay", "-c", files.config).stdout
    assert files.ids() == Counter(["known-1", "known-3", "new-2", "new-4"])
    assert files.unaccounted() == (0, 0)
    with files.ledger() as ledger:
        assert ledger.identities() | {"messages": 6, "decoded": 4, "dead_lettered": 2} == ledger.identities()
    table = driftline("dlq", "list", "-c", files.config, "--waiting", "--reason", "JSON").stdout
    assert ("not JSON" in table, "replayed" in table) == (True, False)


class FailsOnce:
    """A storage or ledger whose method fails once, before or after it did its work."""

    def __init__(self, inner: object, method: str, *, after: bool) -> None:
        self._inner, self._method, self._after, self._left = inner, method, after, 1

    def __getattr__(self, name: str) -> object:
        found = getattr(self._inner, name)
        if name != self._method or not self._left:
            return found

        def failing(*arguments: object) -> None:
            self._left -= 1
            if self._after:
                found(*arguments)
            raise TransientError("killed here")

        return failing


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["intend", "put", "commit"])
def test_a_replay_that_is_killed_at_any_step_and_run_again_counts_each_letter_once(
    files: Place, driftline: Driftline, step: str, after: bool
) -> None:
    files.configure(["known"])
    files.collect()
    files.configure(["known", "new"])
    settings = load_settings(files.config)
    with files.ledger() as ledger:
        ((streams, source),) = open_sources(settings, SystemClock()).values()
        found = find(source, ledger.dead_letters.find(Choice(waiting=True), 100), SystemClock(), 10.0)
        source.close()
        wrapped = FailsOnce(files.storage() if step == "put" else ledger.cuts, step, after=after)
        replayer = Replayer(
            "first",
            streams,
            wrapped if step != "put" else ledger.cuts,  # type: ignore[arg-type]
            wrapped if step == "put" else files.storage(),  # type: ignore[arg-type]
            SystemClock(),
        )
        with pytest.raises(TransientError):
            replayer.replay(found, dry_run=False)
    driftline("dlq", "replay", "-c", files.config)
    assert files.ids() == Counter(["known-1", "known-3", "new-2", "new-4"])
    assert files.unaccounted() == (0, 0)


def test_two_replays_at_once_commit_a_letter_once(files: Place) -> None:
    files.configure(["known"])
    files.collect()
    files.configure(["known", "new"])
    settings = load_settings(files.config)
    with files.ledger() as ledger:
        ((streams, source),) = open_sources(settings, SystemClock()).values()
        found = find(source, ledger.dead_letters.find(Choice(waiting=True), 100), SystemClock(), 10.0)
        source.close()
        one, two = (Replayer(name, streams, ledger.cuts, files.storage(), SystemClock()) for name in ("one", "two"))
        assert one.replay(found, dry_run=False).became_records == 2
        with pytest.raises(StaleClaim, match="replayed by somebody else"):
            two.replay(found, dry_run=False)
    assert files.ids() == Counter(["known-1", "known-3", "new-2", "new-4"])
    assert files.unaccounted() == (0, 0)


def test_a_message_that_is_gone_is_said_to_be_unless_its_bytes_were_kept(files: Place, driftline: Driftline) -> None:
    path = files.folder / "requests.jsonl"
    files.configure(["known"], dead_letters={"keep_bytes": True})
    files.collect()
    assert [stored.letter.content for stored in files.letters()][:2] == [b"{broken", message(2, "new")]
    path.write_bytes(path.read_bytes().replace(b'"new"', b'"old"').replace(b"{broken", b"{brokex"))
    files.configure(["known", "new"])
    assert "2 of 4 dead letter(s) became records" in driftline("dlq", "replay", "-c", files.config).stdout
    assert files.ids() == Counter(["known-1", "known-3", "new-2", "new-4"])
    replayed = [stored for stored in files.letters() if stored.replayed_at is not None]
    assert [stored.letter.content for stored in replayed] == [None, None]

    files.configure(["known", "old"])
    with files.ledger() as ledger, ledger.database.write() as connection:
        connection.execute(t.dead_letters.update().values(content=None, replayed_at=None))
    assert "3 are no longer at their place" in driftline("dlq", "replay", "-c", files.config).stdout


def test_a_topic_that_no_model_reads_is_refused(files: Place, driftline: Driftline) -> None:
    files.configure(["known"])
    files.collect()
    refused = driftline("dlq", "replay", "-c", files.config, "--topic", "elsewhere")
    assert (refused.code, "no model reads 'elsewhere'" in refused.stderr) == (2, True)


class Outbox:
    """An outbox whose process dies before it notes what was sent, the first time."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.dies = ledger, True

    def unforwarded(self, limit: int) -> Sequence[StoredLetter]:
        return self.ledger.dead_letters.unforwarded(limit)

    def mark_forwarded(self, letters: Sequence[StoredLetter]) -> None:
        if self.dies:
            self.dies = False
            raise TransientError("killed here")
        self.ledger.dead_letters.mark_forwarded(letters)


@pytest.mark.parametrize("keep_bytes", [False, True], ids=["digests only", "bytes asked for"])
def test_letters_reach_their_topic_at_least_once_and_are_known_by_their_key(topic: Place, keep_bytes: bool) -> None:
    topic.configure(["known"], dead_letters={"topic": "x.dead", "keep_bytes": keep_bytes})
    topic.collect()
    name = str(topic.stream["topic"])
    assert topic.kafka is not None
    with topic.ledger() as ledger:
        forwarder = Forwarder(
            Outbox(ledger),
            KafkaLetterTopic(KafkaSettings.model_validate(topic.kafka), f"{name}.dead"),
            lambda: True,
            CollectorMetrics(CollectorRegistry()),
        )
        with pytest.raises(TransientError):
            forwarder.forward()
        assert forwarder.forward() == 12
        assert forwarder.forward() == 0
        stop = threading.Event()
        stop.set()
        forwarder.run(stop)
    sent = read_all(topic, f"{name}.dead")
    assert set(Counter(key for key, _, _ in sent).values()) == {2}
    by_key = {key: (headers, value) for key, headers, value in sent}
    assert by_key.keys() == {stored.place for stored in topic.letters()}
    headers, value = by_key[f"{name}/0/20"]
    assert (headers["driftline-dead-reason"], headers["driftline-dead-offset"]) == (b"not JSON", b"20")
    assert len(headers["driftline-dead-digest"]) == 32
    assert value == (b"{broken" if keep_bytes else b"")


def test_letters_of_a_topic_are_read_again_and_copied(topic: Place, driftline: Driftline) -> None:
    name = str(topic.stream["topic"])
    topic.configure(["known"])
    topic.collect()
    topic.configure(["known", "new"])
    copied = driftline("dlq", "replay", "-c", topic.config, "--reason", "not JSON", "--to-topic", f"{name}.copies")
    assert "1 of 1 dead letter(s) were copied" in copied.stdout
    ((key, headers, value),) = read_all(topic, f"{name}.copies")
    assert (key, value, headers["driftline-dead-partition"]) == (f"{name}/0/20", b"{broken", b"0")
    done = driftline("dlq", "replay", "-c", topic.config)
    assert "10 of 11 dead letter(s) became records" in done.stdout, done.stderr
    assert "1 can still not be read: the message has no value" in done.stdout
    expected = {f"{'new' if index % 4 == 3 else 'known'}-{index}": 1 for index in range(40)}
    assert topic.ids() == Counter(expected)
    assert topic.unaccounted() == (0, 0)
