"""Every wire format from a broker to spans: what is sent with headers comes out as rows, each once."""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from collectors.sources import open_sources
from collectors.wire import headers as names
from monitor.clock import SystemClock
from tests.unit.collectors.wire.logs import example, floats, integers, predict
from tests.unit.collectors.worlds import START, World, settings

MESSAGES = 60
_AT = START.isoformat()
_HEADERS = {
    names.MODEL: b"flights",
    names.VERSION: b"1",
    names.EVENT_TIME: _AT.encode(),
}
Sent = list[tuple[bytes, dict[str, bytes]]]


def logs() -> Sent:
    log = predict({"distance": integers(1, 2, 3)}, {"p": floats(0.5, 0.25, 0.75)}).SerializeToString()
    return [(log, _HEADERS | {names.REQUEST_ID: f"r-{index}".encode()}) for index in range(MESSAGES)]


def examples() -> Sent:
    content = example(distance=7, p=0.5).SerializeToString()
    return [(content, _HEADERS | {names.REQUEST_ID: f"r-{index}".encode()}) for index in range(MESSAGES)]


def pairs() -> Sent:
    beside = {"request": {"instances": [{"distance": 5}]}, "response": {"predictions": [[0.5]]}, "event_time": _AT}
    return [(json.dumps(beside | {"request_id": f"r-{index}"}).encode(), {}) for index in range(MESSAGES)]


def events() -> Sent:
    sent: Sent = []
    for index in range(MESSAGES):
        for kind, data in (("request", {"instances": [{"distance": 5}]}), ("response", {"predictions": [0.5]})):
            said = {
                "id": f"r-{index}",
                "type": f"org.kubeflow.serving.inference.{kind}",
                "time": _AT,
                "specversion": "1.0",
            }
            sent.append((json.dumps(data).encode(), {f"ce_{name}": value.encode() for name, value in said.items()}))
    return sent


@pytest.mark.parametrize("broker", ["embedded_broker", pytest.param("kafka_bootstrap", marks=pytest.mark.kafka)])
@pytest.mark.parametrize(
    ("form", "sent", "instances"),
    [
        pytest.param("prediction_log", logs(), 3, id="PredictionLog of three instances"),
        pytest.param("tf_example", examples(), 1, id="tf.Example"),
        pytest.param("rest", pairs(), 1, id="REST pairs"),
        pytest.param("cloudevents", events(), 1, id="CloudEvents, whose halves lie in different partitions"),
    ],
)
def test_what_is_sent_comes_out_as_rows(
    broker: str, form: str, sent: Sent, instances: int, request: pytest.FixtureRequest
) -> None:
    address, topic = str(request.getfixturevalue(broker)), f"wire-{uuid.uuid4().hex}"
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(topic, 2, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=address)
    for number, (value, headers) in enumerate(sent):
        producer.send(topic, value, headers=list(headers.items()), partition=number % 2)
    producer.send(topic, b"\xff", headers=list(_HEADERS.items()), partition=0)
    producer.flush()
    producer.close()
    options = settings(
        traffic={"topic": topic, "format": form, "output": "p"}
        if form == "tf_example"
        else {"topic": topic, "format": form},
        labels=None,
    )
    assert options.kafka is not None
    options = options.model_copy(
        update={"kafka": options.kafka.model_copy(update={"bootstrap_servers": [address], "group_id": topic})}
    )
    world = World([], options)
    ((_, source),) = open_sources(options, SystemClock()).values()
    world.collector(source).run(threading.Event(), until_caught_up=True)
    assert world.ids() == Counter({f"r-{index}": instances for index in range(MESSAGES)})
    assert len(world.ledger.dead_letters) == 1
    found = [row for table in world.tables() for row in table.to_pylist()]
    assert all(row["prediction"] in (0.25, 0.5, 0.75) for row in found)
    assert all(row["feature.distance"] is not None for row in found)
    assert {span.window.start <= START < span.window.end for span in world.ledger.spans} == {True}
