"""A small model server with TensorFlow Serving's REST API, for one model: `python -m monitor.demo.server`.

It stands in for TensorFlow Serving, of which there is no Python package. What has come in while it was busy is answered with
one run of the model, as TensorFlow Serving does with `--enable_batching`. It serves the latest version, or those that a model
config names. Changes with how requests are served; what bodies hold is told in `monitor.demo.rest`, what runs the model in
`monitor.demo.servable`, which versions there are in `monitor.demo.versions`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
from collections import deque
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote

import orjson

from monitor.demo.connections import Client, Pending
from monitor.demo.rest import Array, Call, InvalidArgument, answer, failure, parse
from monitor.demo.routing import label_for
from monitor.demo.versions import ConfiguredVersions, LatestVersion, Loaded, Servable, Versions

_MODEL = re.compile(
    r"/v1/models/(?P<model>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
    r"(?P<what>:predict|:classify|:regress|/metadata)?"
)
_METRICS = "/monitoring/prometheus/metrics"
_BATCH_SECONDS = 0.002
"""How long a request waits for others to run with, TensorFlow Serving's `batch_timeout_micros`."""


class ModelServer:
    """Serves one model under one name; lives on one event loop, on whose thread the model runs too."""

    def __init__(self, name: str, versions: Versions, canary_share: float = 0.0) -> None:
        """Serve the versions that there are.

        Args:
            name: of the model.
            versions: which there are.
            canary_share: share of the requests for no certain version that the canary gets, where there is one.
        """
        self.clients: set[Client] = set()
        self._name = name
        self._versions = versions
        self._canary_share = canary_share
        self._waiting: deque[Pending] = deque()
        self._counts: dict[str, int] = {}
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port; raises OSError."""
        self._loop = asyncio.get_running_loop()
        self._server = await self._loop.create_server(lambda: Client(self), host, port, backlog=1024)
        self._look()
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop listening, and close the connections."""
        self._versions.close()
        if self._server is not None:
            self._server.close()
        for client in list(self.clients):
            client.close()

    def take(self, pending: Pending) -> None:
        """Take a request; all that come within a moment are answered together."""
        if not self._waiting:
            self._loop.call_later(_BATCH_SECONDS, self._answer_all)
        self._waiting.append(pending)

    def _look(self) -> None:
        again = self._versions.look()
        if again is not None:
            self._loop.call_later(again, self._look)

    def _answer_all(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for pending in waiting:
            self._route(pending)
        models = {id(pending.model): pending.model for pending in waiting if pending.call is not None}
        for model in models.values():
            called = [(one, one.call) for one in waiting if one.call is not None and one.model is model]
            found = [] if model is None else model.run([call for _, call in called])
            for (pending, call), outputs in zip(called, found, strict=True):
                self._finish(pending, call, outputs)
        for pending in waiting:
            pending.client.send(pending)

    def _finish(self, pending: Pending, call: Call, outputs: dict[str, Array] | InvalidArgument) -> None:
        try:
            if isinstance(outputs, InvalidArgument):
                raise outputs
            pending.done(HTTPStatus.OK, answer(call, outputs))
            self._count("OK")
        except InvalidArgument as error:
            pending.done(HTTPStatus.BAD_REQUEST, failure(str(error)))
            self._count("INVALID_ARGUMENT")

    def _route(self, pending: Pending) -> None:
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
        elif unquote(found["model"]) != self._name:
            pending.done(HTTPStatus.NOT_FOUND, failure(_unknown(unquote(found["model"]), found["version"])))
        elif found["what"] is None:
            self._tell(pending, found["version"], found["label"])
        else:
            self._serve(pending, found["what"], found["version"], found["label"])

    def _tell(self, pending: Pending, version: str | None, label: str | None) -> None:
        """Answer with the status of all versions, or of one."""
        known = dict(self._versions.known)
        if version is not None or label is not None:
            one = self._versions.labels.get(unquote(label)) if label is not None else int(version or 0)
            known = {number: loaded for number, loaded in known.items() if number == one}
        if known:
            pending.done(HTTPStatus.OK, _status(known))
        else:
            pending.done(HTTPStatus.NOT_FOUND, failure(self._missing(version, label)))

    def _serve(self, pending: Pending, what: str, version: str | None, label: str | None) -> None:
        model = self._asked(pending, version, label)
        if model is None:
            pending.done(HTTPStatus.NOT_FOUND, failure(self._missing(version, label)))
        elif what == "/metadata":
            pending.done(HTTPStatus.OK, self._metadata(model))
        elif what == ":predict":
            pending.model, pending.version = model, model.version
            try:
                pending.call = parse(b"".join(pending.body), model.signatures, model.default)
            except InvalidArgument as error:
                pending.done(HTTPStatus.BAD_REQUEST, failure(str(error)))
                self._count("INVALID_ARGUMENT")
        else:
            verb = "classification" if what == ":classify" else "regression"
            pending.done(HTTPStatus.BAD_REQUEST, failure(f"Expected {verb} signature method_name; the model has none"))
            self._count("INVALID_ARGUMENT")

    def _asked(self, pending: Pending, version: str | None, label: str | None) -> Servable | None:
        """Return the model that is asked: by number, by label, or the one that the router chooses; None where there is none."""
        known, labels = self._versions.known, self._versions.labels
        chosen = unquote(label) if label is not None else None
        if version is None and label is None:
            chosen = label_for(pending.request_id, labels, self._canary_share)
        if version is None and chosen is None:
            return next((known[one].model for one in sorted(known, reverse=True) if known[one].model is not None), None)
        number = int(version) if version is not None else labels.get(chosen or "", 0)
        return known[number].model if number in known else None

    def _missing(self, version: str | None, label: str | None) -> str:
        if label is not None and self._versions.known:
            return f"Unrecognized servable version label: {unquote(label)}"
        return _unknown(self._name, version)

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


def _unknown(name: str, version: str | None) -> str:
    """Return why there is no such model."""
    asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
    return f"Servable not found for request: {asked}"


def _status(known: dict[int, Loaded]) -> bytes:
    entries = [known[version].to_json(version) for version in sorted(known, reverse=True)]
    return orjson.dumps({"model_version_status": entries})


async def _serve(server: ModelServer, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start(host, port)
    await stop.wait()
    server.close()


def main() -> None:
    """Serve until SIGTERM."""
    import uvloop

    from monitor.demo.model import prepare
    from monitor.demo.servable import SavedModel, latest

    parser = argparse.ArgumentParser(description="Serve a SavedModel over TensorFlow Serving's REST API.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", type=Path, help="base path: a folder of versions, may come later")
    source.add_argument("--model-config-file", type=Path, help="text proto, read again every second; needs --name")
    parser.add_argument("--name", help="name of the model; that of the folder by default")
    parser.add_argument("--listen", default="127.0.0.1:8501", help="host:port")
    parser.add_argument(
        "--canary-share", type=float, default=0.0, help="share of requests for no version that the label `canary` gets"
    )
    given = parser.parse_args()
    if given.model_config_file is not None and given.name is None:
        parser.error("--model-config-file needs --name")
    host, _, port = given.listen.rpartition(":")
    prepare()
    versions: Versions = (
        LatestVersion(lambda: latest(given.model))
        if given.model_config_file is None
        else ConfiguredVersions(given.model_config_file, given.name, SavedModel)
    )
    server = ModelServer(given.name or given.model.name, versions, given.canary_share)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(server, host.strip("[]"), int(port)))


if __name__ == "__main__":
    main()
