"""One request through the proxy and its answer; changes with what the proxy does to a message on its way."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Protocol

from httptools import parse_url
from httptools.parser.errors import HttpParserInvalidURLError

from collectors.capture.copying import Copy
from collectors.capture.metrics import Dropped, ProxyMetrics
from collectors.capture.producer import CaptureProducer
from collectors.capture.rest import Target, target_of
from collectors.capture.upstream import Address, Connection, Headers, Pool
from collectors.wire import headers as wire_headers
from collectors.wire import times
from monitor.clock import from_micros

EVENT_TIME_HEADER = "x-driftline-event-time"
"""RFC 3339 with zone; goes before the proxy's own clock where the settings trust it."""

_EVENT_TIME = EVENT_TIME_HEADER.encode()
_VERSION = wire_headers.VERSION.encode()
_MAX_ID_BYTES = 256
_MAX_AHEAD_BYTES = 256 * 2**10
"""What a client may send before the connection to the model server is open."""
_FRAMING = (b"content-length", b"transfer-encoding")
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings expect".split()
)


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """How to pass requests on.

    Attributes:
        upstream: the model server.
        request_id_header: header that holds the id of a request, in both directions.
        max_body_bytes: a larger request or answer is passed on, and not captured.
        timeout_seconds: how long the model server may stay silent before its client gets 504.
        poll_seconds: how often to ask which version is served; 0 for never.
        trust_event_time: whether a request may say in EVENT_TIME_HEADER when it happened, as replays of old traffic do.
    """

    upstream: Address
    request_id_header: str = "x-request-id"
    max_body_bytes: int = 2**20
    timeout_seconds: float = 60.0
    poll_seconds: float = 10.0
    trust_event_time: bool = False


class ClientSide(Protocol):
    """The connection that a request came on."""

    def write(self, data: bytes) -> None:
        """Send to the client."""
        ...

    def encourage(self) -> None:
        """Answer `Expect: 100-continue`, if it is the turn of the request that asks."""
        ...

    def throttle(self, reason: str) -> None:
        """Read no more until `release` for every reason given."""
        ...

    def release(self, reason: str) -> None:
        """Read on, if that was the last reason not to."""
        ...

    def next(self, *, keep_alive: bool) -> None:
        """Go on with the request that follows the one just answered."""
        ...

    def cut(self) -> None:
        """Close at once."""
        ...


class Passage(Protocol):
    """The proxy, as one request sees it."""

    settings: ProxySettings
    producer: CaptureProducer
    pool: Pool
    loop: asyncio.AbstractEventLoop
    active: set[Relay]
    draining: bool
    host: bytes
    id_header: bytes
    metrics: ProxyMetrics

    def answered(self, status: int) -> None:
        """Count an answer."""
        ...

    def capture(self, relay: Relay) -> None:
        """Hand over what was answered, or count why not."""
        ...


