"""The HTTP client for everything outside that settings name; changes with what an outside server may do to us."""

from __future__ import annotations

import json as json_text
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from monitor.clock import Clock, Deadline
from monitor.errors import InputError, TransientError
from monitor.outside.bounded_network import BoundedTransport

_REDIRECTS = 3
_KEEP_THE_METHOD = (307, 308)
# No compression: what a small body unpacks to has no limit.
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "driftline"}
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Refused(InputError):
    """What was asked for will not work however often it is tried."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said.

    Attributes:
        headers: by their names in small letters.
        method: of the request that got this answer: after a redirect other than 307 and 308, GET, and nothing was sent.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    method: str = "GET"

    def json(self) -> Any:
        """Return the body read as JSON; raises Refused where it is none."""
        try:
            return json_text.loads(self.body)
        except (ValueError, RecursionError):
            raise Refused("the answer is not JSON") from None


class TooLong(Refused):
    """The body is longer than it may be; `answer` has the status, the headers, and no body."""

    def __init__(self, message: str, answer: Answer) -> None:
        """Say it with `message`."""
        super().__init__(message)
        self.answer = answer


@dataclass(frozen=True)
class HttpClient:
    """Sends one request at a time a thread, over a connection of its own; safe to share between threads.

    Attributes:
        clock: what a request's time is measured by.
        max_body_bytes: of an answer.
    """

    clock: Clock
    max_body_bytes: int = 1_048_576
    _context: ssl.SSLContext = field(default_factory=ssl.create_default_context, init=False, repr=False)

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        json: Any = None,
        timeout_seconds: float,
    ) -> Answer:
        """Send a request and return the answer, whatever its status.

        Error texts name scheme, host and port only: a URL's path, query and user may be secrets.

        `json` is sent instead of `content`, unless it is None; `timeout_seconds` is for all of it: connecting, redirects, and the
        last byte of the body.

        Raises:
            TransientError: no connection, or no whole answer in time.
            Refused: not an http or https URL, a redirect to another host or a fourth one, a header that cannot be sent, or an
                answer that is too long (`TooLong`).
        """
        deadline = Deadline.after(self.clock, timeout_seconds)
        sent = dict(headers or {})
        if json is not None:
            content = json_text.dumps(json, allow_nan=False).encode()
            sent.setdefault("Content-Type", "application/json")
        origin, location = _origin(url), url
        for _ in range(_REDIRECTS + 1):
            answer = self._once(method, location, sent, content, deadline)
            if not (300 <= answer.status < 400 and "location" in answer.headers):
                return answer
            try:  # httpx has read those that it would follow, not those of 300, 304 and 305
                location = str(httpx.URL(location).join(answer.headers["location"]))
            except (httpx.InvalidURL, UnicodeError):
                raise Refused(f"{place(url)} redirects to an address that is malformed") from None
            if _origin(location) != origin:
                raise Refused(f"{place(url)} redirects to another host")
            if answer.status not in _KEEP_THE_METHOD and method != "HEAD":
                method, content = "GET", b""
        raise Refused(f"{place(url)} redirects more than {_REDIRECTS} times")

    def _once(self, method: str, url: str, headers: Mapping[str, str], content: bytes, deadline: Deadline) -> Answer:
        where = place(url)
        # The causes are left out: their texts may hold header values and parts of the URL.
        try:
            with (
                httpx.Client(transport=BoundedTransport(deadline, self._context), trust_env=False) as client,
                client.stream(method, url, headers={**_HEADERS, **headers}, content=content or None) as response,
            ):
                return self._read(where, method, response)
        except httpx.TimeoutException:
            raise TransientError(f"{where} did not answer in time") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError):
            raise Refused(f"{where} cannot be asked: a header or the address is malformed") from None
        except httpx.HTTPError as error:
            raise TransientError(f"{where}: {_reason(error)}") from None

    def _read(self, where: str, method: str, response: httpx.Response) -> Answer:
        headers = {name.lower(): value for name, value in response.headers.items()}
        body = bytearray()
        for part in response.iter_raw():
            body += part
            if len(body) > self.max_body_bytes:
                bare = Answer(response.status_code, headers, b"", method)
                raise TooLong(f"{where} answered with more than {self.max_body_bytes} bytes", bare)
        return Answer(response.status_code, headers, bytes(body), method)


def place(url: str) -> str:
    """Return what may be told of a URL: scheme://host:port; raises Refused unless it is an http or https URL with a host."""
    scheme, host, port = _origin(url)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _origin(url: str) -> tuple[str, str, int]:
    # Read by what connects: two readers of one address may find two hosts in it.
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        raise Refused("not an http or https address") from None
    if parsed.scheme not in _DEFAULT_PORTS or not parsed.host:
        raise Refused("not an http or https address")
    return parsed.scheme, parsed.host, parsed.port or _DEFAULT_PORTS[parsed.scheme]


def _reason(error: httpx.HTTPError) -> str:
    """Return what went wrong in the words of the system, which know no secrets."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    return "the connection broke" if isinstance(error, httpx.NetworkError) else "not an answer of HTTP"
