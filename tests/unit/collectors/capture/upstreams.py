"""A model server for tests, which also misbehaves on request, and a proxy in front of it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from prometheus_client import CollectorRegistry

from collectors.capture.metrics import ProxyMetrics
from collectors.capture.proxy import Proxy
from collectors.capture.relay import ProxySettings
from collectors.capture.upstream import Address
from tests.unit.collectors.capture.sinks import WAIT_SECONDS, World

PREDICT = "/v1/models/m:predict"
BIG = 3 * 2**20


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


SIGNATURES: dict[str, Any] = {"serving_default": {"inputs": {"x": {}}, "outputs": {"y": {}}}}
RAW = {
    "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "/until-close": b"HTTP/1.1 200 OK\r\n\r\nabcde",
    "/nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/interim": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + response(b"abc"),
    "/headers": response(b"abc", "200 Fine", "Connection: X-Hop", "X-Hop: 1", "X-End: 2", "x-request-id: other"),
    "/head": response(b"abcde"),
    "/garbage": b"no HTTP at all\r\n\r\n",
    "/v1/models/half:predict": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    "/v1/models/gone:predict": b"",
    "/big": response(bytes(BIG)),
}
ENDS = {"/until-close", "/garbage", "/v1/models/half:predict", "/v1/models/gone:predict"}
"""Paths behind whose answers the connection is closed."""


@dataclass
class Model:
    """Reads requests in full and answers them by path."""

    versions: list[int] = field(default_factory=lambda: [3])
    connections: int = 0
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    unanswered: asyncio.Event = field(default_factory=asyncio.Event)
    closes_after: int = 10**9
    """Answers on one connection before it is closed without a word, as an idle one is."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        answered = 0
        try:
            while (request := await _read(reader)) is not None:
                if answered == self.closes_after:
                    break
                self.seen.append(request)
                if not await self._answer(writer, *request):
                    break
                answered += 1
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, line: str, headers: dict[str, str], body: bytes) -> bool:
        """Answer one request; say whether the connection is kept."""
        method, path, _ = line.split(" ")
        if path in RAW:
            answer = RAW[path]
            writer.write(answer.partition(b"abcde")[0] if method == "HEAD" else answer)
            return path not in ENDS
        if path.endswith("hangs:predict"):
            await self.unanswered.wait()
            return False
        if path in ("/v1/models/m", "/v1/models/m/labels/canary"):
            listed = [{"version": str(one), "state": "AVAILABLE"} for one in self.versions]
            writer.write(response(json.dumps({"model_version_status": listed}).encode()))
        elif path in ("/v1/models/m/metadata", "/v1/models/m/labels/canary/metadata"):
            writer.write(response(json.dumps({"metadata": {"signature_def": {"signature_def": SIGNATURES}}}).encode()))
        elif b"fail" in body:
            writer.write(response(b'{"error": "no"}', "500 Internal Server Error"))
        elif path.endswith(":predict"):
            self._predict(writer, headers, body)
        else:
            writer.write(response(json.dumps([line, headers, body.decode()]).encode()))
        return True

    def _predict(self, writer: asyncio.StreamWriter, headers: dict[str, str], body: bytes) -> None:
        plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        try:
            rows = len(json.loads(plain)["instances"])
        except (ValueError, KeyError):
            rows = 1
        answer = json.dumps({"predictions": [0.5] * rows}).encode()
        if "gzip" in headers.get("accept-encoding", ""):
            writer.write(response(gzip.compress(answer), "200 OK", "Content-Encoding: gzip"))
        else:
            chosen = [f"Driftline-Version: {headers['x-chosen']}"] if "x-chosen" in headers else []
            writer.write(response(answer, "200 OK", *chosen))


async def _read(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes] | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    line, *lines = head[:-4].split("\r\n")
    headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return line, headers, body


@dataclass
class Proxied:
    """A running proxy between a test and the model."""

    proxy: Proxy
    model: Model
    world: World
    port: int
    registry: CollectorRegistry

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, limit=2**24)

    async def talk(self, raw: bytes) -> bytes:
        """Send bytes, the last request asking for the connection to be closed, and return all that comes until it is."""
        reader, writer = await self.connect()
        head, mark, line = raw.rpartition(b" HTTP/1.1\r\n")
        writer.write(head + mark + b"Connection: close\r\n" + line if mark else raw)
        async with asyncio.timeout(WAIT_SECONDS):
            answer = await reader.read(-1)
        writer.close()
        return answer

    def failures(self, code: int) -> float:
        return self.registry.get_sample_value("driftline_proxy_upstream_failures_total", {"code": str(code)}) or 0.0


def post(path: str, body: bytes, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: here", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: here", *headers]).encode() + b"\r\n\r\n"


def run(scene: Callable[[Proxied], Awaitable[Any]], *, rate: float = 1.0, **settings: Any) -> World:
    """Play a scene with a proxy, stop everything, and return what was captured."""

    async def play() -> World:
        async with _proxied(rate, settings) as proxied:
            await scene(proxied)
            await proxied.proxy.close(WAIT_SECONDS)
            return proxied.world

    world = asyncio.run(play())
    world.producer.close(WAIT_SECONDS)
    return world


@asynccontextmanager
async def _proxied(rate: float, settings: dict[str, Any]) -> AsyncIterator[Proxied]:
    model, world, registry = Model(), World.make(rate=rate), CollectorRegistry()
    server = await asyncio.start_server(model.serve, "127.0.0.1", 0, limit=2**24)
    address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
    proxy = Proxy(replace(ProxySettings(address), **settings), world.producer, ProxyMetrics(registry))
    port = await proxy.start("127.0.0.1", 0)
    try:
        yield Proxied(proxy, model, world, port, registry)
    finally:
        await proxy.close(0.0)
        model.unanswered.set()
        server.close()
        await server.wait_closed()
