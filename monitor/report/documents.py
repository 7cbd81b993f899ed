"""Findings as JSON text, a list or a line each; changes if the way of writing JSON does."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from monitor.compare.findings import WindowFindings


def json_list(findings: Sequence[WindowFindings]) -> str:
    """Return the findings as one JSON list, indented for readers, ending with a newline."""
    return orjson.dumps(
        [found.to_json() for found in findings], option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    ).decode()


def json_line(found: WindowFindings) -> str:
    """Return one window's findings as a line of JSON Lines, newline included."""
    return orjson.dumps(found.to_json(), option=orjson.OPT_APPEND_NEWLINE).decode()
