"""A receiver of webhooks that writes down what it gets. Changes with what a user would want to see of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from typing_extensions import override

_MAX_BYTES = 2**20


@contextmanager
def receiver(address: str, file: Path) -> Iterator[None]:
    """Take messages at `address` (host:port) until the block is left: each is a line of JSON at the end of `file`."""
    host, port = address.rsplit(":", 1)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), _MAX_BYTES))
            line = json.dumps({"webhook_id": self.headers.get("webhook-id"), "body": json.loads(body)})
            with lock, file.open("a", encoding="utf-8") as lines:
                lines.write(f"{line}\n")
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()

        @override
        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((host, int(port)), Handler)
    thread = threading.Thread(target=server.serve_forever, name="receiver", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
