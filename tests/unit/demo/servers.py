"""A model server in the test's own process: TensorFlow's part is played by a sum."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from monitor.demo.flights import CATEGORIES, FEATURES
from monitor.demo.rest import Array, Call, InvalidArgument, Signature
from monitor.demo.server import ModelServer
from monitor.demo.versions import LatestVersion, Servable, Versions


class Adding:
    """Answers each row with a thousandth of its departure minute, and remembers how many calls came together."""

    def __init__(self, version: str = "1") -> None:
        types = {name: "DT_STRING" if name in CATEGORIES else "DT_FLOAT" for name in FEATURES}
        self.version = version
        self.default = "serving_default"
        self.signatures = {self.default: Signature(types, ["score"])}
        self.metadata: dict[str, object] = {
            self.default: {"inputs": {name: {} for name in types}, "outputs": {"score": {}}}
        }
        self.together: list[int] = []

    def run(self, calls: list[Call]) -> list[dict[str, Array] | InvalidArgument]:
        self.together.append(len(calls))
        return [self._one(call) for call in calls]

    def _one(self, call: Call) -> dict[str, Array] | InvalidArgument:
        minutes = call.inputs["departure_minute"]
        if (minutes < 0).any():
            return InvalidArgument("before the day began")
        return {"score": np.asarray(minutes.reshape(-1, 1) / np.float32(1000), np.float32)}


@contextmanager
def model_server(model: Servable | None, versions: Versions | None = None, canary_share: float = 0.0) -> Iterator[str]:
    """Serve one model, or the versions that are given, on a free port of the loopback, on a thread; yields host:port."""
    started, loop = threading.Event(), asyncio.new_event_loop()
    ports: list[int] = []
    server = ModelServer("flights", versions or LatestVersion(lambda: model), canary_share)

    async def serve() -> None:
        ports.append(await server.start("127.0.0.1", 0))
        started.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(10)
    try:
        yield f"127.0.0.1:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
