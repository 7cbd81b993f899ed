"""What a notification says to people, before any format; changes with what they are told of an alert."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.alert.alert import ALERT_NAME, MODEL, SEVERITY
from monitor.alert.notification import Notification, Told
from monitor.alert.payloads.texts import clean, one_line

MOST_FINDINGS = 10
"""Findings that people are shown, the strongest; the others are counted."""
_WEB_ADDRESS = re.compile(r"https?://[^\s<>|\"]+")
_HEADS = {
    Told.FIRING: "Firing",
    Told.REPEATED: "Still firing",
    Told.RESOLVED: "Resolved",
    Told.PAGE: "Page",
    Told.APPROVAL: "Approval wanted",
    Told.NEWS: "News",
    Told.TEST: "Test",
}
_OF_A_RETRAIN = ("model", "retrain", "state")
_SHOWN = ("summary", "description", "runbook", "runbook_url")


@dataclass(frozen=True, slots=True)
class Content:
    """What is said.

    Attributes:
        title: one line.
        paragraphs: texts that explain it, which may have several lines.
        facts: name and value, one line each.
        findings: one line each, the strongest first, at most `MOST_FINDINGS` and a line that counts the rest.
        links: addresses by their title, http and https only.
        over: whether it tells the end of something.
    """

    title: str
    severity: str
    paragraphs: Sequence[str]
    facts: Sequence[tuple[str, str]]
    findings: Sequence[str]
    links: Mapping[str, str]
    over: bool


def content_of(notification: Notification) -> Content:
    """Return what a notification says; a document that lacks something is told without it."""
    document = notification.document
    labels: Mapping[str, str] = document.get("labels") or {}
    annotations: Mapping[str, str] = document.get("annotations") or {}
    paragraphs = [document.get("text", ""), annotations.get("description", "")]
    facts = [(name, document[name]) for name in _OF_A_RETRAIN if document.get(name)]
    facts += [*labels.items(), *((name, value) for name, value in annotations.items() if name not in _SHOWN)]
    times = (("since", document.get("starts_at")), ("until", document.get("ends_at")))
    facts += [(name, str(value)) for name, value in times if value]
    return Content(
        title=f"{_HEADS[notification.kind]}: {_what(document, labels, annotations)}",
        severity="critical" if notification.kind is Told.PAGE else labels.get(SEVERITY, "info"),
        paragraphs=[clean(each) for each in paragraphs if each.strip()],
        facts=[(one_line(name), one_line(value)) for name, value in facts if value],
        findings=finding_lines(document.get("findings") or []),
        links=_links(document, annotations),
        over=notification.kind is Told.RESOLVED,
    )


def finding_lines(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each of the first findings, and one that counts the others."""
    lines = [_line(finding) for finding in findings[:MOST_FINDINGS]]
    if len(findings) > MOST_FINDINGS:
        lines.append(f"and {len(findings) - MOST_FINDINGS} more")
    return lines


def _what(document: Mapping[str, Any], labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    named = " of ".join(part for part in (labels.get(ALERT_NAME, ""), labels.get(MODEL, "")) if part)
    said = annotations.get("summary") or document.get("title") or ""
    text = f"{named}: {said}" if named and said else named or said
    return one_line(text) or "no title"


def _links(document: Mapping[str, Any], annotations: Mapping[str, str]) -> dict[str, str]:
    links = {
        **(document.get("links") or {}),
        "Runbook": annotations.get("runbook_url") or annotations.get("runbook", ""),
    }
    return {one_line(title): address for title, address in links.items() if _WEB_ADDRESS.fullmatch(address)}


def _line(finding: Mapping[str, Any]) -> str:
    slice_ = finding.get("slice") or {}
    about = finding.get("feature") or "all features"
    where = "".join(f" where {name} = {value}" if not place else f", {name} = {value}"
                    for place, (name, value) in enumerate(slice_.items()))  # fmt: skip
    against = f" against {finding['reference']}" if finding.get("reference") else ""
    value, threshold = finding.get("value"), finding.get("threshold")
    measured = f" {value:.3g}" if isinstance(value, int | float) else ""
    limit = f" (limit {threshold:.3g})" if isinstance(threshold, int | float) else ""
    explained = f": {finding['explanation']}" if finding.get("explanation") else ""
    return one_line(f"{about}{where}: {finding.get('measure', 'changed')}{measured}{limit}{against}{explained}")
