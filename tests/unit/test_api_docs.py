"""docs/api.md names every operation with its scope, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from monitor.api.application import openapi_document

PAGE = (Path(__file__).resolve().parents[2] / "docs/api.md").read_text(encoding="utf-8")


def documented() -> set[tuple[str, str]]:
    """Return method and path of the table's operations; `.../x` stands for the path before it with another end."""
    found, before = set(), ""
    for cell in re.findall(r"^\| (`[^|]+`) \|", PAGE, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", cell):
            method, _, path = name.rpartition(" ")
            if path.startswith("..."):
                path = before.rpartition("/")[0] + path.removeprefix("...")
                method = method or "POST"
            if path.startswith("/v1"):
                found.add((method, path))
                before = path
    return found


def test_every_operation_is_documented_and_no_other() -> None:
    told = {(method.upper(), path) for path, item in openapi_document()["paths"].items() for method in item}
    assert documented() == told
