"""Where a value stands in a JSON document, as `run.id` or `items[0].state`; changes with how that may be written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

_STEP = re.compile(r"\.?([A-Za-z_$@][\w$@-]*)|\[(\d+)\]|\['([^']+)'\]")
_LONGEST = 500


def steps_of(path: str) -> list[str | int]:
    """Return the keys and places that a path goes through; a leading `$.` means nothing. Raises ValueError."""
    text = path.removeprefix("$.") if path != "$" else ""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None or (found[0].startswith(".") and at == 0):
            raise ValueError(f"{path!r} is not a path such as run.id, items[0].state or data['odd key']")
        name, place, quoted = found.groups()
        steps.append(int(place) if place is not None else name or quoted)
        at = found.end()
    return steps


def value_at(document: Any, path: str) -> Any:
    """Return the value at `path`, None where there is none."""
    for step in steps_of(path):
        if isinstance(step, int):
            document = document[step] if isinstance(document, list) and step < len(document) else None
        else:
            document = document.get(step) if isinstance(document, Mapping) else None
    return document


def _checked(path: str) -> str:
    if not path or len(path) > _LONGEST:
        raise ValueError(f"a path has 1 to {_LONGEST} characters")
    steps_of(path)
    return path


JsonPath = Annotated[str, AfterValidator(_checked)]
"""A path as settings give it."""
