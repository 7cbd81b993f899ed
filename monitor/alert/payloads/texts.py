"""Making texts fit where they are shown; changes with what formats demand of texts in general."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import accumulate

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ELLIPSIS = "…"


def clean(text: str) -> str:
    """Return a text without control characters; new lines and tabs stay."""
    return _CONTROLS.sub(" ", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """Return a text as one line, without control characters."""
    return " ".join(clean(text).split())


def fitted(text: str, length: int, escape: Callable[[str], str] = str) -> str:
    """Return a text in at most `length` (above 0) characters; one that was cut ends in an ellipsis.

    `escape` is told each character and returns at least one; what it makes of one is never cut in two.
    """
    pieces = [escape(character) for character in text[: length + 1]]
    ends = list(accumulate(map(len, pieces)))
    if not ends or ends[-1] <= length:
        return "".join(pieces)
    room = length - len(_ELLIPSIS)
    return "".join(piece for piece, end in zip(pieces, ends, strict=True) if end <= room) + _ELLIPSIS
