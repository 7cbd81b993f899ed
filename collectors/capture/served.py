"""Which version of a model answers by default, or by a label, asked of the model server now and then.

Changes with its status API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import quote

import structlog

from collectors.capture.rest import Served
from collectors.wire.parsing import parse_object
from monitor.errors import InvalidRecord, TransientError

_FETCH_SECONDS = 5.0
_MAX_MODELS = 1_000
_MAX_WAITING = 256

_Key = tuple[str, str]
"""A model, and a label of it, or the empty text."""

_log = structlog.get_logger("driftline.capture")


class Fetching(Protocol):
    """What gets pages of the model server."""

    async def fetch(self, path: str, timeout_seconds: float) -> bytes:
        """Return the body of a page; raises TransientError."""
        ...


class ServedModels:
    """What is known of the models that were asked for; used on the event loop only.

    A version that was swapped is noticed with the next look, so for up to `poll_seconds` answers may carry the version before.
    """

    def __init__(self, server: Fetching, poll_seconds: float) -> None:
        """Look every `poll_seconds`; never, where that is 0."""
        self._server = server
        self._poll_seconds = poll_seconds
        self._known: dict[_Key, Served] = {}
        self._waiting: dict[_Key, list[Callable[[Served], None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._settled = asyncio.Event()

    def when_known(self, model: str, use: Callable[[Served], None], label: str = "") -> None:
        """Call `use` with what is known of a model, as a label has it: now, or when the first look at it is done."""
        key = (model, label)
        known = self._known.get(key)
        if known is not None:
            use(known)
            return
        waiting = self._waiting.get(key)
        if waiting is not None and len(waiting) < _MAX_WAITING:
            waiting.append(use)
        elif waiting is not None or not self._poll_seconds or len(self._known) + len(self._waiting) >= _MAX_MODELS:
            use(Served())
        else:
            self._waiting[key] = [use]
            task = asyncio.get_running_loop().create_task(self._watch(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def use_known(self, model: str, use: Callable[[Served], None], label: str = "") -> None:
        """Call `use` with what is known by now; does not begin to look, since the model or the label may not exist."""
        use(self._known.get((model, label), Served()))

    async def close(self, timeout_seconds: float) -> None:
        """Look no more, after waiting for first looks; what still waits then is used with what is known."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while self._waiting:
                    self._settled.clear()
                    await self._settled.wait()
        for task in list(self._tasks):
            task.cancel()
        for key in list(self._waiting):
            self._settle(key, Served())

    async def _watch(self, key: _Key) -> None:
        while True:
            self._settle(key, await self._look(key, self._known.get(key, Served())))
            await asyncio.sleep(self._poll_seconds)

    def _settle(self, key: _Key, served: Served) -> None:
        self._known[key] = served
        self._settled.set()
        for use in self._waiting.pop(key, ()):
            use(served)

    async def _look(self, key: _Key, before: Served) -> Served:
        model, label = key
        path = f"/v1/models/{quote(model, safe='')}" + (f"/labels/{quote(label, safe='')}" if label else "")
        try:
            version = default_version(parse_object(await self._server.fetch(path, _FETCH_SECONDS)))
            if version == before.version and before.inputs:
                return before
            described = parse_object(await self._server.fetch(f"{path}/metadata", _FETCH_SECONDS))
        except (TransientError, InvalidRecord) as error:
            _log.debug("served_version_unknown", reason=type(error).__name__)
            return before
        if version != before.version:
            _log.info("serves", model=model, label=label, version=version)
        return Served(version, *signatures(described), label)


def default_version(status: dict[str, Any]) -> str:
    """Return the version that answers where a path names none: the highest one that is available; empty if none is."""
    listed = status.get("model_version_status")
    available = [
        str(one.get("version", ""))
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, dict) and one.get("state") == "AVAILABLE"
    ]
    return max((one for one in available if one.isascii() and one.isdigit() and len(one) < 20), key=int, default="")


def signatures(metadata: dict[str, Any]) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Return the names of the inputs and outputs by signature, from `/v1/models/NAME/metadata`."""
    found: Any = metadata
    for key in ("metadata", "signature_def", "signature_def"):
        found = found.get(key) if isinstance(found, dict) else None
    sides: tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]] = ({}, {})
    for name, signature in found.items() if isinstance(found, dict) else ():
        for side, key in zip(sides, ("inputs", "outputs"), strict=True):
            tensors = signature.get(key) if isinstance(signature, dict) else None
            side[name] = tuple(sorted(tensors)) if isinstance(tensors, dict) else ()
    return sides
