"""Who sends a message to a receiver: a port, and what sending may end with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Protocol

from monitor.alert.notification import Notification
from monitor.errors import TransientError
from monitor.outside.http import Refused


class Busy(TransientError):
    """The receiver says that it cannot now; `after` is how long it asks to be left alone, None where it does not say."""

    def __init__(self, message: str, after: timedelta | None = None) -> None:
        """Say it with `message`."""
        super().__init__(message)
        self.after = after


class Sender(Protocol):
    """A way to one receiver. Safe to use from several threads."""

    def send(self, notification: Notification, created_at: datetime, now: datetime) -> None:
        """Send a message, and return once the receiver has taken it.

        Error texts name the receiver's host and its answer's status, and neither secrets nor the message. `created_at` is when it
        was first to be sent: with the message's id it is the same however often it is sent. `now` dates signatures.

        Raises:
            TransientError: it may work later; `Busy` where the receiver says when.
            Refused: it will not work however often it is tried.
        """
        ...


@contextmanager
def rendering() -> Iterator[None]:
    """Refuse a message that cannot be told, such as one that an older version wrote: it must not hold up the others."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise Refused(f"this message cannot be put into the receiver's format ({type(error).__name__})") from error
