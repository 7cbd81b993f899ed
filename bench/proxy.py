"""What the capturing proxy adds to a request: latency and throughput through it against the model server directly, in turns.

The model server is a stand-in that answers at once, so that nothing but the proxy is measured; it, the proxy (`driftline proxy`,
capturing every request to the embedded broker) and the load each run in a process of their own. Requests leave at fixed times,
whether or not earlier ones are answered.

Usage: python bench/proxy.py [--rate 500] [--seconds 10] [--rounds 3] [--rows 1] [--sampling 1.0]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from httptools import HttpRequestParser, HttpResponseParser
from typing_extensions import override

from monitor.clock import SystemClock
from monitor.demo.broker import embedded, free_port

CONNECTIONS = 32
WANTED_P50_SECONDS, WANTED_P99_SECONDS = 0.001, 0.005
STATUS = b'{"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}'


class Model(asyncio.Protocol):
    """A model server that answers at once."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._url = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport: Any = transport
        self._parser = HttpRequestParser(self)

    @override
    def data_received(self, data: bytes) -> None:
        """Read."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Note what is asked for."""
        self._url = url

    def on_message_complete(self) -> None:
        """Answer."""
        body = self._answer if self._url.endswith(b":predict") else STATUS
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )


def serve_model(port: int, answer: bytes) -> None:
    """Run the model server until it is killed."""

    async def serving() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Model(answer), "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(serving())


class Caller(asyncio.Protocol):
    """One kept connection of the load."""

    def __init__(self) -> None:
        self.parser = HttpResponseParser(self)
        self.answered: asyncio.Future[None] | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport: Any = transport

    @override
    def data_received(self, data: bytes) -> None:
        """Read."""
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Tell the one that waits."""
        if self.parser.get_status_code() != 200:
            raise SystemExit(f"status {self.parser.get_status_code()}")
        if self.answered is not None:
            self.answered.set_result(None)

    async def call(self, request: bytes) -> None:
        """Send, and wait for the answer."""
        self.answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        await self.answered

    def close(self) -> None:
        """Close."""
        self._transport.close()


@dataclass(frozen=True, slots=True)
class Measured:
    """Latencies in seconds, and requests per second without a pause between them."""

    latencies: Sequence[float]
    throughput: float

    def at(self, percent: float) -> float:
        """Return a percentile."""
        return float(np.percentile(self.latencies, percent))


async def load(port: int, request: bytes, rate: float, seconds: float) -> Measured:
    """Send `rate` requests a second at fixed times, then as many as go."""
    loop = asyncio.get_running_loop()
    callers = [(await loop.create_connection(Caller, "127.0.0.1", port))[1] for _ in range(CONNECTIONS)]
    for caller in callers:
        await caller.call(request)
    free: asyncio.Queue[Caller] = asyncio.Queue()
    for caller in callers:
        free.put_nowait(caller)
    latencies: list[float] = []

    async def one(due: float) -> None:
        caller = await free.get()
        await caller.call(request)
        latencies.append(time.perf_counter() - due)
        free.put_nowait(caller)

    tasks, begin = set(), time.perf_counter()
    for number in range(int(rate * seconds)):
        due = begin + number / rate
        if (left := due - time.perf_counter()) > 0:
            await asyncio.sleep(left)
        # A timer is a millisecond late at worst: that is the load's own, so the request counts from now.
        task = asyncio.create_task(one(time.perf_counter()))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    while tasks:
        await asyncio.wait(tasks)

    async def many(caller: Caller, until: float) -> int:
        sent = 0
        while time.perf_counter() < until:
            await caller.call(request)
            sent += 1
        return sent

    length = min(seconds, 3.0)
    sent = sum(await asyncio.gather(*(many(caller, time.perf_counter() + length) for caller in callers[:8])))
    for caller in callers:
        caller.close()
    return Measured(latencies, sent / length)


@contextmanager
def servers(answer: bytes, sampling: float) -> Iterator[tuple[int, int, int]]:
    """Run the model server, a broker and the proxy; yields the ports of model server, proxy and metrics."""
    with tempfile.TemporaryDirectory() as name, embedded(Path(name) / "broker.log", SystemClock()) as (broker, _):
        model_port, proxy_port, metrics_port = free_port(), free_port(), free_port()
        model = multiprocessing.get_context("spawn").Process(target=serve_model, args=(model_port, answer))
        model.start()
        proxy = subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-m",
                    "monitor.cli",
                    "proxy",
                    "--topic",
                    "bench.proxy",
                    "--bootstrap-servers",
                    broker,
                ),
                *("--upstream", f"http://127.0.0.1:{model_port}", "--listen", f"127.0.0.1:{proxy_port}"),
                *("--metrics-listen", f"127.0.0.1:{metrics_port}", "--rate", str(sampling)),
            ]
        )
        try:
            asyncio.run(_listening(model_port, proxy_port))
            yield model_port, proxy_port, metrics_port
        finally:
            proxy.terminate()
            proxy.wait()
            model.kill()
            model.join()


async def _listening(*ports: int) -> None:
    for port in ports:
        for _ in range(400):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            break
        else:
            raise SystemExit(f"nothing listens on port {port}")


def counters(port: int) -> dict[str, float]:
    """Return the totals of the capture."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        lines = [line.split(" ") for line in page.read().decode().splitlines() if line.startswith("driftline_capture_")]
    totals: dict[str, float] = {}
    for name, value in lines:
        key = name.partition("{")[0].removeprefix("driftline_capture_").removesuffix("_total")
        if not key.endswith("_created"):
            totals[key] = totals.get(key, 0.0) + float(value)
    return totals


