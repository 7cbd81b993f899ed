"""The bounded way from a serving process to Kafka; changes with what is promised to serving.

Serving calls `wants` and `offer`, which take microseconds and neither wait nor raise. A thread of the producer's own encodes
and sends. Memory is bounded: what is offered while `max_buffer_bytes` are held is dropped and counted. What was sent is held
until Kafka acknowledges it, so that a broker that is away fills the same bound.
"""

from __future__ import annotations

import atexit
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import structlog
import xxhash
from prometheus_client import REGISTRY, CollectorRegistry

from collectors.capture.exchange import Encoded, Exchange, Message, message_of
from collectors.capture.metrics import CaptureMetrics, Dropped
from collectors.capture.tensors import predict_log, size_of
from collectors.sampler import KEEP_ALL, theta_of
from monitor.clock import Clock, Deadline, SystemClock
from monitor.errors import DriftlineError, InvalidRecord, TransientError

DEFAULT_BUFFER_BYTES = 32 * 2**20
_OVERHEAD_BYTES = 2_048
"""Python objects that belong to one exchange or message: measured, and rounded up."""
_RETRY_SECONDS = 0.5
_CLOSE_SECONDS = 10.0

_log = structlog.get_logger("driftline.capture")


class Sink(Protocol):
    """Where messages go; used by one thread."""

    def send(self, message: Message, done: Callable[[bool], None]) -> None:
        """Take a message; `done` is called once, from any thread, with whether it arrived.

        Raises:
            TransientError: it cannot be taken now; the same message may be offered again.
            InvalidRecord: it is larger than what the other side takes.
        """
        ...

    def close(self, timeout_seconds: float) -> None:
        """Wait until what was taken has arrived, no longer than `timeout_seconds`, and end."""
        ...


