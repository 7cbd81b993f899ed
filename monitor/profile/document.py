"""Exact JSON forms of bytes and arrays, for baselines and profiles that are kept in SQL; changes with that format only."""

from __future__ import annotations

import base64
import itertools
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def pack_bytes(content: bytes) -> str:
    """Return bytes as base64 of their zlib form."""
    return base64.b64encode(zlib.compress(content, 1)).decode("ascii")


def unpack_bytes(text: str) -> bytes:
    """Undo `pack_bytes`."""
    return zlib.decompress(base64.b64decode(text))


def pack_floats(array: Floats) -> dict[str, Any]:
    """Return a float64 array of any shape as little-endian bytes, so that every bit survives, infinities too."""
    return {"shape": list(array.shape), "data": pack_bytes(np.ascontiguousarray(array, dtype="<f8").tobytes())}


def unpack_floats(document: dict[str, Any]) -> Floats:
    """Undo `pack_floats`."""
    flat = np.frombuffer(unpack_bytes(document["data"]), dtype="<f8").astype(np.float64)
    return flat.reshape(document["shape"])


def pack_values(values: Sequence[bytes]) -> dict[str, Any]:
    """Return byte strings of any content (no encoding is assumed) as lengths and one joined block."""
    return {"lengths": [len(value) for value in values], "data": pack_bytes(b"".join(values))}


def unpack_values(document: dict[str, Any]) -> tuple[bytes, ...]:
    """Undo `pack_values`."""
    joined, ends = unpack_bytes(document["data"]), np.cumsum([0, *document["lengths"]])
    return tuple(joined[start:end] for start, end in itertools.pairwise(ends))
