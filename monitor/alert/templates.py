"""Annotations of an alert, filled; changes with what they are filled with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monitor.alert.alert import MODEL
from monitor.texts import compiled

LONGEST = 4_000
"""Characters of an annotation; receivers refuse much longer ones."""


def annotated(
    templates: Mapping[str, str],
    labels: Mapping[str, str],
    findings: Sequence[Mapping[str, Any]],
    windows: Sequence[str],
) -> dict[str, str]:
    """Return the annotations of an alert; one that cannot be filled says so, since the alert matters more than its text.

    Args:
        templates: of a rule, checked when its settings were read.
        labels: of the alert.
        findings: behind it, the strongest first.
        windows: starts of the windows that match, as RFC 3339, oldest first.
    """
    context = {"labels": dict(labels), "model": labels.get(MODEL, ""), "findings": findings, "windows": windows}
    return {name: _filled(text, context) for name, text in templates.items()}


def _filled(text: str, context: Mapping[str, Any]) -> str:
    try:
        return compiled(text).render(context)[:LONGEST]
    except Exception as error:  # noqa: BLE001 - a template can raise whatever what it calls raises
        return f"(this text could not be filled: {type(error).__name__})"
