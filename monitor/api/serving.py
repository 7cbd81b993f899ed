"""Serving the application from a thread of a process that does other things too; changes with how it is started and stopped."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import structlog
import uvicorn
from fastapi import FastAPI

from monitor.errors import TransientError

_log = structlog.get_logger(__name__)

_CONNECTIONS = 512
_BACKLOG = 128
_LARGEST_PORT = 65_535
_IDLE_SECONDS = 30
_DRAIN_SECONDS = 10


def serve_api(listen: str, app: FastAPI, fail: Callable[[BaseException], None] | None = None) -> Callable[[], None]:
    """Serve at `host:port` and return what stops it once what was asked is answered, in ten seconds at most.

    It logs no request, and so no address of an approval link.

    Args:
        listen: the address.
        app: what is served.
        fail: told when serving ends by itself, where the process is of no use without; else that is logged, as a taken port is,
            and the process works on.

    Raises:
        TransientError: it cannot listen there, and there is a `fail`.
    """
    try:
        listening = _socket(listen)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if fail is not None:
            raise TransientError(f"the API cannot listen at {listen}: {reason}") from error
        _log.warning("api_not_served", listen=listen, reason=reason)
        return lambda: None
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="on",
            ws="none",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
    )

    def run() -> None:
        reason = "its server returned"
        try:
            server.run([listening])
        except BaseException as error:  # noqa: BLE001 - whatever ended it, nobody is answered any more
            reason = type(error).__name__
        if stopping.is_set():
            return
        _log.error("api_ended", listen=listen, reason=reason)
        if fail is not None:
            fail(TransientError(f"the API at {listen} ended by itself: {reason}"))

    stopping = threading.Event()
    thread = threading.Thread(target=run, name="driftline-api", daemon=True)
    thread.start()

    def stop() -> None:
        stopping.set()
        server.should_exit = True
        thread.join()
        listening.close()

    _log.info("api_served", listen=listen)
    return stop


def _socket(listen: str) -> socket.socket:
    """Return a socket that listens already: whoever connects from now on is answered, if a moment later."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if int(port) > _LARGEST_PORT:  # which Python would notice too, and leave its socket open
        raise OverflowError(f"a port is at most {_LARGEST_PORT}")
    return socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
