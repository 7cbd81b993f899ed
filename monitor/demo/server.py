"""A small model server with TensorFlow Serving's REST API, for one SavedModel: `python -m monitor.demo.server`.

It stands in for TensorFlow Serving, of which there is no Python package. What has come in while it was busy is answered with
one run of the model, as TensorFlow Serving does with `--enable_batching`. Changes with how requests are served; what
bodies hold is told in `monitor.demo.rest`, what runs the model in `monitor.demo.servable`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
from collections import deque
from http import HTTPStatus
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import unquote

import orjson
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from typing_extensions import override

from monitor.demo.rest import Array, Call, InvalidArgument, Signature, answer, failure, parse

_MODEL = re.compile(
    r"/v1/models/(?P<model>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
    r"(?P<what>:predict|:classify|:regress|/metadata)?"
)
_METRICS = "/monitoring/prometheus/metrics"
_MAX_BODY_BYTES = 64 * 2**20
_LOOK_SECONDS = 0.2
_BATCH_SECONDS = 0.002
"""How long a request waits for others to run with, TensorFlow Serving's `batch_timeout_micros`."""
_JSON = b"application/json"


class Servable(Protocol):
    """A loaded model."""

    version: str
    default: str
    signatures: dict[str, Signature]
    metadata: dict[str, object]

    def run(self, calls: list[Call]) -> list[dict[str, Array] | InvalidArgument]:
        """Return the outputs of each call, or what was wrong with it."""
        ...


class Loading(Protocol):
    """What finds and loads a model; returns None as long as there is none."""

    def __call__(self) -> Servable | None:
        """Look once."""
        ...


class _Pending:
    """A request that has been read, and its answer once there is one."""

    def __init__(self, client: _Client) -> None:
        self.client = client
        self.url = b""
        self.body: list[bytes] = []
        self.size = 0
        self.method = ""
        self.keep_alive = True
        self.call: Call | None = None
        self.status = HTTPStatus.OK
        self.content = b""
        self.content_type = _JSON

    def done(self, status: HTTPStatus, content: bytes) -> None:
        self.status, self.content = status, content


class _Client(asyncio.Protocol):
    """A connection from a client; what it asks is answered in order."""

    def __init__(self, server: ModelServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = HttpRequestParser(self)
        self._reading: _Pending | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._server.clients.add(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._server.clients.discard(self)
        self._transport = None

    @override
    def data_received(self, data: bytes) -> None:
        """Read requests, or pieces of them."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._refuse(HTTPStatus.BAD_REQUEST)

    def on_message_begin(self) -> None:
        """Make room for a request."""
        self._reading = _Pending(self)

    def on_url(self, url: bytes) -> None:
        """Take the path, or a piece of it."""
        if self._reading is not None:
            self._reading.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Answer a client that waits for leave to send its body."""
        if name.lower() == b"expect" and value.lower() == b"100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        if self._reading is not None:
            self._reading.size += len(chunk)
            if self._reading.size > _MAX_BODY_BYTES:
                self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            else:
                self._reading.body.append(chunk)

    def on_message_complete(self) -> None:
        """Hand the request over."""
        if self._reading is not None:
            self._reading.method = self._parser.get_method().decode("latin-1")
            self._reading.keep_alive = self._parser.should_keep_alive()
            self._server.take(self._reading)
            self._reading = None

    def send(self, pending: _Pending) -> None:
        """Answer."""
        if self._transport is None:
            return
        head = (
            b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n"
            % (
                pending.status,
                pending.status.phrase.encode(),
                pending.content_type,
                len(pending.content),
                b"" if pending.keep_alive else b"Connection: close\r\n",
            )
        )  # fmt: skip
        self._transport.write(head if pending.method == "HEAD" else head + pending.content)
        if not pending.keep_alive:
            self.close()

    def close(self) -> None:
        """Close when everything is sent."""
        if self._transport is not None:
            self._transport.close()

    def _refuse(self, status: HTTPStatus) -> None:
        self._reading = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 %d %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, status.phrase.encode())
            )
            self._transport.close()


