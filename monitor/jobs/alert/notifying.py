"""Sends the messages that wait in the ledger, a receiver beside the other; changes with how senders share the time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import structlog

from monitor.alert.backoff import retry_delay
from monitor.alert.rate_limit import Bucket
from monitor.clock import Clock, rfc3339
from monitor.config.settings import Settings
from monitor.errors import TransientError
from monitor.metrics import MonitorMetrics
from monitor.outside.http import Refused
from monitor.outside.receivers.sender import Busy, Sender
from monitor.store.ledger import Ledger
from monitor.store.outbox import LONGEST_WAIT, Message

_log = structlog.get_logger(__name__)

_BATCH = 5
"""Messages claimed at once: few, since those that are not reached are held up by a crash until the claim is over."""
_MARGIN = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(seconds=30)
"""Between two tries of a receiver that fails, whichever message it is: a dead one is asked twice a minute for all of them."""
_LONGEST_WISH = LONGEST_WAIT
"""A Retry-After is heeded up to here."""
_KEEP = timedelta(days=30)
"""Time for which ended messages are kept, to be listed and sent again."""
_UNKNOWN_AFTER = timedelta(days=1)
"""Age at which messages to a receiver that settings no longer have are given up."""
_TIDY_EVERY = timedelta(minutes=10)


class Outcome(StrEnum):
    """What came of an attempt."""

    SENT = "sent"
    RETRIED = "retried"
    REFUSED = "refused"
    GIVEN_UP = "given_up"


@dataclass
class _Lane:
    """What is remembered of one receiver; used by one thread at a time."""

    bucket: Bucket
    failures: int = 0
    paused_until: datetime | None = None
    running: Future[int] | None = None

    def may_start(self, now: datetime) -> bool:
        until = self.paused_until
        # A pause that is longer than any was begun while the clock was ahead.
        return self.running is None and (until is None or until <= now or until > now + _LONGEST_WISH)

    def begin(self) -> None:
        self.paused_until = None

    def fails(self) -> bool:
        """Say whether it has failed since it began."""
        return self.paused_until is not None

    def answered(self) -> None:
        self.failures = 0

    def failed(self, receiver: str, now: datetime, wish: timedelta) -> None:
        self.failures += 1
        self.paused_until = now + max(min(retry_delay(receiver, self.failures), _LONGEST_PAUSE), wish)


@dataclass
class Notifier:
    """Sends messages at least once, those of a receiver and subject in their order.

    Several may run at once, in different processes: each message is held by one of them. Each counts `max_per_minute` by itself.
    Call `tick` from one thread.

    Attributes:
        holder: a name that no other process has, now or after a restart.
        senders: by the names of the receivers in `settings`.
        patience_seconds: how long a tick waits for slow receivers; they go on beside later ticks.
    """

    ledger: Ledger
    settings: Settings
    clock: Clock
    holder: str
    senders: Mapping[str, Sender]
    metrics: MonitorMetrics
    patience_seconds: float = 0.5
    _lanes: dict[str, _Lane] = field(default_factory=dict, init=False)
    _tidied: datetime | None = field(default=None, init=False)
    _threads: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        """Make a thread a receiver possible, so that those which hang leave one for each of the others."""
        self._threads = ThreadPoolExecutor(max(1, len(self.senders)), thread_name_prefix="notifier")

    def tick(self, stop: threading.Event) -> int:
        """Send what is due, until `stop`, and return how many messages receivers took since the last tick.

        Raises:
            TransientError: the database did not answer; what was sent and could not be marked is sent again.
        """
        now = self.clock.now()
        self._tidy(now)
        for receiver in self.ledger.outbox.receivers_with_due(now):
            if receiver not in self.senders:
                continue
            lane = self._lanes.setdefault(
                receiver, _Lane(Bucket.full(self.settings.receivers[receiver].max_per_minute, now))
            )
            if lane.may_start(now) and not stop.is_set():
                lane.running = self._threads.submit(self._send_due, receiver, lane, stop)
        running = [lane.running for lane in self._lanes.values() if lane.running is not None]
        wait(running, self.patience_seconds)
        return self._collected()

    def close(self) -> None:
        """Wait for what is being sent; `stop` of the last tick is to be set."""
        self._threads.shutdown(wait=True)

    def _collected(self) -> int:
        taken, errors = 0, list[BaseException]()
        for lane in self._lanes.values():
            if lane.running is None or not lane.running.done():
                continue
            error = lane.running.exception()
            if error is None:
                taken += lane.running.result()
            else:
                errors.append(error)
            lane.running = None
        if errors:
            raise errors[0]
        return taken

    def _send_due(self, receiver: str, lane: _Lane, stop: threading.Event) -> int:
        """Send to one receiver until nothing is due, it fails, or it has had enough; return how many messages it took."""
        taken = 0
        hold = self.settings.receivers[receiver].timeout * _BATCH + _MARGIN
        lane.begin()
        while not (lane.fails() or stop.is_set()):
            now = self.clock.now()
            lane.bucket = lane.bucket.filled(now)
            if not lane.bucket.room:
                break
            room = min(_BATCH, lane.bucket.room)
            claimed = self.ledger.outbox.claim(receiver, self.holder, now, now + hold, room)
            if not claimed:
                break
            for place, message in enumerate(claimed):
                if lane.fails() or stop.is_set():
                    self.ledger.outbox.release(claimed[place:], self.holder)
                    break
                taken += self._attempt(receiver, lane, message) is Outcome.SENT
        return taken

    def _attempt(self, receiver: str, lane: _Lane, message: Message) -> Outcome:
        """Send one message, and note what came of it."""
        told, now = message.notification, self.clock.now()
        last = message.created_at + self.settings.receivers[receiver].give_up_after
        if now > last and message.attempts:  # one that nobody tried may be old by a clock that jumped alone
            return self._gave_up(message, Outcome.GIVEN_UP, f"too old to be sent; {message.error}", now)
        lane.bucket = lane.bucket.taken()
        try:
            self.senders[receiver].send(told, message.created_at, now)
        except Refused as error:
            lane.answered()
            return self._gave_up(message, Outcome.REFUSED, str(error), self.clock.now())
        except TransientError as error:
            wish = min(error.after or timedelta(0), _LONGEST_WISH) if isinstance(error, Busy) else timedelta(0)
            return self._failed(lane, message, last, str(error), wish)
        except Exception as error:  # noqa: BLE001 (an error in a sender that nobody thought of must not hold up its receiver)
            # Its text is left out: nobody has seen to it that there are no secrets in it.
            return self._failed(lane, message, last, f"an error that was not foreseen ({type(error).__name__})")
        lane.answered()
        held = self.ledger.outbox.sent(message, self.holder, self.clock.now())
        _log.info("notification_sent", **_keys(message), attempts=message.attempts + 1, held=held)
        return self._counted(message, Outcome.SENT)

    def _failed(
        self, lane: _Lane, message: Message, last: datetime, reason: str, wish: timedelta = timedelta(0)
    ) -> Outcome:
        """Note that an attempt was in vain; the next one is after `wish` at the earliest."""
        told, now = message.notification, self.clock.now()
        lane.failed(told.receiver, now, wish)
        if now >= last:
            return self._gave_up(message, Outcome.GIVEN_UP, reason, now)
        due = now + max(retry_delay(told.message_id, message.attempts + 1), wish)
        due = min(due, last)  # one last try when its time is up
        held = self.ledger.outbox.try_later(message, self.holder, due, reason)
        _log.warning("notification_failed", **_keys(message), reason=reason, again_at=rfc3339(due), held=held)
        return self._counted(message, Outcome.RETRIED)

    def _gave_up(self, message: Message, outcome: Outcome, reason: str, now: datetime) -> Outcome:
        held = self.ledger.outbox.give_up(message, self.holder, reason, now)
        _log.error("notification_given_up", **_keys(message), reason=reason, held=held)
        return self._counted(message, outcome)

    def _counted(self, message: Message, outcome: Outcome) -> Outcome:
        told = message.notification
        self.metrics.notifications.labels(told.receiver, str(told.kind), str(outcome)).inc()
        return outcome

    def _tidy(self, now: datetime) -> None:
        if self._tidied is not None and self._tidied <= now < self._tidied + _TIDY_EVERY:
            return
        self._tidied = now
        gone = self.ledger.outbox.abandon(
            list(self.senders), now - _UNKNOWN_AFTER, "the settings have no receiver of this name", now
        )
        if gone:
            _log.error("notifications_without_receiver", given_up=gone)
        self.ledger.outbox.clean(now - _KEEP)


def _keys(message: Message) -> dict[str, str]:
    """Return what a log says of a message: nothing of what it tells."""
    told = message.notification
    return {"receiver": told.receiver, "kind": str(told.kind), "message": told.message_id}