class Relay:
    """One request and its answer; `collectors.capture.upstream.Reply` of the connection that carries it."""

    def __init__(self, proxy: Passage, client: ClientSide) -> None:
        self.proxy = proxy
        self.client = client
        clock = proxy.producer.clock
        self.event_time = clock.now()
        self.began = clock.monotonic()
        self.heard = proxy.loop.time()
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.method = b""
        self.keep_alive = True
        self.chunks = True
        self.ready = False
        self.received = False
        self.request_id = ""
        self.target: Target | None = None
        self.request = Copy(proxy.settings.max_body_bytes)
        self.response = Copy(proxy.settings.max_body_bytes)
        self.encodings = ["", ""]
        self.version = ""  # that answered, where whoever chose it says so
        self.status = 0
        self._head = b""
        self._id_line = b""
        self._chunked_request = False
        self._ahead: list[bytes] = []
        self._connection: Connection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._chunked_response = False
        self._out: list[bytes] = []
        self._over = False
        self._retried = False

    # From the client

    def understood(self, method: bytes, version: str, *, keep_alive: bool) -> None:
        """Take note that the head is complete, and prepare it for the model server."""
        self.method, self.keep_alive, self.chunks = method, keep_alive, version == "1.1"
        settings = self.proxy.settings
        given, dropped = b"", _HOP_BY_HOP
        lines = [self.method + b" " + _path(self.url) + b" HTTP/1.1", b"Host: " + self.proxy.host]
        for name, value in self.headers:
            if name.lower() == b"connection":
                dropped = dropped | {one.strip().lower() for one in value.split(b",")}
        for name, value in self.headers:
            lowered = name.lower()
            if lowered == self.proxy.id_header:
                given = value
            elif lowered == _EVENT_TIME and settings.trust_event_time:
                self.event_time = _moment(value) or self.event_time
            elif lowered == b"transfer-encoding":
                self._chunked_request = True
                lines.append(b"Transfer-Encoding: chunked")
            elif lowered == b"expect" and value.lower() == b"100-continue" and self.chunks:
                self.client.encourage()
            elif lowered not in dropped and lowered != b"host":
                lines.append(name + b": " + value)
            if lowered == b"content-encoding":
                self.encodings[0] = value.decode("latin-1")
        sent = given if 0 < len(given) <= _MAX_ID_BYTES else uuid.uuid4().hex.encode()
        self.request_id = sent.decode("utf-8", "replace")
        self._id_line = settings.request_id_header.encode() + b": " + sent
        lines.append(self._id_line)
        self._head = b"\r\n".join(lines) + b"\r\n\r\n"
        target = target_of(_path(self.url).decode("latin-1")) if method == b"POST" else None
        if target is not None and self.proxy.producer.wants(self.request_id):
            self.target = target
        self.ready = True

    def body_head(self) -> bytes:
        """Return a head that frames the body of this request and says nothing else; empty where there is no body."""
        framing = [name + b": " + value for name, value in self.headers if name.lower() in _FRAMING]
        return b"\r\n".join([b"POST / HTTP/1.1", *framing]) + b"\r\n\r\n" if framing else b""

    def body(self, chunk: bytes) -> None:
        """Pass on a piece of the request, now or when there is a connection."""
        self.heard = self.proxy.loop.time()
        self.request.add(chunk)
        self._send(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked_request else chunk)

    def complete(self) -> None:
        """Take note that the request is complete."""
        self.received = True
        if self._chunked_request:
            self._send(b"0\r\n\r\n")

    def start(self) -> None:
        """Find a connection: it is this request's turn."""
        self.heard = self.proxy.loop.time()
        self.proxy.active.add(self)
        connection = self.proxy.pool.take()
        if connection is not None:
            self._attach(connection)
        else:
            self._open()

    def cancel(self) -> None:
        """The client is gone."""
        if not self._over:
            if self.target is not None:
                self.proxy.producer.metrics.dropped(Dropped.UNANSWERED)
            self._release()

    def pause(self) -> None:
        """The client reads slowly."""
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """The client has caught up."""
        if self._connection is not None:
            self._connection.resume()

    # From the model server

    def head(self, status: int, reason: bytes, headers: Headers) -> None:
        """Pass the head on."""
        self.status = status
        lines = [b"HTTP/1.1 %d %b" % (status, reason)]
        dropped = _HOP_BY_HOP
        sized = False
        for name, value in headers:
            if name.lower() == b"connection":
                dropped = dropped | {one.strip().lower() for one in value.split(b",")}
        for name, value in headers:
            lowered = name.lower()
            sized = sized or lowered == b"content-length"
            if lowered == b"content-encoding":
                self.encodings[1] = value.decode("latin-1")
            if lowered == _VERSION and value.isdigit():
                self.version = value.decode()
            if lowered not in dropped and lowered != self.proxy.id_header:
                lines.append(name + b": " + value)
        if not sized and self.method != b"HEAD" and status not in (204, 304):
            if self.chunks:
                self._chunked_response = True
                lines.append(b"Transfer-Encoding: chunked")
            else:
                self.keep_alive = False
        self._answer_head(lines)

    def data(self, chunk: bytes) -> None:
        """Pass a piece of the body on."""
        if self.target is not None:
            self.response.add(chunk)
        self._out.append(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked_response else chunk)

    def end(self) -> bool:
        """The answer is complete: send it, and only then capture."""
        if self._chunked_response:
            self._out.append(b"0\r\n\r\n")
        self._connection = None
        sent = self.received
        self._finish()
        return sent

    def flush(self) -> None:
        """Send what has come so far."""
        self.heard = self.proxy.loop.time()
        if self._out:
            self.client.write(b"".join(self._out))
            self._out = []

    def lost(self, *, stale: bool) -> None:
        """Ask again on a new connection where a kept one ended unheard, since inference changes nothing; else give up."""
        self._connection = None
        self.client.release("upstream")
        if stale and not self._retried and self.request.whole:
            self._retried = True
            self._ahead = self._whole_request()
            self._open()
        else:
            self.fail(HTTPStatus.BAD_GATEWAY, "the model server closed the connection")

    def hold(self) -> None:
        """The model server reads slowly."""
        self.client.throttle("upstream")

    def go_on(self) -> None:
        """The model server has caught up."""
        self.client.release("upstream")

    def fail(self, status: HTTPStatus, reason: str) -> None:
        """Answer in the model server's stead, or cut an answer short that has begun."""
        if self._over:
            return
        self.proxy.metrics.failures.labels(str(int(status))).inc()
        if self.status:
            self.cancel()
            self.client.cut()
            return
        self.status = int(status)
        content = json.dumps({"error": reason}).encode()
        lines = [
            b"HTTP/1.1 %d %b" % (status, status.phrase.encode()),
            b"Content-Type: application/json",
            b"Content-Length: %d" % len(content),
        ]
        self._answer_head(lines)
        if self.method != b"HEAD":
            self._out.append(content)
        self._finish()

    # Within

    def _answer_head(self, lines: list[bytes]) -> None:
        self.keep_alive = self.keep_alive and self.received and not self.proxy.draining
        lines.append(self._id_line)
        if not self.keep_alive:
            lines.append(b"Connection: close")
        elif not self.chunks:
            lines.append(b"Connection: keep-alive")
        self._out.append(b"\r\n".join(lines) + b"\r\n\r\n")

    def _send(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.write(data)
        elif not self._over:
            self._ahead.append(data)
            if sum(map(len, self._ahead)) > _MAX_AHEAD_BYTES:
                self.client.throttle("opening")

    def _whole_request(self) -> list[bytes]:
        if not self._chunked_request:
            return list(self.request.parts)
        chunked = [b"%x\r\n%b\r\n" % (len(part), part) for part in self.request.parts]
        return [*chunked, b"0\r\n\r\n"] if self.received else chunked

    def _open(self) -> None:
        self._opening = self.proxy.loop.create_task(self._opened())

    async def _opened(self) -> None:
        try:
            connection = await self.proxy.pool.open()
        except OSError:
            self._opening = None
            self.fail(HTTPStatus.BAD_GATEWAY, "the model server cannot be reached")
            return
        self._opening = None
        if self._over:
            connection.abort()
        else:
            self._attach(connection)

    def _attach(self, connection: Connection) -> None:
        self._connection = connection
        ahead, self._ahead = self._ahead, []
        connection.begin(self, self.method, b"".join([self._head, *ahead]))
        self.client.release("opening")

    def _finish(self) -> None:
        self.flush()
        self._release()
        self.proxy.answered(self.status)
        if self.target is not None:
            self.proxy.capture(self)
        self.client.next(keep_alive=self.keep_alive and self.received)

    def _release(self) -> None:
        self._over = True
        self.proxy.active.discard(self)
        if self._opening is not None:
            self._opening.cancel()
        if self._connection is not None:
            self._connection.abort()
            self._connection = None


def _path(url: bytes) -> bytes:
    """Return the path with its query; a client may name the whole URL."""
    if url.startswith(b"/") or url == b"*":
        return url
    try:
        parsed = parse_url(url)
    except HttpParserInvalidURLError:
        return b"/"
    return (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")


def _moment(text: bytes) -> datetime | None:
    """Return the time that a header tells; None where it tells none, or one without a zone."""
    micros = times.micros_of_text(text.decode("latin-1"))
    if micros in (times.INVALID, times.NO_ZONE):
        return None
    try:
        return from_micros(micros)
    except OverflowError:  # a zone takes it out of the years that have four digits
        return None
