"""Kafka as the sink of captured requests; changes with kafka-python's producer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from collectors.capture.exchange import Message
from monitor.config.kafka_clients import kafka_python_client
from monitor.config.settings import KafkaSettings
from monitor.errors import ConfigError, InvalidRecord, TransientError

_BOOTSTRAP_SECONDS = 3.0
_BLOCK_SECONDS = 2.0
_LINGER_SECONDS = 0.05
_BATCH_BYTES = 256 * 2**10


class KafkaSink:
    """`collectors.capture.producer.Sink` that writes to one topic; every replica in sync acknowledges, and nothing is doubled."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        """Connect.

        Raises:
            TransientError: no broker answers.
            ConfigError: kafka-python refuses the settings.
        """
        self._topic = topic
        try:
            self._producer = KafkaProducer(
                **kafka_python_client(settings),
                acks="all",
                enable_idempotence=True,
                bootstrap_timeout_ms=int(_BOOTSTRAP_SECONDS * 1000),
                max_block_ms=int(_BLOCK_SECONDS * 1000),
                linger_ms=int(_LINGER_SECONDS * 1000),
                batch_size=_BATCH_BYTES,
                metrics_enabled=False,
            )
        except KafkaError as error:
            servers = ", ".join(settings.bootstrap_servers)
            raise TransientError(f"no Kafka broker answers at {servers}") from error
        except (ValueError, AssertionError, OSError) as error:
            raise ConfigError(f"kafka: {error}") from error

    def send(self, message: Message, done: Callable[[bool], None]) -> None:
        """Hand a message to kafka-python's own buffer; see `Sink`."""
        try:
            future: Any = self._producer.send(
                self._topic,
                value=message.value,
                key=message.key,
                headers=list(message.headers),
                timestamp_ms=message.timestamp_ms,
            )
        except MessageSizeTooLargeError as error:
            raise InvalidRecord("larger than what Kafka takes") from error
        except KafkaTimeoutError as error:
            raise TransientError(f"Kafka does not tell the partitions of {self._topic}") from error
        except KafkaError as error:
            raise TransientError(f"Kafka does not take messages: {type(error).__name__}") from error
        future.add_callback(partial(_done, done, True))
        future.add_errback(partial(_done, done, False))

    def close(self, timeout_seconds: float) -> None:
        """Flush, no longer than `timeout_seconds`."""
        try:
            self._producer.close(timeout=max(0.0, timeout_seconds))
        except KafkaError:
            return  # what did not arrive is counted by who holds it


def _done(done: Callable[[bool], None], arrived: bool, _outcome: object) -> None:
    done(arrived)
