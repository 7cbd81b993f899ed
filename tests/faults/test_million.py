"""A million records through three Apache Kafka brokers and three collectors, all of them killed again and again."""

from __future__ import annotations

import gc
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from sqlalchemy import select

from monitor.clock import Deadline, SystemClock, from_micros, rfc3339, to_micros
from monitor.store import tables as t
from monitor.store.ledger import Ledger
from tests.faults.brokers import Broker, Cluster, cluster, require_kafka
from tests.faults.processes import Role, contiguous, identities_hold, judged, role, running, settings, state

RECORDS = 1_000_000
PARTITIONS = 6
MODELS = ("fares", "tips")
VERSIONS = ("1", "2")
START = datetime(2026, 3, 1, tzinfo=UTC)
HOURS = 8
HOUR_MICROS = 3_600_000_000
OUT_OF_ORDER = timedelta(minutes=5)
SEED = 20_261_122
COMPANIES = ("a", "b", "c")
AWAY_SECONDS = 20.0

# When a broker's end breaks a connection, kafka-python leaves its socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """What is sent: record n has the request id `rn`, and these properties, each an array over all n."""

    partition: Longs
    model: Longs
    version: Longs
    micros: Longs
    """Event times: they move on with n, by up to five minutes out of order."""
    company: Longs
    miles: npt.NDArray[np.float64]

    @classmethod
    def of(cls, records: int) -> Plan:
        draw = np.random.default_rng(SEED)
        step = HOURS * HOUR_MICROS // records
        earlier = draw.integers(0, to_micros(datetime.fromtimestamp(0, UTC) + OUT_OF_ORDER), records)
        return cls(
            partition=draw.integers(0, PARTITIONS, records),
            model=draw.integers(0, len(MODELS), records),
            version=draw.integers(0, len(VERSIONS), records),
            micros=to_micros(START) + np.maximum(np.arange(records) * step - earlier, 0),
            company=draw.integers(0, len(COMPANIES), records),
            miles=draw.random(records).round(4),
        )

    def __len__(self) -> int:
        return len(self.partition)

    def value(self, place: int) -> bytes:
        """Return one record as it stands on the topic."""
        return (
            f'{{"model":"{MODELS[self.model[place]]}","version":"{VERSIONS[self.version[place]]}","request_id":"r{place}",'
            f'"event_time":{self.micros[place] / 1e6:.6f},"features":{{"miles":{self.miles[place]},'
            f'"company":"{COMPANIES[self.company[place]]}","hour":{place % 24}}},"prediction":{self.miles[place] / 2}}}'
        ).encode()

    def closed_windows(self) -> dict[tuple[str, str, str], int]:
        """Return the records of each window but those of the last hour, which nothing later closes."""
        hours = self.micros // HOUR_MICROS
        keys, counts = np.unique(np.stack([self.model, self.version, hours]), axis=1, return_counts=True)
        return {
            (MODELS[model], VERSIONS[version], rfc3339(from_micros(hour * HOUR_MICROS))): count
            for (model, version, hour), count in zip(keys.T.tolist(), counts.tolist(), strict=True)
            if hour < hours.max()
        }


@dataclass
class Sender:
    """Sends a plan from a thread of its own; each record is written once, whatever the brokers go through."""

    bootstrap: Sequence[str]
    topic: str
    plan: Plan
    refused: list[BaseException] = field(default_factory=list)

    def send(self, first: int, last: int) -> None:
        producer = KafkaProducer(
            bootstrap_servers=list(self.bootstrap),
            acks="all",
            enable_idempotence=True,
            linger_ms=50,
            batch_size=128 * 1024,
            delivery_timeout_ms=240_000,
        )
        try:
            for place in range(first, last):
                sent = producer.send(
                    self.topic, value=self.plan.value(place), partition=int(self.plan.partition[place])
                )
                sent.add_errback(self.refused.append)
            producer.flush(timeout=240)
        except BaseException as error:  # noqa: BLE001  # it must fail the test, not only this thread
            self.refused.append(error)
        finally:
            producer.close()


def make_topic(of: Cluster, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=of.bootstrap)
    admin.create_topics([NewTopic(topic, PARTITIONS, len(of.brokers))])
    admin.close()


def written(of: Cluster, topic: str) -> int:
    """Return how many messages the topic holds, as its brokers say."""
    consumer = KafkaConsumer(bootstrap_servers=of.bootstrap)
    ends = consumer.end_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
    consumer.close()
    return sum(ends.values())


