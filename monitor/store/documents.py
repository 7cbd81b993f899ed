"""JSON documents as the ledger holds them; changes with their encoding."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any


def encode_document(document: Mapping[str, Any]) -> bytes:
    """Return a JSON document as the compressed bytes that the ledger holds."""
    return zlib.compress(json.dumps(document, sort_keys=True).encode(), level=3)


def decode_document(blob: bytes) -> dict[str, Any]:
    """Read `encode_document`."""
    document: dict[str, Any] = json.loads(zlib.decompress(blob))
    return document
