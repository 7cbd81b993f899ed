"""Carries prepared cuts to the store, so that each is committed once or not at all; changes with the steps of a commit.

The steps are: the intents of all files (ledger), the files (storage), the cut (ledger). Killed before the last step is done, the
cut does not exist: its offsets are read again, and its files, known by their intents, are cleaned away. Killed during the
last step, the ledger's transaction decides. Killed after it, the next claim starts behind the cut.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from collectors.buffer import PreparedCut
from monitor.cuts import CutLedger, SpanStorage

LEASE = timedelta(minutes=10)
"""How long an intent is safe from the cleaner."""

_MARGIN = timedelta(minutes=2)


@dataclass(slots=True)
class _Attempt:
    prepared: PreparedCut
    lease_until: datetime
    intended: bool = False
    written: int = 0


class Committer:
    """Takes the steps of one cut after the other, and after a failure goes on with the step that failed."""

    def __init__(self, ledger: CutLedger, storage: SpanStorage) -> None:
        """Commit into `ledger`, with files in `storage`."""
        self._ledger = ledger
        self._storage = storage
        self._attempt: _Attempt | None = None

    def commit(self, prepare: Callable[[datetime], PreparedCut | None], now: datetime) -> PreparedCut | None:
        """Commit what `prepare` returns, or what an earlier call could not finish; return what was committed, if anything.

        Raises:
            StaleClaim: the cut was discarded; so must be what it was made from.
            TransientError: call again, with nothing added to what the cut was made from.
        """
        attempt = self._attempt
        if attempt is None or now > attempt.lease_until - _MARGIN:
            # After a long failure the intents may be gone: new files under new ones.
            self._attempt = None
            prepared = prepare(now)
            if prepared is None:
                return None
            attempt = self._attempt = _Attempt(prepared, now + LEASE)
        cut, files = attempt.prepared.cut, attempt.prepared.files
        if files and not attempt.intended:
            self._ledger.intend([(file.span.span_id, file.span.name) for file in files], attempt.lease_until)
            attempt.intended = True
        for file in files[attempt.written :]:
            self._storage.put(file.span.name, file.content)
            attempt.written += 1
        self._ledger.commit(cut, now)
        self._attempt = None
        return attempt.prepared

    def forget(self) -> None:
        """Give up what could not be finished."""
        self._attempt = None