class CaptureProducer:
    """Sends exchanges to Kafka without ever holding up the caller; `wants`, `offer` and `capture` may be called from any thread.

    Its thread starts with the first offer, so a server that forks its workers may make the producer before. Call `close` to
    send what is left; the end of the interpreter does so too.
    """

    def __init__(
        self,
        open_sink: Callable[[], Sink],
        *,
        rate: float = 1.0,
        max_buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        registry: CollectorRegistry = REGISTRY,
        clock: Clock | None = None,
    ) -> None:
        """Set up without connecting to anything.

        Args:
            open_sink: connects; called from the producer's thread until it does not raise TransientError.
            rate: share of request ids to keep, in (0, 1].
            max_buffer_bytes: memory to hold at most.
            registry: where to count.
            clock: the machine's own by default.
        """
        if not 0 < rate <= 1:
            raise ValueError("the rate must be in (0, 1]")
        self.metrics = CaptureMetrics.on(registry)
        self.clock = clock or SystemClock()
        self._open_sink = open_sink
        self._rate = rate
        self._theta = theta_of(rate)
        self._max_bytes = max_buffer_bytes
        self._changed = threading.Condition()
        self._queue: deque[tuple[Exchange, int]] = deque()
        self._pending: dict[int, int] = {}
        self._next_token = 0
        self._held = 0
        self._thread: threading.Thread | None = None
        self._closing: Deadline | None = None
        self._trouble = ""
        self.metrics.buffered_bytes.set_function(lambda: self._held)

    def wants(self, request_id: str) -> bool:
        """Say whether the sampler keeps this request; counts it if not. Call it once a request, before any other work."""
        if self._theta >= KEEP_ALL or xxhash.xxh3_64_intdigest(request_id.encode()) < self._theta:
            return True
        self.metrics.sampled_out.inc()
        return False

    def offer(self, exchange: Exchange) -> bool:
        """Hand over an exchange that `wants` has kept; returns at once, False where it was dropped."""
        size = exchange.size + _OVERHEAD_BYTES
        with self._changed:
            if self._closing is None and self._held + size <= self._max_bytes:
                self._held += size
                self._queue.append((exchange, size))
                if self._thread is None:
                    self._start()
                elif len(self._queue) == 1:
                    self._changed.notify()
                return True
            reason = Dropped.BUFFER_FULL if self._closing is None else Dropped.SHUTDOWN
        self.metrics.dropped(reason)
        return False

    def capture(
        self,
        *,
        model: str,
        version: str = "",
        request_id: str | None = None,
        features: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        prediction: Any = None,
        log: Any = None,
        signature: str = "",
        event_time: datetime | None = None,
        latency_seconds: float | None = None,
        status: str = "",
    ) -> str:
        """Capture a request by hand and return its id, whether or not the sampler keeps it.

        Args:
            model: name of the model.
            version: of the model.
            request_id: one is made where there is none.
            features: name to value (number, text, bytes, bool, list or numpy array); None is a missing value. A sequence of
                such mappings is a batch, in which every instance must have the same features, none missing.
            prediction: value, list, or mapping from output to value; for a batch, a sequence of one for each instance.
            log: a PredictionLog, Driftline's or TensorFlow Serving's own class or its bytes, instead of features and prediction.
            signature: name of the signature.
            event_time: when the request came in, aware; now, where not given.
            latency_seconds: how long the answer took.
            status: HTTP status or name of the gRPC code.

        Raises:
            ValueError: neither or both of `features` and `log` are given, or `event_time` has no zone.
        """
        if (features is None) == (log is None):
            raise ValueError("give either `features` or `log`")
        if event_time is not None and event_time.tzinfo is None:
            raise ValueError("`event_time` needs a zone")
        request_id = request_id or uuid.uuid4().hex
        if not self.wants(request_id):
            return request_id
        if log is not None:
            raw = log if isinstance(log, bytes) else log.SerializeToString()
            size = len(raw)

            def encode() -> Encoded:
                return Encoded(raw, model, version, signature)

        else:
            single = isinstance(features, Mapping)
            given: list[dict[str, Any]] = [dict(one) for one in ([features] if single else features or ())]  # type: ignore[arg-type]
            predictions = [prediction] if single else None if prediction is None else list(prediction)
            size = size_of(given) + size_of(predictions)

            def encode() -> Encoded:
                return Encoded(
                    predict_log(given, predictions, model, version, signature).SerializeToString(),
                    model,
                    version,
                    signature,
                )

        moment = event_time or self.clock.now()
        self.offer(Exchange(request_id, moment, status, size, encode, latency_seconds))
        return request_id

    def close(self, timeout_seconds: float = _CLOSE_SECONDS) -> bool:
        """Send what is held, for no longer than `timeout_seconds`; say whether nothing was left. Calling it again is harmless."""
        deadline = Deadline.after(SystemClock(), timeout_seconds)
        with self._changed:
            if self._closing is not None:
                return not self._held
            self._closing = deadline
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            atexit.unregister(self.close)
            thread.join(deadline.remaining())
        return self._give_up() == 0

    # On the producer's thread

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="driftline-capture", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def _run(self) -> None:
        sink: Sink | None = None
        while (taken := self._take()) is not None:
            exchange, token = taken
            message = self._encoded(exchange, token)
            while message is not None:
                try:
                    if sink is None:
                        sink = self._open_sink()
                        # kafka-python gives up what it holds when the interpreter ends: be asked before it is.
                        atexit.unregister(self.close)
                        atexit.register(self.close)
                    sink.send(message, self._answer(token))
                    self._report("")
                except TransientError as error:
                    self._report(str(error))
                    if self._wait_for_another_try():
                        continue
                except InvalidRecord as error:
                    self._lose(token, Dropped.TOO_LARGE, error)
                except DriftlineError as error:
                    self._report(str(error))
                    self._lose(token, None, error)
                break
        if sink is not None:
            closing = self._closing
            sink.close(closing.remaining() if closing is not None else 0.0)

    def _report(self, trouble: str) -> None:
        """Log what keeps messages from being sent, once, and that it is over."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            _log.warning("capture_not_sent", reason=trouble)
        else:
            _log.info("capture_goes_on")

    def _take(self) -> tuple[Exchange, int] | None:
        """Return the next exchange and the token under which it is pending; None when there is nothing more to do."""
        with self._changed:
            while not self._queue:
                if self._closing is not None:
                    return None
                self._changed.wait()
            if self._closing is not None and self._closing.expired():
                return None
            exchange, size = self._queue.popleft()
            self._next_token += 1
            self._pending[self._next_token] = size
            return exchange, self._next_token

    def _encoded(self, exchange: Exchange, token: int) -> Message | None:
        try:
            message = message_of(exchange, exchange.encode(), self._rate)
        except Exception as error:  # noqa: BLE001 - it may be a user's own code, and must not end the capture of others
            self._lose(token, Dropped.UNREADABLE, error)
            return None
        size = len(message.value) + _OVERHEAD_BYTES
        with self._changed:
            if token in self._pending:
                self._held += size - self._pending[token]
                self._pending[token] = size
        return message

    def _answer(self, token: int) -> Callable[[bool], None]:
        def done(arrived: bool) -> None:
            if self._settle(token):
                (self.metrics.sent if arrived else self.metrics.failed).inc()

        return done

    def _lose(self, token: int, reason: Dropped | None, error: Exception) -> None:
        # Only the kind of an error is told: its text could hold what the request held.
        _log.debug("capture_lost", reason=str(reason or "refused"), error=type(error).__name__)
        if not self._settle(token):
            return
        if reason is None:
            self.metrics.failed.inc()
        else:
            self.metrics.dropped(reason)

    def _settle(self, token: int) -> bool:
        with self._changed:
            size = self._pending.pop(token, None)
            if size is None:
                return False
            self._held -= size
            return True

    def _wait_for_another_try(self) -> bool:
        with self._changed:
            if self._closing is None:
                self._changed.wait(_RETRY_SECONDS)
                return True
            if self._closing.expired():
                return False
            self._changed.wait(min(_RETRY_SECONDS, self._closing.remaining()))
            return True

    def _give_up(self) -> int:
        """Count what could not be sent; return how much that was."""
        with self._changed:
            left, pending = len(self._queue), len(self._pending)
            self._queue.clear()
            self._pending.clear()
            self._held = 0
        if left:
            self.metrics.dropped(Dropped.SHUTDOWN, left)
        if pending:
            self.metrics.failed.inc(pending)
        if left or pending:
            _log.warning("capture_cut_short", dropped=left, failed=pending)
        return left + pending
