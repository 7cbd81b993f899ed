"""Texts with gaps that alerts fill: Jinja in a sandbox, checked when settings are read; changes with what a text may hold."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

from jinja2 import ChainableUndefined, Template, TemplateError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import AfterValidator

VARIABLES = ("labels", "model", "findings", "windows")
"""What a text can name."""

# These texts end in messages of many kinds, each of which escapes for itself. What is not there is an empty text, so that a text
# about the first finding is also good for an alert without findings.
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=ChainableUndefined, autoescape=False)
_FINDING = {
    "kind": "skew",
    "feature": "distance",
    "reference": "training",
    "measure": "cohens_w",
    "value": 0.5,
    "threshold": 0.1,
    "p_value": 0.001,
    "flagged": True,
    "reason": None,
    "explanation": "distance: mean from 1 to 2",
    "version": "1",
    "slice": {"origin": "JFK"},
    "window_start": "2026-01-01T00:00:00Z",
    "window_end": "2026-01-01T01:00:00Z",
}
_EXAMPLE: Mapping[str, Any] = {
    "labels": {"alertname": "TrafficChanged", "model": "flights", "severity": "warning"},
    "model": "flights",
    "findings": [_FINDING],
    "windows": ["2026-01-01T00:00:00Z"],
}


@lru_cache(maxsize=1024)
def compiled(text: str) -> Template:
    """Return the template of a text.

    Raises:
        ValueError: it is none, or names what no alert has; the message says where.
    """
    try:
        unknown = meta.find_undeclared_variables(_ENVIRONMENT.parse(text)) - set(VARIABLES)
        template = _ENVIRONMENT.from_string(text)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise ValueError(f"no template{f', line {line}' if line and line > 1 else ''}: {error.message}") from None
    if unknown:
        raise ValueError(f"unknown name {min(unknown)!r} in a template; it can name {', '.join(VARIABLES)}")
    return template


def _checked(text: str) -> str:
    try:
        compiled(text).render(_EXAMPLE)
    except ValueError:
        raise
    except Exception as error:  # noqa: BLE001 - a template can raise whatever what it calls raises
        raise ValueError(f"this template fails: {error}") from None
    return text


TemplateText = Annotated[str, AfterValidator(_checked)]
"""Text of a template, as settings hold it."""