def times_stored(ledger: Ledger, spans: Path, plan: Plan) -> Longs:
    """Return for each record how many rows of all sealed spans hold it; a row in a span that it does not belong to fails."""
    with ledger.database.read() as connection:
        rows = connection.execute(select(t.spans).where(t.spans.c.state == "sealed")).all()
    found = np.zeros(len(plan), dtype=np.int64)
    for row in rows:
        ids = pq.read_table(spans / row.name, columns=["request_id"]).column("request_id")
        places = pc.utf8_slice_codeunits(ids, 1, 20).cast(pa.int64()).to_numpy()
        assert len(places) == row.rows
        assert {MODELS[code] for code in set(plan.model[places].tolist())} == {row.model}
        assert {VERSIONS[code] for code in set(plan.version[places].tolist())} == {row.version}
        assert set((plan.micros[places] // HOUR_MICROS * HOUR_MICROS).tolist()) == {row.window_start}
        found += np.bincount(places, minlength=len(plan))
    return found


@pytest.fixture(autouse=True)
def left_sockets() -> Iterator[None]:
    """Have the sockets collected within the test, whose warnings are ignored, that kafka-python left open in it."""
    yield
    gc.collect()


class Fire:
    """Kills whom the dice name and starts it again, and lets members leave the group and come back."""

    PLAN = (
        "collector",
        "broker",
        "collector",
        "leave",
        "broker",
        "collector",
        "monitor",
        "broker",
        "collector",
        "leave",
    )

    def __init__(self, brokers: Sequence[Broker], collectors: Sequence[Role], monitor: Role) -> None:
        self._brokers, self._collectors, self._monitor = brokers, collectors, monitor
        self._random = random.Random(SEED)
        self._pause = threading.Event()
        self.done: Counter[str] = Counter()

    def strike(self) -> None:
        """Wait a random time, mostly longer than it takes the group to give up a dead member, and do the next thing."""
        self._pause.wait(self._random.uniform(5.0, 15.0))
        what = self.PLAN[self.done.total() % len(self.PLAN)]
        victim = self._random.choice(self._collectors)
        if what == "broker":
            self._strike_broker(self._random.choice(self._brokers))
        elif what == "monitor":
            self._monitor.kill()
            self._monitor.start()
        elif what == "collector":
            victim.kill()
            self._pause.wait(self._random.uniform(0.0, 2.0))
            victim.start()
        else:
            assert victim.stop() == 0, victim.log.read_text()[-3000:]
            victim.start()
        self.done[what] += 1

    def _strike_broker(self, victim: Broker) -> None:
        """Kill one while the others serve; it comes back before the next one goes."""
        victim.kill()
        self._pause.wait(self._random.uniform(0.0, 5.0))
        victim.start()
        victim.await_listening()


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.timeout(900)
def test_a_million_records_are_counted_once_while_brokers_and_collectors_are_killed(
    tmp_path: Path, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    require_kafka()
    plan, topic, clock = Plan.of(RECORDS), "million", SystemClock()
    began = clock.monotonic()
    with cluster(tmp_path / "kafka", 3) as kafka:
        make_topic(kafka, topic)
        config = settings(tmp_path, bootstrap=kafka.bootstrap, topic=topic, store=postgres_url, models=MODELS)
        collectors = [role("collect", tmp_path / f"collector-{number}.log", config) for number in (1, 2, 3)]
        roles = [*collectors, role("monitor", tmp_path / "monitor.log", config)]
        ledger = Ledger.open(postgres_url, "default")
        sender = Sender(kafka.bootstrap, topic, plan)
        thread = threading.Thread(target=sender.send, args=[0, RECORDS], daemon=True)
        fire, pause = Fire(kafka.brokers, collectors, roles[-1]), threading.Event()
        with running(roles):
            thread.start()
            while thread.is_alive() or fire.done.total() < len(fire.PLAN):
                fire.strike()
            assert not sender.refused, sender.refused[:3]
            assert written(kafka, topic) == RECORDS
            deadline = Deadline.after(clock, 180)
            while not (ledger.identities()["messages"] >= RECORDS and judged(ledger, MODELS) == plan.closed_windows()):
                assert not deadline.expired(), state(ledger, roles)
                pause.wait(0.5)
            assert [each.stop() for each in roles] == [0, 0, 0, 0], state(ledger, roles)
    with capsys.disabled():
        print(f"\n{kafka}; struck {dict(fire.done)}; {RECORDS:,} records, {clock.monotonic() - began:.0f} s")  # noqa: T201
    totals = ledger.identities()
    assert (times_stored(ledger, tmp_path / "spans", plan) == 1).all()
    assert (totals["records"], totals["dead_lettered"], totals["lost"]) == (RECORDS, 0, 0)
    assert identities_hold(ledger)
    assert contiguous(ledger)
    assert ledger.audit_break() is None
    ledger.close()


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_collectors_wait_while_kafka_is_away_and_say_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_kafka()
    plan, topic, pause = Plan.of(40_000), "away", threading.Event()
    store = f"sqlite:///{tmp_path}/ledger.db"
    with cluster(tmp_path / "kafka", 1) as kafka:
        make_topic(kafka, topic)
        config = settings(tmp_path, bootstrap=kafka.bootstrap, topic=topic, store=store, models=MODELS)
        collectors = [role("collect", tmp_path / f"collector-{number}.log", config) for number in (1, 2)]
        ledger, sender = Ledger.open(store, "default"), Sender(kafka.bootstrap, topic, plan)
        with running(collectors):
            for each in collectors:
                each.await_started()
            sender.send(0, 20_000)
            _await_messages(ledger, 20_000, collectors)
            kafka.brokers[0].kill()
            pause.wait(AWAY_SECONDS)
            assert [each.process is not None and each.process.poll() for each in collectors] == [None, None]
            kafka.brokers[0].start()
            kafka.brokers[0].await_listening()
            sender.send(20_000, 40_000)
            assert not sender.refused, sender.refused[:3]
            _await_messages(ledger, 40_000, collectors)
            assert [each.stop() for each in collectors] == [0, 0], state(ledger, collectors)
    with capsys.disabled():
        print(f"\n{kafka}: away for {AWAY_SECONDS:.0f} s")  # noqa: T201
    for each in collectors:
        said = each.log.read_text()
        # Once for each thing that does not work, however often it is tried.
        assert 1 <= said.count("trying again") <= 5, said
        assert said.rindex("works again") > said.rindex("trying again"), said
    assert (times_stored(ledger, tmp_path / "spans", plan) == 1).all()
    assert identities_hold(ledger)
    assert contiguous(ledger)
    ledger.close()


def _await_messages(ledger: Ledger, messages: int, roles: Sequence[Role]) -> None:
    deadline, pause = Deadline.after(SystemClock(), 90), threading.Event()
    while ledger.identities()["messages"] < messages:
        assert not deadline.expired(), state(ledger, roles)
        pause.wait(0.2)