class ModelServer:
    """Serves one model under one name; lives on one event loop, on whose thread the model runs too."""

    def __init__(self, name: str, load: Loading) -> None:
        """Serve the model that `load` finds, once it does."""
        self.clients: set[_Client] = set()
        self._name = name
        self._load = load
        self._model: Servable | None = None
        self._waiting: deque[_Pending] = deque()
        self._counts: dict[str, int] = {}
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port; raises OSError."""
        self._loop = asyncio.get_running_loop()
        self._server = await self._loop.create_server(lambda: _Client(self), host, port, backlog=1024)
        self._look()
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop listening, and close the connections."""
        if self._server is not None:
            self._server.close()
        for client in list(self.clients):
            client.close()

    def take(self, pending: _Pending) -> None:
        """Take a request; all that come within a moment are answered together."""
        if not self._waiting:
            self._loop.call_later(_BATCH_SECONDS, self._answer_all)
        self._waiting.append(pending)

    def _look(self) -> None:
        self._model = self._load()
        if self._model is None:
            self._loop.call_later(_LOOK_SECONDS, self._look)

    def _answer_all(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for pending in waiting:
            self._route(pending)
        called = [(pending, pending.call) for pending in waiting if pending.call is not None]
        if called and self._model is not None:
            found = self._model.run([call for _, call in called])
            for (pending, call), outputs in zip(called, found, strict=True):
                self._finish(pending, call, outputs)
        for pending in waiting:
            pending.client.send(pending)

    def _finish(self, pending: _Pending, call: Call, outputs: dict[str, Array] | InvalidArgument) -> None:
        try:
            if isinstance(outputs, InvalidArgument):
                raise outputs
            pending.done(HTTPStatus.OK, answer(call, outputs))
            self._count("OK")
        except InvalidArgument as error:
            pending.done(HTTPStatus.BAD_REQUEST, failure(str(error)))
            self._count("INVALID_ARGUMENT")

    def _route(self, pending: _Pending) -> None:
        path = pending.url.decode("latin-1").partition("?")[0]
        found = _MODEL.fullmatch(path)
        reads = pending.method in ("GET", "HEAD")
        if path == _METRICS and reads:
            pending.content_type = b"text/plain"
            pending.done(HTTPStatus.OK, self._metrics())
        elif (
            found is None or reads != (found["what"] in (None, "/metadata")) or not (reads or pending.method == "POST")
        ):
            pending.done(HTTPStatus.BAD_REQUEST, failure(f"Malformed request: {pending.method} {path}"))
        elif (missing := self._missing(unquote(found["model"]), found["version"], found["label"])) is not None:
            pending.done(HTTPStatus.NOT_FOUND, failure(missing))
        elif self._model is not None:
            self._serve(pending, found["what"], self._model)

    def _serve(self, pending: _Pending, what: str | None, model: Servable) -> None:
        if what is None:
            pending.done(HTTPStatus.OK, _status(model.version))
        elif what == "/metadata":
            pending.done(HTTPStatus.OK, self._metadata(model))
        elif what == ":predict":
            try:
                pending.call = parse(b"".join(pending.body), model.signatures, model.default)
            except InvalidArgument as error:
                pending.done(HTTPStatus.BAD_REQUEST, failure(str(error)))
                self._count("INVALID_ARGUMENT")
        else:
            verb = "classification" if what == ":classify" else "regression"
            pending.done(HTTPStatus.BAD_REQUEST, failure(f"Expected {verb} signature method_name; the model has none"))
            self._count("INVALID_ARGUMENT")

    def _missing(self, name: str, version: str | None, label: str | None) -> str | None:
        """Return why there is no such model; None if there is."""
        if (
            self._model is None
            or name != self._name
            or (version is not None and int(version) != int(self._model.version))
        ):
            asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            return f"Servable not found for request: {asked}"
        if label is not None:
            return f"Unrecognized servable version label: {label}"
        return None

    def _metadata(self, model: Servable) -> bytes:
        spec = {"name": self._name, "signature_name": "", "version": model.version}
        return orjson.dumps({"model_spec": spec, "metadata": {"signature_def": {"signature_def": model.metadata}}})

    def _metrics(self) -> bytes:
        name = ":tensorflow:serving:request_count"
        lines = [
            f'{name}{{model_name="{self._name}",status="{status}"}} {n}' for status, n in sorted(self._counts.items())
        ]
        return "\n".join([f"# TYPE {name} counter", *lines, ""]).encode()

    def _count(self, status: str) -> None:
        self._counts[status] = self._counts.get(status, 0) + 1


def _status(version: str) -> bytes:
    entry = {"version": version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    return orjson.dumps({"model_version_status": [entry]})


async def _serve(name: str, base: Path, host: str, port: int) -> None:
    from monitor.demo.servable import latest

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = ModelServer(name, lambda: latest(base))
    await server.start(host, port)
    await stop.wait()
    server.close()


def main() -> None:
    """Serve until SIGTERM."""
    import uvloop

    from monitor.demo.model import prepare

    parser = argparse.ArgumentParser(description="Serve a SavedModel over TensorFlow Serving's REST API.")
    parser.add_argument("--model", type=Path, required=True, help="base path: a folder of versions, may come later")
    parser.add_argument("--name", help="name of the model; that of the folder by default")
    parser.add_argument("--listen", default="127.0.0.1:8501", help="host:port")
    given = parser.parse_args()
    host, _, port = given.listen.rpartition(":")
    prepare()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(given.name or given.model.name, given.model, host.strip("[]"), int(port)))


if __name__ == "__main__":
    main()
