"""A Kafka topic as the way to a trainer; changes with kafka-python's producer, or with the layout of the messages."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from monitor.act.retrain import Retrain
from monitor.act.trainer_request import request_of, without_spans
from monitor.config.kafka_clients import kafka_python_client
from monitor.config.settings import KafkaSettings
from monitor.errors import InputError, TransientError
from monitor.outside.trainers.messages import MESSAGE_BYTES, fitting, text_of

RETRAIN_ID, SCHEMA_VERSION = "driftline-retrain-id", "driftline-schema-version"
_ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class KafkaTrainer:
    """`monitor.act.steps.Trainer` behind a topic: keyed by model, so that requests of one model keep their order.

    The same request may come twice, after a crash in between: its headers name the retrain. The trainer reports to the API.
    """

    settings: KafkaSettings = field(repr=False)
    topic: str

    def submit(self, retrain: Retrain) -> str:
        """Return once every replica in sync has the message; its place is the reference."""
        try:
            return self._sent(retrain, fitting(retrain, MESSAGE_BYTES))
        except MessageSizeTooLargeError:
            pass  # this topic takes less than others do
        try:
            return self._sent(retrain, without_spans(request_of(retrain)))
        except MessageSizeTooLargeError:
            raise InputError(f"the request is too long for {self.topic}, even without its spans") from None

    def poll(self, retrain: Retrain) -> None:
        """Know nothing: the trainer reports to the API."""

    def cancel(self, retrain: Retrain) -> None:
        """Do nothing: what is on the topic stays there; who reports for a retrain that was cancelled is told so."""

    def _sent(self, retrain: Retrain, request: dict[str, Any]) -> str:
        # Retrains are days apart: a connection for each is less to look after than one that is kept.
        self._need_a_broker()
        producer: Any = None
        try:
            producer = KafkaProducer(
                **kafka_python_client(self.settings),
                acks="all",
                enable_idempotence=True,
                compression_type="gzip",
                max_block_ms=int(_ANSWER_SECONDS * 1000),
                delivery_timeout_ms=int(2 * _ANSWER_SECONDS * 1000),
                request_timeout_ms=int(_ANSWER_SECONDS * 1000),
                bootstrap_timeout_ms=int(_ANSWER_SECONDS * 1000),
                metrics_enabled=False,
            )
            future = producer.send(
                self.topic,
                key=retrain.model.encode(),
                value=text_of(request).encode(),
                headers=[
                    (RETRAIN_ID, retrain.retrain_id.encode()),
                    (SCHEMA_VERSION, str(request.get("schema_version", "")).encode()),
                ],
            )
            place = future.get(timeout=2 * _ANSWER_SECONDS)
        except MessageSizeTooLargeError:
            raise
        except KafkaError as error:
            raise TransientError(
                f"Kafka does not take messages on {self.topic} ({type(error).__name__}): does it exist, and may we write to it?"
            ) from None
        except (ValueError, AssertionError, OSError) as error:
            # Its text may hold what the settings keep secret.
            raise InputError(f"the `kafka` section cannot be used ({type(error).__name__})") from None
        finally:
            if producer is not None:
                producer.close(timeout=1.0)
        return f"{self.topic}/{place.partition}/{place.offset}"

    def _need_a_broker(self) -> None:
        """Return where one of the servers listens, so that nothing is begun with kafka-python that it would not clean up."""
        for server in self.settings.bootstrap_servers:
            host, _, port = server.rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
            except (OSError, ValueError, OverflowError):
                continue
            return
        raise TransientError(f"no Kafka broker answers at {', '.join(self.settings.bootstrap_servers)}")
