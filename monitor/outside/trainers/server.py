"""A trainer's server: what its statuses mean for us, and what may be told of its answers; changes with how servers behave."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from monitor.config.json_paths import value_at
from monitor.errors import InputError, TransientError
from monitor.outside.http import Answer, HttpClient, place

_PASSING = frozenset({408, 425, 429})
_REASONS = ("detail", "message", "error.message", "error", "title")
_LONGEST_REASON = 200
_SECRET_FROM = 6
"""Characters from which a part of a header's value is taken for a secret."""


@dataclass(frozen=True)
class Server:
    """One server as settings name it; its address and headers may hold secrets, and are never shown.

    Attributes:
        token_file: its text goes along as a bearer token.
    """

    http: HttpClient
    base: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    token_file: Path | None
    timeout_seconds: float

    def ask(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        also: Collection[int] = (),
        redirected: bool = False,
    ) -> Answer:
        """Send a request and return the answer: of a status 2xx, or one of `also`.

        Args:
            method: of the request.
            url: below `base` where it begins with a slash.
            json: to send, instead of `content`.
            content: to send.
            headers: besides those of the settings.
            also: other statuses that are answers.
            redirected: whether an answer counts that a redirect led to, for which nothing was sent any more.

        Raises:
            TransientError: no answer, or one that says to try again.
            InputError: the server refused.
        """
        address = self.base.rstrip("/") + url if url.startswith("/") else url
        sent = {"Accept": "application/json", **self.headers, **(headers or {}), **self._token()}
        answer = self.http.send(
            method, address, headers=sent, json=json, content=content, timeout_seconds=self.timeout_seconds
        )
        where = place(address)
        if answer.method != method and not redirected:
            raise InputError(
                f"{where} redirects instead of taking the request: is the address right, and who signs in?"
            )
        if answer.status in also or 200 <= answer.status < 300:
            return answer
        said = f"{where} answers {answer.status}{self._reason(answer, sent)}"
        if answer.status in _PASSING or answer.status >= 500:
            raise TransientError(said)
        raise InputError(said)

    def get(self, url: str) -> Any:
        """Return the JSON object at `url`, None where there is nothing (404); raises as `ask` does."""
        answer = self.ask("GET", url, also=(404,))
        if answer.status == 404:
            return None
        document = answer.json()
        if not isinstance(document, dict):
            raise InputError(f"{self.where} answers with no JSON object")
        return document

    def stop(self, method: str, url: str, json: Any = None) -> None:
        """Ask to stop a run; one that is unknown or has ended is no error. Raises as `ask` does."""
        self.ask(method, url, json=json, also=(404, 409, 410), redirected=True)

    @property
    def where(self) -> str:
        """What may be told of the address."""
        return place(self.base)

    def _token(self) -> dict[str, str]:
        if self.token_file is None:
            return {}
        try:
            token = self.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise TransientError(f"cannot read the token in {self.token_file}") from None
        return {"Authorization": f"Bearer {token}"}

    def _reason(self, answer: Answer, sent: Mapping[str, str]) -> str:
        """Return what the server says of its refusal, without what we told it in confidence."""
        try:
            document = answer.json()
        except InputError:
            return ""
        told = (value_at(document, path) for path in _REASONS)
        found = next((text for text in told if text and isinstance(text, str)), "")
        secrets = {part for name, value in sent.items() if name != "Accept" for part in (value, *value.split())}
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) >= _SECRET_FROM:
                found = found.replace(secret, "***")
        return f": {one_line(found)}" if found else ""


def one_line(text: object) -> str:
    """Return a foreign text as one short line."""
    return "".join(each if each.isprintable() else " " for each in str(text))[:_LONGEST_REASON].strip()


def path_of(*names: str) -> str:
    """Return a path of these names, each one segment whatever it holds; raises InputError for one that would go up."""
    if any(name in ("", ".", "..") for name in names):
        raise InputError("a name of a run or a job cannot be a part of an address")
    return "".join(f"/{quote(name, safe='')}" for name in names)
