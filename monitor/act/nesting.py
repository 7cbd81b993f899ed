"""How deep the JSON may be that is told of a candidate; changes with what can be written down and shown again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST_LEVELS = 32
"""What is deeper can be written down and then not be shown: serialisers end at 255 levels or sooner."""


def is_deeper(value: Any, levels: int) -> bool:
    """Say whether objects and lists lie in one another more than so many levels deep; looks no deeper than that."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else None
    if inner is None:
        return False
    return levels == 0 or any(is_deeper(each, levels - 1) for each in inner)
