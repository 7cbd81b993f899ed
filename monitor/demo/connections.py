"""Connections of the demo's model server: requests read, answers written in order. Changes with how HTTP is spoken."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from typing_extensions import override

from collectors.wire import headers
from monitor.demo.rest import Call
from monitor.demo.versions import Servable

JSON = b"application/json"
_MAX_BODY_BYTES = 64 * 2**20
_ID = b"x-request-id"
_VERSION = headers.VERSION.encode()
"""Tells which version answered, which TensorFlow Serving keeps to itself, but a router in front of it knows."""


class Taking(Protocol):
    """What requests are handed to."""

    clients: set[Client]

    def take(self, pending: Pending) -> None:
        """Take a request; its answer is sent with `send` of its client."""
        ...


class Pending:
    """A request that has been read, and its answer once there is one; `version` is that of the model that answered."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.url = b""
        self.body: list[bytes] = []
        self.size = 0
        self.method = ""
        self.keep_alive = True
        self.call: Call | None = None
        self.model: Servable | None = None
        self.request_id = b""
        self.version = ""
        self.status = HTTPStatus.OK
        self.content = b""
        self.content_type = JSON

    def done(self, status: HTTPStatus, content: bytes) -> None:
        """Answer, once it is this request's turn."""
        self.status, self.content = status, content


class Client(asyncio.Protocol):
    """A connection from a client; what it asks is answered in order."""

    def __init__(self, server: Taking) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = HttpRequestParser(self)
        self._reading: Pending | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._server.clients.add(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._server.clients.discard(self)
        self._transport = None

    @override
    def data_received(self, data: bytes) -> None:
        """Read requests, or pieces of them."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._refuse(HTTPStatus.BAD_REQUEST)

    def on_message_begin(self) -> None:
        """Make room for a request."""
        self._reading = Pending(self)

    def on_url(self, url: bytes) -> None:
        """Take the path, or a piece of it."""
        if self._reading is not None:
            self._reading.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take the request's id, and answer a client that waits for leave to send its body."""
        if name.lower() == _ID and self._reading is not None:
            self._reading.request_id = value
        if name.lower() == b"expect" and value.lower() == b"100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        if self._reading is not None:
            self._reading.size += len(chunk)
            if self._reading.size > _MAX_BODY_BYTES:
                self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            else:
                self._reading.body.append(chunk)

    def on_message_complete(self) -> None:
        """Hand the request over."""
        if self._reading is not None:
            self._reading.method = self._parser.get_method().decode("latin-1")
            self._reading.keep_alive = self._parser.should_keep_alive()
            self._server.take(self._reading)
            self._reading = None

    def send(self, pending: Pending) -> None:
        """Answer."""
        if self._transport is None:
            return
        head = (
            b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b%b\r\n"
            % (
                pending.status,
                pending.status.phrase.encode(),
                pending.content_type,
                len(pending.content),
                b"%b: %b\r\n" % (_VERSION, pending.version.encode()) if pending.version else b"",
                b"" if pending.keep_alive else b"Connection: close\r\n",
            )
        )  # fmt: skip
        self._transport.write(head if pending.method == "HEAD" else head + pending.content)
        if not pending.keep_alive:
            self.close()

    def close(self) -> None:
        """Close when everything is sent."""
        if self._transport is not None:
            self._transport.close()

    def _refuse(self, status: HTTPStatus) -> None:
        self._reading = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 %d %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, status.phrase.encode())
            )
            self._transport.close()
