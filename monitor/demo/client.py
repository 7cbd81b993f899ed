"""A client's side of HTTP: kept connections, one request at a time on each. Changes with how the demo asks the model."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from typing_extensions import override

from monitor.errors import TransientError


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One kept connection; use `connect`."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._asked: asyncio.Future[Answer] | None = None

    async def post(self, path: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float) -> Answer:
        """Ask, and wait for the answer; a second request must wait for the first.

        Raises:
            TransientError: the connection ended, what came back is not HTTP, or nothing did in time.
        """
        if self._transport is None:
            raise TransientError(f"{self._address} closed the connection")
        lines = [f"POST {path} HTTP/1.1", f"Host: {self._address}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
        self._asked = asyncio.get_running_loop().create_future()
        self._transport.write(head.encode("latin-1") + body)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._asked
        except TimeoutError as error:
            raise TransientError(f"{self._address} did not answer within {timeout_seconds:.0f} s") from error

    def close(self) -> None:
        """Close."""
        if self._transport is not None:
            self._transport.close()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self._transport = None
        self._fail("closed the connection")

    @override
    def data_received(self, data: bytes) -> None:
        """Read an answer, or a piece of one."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._fail("does not speak HTTP")
            self.close()

    def on_body(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self._parts.append(chunk)

    def on_message_complete(self) -> None:
        """Hand the answer over."""
        body, self._parts = b"".join(self._parts), []
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(Answer(self._parser.get_status_code(), body))

    def _fail(self, what: str) -> None:
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(TransientError(f"{self._address} {what}"))


async def connect(address: str) -> Connection:
    """Return a connection to host:port; raises TransientError."""
    host, port = address.rsplit(":", 1)
    try:
        _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(address), host, int(port))
    except OSError as error:
        raise TransientError(f"{address} cannot be reached") from error
    return connection


def fetch(address: str, path: str, timeout_seconds: float = 5.0) -> bytes | None:
    """Return the body of a GET; None where nobody answers, or not with 200."""
    connection = http.client.HTTPConnection(address, timeout=timeout_seconds)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return body if answer.status == HTTPStatus.OK else None
