"""Label matchers as Prometheus and Alertmanager write them: `kind="drift", feature=~"dep_.*"`; changes with that language."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from monitor.patterns import why_costly

_MATCHER = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))\s*(?:,|$)')
_ESCAPES = {"n": "\n"}


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label; a label that is not there is the empty text, and patterns match the whole of it."""

    name: str
    operator: str
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether labels meet the condition."""
        found = labels.get(self.name, "")
        if self.operator in ("=", "!="):
            return (found == self.value) == (self.operator == "=")
        return (re.fullmatch(self.value, found) is not None) == (self.operator == "=~")

    def __str__(self) -> str:
        value = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.operator}"{value}"'


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Read matchers separated by commas, in braces or not; an empty text is no matcher, which matches everything.

    Raises:
        ValueError: the text is none, or holds a pattern that may take for ever; the message says which.
    """
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1]
    found, at = [], 0
    while inner[at:].strip():
        match = _MATCHER.match(inner, at)
        if match is None:
            raise ValueError(f'{inner[at:].strip()!r} is no matcher; write for example kind="drift", feature=~"dep_.*"')
        name, operator, quoted, plain = match.groups()
        value = plain if quoted is None else re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), quoted)
        if "~" in operator:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"{value!r} is no regular expression: {error}") from None
            costly = why_costly(value)
            if costly:
                raise ValueError(f"{value!r} may take for ever to match: {costly}")
        found.append(Matcher(name, operator, value))
        at = match.end()
    return tuple(found)


def all_match(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    """Say whether labels meet all conditions."""
    return all(matcher.matches(labels) for matcher in matchers)


def longest_pattern(matchers: Sequence[Matcher]) -> int:
    """Return the length of the longest regular expression; 0 without any."""
    return max((len(each.value) for each in matchers if "~" in each.operator), default=0)


def _checked(text: str) -> str:
    parse_matchers(text)
    return text


Matchers = Annotated[str, AfterValidator(_checked)]
"""Text of matchers, as settings hold it."""
