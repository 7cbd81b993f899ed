from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from collectors.kafka import KafkaSource
from collectors.streams import streams_of
from monitor.clock import SystemClock
from monitor.config.kafka_clients import kafka_python_client
from monitor.config.settings import KafkaSettings, Settings
from monitor.errors import ConfigError, TransientError
from monitor.records import SpanKind
from tests.conftest import free_port


def options(**models: object) -> Settings:
    return Settings.model_validate({"kafka": {"bootstrap_servers": ["b:1"]}, "models": models})


def test_models_may_share_a_topic() -> None:
    streams = streams_of(
        options(a={"traffic": {"topic": "t"}}, b={"traffic": {"topic": "t"}, "labels": {"topic": "l"}})
    )
    assert [(stream.name, stream.kind, sorted(stream.models)) for stream in streams] == [
        ("l", SpanKind.LABELS, ["b"]),
        ("t", SpanKind.TRAFFIC, ["a", "b"]),
    ]


@pytest.mark.parametrize(
    "models",
    [
        pytest.param(
            {"a": {"traffic": {"topic": "t"}, "labels": {"topic": "t"}}}, id="traffic and labels on one topic"
        ),
        pytest.param({"a": {"traffic": {"topic": "t"}}, "b": {"traffic": {"files": "t"}}}, id="a topic and a file"),
        pytest.param(
            {
                name: {"traffic": {"files": "t", "format": "table", "columns": {"id": "i", "timestamp": "s"}}}
                for name in "ab"
            },
            id="one table for two models",
        ),
    ],
)
def test_what_cannot_be_told_apart_is_a_configuration_error(models: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="'t' is"):
        streams_of(options(**models))


def test_no_broker_is_one_clear_line_after_the_deadline() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(TransientError, match=f"no Kafka broker answers at {address}"):
        KafkaSource(KafkaSettings(bootstrap_servers=[address]), ["t"], SystemClock(), connect_seconds=0.5)


def test_secrets_reach_kafka_and_nothing_else() -> None:
    settings = KafkaSettings(
        bootstrap_servers=["b:1"],
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_plain_username="u",
        sasl_plain_password=SecretStr("geheim"),
        ssl_cafile="ca.pem",
    )
    found = kafka_python_client(settings)
    assert (found["sasl_plain_username"], found["sasl_plain_password"]) == ("u", "geheim")
    assert found["ssl_cafile"] == "ca.pem"
    assert "ssl_keyfile" not in found
    assert "geheim" not in repr(settings)


def test_a_server_without_port_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="'broker' is not host:port"):
        KafkaSource(KafkaSettings(bootstrap_servers=["broker"]), ["t"], SystemClock(), connect_seconds=0.1)


@pytest.mark.parametrize(
    ("form", "headers", "joins"),
    [
        pytest.param("json", False, False, id="JSON says all itself"),
        pytest.param("prediction_log", True, False, id="a log needs its headers"),
        pytest.param("cloudevents", True, True, id="events come in halves"),
    ],
)
def test_the_format_says_what_of_a_message_is_read(form: str, headers: bool, joins: bool) -> None:
    (stream,) = streams_of(options(a={"traffic": {"topic": "t", "format": form}}))
    assert (stream.reads_headers, stream.joins) == (headers, joins)


@pytest.mark.parametrize(
    ("traffic", "labels", "message"),
    [
        pytest.param({"output": "p"}, None, "`output` does not go with `format: json`", id="an output of records"),
        pytest.param({"format": "rest", "output_class": -1}, None, "counts from 0", id="a class before the first"),
        pytest.param({}, {"topic": "l", "format": "rest"}, "labels are `format: json` or `table`", id="labels as requests"),
        pytest.param({"format": "table", "columns": {"id": "i", "timestamp": "s"}}, None, "goes with `files`",
                     id="a table topic"),
    ],
)  # fmt: skip
def test_a_stream_that_cannot_be_read_so_is_refused(
    traffic: dict[str, object], labels: dict[str, object] | None, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        options(a={"traffic": {"topic": "t"} | traffic, "labels": labels})


def test_two_models_of_one_topic_must_take_their_predictions_from_the_same_output() -> None:
    with pytest.raises(ConfigError, match="'t' is"):
        streams_of(options(**{name: {"traffic": {"topic": "t", "format": "rest", "output": name}} for name in "ab"}))
