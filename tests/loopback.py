"""Servers on the loopback for tests of what talks to the outside: one that speaks HTTP, and one that does as a test says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Request:
    """A request that the server got; names of headers in small letters."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What the server answers."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class HttpServer:
    """A server whose every answer `answer` decides; `requests` has all that came, in their order."""

    url: str
    answer: Callable[[Request], Reply]
    requests: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def http_server(answer: Callable[[Request], Reply] = lambda _: Reply()) -> Iterator[HttpServer]:
    """Serve on a free port of the loopback until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:  # the client under test has hung up
                self.close_connection = True

        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            with server.lock:
                server.requests.append(request)
            reply = server.answer(request)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_HEAD = do_DELETE = do  # noqa: N815 (names of http.server)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (a name of http.server)
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        server = HttpServer(f"http://127.0.0.1:{listening.server_port}", answer)
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()


@contextmanager
def socket_server(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """Yield the port of a server that hands each connection to `serve`, with an event that is set when the block ends."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def handle(connection: socket.socket) -> None:
        with connection:
            try:
                serve(connection, over)
            except OSError:  # the client under test has hung up
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                if over.is_set():
                    return
                continue
            connection.settimeout(10)
            threads.append(threading.Thread(target=handle, args=(connection,)))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.02)
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            over.set()
            accepting.join()
            for thread in threads:
                thread.join()
