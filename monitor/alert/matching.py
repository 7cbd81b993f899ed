"""Matchers as settings hold them against labels: parsed once; changes with how a text of matchers is kept."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from monitor.matchers import Matcher, all_match, parse_matchers


@lru_cache(maxsize=4096)
def matchers_of(text: str) -> tuple[Matcher, ...]:
    """Return the matchers of a text; raises ValueError where it is none."""
    return parse_matchers(text)


def matches(text: str, labels: Mapping[str, str]) -> bool:
    """Say whether labels meet all conditions of a text of matchers."""
    return all_match(matchers_of(text), labels)
