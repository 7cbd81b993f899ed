"""A message with an Adaptive Card for Microsoft Teams, as its workflow "when a webhook request is received" takes it.

Texts of ours are text runs, which Teams shows as they are: a text block would read Markdown, and make links of feature names.
A message may have 28 KB: lines are cut, and the card gets as many as fit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from monitor.alert.notification import Notification
from monitor.alert.payloads.content import Content, content_of
from monitor.alert.payloads.texts import fitted

_TITLE, _LINE, _PARAGRAPH, _LINKS = 300, 400, 2000, 6
_BYTES = 24_000
_COLOURS = {"critical": "Attention", "warning": "Warning", "info": "Accent"}


def teams(notification: Notification) -> dict[str, Any]:
    """Return the message."""
    content = content_of(notification)
    body: list[dict[str, Any]] = []
    size = 0
    for each in _texts(content):
        size += len(json.dumps(each))
        if size > _BYTES:
            break
        body.append(each)
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": fitted(content.title, _TITLE),
        "body": body,
        "actions": [
            {"type": "Action.OpenUrl", "title": fitted(title, 60), "url": address}
            for title, address in list(content.links.items())[:_LINKS]
            if len(address) <= _LINE
        ],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _texts(content: Content) -> Iterator[dict[str, Any]]:
    colour = "Good" if content.over else _COLOURS.get(content.severity, "Default")
    yield _runs({"text": fitted(content.title, _TITLE), "size": "Large", "weight": "Bolder", "color": colour})
    for paragraph in content.paragraphs:
        yield _runs({"text": fitted(paragraph, _PARAGRAPH)})
    for line in content.findings:
        yield _runs({"text": fitted(line, _LINE)})
    for name, value in content.facts:
        yield _runs({"text": f"{fitted(name, _LINE)}: ", "weight": "Bolder"}, {"text": fitted(value, _LINE)})


def _runs(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}
