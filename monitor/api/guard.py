"""What stands around every request: its size and time, headers of its answer, what nobody foresaw, and its numbers.

Plain ASGI, and outermost: what it does holds for answers of the framework's own too.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.api.metrics import ApiMetrics
from monitor.api.problems import problem
from monitor.clock import Clock

MAX_BODY_BYTES = 1_048_576
_BODY_SECONDS = 30.0
"""In which a body must be here: whoever sends a byte a second is not waited for."""
ROUTE = "driftline.route"
"""Key of a scope: the path of the route with its placeholders, for metrics."""
_FRAMES = 8
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_log = structlog.get_logger(__name__)


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics, clock: Clock, body_seconds: float = _BODY_SECONDS) -> None:
        """Stand around `app`; a body may take `body_seconds`."""
        self._app = app
        self._metrics = metrics
        self._clock = clock
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = self._clock.monotonic(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            refused = _refused(scope)
            if refused is not None:
                await refused(scope, receive, answer)
            else:
                await self._app(scope, self._bounded(receive), answer)
        except HTTPException as error:
            await problem(error.status_code, error.detail, error.headers)(scope, receive, answer)
        except Exception as error:
            # Neither its text nor what variables held: both may be somebody's secret.
            route = scope.get(ROUTE, "")
            _log.error(
                "request_failed", method=_method(scope), route=route, kind=type(error).__name__, at=_where(error)
            )
            if status:  # the answer is on its way: the client must see that it was cut off
                raise
            await problem(500, "an internal error; the log of the server says more")(scope, receive, answer)
        finally:
            route = scope.get(ROUTE, "")
            self._metrics.requests.labels(route, _method(scope), str(status)).inc()
            self._metrics.seconds.labels(route).observe(self._clock.monotonic() - began)

    def _bounded(self, receive: Receive) -> Receive:
        """Return what reads a body within its limits; raises what is answered 413 or 408."""
        got = 0
        until: float | None = None

        async def bounded() -> Message:
            nonlocal got, until
            loop = asyncio.get_running_loop()
            until = loop.time() + self._body_seconds if until is None else until
            if got < 0:  # the body is here: what follows is only ever that the client has gone
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "the body did not arrive in time") from None
            got += len(message.get("body", b""))
            if got > MAX_BODY_BYTES:
                raise HTTPException(413, _TOO_LARGE)
            if not message.get("more_body", False):
                got = -1
            return message

        return bounded


_TOO_LARGE = f"a body has at most {MAX_BODY_BYTES} bytes"


def _refused(scope: MutableMapping[str, Any]) -> Any:
    """Return the answer to a request that nobody needs to look at: its length says too much, or its address holds a NUL."""
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        return problem(400, "an address holds no NUL")
    length = dict(scope["headers"]).get(b"content-length", b"0")
    if not length.isdigit():
        return problem(400, "Content-Length is no number")
    return problem(413, _TOO_LARGE) if int(length) > MAX_BODY_BYTES else None


def _method(scope: MutableMapping[str, Any]) -> str:
    """Return the method, one of those that there are: a client may name any."""
    return (
        scope["method"] if scope["method"] in {"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"} else "other"
    )


def _where(error: Exception) -> list[str]:
    """Return the lines of code that led to an error, the last ones, outermost first."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
