"""Connections to the model server behind the proxy; changes with how answers are read and connections reused."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from typing_extensions import override

from monitor.errors import ConfigError, TransientError

Headers = Sequence[tuple[bytes, bytes]]

_MAX_IDLE = 128
_MAX_FETCH_BYTES = 8 * 2**20
_OK = 200


class Reply(Protocol):
    """Who gets an answer; called in the order head, data, end, with `flush` after each piece of input."""

    def head(self, status: int, reason: bytes, headers: Headers) -> None:
        """Take the status and the headers as they came."""
        ...

    def data(self, chunk: bytes) -> None:
        """Take a part of the body, without its transfer coding."""
        ...

    def end(self) -> bool:
        """Take note that the answer is complete; say whether the request was, too, so that the connection can be kept."""
        ...

    def flush(self) -> None:
        """Take note that nothing more has arrived for now."""
        ...

    def lost(self, *, stale: bool) -> None:
        """Take note that the connection ended early; `stale` when it was a kept one that had not answered at all."""
        ...

    def hold(self) -> None:
        """Send no more of the request until `go_on`."""
        ...

    def go_on(self) -> None:
        """Send on."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """Where the model server listens."""

    host: str
    port: int
    tls: bool = False

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read `http://host:port`; raises ConfigError for anything else."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"{url!r} has no valid port") from error
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ConfigError(f"{url!r} is not the address of a server; write for example http://127.0.0.1:8501")
        tls = parts.scheme == "https"
        return cls(parts.hostname, port or (443 if tls else 80), tls)

    def __str__(self) -> str:
        """Return it as a Host header has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Connection(asyncio.Protocol):
    """One connection to the model server; it carries one request at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._reply: Reply | None = None
        self._kept = False
        self._fresh()

    def _fresh(self) -> None:
        self._answered = False
        self._complete = False
        self._head_only = False
        self._interim = False
        self._until_close = False
        self._reusable = False
        self._reason = b""
        self._headers: list[tuple[bytes, bytes]] = []

    # What the proxy calls

    def begin(self, reply: Reply, method: bytes, data: bytes) -> None:
        """Send the first bytes of a request; its answer goes to `reply`."""
        self._reply = reply
        self._head_only = method == b"HEAD"
        self.write(data)

    def write(self, data: bytes) -> None:
        """Send more of the request."""
        if self._transport is not None:
            self._transport.write(data)

    def pause(self) -> None:
        """Read no more until `resume`."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once, without a word to the reply."""
        self._reply = None
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)

    @override
    def data_received(self, data: bytes) -> None:
        """Read an answer, or a piece of one."""
        reply = self._reply
        if reply is None:  # nobody asked
            self.abort()
            return
        self._answered = True
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.abort()
            reply.lost(stale=False)
            return
        if self._complete:
            self._finish(reply)
        else:
            reply.flush()

    @override
    def eof_received(self) -> None:
        """End an answer that has no length of its own."""
        if self._until_close and self._reply is not None:
            self._complete = True
            self._finish(self._reply)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self._pool.forget(self)
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.lost(stale=self._kept and not self._answered)

    @override
    def pause_writing(self) -> None:
        """The server reads slowly."""
        if self._reply is not None:
            self._reply.hold()

    @override
    def resume_writing(self) -> None:
        """The server has caught up."""
        if self._reply is not None:
            self._reply.go_on()

    # What the parser calls

    def on_status(self, reason: bytes) -> None:
        """Take the reason phrase, or a piece of it."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Pass the head on, unless more is to come before the answer itself."""
        status = self._parser.get_status_code()
        self._interim = 100 <= status < 200
        if self._interim or self._reply is None:
            return
        names = {name.lower() for name, _ in self._headers}
        bodiless = self._head_only or status in (204, 304)
        self._until_close = not bodiless and not names & {b"content-length", b"transfer-encoding"}
        # Asked now, since the parser forgets it with the end of the message.
        self._reusable = not (self._until_close or self._head_only) and self._parser.should_keep_alive()
        self._reply.head(status, self._reason, self._headers)
        if self._head_only:  # the parser would wait for a body
            self._complete = True

    def on_body(self, chunk: bytes) -> None:
        """Pass a piece of the body on."""
        if self._reply is not None and not self._interim:
            self._reply.data(chunk)

    def on_message_complete(self) -> None:
        """Note the end; it is acted on when all input is read."""
        if self._interim:
            self._reason, self._headers, self._interim = b"", [], False
        else:
            self._complete = True

    def _finish(self, reply: Reply) -> None:
        reusable = self._reusable
        self._reply = None
        self._fresh()
        if reply.end() and reusable:
            self._kept = True
            self._pool.give(self)
        elif self._transport is not None:
            self._transport.close()


class Pool:
    """The idle connections to one server; the one used last is used first, so that the others can time out."""

    def __init__(self, address: Address) -> None:
        """Connect to nothing yet."""
        self.address = address
        self._idle: list[Connection] = []
        self._tls = ssl.create_default_context() if address.tls else None
        self._closed = False

    def take(self) -> Connection | None:
        """Return an idle connection, if there is one."""
        return self._idle.pop() if self._idle else None

    async def open(self) -> Connection:
        """Return a new connection; raises OSError."""
        loop = asyncio.get_running_loop()
        connection: Connection
        _, connection = await loop.create_connection(
            lambda: Connection(self), self.address.host, self.address.port, ssl=self._tls
        )
        return connection

    def give(self, connection: Connection) -> None:
        """Take back a connection that has nothing more to say."""
        connection.resume()
        if self._closed or len(self._idle) >= _MAX_IDLE:
            connection.abort()
        else:
            self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """Drop a connection that has ended."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close the idle connections."""
        self._closed = True
        for connection in list(self._idle):
            connection.abort()

    async def fetch(self, path: str, timeout_seconds: float) -> bytes:
        """Return the body of a GET on a connection of its own.

        Raises:
            TransientError: no answer in time, another status than 200, or an answer that is far too large.
        """
        fetched = _Fetched()
        parser = HttpResponseParser(fetched)
        request = f"GET {path} HTTP/1.1\r\nHost: {self.address}\r\nConnection: close\r\n\r\n"
        try:
            async with asyncio.timeout(timeout_seconds):
                reader, writer = await asyncio.open_connection(self.address.host, self.address.port, ssl=self._tls)
                try:
                    writer.write(request.encode())
                    while not fetched.over and (data := await reader.read(2**16)):
                        parser.feed_data(data)
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError, HttpParserError) as error:
            raise TransientError(f"{self.address} does not answer {path}") from error
        if fetched.size > _MAX_FETCH_BYTES or not fetched.parts or parser.get_status_code() != _OK:
            raise TransientError(f"{self.address} does not serve {path}")
        return b"".join(fetched.parts)


class _Fetched:
    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.over = False

    def on_body(self, chunk: bytes) -> None:
        self.parts.append(chunk)
        self.size += len(chunk)
        self.over = self.size > _MAX_FETCH_BYTES

    def on_message_complete(self) -> None:
        self.over = True
