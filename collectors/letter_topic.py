"""Dead letters as messages of a Kafka topic; changes with their layout, a contract between releases.

The key is `topic/partition/offset` of the message that could not be read, headers say the rest, and the value is empty unless
its bytes were kept; then its own headers follow ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from collectors.wire import headers as names
from monitor.clock import rfc3339
from monitor.config.kafka_clients import kafka_python_client
from monitor.config.settings import KafkaSettings
from monitor.dead_letters import StoredLetter
from monitor.errors import InputError, TransientError

_BLOCK_SECONDS = 10.0
_FLUSH_SECONDS = 30.0
_CLOSE_SECONDS = 3.0

Headers = list[tuple[str, bytes]]


class KafkaLetterTopic:
    """`collectors.forwarding.LetterTopic` of a topic; connects when the first letter is sent."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        """Send to `topic`, which must exist unless the brokers make topics by themselves."""
        self._settings = settings
        self._topic = topic
        self._producer: Any = None

    def send(self, letters: Sequence[StoredLetter]) -> None:
        """Return when the topic has all letters; one that is too large for it goes without its bytes."""
        full = [
            (stored, stored.letter.content or b"", origin(stored) + list(stored.letter.headers)) for stored in letters
        ]
        self._deliver((stored, b"", origin(stored)) for stored in self._deliver(full))

    def copy(self, messages: Iterable[tuple[StoredLetter, bytes, Headers]]) -> None:
        """Send messages as they were, their own headers first and ours behind them.

        Raises:
            TransientError: the topic has perhaps some of them, perhaps none.
            InputError: some are too large for the topic; it has the others.
        """
        refused = self._deliver((stored, value, own + origin(stored)) for stored, value, own in messages)
        if refused:
            raise InputError(
                f"{len(refused)} message(s) are too large for {self._topic}, the first of them {refused[0].place}"
            )

    def close(self) -> None:
        """Leave; waits a moment for what is being sent."""
        if self._producer is not None:
            self._producer.close(timeout=_CLOSE_SECONDS)
            self._producer = None

    def _deliver(self, messages: Iterable[tuple[StoredLetter, bytes, Headers]]) -> list[StoredLetter]:
        """Send, wait until the brokers have everything, and return what is too large for them."""
        try:
            sent = [(stored, self._send(stored, value, headers)) for stored, value, headers in messages]
            if sent:
                self._producer.flush(timeout=_FLUSH_SECONDS)
            return [stored for stored, outcome in sent if not _arrived(outcome)]
        except KafkaError as error:
            raise TransientError(
                f"Kafka does not take messages on {self._topic} ({type(error).__name__}): does it exist, and may we write to it?"
            ) from error

    def _send(self, stored: StoredLetter, value: bytes, headers: Headers) -> Callable[[], object]:
        """Hand over to the producer's thread; the returned function waits for the outcome, or raises a KafkaError."""
        if self._producer is None:
            self._producer = KafkaProducer(
                **kafka_python_client(self._settings),
                acks="all",
                enable_idempotence=True,
                linger_ms=5,
                max_block_ms=int(_BLOCK_SECONDS * 1000),
                delivery_timeout_ms=int(_FLUSH_SECONDS * 1000),
                request_timeout_ms=int(_BLOCK_SECONDS * 1000),
                bootstrap_timeout_ms=int(_BLOCK_SECONDS * 1000),
            )
        try:
            future = self._producer.send(self._topic, value, key=stored.place.encode(), headers=headers)
        except MessageSizeTooLargeError as error:
            return _raising(error)
        return lambda: future.get(timeout=_FLUSH_SECONDS)


def origin(stored: StoredLetter) -> Headers:
    """Return the headers that say where a dead letter comes from, and why it is one."""
    letter = stored.letter
    found = {
        names.DEAD_TOPIC: letter.partition.name,
        names.DEAD_TOPIC_ID: letter.partition.source,
        names.DEAD_PARTITION: str(letter.partition.number),
        names.DEAD_OFFSET: str(letter.offset),
        names.DEAD_REASON: letter.reason,
        names.DEAD_DIGEST: letter.digest,
        names.DEAD_SIZE: str(letter.size_bytes),
        names.DEAD_RECORDED_AT: rfc3339(stored.recorded_at),
    }
    return [(name, value.encode()) for name, value in found.items()]


def _arrived(outcome: Callable[[], object]) -> bool:
    """Say whether the message arrived, or False where it was too large; raises other errors."""
    try:
        outcome()
    except MessageSizeTooLargeError:
        return False
    return True


def _raising(error: KafkaError) -> Callable[[], object]:
    def outcome() -> object:
        raise error

    return outcome
