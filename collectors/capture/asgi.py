"""Capture inside a Python model server: ASGI middleware; changes with ASGI or with what is taken from a call.

    app = CaptureMiddleware(app, producer, model="flights", version="3")

The answer goes out first; what is captured afterwards is copies of the two bodies, read on the producer's own thread.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from collectors.capture.copying import Copy
from collectors.capture.exchange import Encoded, Exchange
from collectors.capture.metrics import Dropped
from collectors.capture.producer import CaptureProducer
from collectors.capture.rest import Body, Served, Target, encode, target_of

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Extract = Callable[[bytes, bytes], Any]

_OK = 200
_MAX_ID_BYTES = 256


@dataclass(slots=True)
class _Call:
    request_id: bytes
    event_time: datetime
    began: float
    request: Copy
    response: Copy
    path: str
    status: int = 0
    ended: bool = False
    encodings: dict[str, str] = field(default_factory=dict)


class CaptureMiddleware:
    """Passes every call on unchanged but for the request id, and captures POSTs."""

    def __init__(
        self,
        app: App,
        producer: CaptureProducer,
        *,
        model: str,
        version: str = "",
        extract: Extract | None = None,
        paths: Collection[str] = (),
        request_id_header: str = "x-request-id",
        max_body_bytes: int = 2**20,
    ) -> None:
        """Wrap an application.

        Args:
            app: the model server.
            producer: where captured calls go; whoever made it closes it.
            model: name of the model; a path of TensorFlow Serving's API names its own.
            version: of the model, likewise.
            extract: takes the request's and the answer's body and returns a PredictionLog; called for status 200 only, on the
                producer's thread. Without it, bodies are read as those of TensorFlow Serving's predict API.
            paths: what to capture, exactly; every POST where there is none.
            request_id_header: header that holds the id of a request, in both directions; one is made where it is missing.
            max_body_bytes: a larger request or answer is passed on, and not captured.
        """
        self._app = app
        self._producer = producer
        self._target = Target(model, "predict", version)
        self._extract = extract
        self._paths = frozenset(paths)
        self._header = request_id_header.lower().encode()
        self._max_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope, request_id = self._identified(scope)
        wanted = scope["method"] == "POST" and (not self._paths or scope["path"] in self._paths)
        kept = wanted and self._producer.wants(request_id.decode("utf-8", "replace"))
        clock = self._producer.clock
        call = _Call(
            request_id,
            clock.now(),
            clock.monotonic(),
            Copy(self._max_bytes),
            Copy(self._max_bytes),
            scope["path"],
            encodings={"request": _encoding(scope["headers"])},
        )

        async def received() -> Event:
            event = await receive()
            if kept and event["type"] == "http.request":
                call.request.add(event.get("body", b""))
            return event

        async def sent(event: Event) -> None:
            if event["type"] == "http.response.start":
                call.status = event["status"]
                headers = [pair for pair in event.get("headers", ()) if pair[0].lower() != self._header]
                call.encodings["response"] = _encoding(headers)
                event = {**event, "headers": [*headers, (self._header, request_id)]}
            await send(event)
            if event["type"] == "http.response.body":
                if kept:
                    call.response.add(event.get("body", b""))
                call.ended = not event.get("more_body", False)

        try:
            await self._app(scope, received, sent)
        finally:
            if kept:
                self._capture(call)

    def _identified(self, scope: Scope) -> tuple[Scope, bytes]:
        """Return the request id, and a scope whose headers hold it."""
        for name, value in scope["headers"]:
            if name.lower() == self._header and 0 < len(value) <= _MAX_ID_BYTES:
                return scope, bytes(value)
        made = uuid.uuid4().hex.encode()
        others = [pair for pair in scope["headers"] if pair[0].lower() != self._header]
        return {**scope, "headers": [*others, (self._header, made)]}, made

    def _capture(self, call: _Call) -> None:
        reason = None
        if not call.ended:
            reason = Dropped.UNANSWERED
        elif not (call.request.whole and call.response.whole):
            reason = Dropped.TOO_LARGE
        if reason is not None:
            self._producer.metrics.dropped(reason)
            return
        request = Body(call.request.content(), call.encodings["request"])
        response = Body(call.response.content(), call.encodings.get("response", ""))
        latency_seconds = self._producer.clock.monotonic() - call.began

        def encoded() -> Encoded:
            answer = response.decoded(self._max_bytes) if call.status == _OK else b""
            asked = request.decoded(self._max_bytes)
            if self._extract is not None and call.status == _OK:
                log = self._extract(asked, answer)
                return Encoded(log.SerializeToString(), self._target.model, self._target.version)
            return encode(self._target_of(call.path), asked, answer, call.status, Served(self._target.version))

        size = len(request.content) + len(response.content)
        request_id = call.request_id.decode("utf-8", "replace")
        self._producer.offer(Exchange(request_id, call.event_time, str(call.status), size, encoded, latency_seconds))

    def _target_of(self, path: str) -> Target:
        named = target_of(path)
        if named is None:
            return self._target
        return replace(named, version=named.version or ("" if named.label else self._target.version))


def _encoding(headers: Any) -> str:
    for name, value in headers:
        if name.lower() == b"content-encoding":
            return str(value.decode("latin-1"))
    return ""
