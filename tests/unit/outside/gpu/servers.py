"""An HTTP server on the loopback whose pages a test writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.loopback import Reply, Request, http_server


@dataclass
class Pages:
    """What the server says by path, and what it was asked: path and authorization."""

    url: str
    text: dict[str, str] = field(default_factory=dict)
    status: int = 200
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def answer(self, request: Request) -> Reply:
        self.asked.append((request.path, request.headers.get("authorization")))
        page = self.text.get(urlsplit(request.path).path)
        return Reply(404) if page is None else Reply(self.status, body=page.encode())


@contextmanager
def serving() -> Iterator[Pages]:
    """Serve pages until the block ends."""
    with http_server() as server:
        pages = Pages(server.url)
        server.answer = pages.answer
        yield pages
