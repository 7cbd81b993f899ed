"""The sidecar in front of a model server's REST API; changes with how connections are served and captures handed over.

Everything goes through as it came, streamed, with connections kept on both sides. Only hop-by-hop headers are the proxy's own,
and the request id, which is made where a client sends none, and returned. An answer is captured when its last byte has been
handed to the client's socket. What a client got is what is captured: with the model server's own status where that is not 200,
with 502 or 504 where it did not answer. A request that was left before its end is not captured, but counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from typing_extensions import override

from collectors.capture.exchange import Encoded, Exchange
from collectors.capture.metrics import Dropped, ProxyMetrics
from collectors.capture.producer import CaptureProducer
from collectors.capture.relay import ProxySettings, Relay
from collectors.capture.rest import Body, Served, encode
from collectors.capture.served import ServedModels
from collectors.capture.upstream import Pool

_MAX_HEAD_BYTES = 64 * 2**10
_MAX_PIPELINE = 32
_MAX_PIPELINE_BYTES = 256 * 2**10
_OK = 200


class _Client(asyncio.Protocol):
    """A connection from a client; its requests are answered one after the other."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._transport: asyncio.Transport | None = None
        self._parser = HttpRequestParser(self)
        self._relays: deque[Relay] = deque()
        self._reading: Relay | None = None
        self._started: Relay | None = None
        self._head_bytes = 0
        self._throttled: set[str] = set()
        self._slow = False
        self._body_head = b""

    # What a relay calls

    def write(self, data: bytes) -> None:
        """Send to the client."""
        if self._transport is not None:
            self._transport.write(data)

    def encourage(self) -> None:
        """Answer `Expect: 100-continue`, if it is the turn of the request that asks."""
        if len(self._relays) == 1:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def throttle(self, reason: str) -> None:
        """Read no more until `release` for every reason given."""
        if not self._throttled and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        self._throttled.add(reason)

    def release(self, reason: str) -> None:
        """Read on, if that was the last reason not to."""
        if reason in self._throttled:
            self._throttled.discard(reason)
            if not self._throttled and self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    def next(self, *, keep_alive: bool) -> None:
        """Go on with the request that follows the one just answered."""
        self._relays.popleft()
        self._started = None
        if not keep_alive or (not self._relays and self._proxy.draining):
            self.finish()
            return
        self.release("upstream")
        self.release("opening")
        if len(self._relays) <= 1:
            self.release("pipeline")
        self._advance()

    def finish(self) -> None:
        """Close when everything is sent."""
        if self._transport is not None:
            self._transport.close()

    def finish_if_idle(self) -> None:
        """Close unless a request is under way."""
        if not self._relays:
            self.finish()

    def cut(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._proxy.clients.add(self)

    @override
    def data_received(self, data: bytes) -> None:
        """Read requests, or pieces of them."""
        while data:
            self._head_bytes += len(data)
            try:
                self._parser.feed_data(data)
                data = b""
            except HttpParserUpgrade as asked:  # refused, as HTTP allows: what follows is plain HTTP
                if self._relays and self._relays[-1].method == b"CONNECT":
                    self._refuse(HTTPStatus.METHOD_NOT_ALLOWED)
                    return
                self._parser = HttpRequestParser(self)
                data = self._body_head + data[int(asked.args[0]) :]
                self._body_head = b""
            except HttpParserError:
                self._refuse(HTTPStatus.BAD_REQUEST)
                return
        if self._reading is not None and not self._reading.ready and self._head_bytes > _MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        self._bound_pipeline()
        self._advance()

    @override
    def eof_received(self) -> bool:
        """Close: a client that is gone and one that only sends no more look alike, and the first must not load the model."""
        return False

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of what is under way."""
        self._proxy.gone(self)
        for relay in self._relays:
            relay.cancel()
        self._relays.clear()
        self._transport = None

    @override
    def pause_writing(self) -> None:
        """The client reads slowly."""
        self._slow = True
        if self._started is not None:
            self._started.pause()

    @override
    def resume_writing(self) -> None:
        """The client has caught up."""
        self._slow = False
        if self._started is not None:
            self._started.resume()
        self._advance()

    # What the parser calls

    def on_message_begin(self) -> None:
        """Make room for a request."""
        if self._reading is not None:  # its body comes, under a head made here
            return
        self._reading = Relay(self._proxy, self)
        self._relays.append(self._reading)

    def on_url(self, url: bytes) -> None:
        """Take the path, or a piece of it."""
        if self._reading is not None and not self._reading.ready:
            self._reading.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        if self._reading is not None and not self._reading.ready:
            self._reading.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take note of how the request is framed."""
        if self._reading is not None and not self._reading.ready:
            if self._parser.should_upgrade():
                # The parser takes what follows for another protocol, and would take a body for the next request.
                self._body_head = self._reading.body_head()
            self._reading.understood(
                self._parser.get_method(),
                self._parser.get_http_version(),
                keep_alive=self._parser.should_keep_alive(),
            )

    def on_body(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self._head_bytes = 0
        if self._reading is not None:
            self._reading.body(chunk)

    def on_message_complete(self) -> None:
        """Take note of the end."""
        self._head_bytes = 0
        if self._reading is not None and not self._body_head:
            self._reading.complete()
            self._reading = None

    def _bound_pipeline(self) -> None:
        # Not at the first request that waits: while nothing is read, nobody notices that the client is gone.
        waiting = len(self._relays) - 1
        if waiting > 0 and (
            waiting > _MAX_PIPELINE or sum(relay.request.size for relay in self._relays) > _MAX_PIPELINE_BYTES
        ):
            self.throttle("pipeline")

    def _advance(self) -> None:
        if self._started is None and not self._slow and self._relays and self._relays[0].ready:
            self._started = self._relays[0]
            self._started.start()

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer what cannot be read, unless an answer to something earlier is under way, and close."""
        if len(self._relays) <= 1 and self._started is None:
            self.write(
                b"HTTP/1.1 %d %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, status.phrase.encode())
            )
        for relay in self._relays:
            relay.cancel()
        self._relays.clear()
        self._reading = None
        self.finish()


class Proxy:
    """A server on one address, in front of one model server; lives on one event loop."""

    def __init__(self, settings: ProxySettings, producer: CaptureProducer, metrics: ProxyMetrics) -> None:
        """Prepare; call `start` on a running loop. The producer is not closed here."""
        self.settings = settings
        self.producer = producer
        self.metrics = metrics
        self.host = str(settings.upstream).encode()
        self.id_header = settings.request_id_header.lower().encode()
        self.pool = Pool(settings.upstream)
        self.active: set[Relay] = set()
        self.clients: set[_Client] = set()
        self.draining = False
        self._codes: dict[int, Callable[[], None]] = {}
        self._served = ServedModels(self.pool, settings.poll_seconds)
        self._empty = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port; raises OSError."""
        self.loop = asyncio.get_running_loop()
        self._server = await self.loop.create_server(lambda: _Client(self), host, port, backlog=1024)
        self._sweep()
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, timeout_seconds: float) -> None:
        """Take no more connections, answer what was asked within `timeout_seconds`, and end."""
        self.draining = True
        until = self.loop.time() + timeout_seconds
        if self._server is not None:
            self._server.close()
        for client in list(self.clients):
            client.finish_if_idle()
        if self.clients:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), timeout_seconds)
        for client in list(self.clients):
            client.cut()
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self._served.close(max(0.0, until - self.loop.time()))
        self.pool.close()
        await asyncio.sleep(0)  # lets the transports end

    def gone(self, client: _Client) -> None:
        """Forget a client."""
        self.clients.discard(client)
        if self.draining and not self.clients:
            self._empty.set()

    def answered(self, status: int) -> None:
        """Count an answer."""
        count = self._codes.get(status)
        if count is None:
            count = self._codes[status] = self.metrics.requests.labels(str(status)).inc
        count()

    def capture(self, relay: Relay) -> None:
        """Hand over what was answered, or count why not."""
        target = relay.target
        if target is None:
            return
        # Whoever chose the version, by a label or for a share of the requests, tells it with the answer.
        named = replace(target, version=target.version or relay.version)
        if not (relay.request.whole and relay.response.whole):
            self.producer.metrics.dropped(Dropped.TOO_LARGE)
            return
        request = Body(relay.request.content(), relay.encodings[0])
        response = Body(relay.response.content(), relay.encodings[1])
        status, limit = relay.status, self.settings.max_body_bytes
        request_id, event_time = relay.request_id, relay.event_time
        latency_seconds = self.producer.clock.monotonic() - relay.began

        def offer(served: Served) -> None:
            def encoded() -> Encoded:
                answer = response.decoded(limit) if status == _OK else b""
                return encode(named, request.decoded(limit), answer, status, served)

            size = len(request.content) + len(response.content)
            self.producer.offer(Exchange(request_id, event_time, str(status), size, encoded, latency_seconds))

        label = "" if named.version else named.label
        if status == _OK:
            self._served.when_known(named.model, offer, label)
        else:
            self._served.use_known(named.model, offer, label)

    def _sweep(self) -> None:
        """End what the model server has not answered in time."""
        oldest = self.loop.time() - self.settings.timeout_seconds
        for relay in [relay for relay in self.active if relay.heard < oldest]:
            relay.fail(HTTPStatus.GATEWAY_TIMEOUT, "the model server did not answer in time")
        self._sweeping = self.loop.call_later(min(1.0, self.settings.timeout_seconds / 4), self._sweep)
