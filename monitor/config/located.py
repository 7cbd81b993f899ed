"""Errors about settings that depend on each other, told at the key that is wrong; changes with how errors find their line."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Problem = tuple[tuple[str | int, ...], str]
"""Path of a key from the top of the file, and what is wrong."""


def refuse(problems: Iterable[Problem]) -> None:
    """Raise, from a validator of the whole settings, one ValidationError with a line for each problem; nothing without any."""
    details = [
        InitErrorDetails(type=PydanticCustomError("value_error", "{what}", {"what": what}), loc=path, input=None)
        for path, what in problems
    ]
    if details:
        raise ValidationError.from_exception_data("settings", details)
