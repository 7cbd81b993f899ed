"""Serving the application from a thread of a process that does other things too; changes with how it is started and stopped."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import structlog
import uvicorn
from fastapi import FastAPI

_log = structlog.get_logger(__name__)

_CONNECTIONS = 512
_BACKLOG = 128
_LARGEST_PORT = 65_535
_IDLE_SECONDS = 30
_DRAIN_SECONDS = 10


def serve_api(listen: str, app: FastAPI) -> Callable[[], None]:
    """Serve at `host:port` and return what stops it once what was asked is answered, in ten seconds at most.

    A taken port is logged, and the process works without. It logs no request, and so no address of an approval link.
    """
    try:
        listening = _socket(listen)
    except (OSError, OverflowError) as error:
        _log.warning("api_not_served", listen=listen, reason=getattr(error, "strerror", None) or str(error))
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
    thread = threading.Thread(target=server.run, args=([listening],), name="driftline-api", daemon=True)
    thread.start()

    def stop() -> None:
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