def main() -> int:
    """Run the benchmark and print one line a round, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--sampling", type=float, default=1.0)
    arguments = parser.parse_args()
    row = {"distance": 1400.0, "carrier": "UA", "origin": "EWR", "month": 3, "dep_hour": 17, "delay": -2.5, "f": 0.1}
    body = json.dumps({"instances": [row] * arguments.rows}).encode()
    answer = json.dumps({"predictions": [[0.25, 0.75]] * arguments.rows}).encode()
    request = (
        b"POST /v1/models/flights:predict HTTP/1.1\r\nHost: model\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    added: list[tuple[float, float]] = []
    with servers(answer, arguments.sampling) as (model_port, proxy_port, metrics_port):
        uvloop.run(load(proxy_port, request, arguments.rate, 1.0))  # warms up, and connects to the broker
        for _ in range(arguments.rounds):
            direct = uvloop.run(load(model_port, request, arguments.rate, arguments.seconds))
            proxied = uvloop.run(load(proxy_port, request, arguments.rate, arguments.seconds))
            added.append((proxied.at(50) - direct.at(50), proxied.at(99) - direct.at(99)))
            print(
                f"direct p50 {direct.at(50) * 1e3:.2f} ms p99 {direct.at(99) * 1e3:.2f} ms, at most {direct.throughput:,.0f}/s   "
                f"proxied p50 {proxied.at(50) * 1e3:.2f} ms p99 {proxied.at(99) * 1e3:.2f} ms, "
                f"at most {proxied.throughput:,.0f}/s   added p50 {added[-1][0] * 1e3:.2f} ms p99 {added[-1][1] * 1e3:.2f} ms"
            )
        print("capture:", "  ".join(f"{name} {value:,.0f}" for name, value in counters(metrics_port).items()))
    p50, p99 = (statistics.median(column) for column in zip(*added, strict=True))
    print(
        f"median added p50 {p50 * 1e3:.2f} ms (under {WANTED_P50_SECONDS * 1e3:.0f} wanted), "
        f"p99 {p99 * 1e3:.2f} ms (under {WANTED_P99_SECONDS * 1e3:.0f} wanted) at {arguments.rate:.0f} requests/s"
    )
    return 0 if p50 < WANTED_P50_SECONDS and p99 < WANTED_P99_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
