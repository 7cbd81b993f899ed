"""A message for a Slack incoming webhook: blocks, and a text for where blocks are not shown.

Limits as of Block Kit's reference: 150 characters of a header, 3,000 of a section, 2,000 and 10 of its fields, 50 blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.alert.notification import Notification
from monitor.alert.payloads.content import Content, content_of
from monitor.alert.payloads.texts import fitted

_HEADER, _SECTION, _FIELD, _FIELDS, _FALLBACK, _LINK, _BLOCKS = 150, 3000, 2000, 10, 3000, 300, 50
_MARKS = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def slack(notification: Notification) -> dict[str, Any]:
    """Return the message; `&`, `<` and `>` are escaped, so that no text can mention people or make links."""
    content = content_of(notification)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": fitted(content.title, _HEADER), "emoji": False}},
        *(_section(paragraph) for paragraph in content.paragraphs),
    ]
    if content.findings:
        blocks.append(_section("\n".join(f"• {line}" for line in content.findings)))
    if content.links:
        blocks.append({"type": "context", "elements": _links(content)})
    fields = [_field(*fact) for fact in content.facts]
    blocks += [{"type": "section", "fields": fields[at : at + _FIELDS]} for at in range(0, len(fields), _FIELDS)]
    return {"text": fitted(content.title, _FALLBACK, _escaped), "blocks": blocks[:_BLOCKS]}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": fitted(text, _SECTION, _escaped), "verbatim": True}}


def _field(name: str, value: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": fitted(f"*{name}*\n{value}", _FIELD, _escaped), "verbatim": True}


def _links(content: Content) -> Sequence[dict[str, Any]]:
    return [
        {"type": "mrkdwn", "text": f"<{''.join(map(_escaped, address))}|{fitted(title, _LINK, _escaped)}>"}
        for title, address in list(content.links.items())[:10]
    ]


def _escaped(character: str) -> str:
    return _MARKS.get(character, character)
