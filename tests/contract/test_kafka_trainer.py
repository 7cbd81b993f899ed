"""A topic as the way to a trainer, on the embedded broker and on Kafka itself."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from monitor.act.steps import Trainer
from monitor.config.settings import KafkaSettings
from monitor.config.trainers import TrainerSettings
from monitor.errors import ConfigError, InputError, TransientError
from monitor.outside.trainers.choice import trainer_of
from tests.conftest import free_port
from tests.trainers.worlds import CLOCK, HTTP, REQUEST, a_retrain

RETRAIN = a_retrain()


@dataclass
class Topic:
    """A topic of the test's own, and the trainer behind it."""

    address: str
    name: str
    trainer: Trainer

    def messages(self, count: int) -> list[Any]:
        """Return its messages, which are `count`."""
        consumer = KafkaConsumer(bootstrap_servers=self.address, auto_offset_reset="earliest", group_id=None)
        try:
            consumer.assign([TopicPartition(self.name, 0)])
            assert consumer.end_offsets([TopicPartition(self.name, 0)]) == {TopicPartition(self.name, 0): count}
            found: list[Any] = []
            while len(found) < count:
                found += [each for batch in consumer.poll(5_000).values() for each in batch]
            return found
        finally:
            consumer.close()


def made(address: str, topic: str) -> Trainer:
    settings = TrainerSettings.model_validate({"type": "kafka", "topic": topic})
    kafka = KafkaSettings(bootstrap_servers=[address])
    return trainer_of(settings, http=HTTP, kafka=kafka, state_folder=Path("nowhere"), clock=CLOCK)


@pytest.fixture(params=["embedded_broker", pytest.param("kafka_bootstrap", marks=pytest.mark.kafka)])
def topic(request: pytest.FixtureRequest) -> Topic:
    address = str(request.getfixturevalue(request.param))
    name = f"retrains-{uuid.uuid4().hex}"
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(name, 1, 1)])
    admin.close()
    return Topic(address, name, made(address, name))


def test_a_request_is_a_message_keyed_by_model_with_the_retrain_in_its_headers(topic: Topic) -> None:
    assert topic.trainer.submit(RETRAIN) == f"{topic.name}/0/0"
    message = topic.messages(1)[0]
    assert message.key == b"flights"
    assert dict(message.headers) == {"driftline-retrain-id": b"a1b2c3", "driftline-schema-version": b"1"}
    asked = json.loads(message.value)
    assert asked["retrain_id"] == "a1b2c3"
    assert asked["expected"]["candidate_uri"] == "file:///candidates/flights/a1b2c3"


def test_asking_twice_sends_the_same_twice_and_its_reader_tells_by_the_id(topic: Topic) -> None:
    topic.trainer.submit(RETRAIN)
    topic.trainer.submit(RETRAIN)
    first, second = topic.messages(2)
    assert (first.value, first.headers) == (second.value, second.headers)


def test_of_its_runs_nothing_is_known_here(topic: Topic) -> None:
    retrain = replace(RETRAIN, reference=topic.trainer.submit(RETRAIN))
    assert topic.trainer.poll(retrain) is None
    topic.trainer.cancel(retrain)
    assert len(topic.messages(1)) == 1


def test_a_request_that_is_too_long_for_a_message_goes_without_its_spans(topic: Topic) -> None:
    spans = [{"uri": f"file:///spans/{uuid.uuid4().hex}.parquet"} for _ in range(20_000)]
    topic.trainer.submit(replace(RETRAIN, request={**REQUEST, "data": {"spans": spans, "listed": len(spans)}}))
    assert json.loads(topic.messages(1)[0].value)["data"] == {"spans": [], "listed": 0}


def test_a_request_that_is_too_long_without_spans_is_refused(topic: Topic) -> None:
    with pytest.raises(InputError, match="longer than the 900000 bytes"):
        topic.trainer.submit(replace(RETRAIN, request={**REQUEST, "why": "x" * 900_000}))


def test_without_a_broker_the_request_may_be_made_again() -> None:
    with pytest.raises(TransientError, match=r"no Kafka broker answers at 127\.0\.0\.1"):
        made(f"127.0.0.1:{free_port()}", "retrains").submit(RETRAIN)


def test_a_trainer_behind_a_topic_needs_a_broker(tmp_path: Path) -> None:
    settings = TrainerSettings.model_validate({"type": "kafka", "topic": "retrains"})
    with pytest.raises(ConfigError, match="`kafka` section"):
        trainer_of(settings, http=HTTP, kafka=None, state_folder=tmp_path, clock=CLOCK)
