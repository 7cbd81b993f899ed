"""Pages for people: HTML without scripts, under a policy that allows none; changes with what all pages share."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from fastapi import Response
from jinja2 import Environment, PackageLoader, StrictUndefined

_environment = Environment(
    loader=PackageLoader("monitor.api", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(template: str, status: int = 200, **values: Any) -> Response:
    """Return a page; every value in it is escaped, and the one style it may have is named by its digest."""
    style = _environment.get_template("style.css").render()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    html = _environment.get_template(template).render(style=style, **values)
    return Response(html, status, {"Content-Security-Policy": policy}, "text/html; charset=utf-8")
