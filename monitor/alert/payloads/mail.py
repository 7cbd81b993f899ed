"""An e-mail with a text and an HTML part; changes with how mails look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape

from monitor.alert.notification import Notification, Told
from monitor.alert.payloads.content import Content, content_of
from monitor.alert.payloads.texts import fitted

_SUBJECT = 200
_DOMAIN = "driftline.invalid"  # of ids that nobody else makes


def mail(notification: Notification, sender: str, to: Sequence[str], created_at: datetime) -> EmailMessage:
    """Return the message; a mail that is sent again has the same Message-ID, and mails of one subject make a thread.

    No text can add a header: the title is one line without control characters, and addresses are checked by `Address`.
    """
    content = content_of(notification)
    message = EmailMessage()
    message["From"] = Address(addr_spec=sender)
    message["To"] = [Address(addr_spec=each) for each in to]
    message["Subject"] = fitted(content.title, _SUBJECT)
    message["Date"] = format_datetime(created_at)
    message["Message-ID"] = f"<{_plain(notification.message_id)}@{_DOMAIN}>"
    message["References"] = f"<{_plain(notification.subject)}@{_DOMAIN}>"
    message["Auto-Submitted"] = "auto-generated"
    if content.severity == "critical" and notification.kind in (Told.FIRING, Told.PAGE):
        message["Importance"] = "high"
    message.set_content("\n".join(_text(content)))
    message.add_alternative("\n".join(_html(content)), subtype="html")
    return message


def _plain(text: str) -> str:
    return "".join(character if character.isascii() and character.isalnum() else "-" for character in text)[:100]


def _text(content: Content) -> Iterator[str]:
    yield content.title
    for paragraph in content.paragraphs:
        yield from ("", paragraph)
    if content.findings:
        yield ""
    for line in content.findings:
        yield f"- {line}"
    if content.facts:
        yield ""
    for name, value in content.facts:
        yield f"{name}: {value}"
    if content.links:
        yield ""
    for title, address in content.links.items():
        yield f"{title}: {address}"


def _html(content: Content) -> Iterator[str]:
    yield f"<!doctype html><html><body><h2>{escape(content.title)}</h2>"
    for paragraph in content.paragraphs:
        yield "<p>" + escape(paragraph).replace("\n", "<br>") + "</p>"
    if content.findings:
        yield "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in content.findings) + "</ul>"
    if content.facts:
        rows = (f"<tr><th align=left>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in content.facts)
        yield "<table>" + "".join(rows) + "</table>"
    for title, address in content.links.items():
        yield f'<p><a href="{escape(address)}">{escape(title)}</a></p>'
    yield "</body></html>"
