"""When a message that was not taken is sent again; changes with how patient that is."""

from __future__ import annotations

import hashlib
from datetime import timedelta

FIRST = timedelta(seconds=2)
LONGEST = timedelta(minutes=15)


def retry_delay(message_id: str, attempts: int) -> timedelta:
    """Return how long to wait after `attempts` (from 1) in vain: doubling from `FIRST` to `LONGEST`, less up to a quarter of it.

    What is taken off is decided by the message and the attempt, so that messages which failed together do not come back together.
    """
    whole = min(LONGEST.total_seconds(), FIRST.total_seconds() * 2 ** min(attempts - 1, 30))
    digest = hashlib.sha256(f"{message_id}/{attempts}".encode()).digest()
    return timedelta(seconds=whole * (1 - int.from_bytes(digest[:4]) / 2**32 / 4))
