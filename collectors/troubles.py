"""Telling of failures that may pass: each once, and when it is over; changes with what people are told."""

from __future__ import annotations

from typing import Any

from prometheus_client import Counter

from monitor.errors import TransientError


class Troubles:
    """What does not work at the moment, by what is attempted; each name belongs to one thread."""

    def __init__(self, retries: Counter, log: Any) -> None:
        """Count in `retries` (labelled by what is attempted) and tell `log`, a structlog logger."""
        self._retries = retries
        self._log = log
        self._told: dict[str, set[str]] = {}

    def met(self, what: str, error: TransientError) -> None:
        """Count a failure, and say so once for each that is new."""
        self._retries.labels(what).inc()
        told = self._told.setdefault(what, set())
        if str(error) not in told:
            told.add(str(error))
            self._log.warning("trying again", what=what, error=str(error))

    def over(self, what: str) -> None:
        """Say that something works again, if it did not."""
        if self._told.pop(what, None) is not None:
            self._log.info("works again", what=what)
