"""Filling a body of the user's own; changes with what templates may do.

Only settings are read as templates, never what is put into them: a value that looks like a template, or like JSON, stays a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from monitor.errors import InputError

_ONE = re.compile(r"\s*\{\{-?(.*?)-?\}\}\s*", re.DOTALL)
_LONGEST = 4 * 2**20


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"**", "*"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002 - jinja2 gives it
        # A product can be larger than memory: of a text, or as a power.
        if operator == "**" or not all(isinstance(each, int | float) for each in (left, right)):
            raise SecurityError(f"{operator!r} is for numbers, and powers are not for templates")
        return left * right


_ENVIRONMENT = _Environment(undefined=StrictUndefined, autoescape=False)


def filled(body: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return `body` with its texts filled from `request`: as texts, or as the value where the text is one expression.

    Raises:
        InputError: a template asks for what the request does not have, or makes what is no JSON.
    """
    values = {**request, "request": dict(request)}
    try:
        made = _filled(body, values)
        # Through JSON, so that what is sent holds plain values only.
        text = json.dumps(made, allow_nan=False)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
        raise InputError(f"the trainer's `body` cannot be filled: {type(error).__name__}") from error
    if len(text) > _LONGEST:
        raise InputError(f"the trainer's `body` is longer than {_LONGEST} bytes when it is filled")
    document: dict[str, Any] = json.loads(text)
    return document


def _filled(node: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(node, Mapping):
        return {key: _filled(each, values) for key, each in node.items()}
    if isinstance(node, list):
        return [_filled(each, values) for each in node]
    if not isinstance(node, str):
        return node
    expression = _expression(node)
    if expression is None:
        return _ENVIRONMENT.from_string(node).render(values)
    return _ENVIRONMENT.compile_expression(expression, undefined_to_none=False)(values)


def _expression(text: str) -> str | None:
    """Return what stands in the braces of a text that is one expression and nothing else, None for any other text."""
    found = _ONE.fullmatch(text)
    if found is None:
        return None
    parsed = _ENVIRONMENT.parse(text.strip()).body
    single = len(parsed) == 1 and isinstance(parsed[0], nodes.Output) and len(parsed[0].nodes) == 1
    if not single or isinstance(parsed[0].nodes[0], nodes.TemplateData):  # type: ignore[attr-defined]
        return None
    return found[1]
