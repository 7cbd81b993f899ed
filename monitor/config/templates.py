"""Which templates a trainer's `body` may hold; changes with what a request offers to them."""

from __future__ import annotations

import math
from typing import Any

from jinja2 import TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

KNOWN = frozenset(
    {"request", "retrain_id", "model", "schema_version", "why", "data", "baseline", "expected", "callbacks"}
)
"""Names that a template may use: the request, and each of its parts."""
_DEEPEST = 20


def check_templates(document: Any, depth: int = 0) -> None:
    """Raise ValueError unless `document` is JSON whose texts are templates that can be filled; keys are no templates."""
    if depth > _DEEPEST:
        raise ValueError(f"this is nested more than {_DEEPEST} deep")
    if isinstance(document, dict):
        for each in document.values():
            check_templates(each, depth + 1)
    elif isinstance(document, list):
        for each in document:
            check_templates(each, depth + 1)
    elif isinstance(document, str):
        _check_text(document)
    elif isinstance(document, float) and not math.isfinite(document):
        raise ValueError("JSON knows no NaN and no infinity")
    elif document is not None and not isinstance(document, bool | int | float):
        raise ValueError(f"{document} is no JSON value; put it in quotes")


def _check_text(text: str) -> None:
    try:
        unknown = meta.find_undeclared_variables(ImmutableSandboxedEnvironment().parse(text)) - KNOWN
    except TemplateSyntaxError as error:
        raise ValueError(f"{text!r} is no template: {error.message}") from None
    if unknown:
        raise ValueError(f"{text!r} uses {min(unknown)!r}; known are: {', '.join(sorted(KNOWN))}")
