"""The HTTP side of a process without an API: /metrics, /healthz and /readyz; changes when one of these does."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from typing_extensions import override

from monitor.health import Health

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_log = structlog.get_logger(__name__)


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a request, so that a slow scrape does not hide that the process is alive."""

    daemon_threads = True


class _ServerSix(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    """Requests are not logged: scrapes and probes come every few seconds."""

    timeout = 30  # for a client that connects and says nothing

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def application(registry: CollectorRegistry, health: Health) -> WSGIApplication:
    """Return the WSGI application: GET and HEAD of three paths, all else is 404 or 405."""
    metrics = make_wsgi_app(registry)
    probes: dict[str, Callable[[], Mapping[str, bool]]] = {"/healthz": health.alive, "/readyz": health.ready}

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return _plain(start_response, "405 Method Not Allowed", b"only GET and HEAD\n", [("Allow", "GET, HEAD")])
        if path == "/metrics":
            found: Iterable[bytes] = metrics(environ, start_response)
            return found
        if path not in probes:
            return _plain(start_response, "404 Not Found", b"there are /metrics, /healthz and /readyz\n")
        checks = probes[path]()
        good = all(checks.values())
        body = json.dumps({"status": "ok" if good else "failing", "checks": _words(checks)}).encode() + b"\n"
        start_response(
            "200 OK" if good else "503 Service Unavailable",
            [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
            ],
        )
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return answer


def serve(listen: str, registry: CollectorRegistry, health: Health) -> Callable[[], None]:
    """Serve at `host:port` and return what stops it; a taken port is logged, and the process works without.

    Several roles of one machine may share a settings file; only the first of them gets its port.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        server = make_server(
            host,
            int(port),
            application(registry, health),
            server_class=_ServerSix if ":" in host else _Server,
            handler_class=_Quiet,
        )
    except (OSError, OverflowError) as error:
        _log.warning("metrics_not_served", listen=listen, reason=getattr(error, "strerror", None) or str(error))
        return lambda: None
    thread = threading.Thread(target=server.serve_forever, name="driftline-http", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    _log.info("metrics_served", listen=listen)
    return stop


def _words(checks: Mapping[str, bool]) -> dict[str, str]:
    return {name: "ok" if good else "failing" for name, good in checks.items()}


def _plain(
    start_response: StartResponse, status: str, body: bytes, headers: Iterable[tuple[str, str]] = ()
) -> Iterable[bytes]:
    start_response(
        status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), *headers]
    )
    return [body]
