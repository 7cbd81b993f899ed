"""A network whose every wait counts against one deadline; changes with how httpx's transport reads and writes.

httpx's own time-outs are of one read each: a server that sends a byte a second never trips them.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx
from typing_extensions import override

from monitor.clock import Deadline

_CHUNK_BYTES = 16_384


class BoundedTransport(httpx.HTTPTransport):
    """httpx's transport for one request, all of which ends by `deadline`; names of hosts are looked up at the system's pace."""

    def __init__(self, deadline: Deadline, context: ssl.SSLContext) -> None:
        """Trust what `context` trusts."""
        super().__init__(verify=context, trust_env=False)
        # httpx has no argument for the network that its pool stands on.
        self._pool = httpcore.ConnectionPool(ssl_context=context, network_backend=_Network(deadline))


class _Network(httpcore.NetworkBackend):
    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._plain = httpcore.SyncBackend()

    @override
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Try each address of the host, with an even share of what is left of the time."""
        addresses = _addresses(host, port)
        for place, address in enumerate(addresses):
            share = _left(self._deadline, httpcore.ConnectTimeout) / (len(addresses) - place)
            try:
                plain = self._plain.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if place == len(addresses) - 1:
                    raise
            else:
                return _Stream(plain, self._deadline)
        raise httpcore.ConnectError("the host has no address")


class _Stream(httpcore.NetworkStream):
    def __init__(self, plain: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._plain = plain
        self._deadline = deadline

    @override
    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._plain.read(max_bytes, _left(self._deadline, httpcore.ReadTimeout))

    @override
    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # The time-out below is of one send; in pieces, a peer that takes little at a time is noticed between them.
        for start in range(0, len(buffer), _CHUNK_BYTES):
            self._plain.write(buffer[start : start + _CHUNK_BYTES], _left(self._deadline, httpcore.WriteTimeout))

    @override
    def close(self) -> None:
        self._plain.close()

    @override
    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(self._deadline, httpcore.ConnectTimeout)
        return _Stream(self._plain.start_tls(ssl_context, server_hostname, left), self._deadline)

    @override
    def get_extra_info(self, info: str) -> Any:
        return self._plain.get_extra_info(info)


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError("the name of the host is not known") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _left(deadline: Deadline, timed_out: type[httpcore.TimeoutException]) -> float:
    left = deadline.remaining()
    if left <= 0.0:  # a socket would take 0 for "do not wait", and answer with another error
        raise timed_out("the time is up")
    return left
