"""Forwards dead letters to their topic; changes with the guarantee of that.

Each letter is sent at least once: the ledger's row is an outbox, marked after the broker has the message. Killed in between, the
letter is sent again with the same key, `topic/partition/offset`, by which consumers know it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from collectors.metrics import CollectorMetrics
from monitor.dead_letters import Outbox, StoredLetter
from monitor.errors import TransientError

_LETTERS = 200
_PAUSE_SECONDS = 1.0
_RETRY_SECONDS = 5.0

_log = structlog.get_logger("driftline.dead_letters")


class LetterTopic(Protocol):
    """Where dead letters go."""

    def send(self, letters: Sequence[StoredLetter]) -> None:
        """Return when the topic has them all; raises TransientError, and then it may have some."""
        ...

    def close(self) -> None:
        """Leave; idempotent."""
        ...


class Forwarder:
    """Sends what the outbox holds, while this process is the one that may."""

    def __init__(self, outbox: Outbox, topic: LetterTopic, mine: Callable[[], bool], metrics: CollectorMetrics) -> None:
        """Forward from `outbox` to `topic` while `mine` says so: one process of a team, so that letters rarely go twice."""
        self._outbox = outbox
        self._topic = topic
        self._mine = mine
        self._metrics = metrics
        self._trouble: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Forward until `stop` is set, then what is there once more, and close the topic; what may pass is said once."""
        try:
            while not stop.is_set():
                stop.wait(_PAUSE_SECONDS if self._try() else _RETRY_SECONDS)
            if self._trouble is None:
                self._try()
        finally:
            self._topic.close()

    def forward(self) -> int:
        """Forward all there is and return how many letters that were; raises TransientError."""
        count = 0
        while self._mine() and (letters := self._outbox.unforwarded(_LETTERS)):
            self._topic.send(letters)
            self._outbox.mark_forwarded(letters)
            self._metrics.forwarded.inc(len(letters))
            count += len(letters)
        return count

    def _try(self) -> bool:
        try:
            self.forward()
        except TransientError as error:
            self._metrics.retries.labels("forward dead letters").inc()
            if self._trouble != str(error):
                self._trouble = str(error)
                _log.warning("dead letters wait to be forwarded", error=str(error))
            return False
        if self._trouble is not None:
            self._trouble = None
            _log.info("dead letters are forwarded again")
        return True
