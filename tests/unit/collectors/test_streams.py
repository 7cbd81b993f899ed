from __future__ import annotations

import pytest
from pydantic import SecretStr

from collectors.kafka import KafkaSource, connection_options
from collectors.streams import streams_of
from monitor.clock import SystemClock
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
    found = connection_options(settings)
    assert (found["sasl_plain_username"], found["sasl_plain_password"]) == ("u", "geheim")
    assert found["ssl_cafile"] == "ca.pem"
    assert "ssl_keyfile" not in found
    assert "geheim" not in repr(settings)


def test_a_server_without_port_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="'broker' is not host:port"):
        KafkaSource(KafkaSettings(bootstrap_servers=["broker"]), ["t"], SystemClock(), connect_seconds=0.1)
