"""Which regular expressions are taken: those that end soon on any text; changes with what Python's engine is slow at.

It tries all ways in which a text may be divided among the parts of a pattern that may be long or short. Prometheus' engine does
not, and takes what is refused here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MOST_CHOICES = 3
"""Parts that may be long or short, each of which multiplies the time by the length of the text."""

_REFERENCE = re.compile(r"(?<!\\)(?:\\\\)*\\[1-9]")
_ATOM = re.compile(r"\\.|\[\^?\]?(?:[^\]\\]|\\.)*\]|[^()|]", re.DOTALL)
_GROUP = re.compile(r"\((?!\?)|\(\?:|\(\?P<\w+>|\(\?i:")
_QUANTIFIER = re.compile(r"(?:([*+?])|\{(\d*)(,?)(\d*)\})[?+]?")
_FLAG = "(?i)"


@dataclass
class _Group:
    """What was seen of a group: choices of its present alternative, the most of those before it, whether there are several."""

    choices: int = 0
    most: int = 0
    alternatives: bool = False
    nested: bool = False

    @property
    def all_choices(self) -> int:
        return max(self.choices, self.most)

    @property
    def branches(self) -> bool:
        return self.alternatives or self.nested or self.all_choices > 0


def why_costly(pattern: str) -> str:
    """Return why a valid regular expression may take for ever, in a few words; empty where it cannot."""
    if _REFERENCE.search(pattern):
        return "it refers back to a group"
    groups = [_Group()]
    ended: _Group | None = None
    at = len(_FLAG) if pattern.startswith(_FLAG) else 0
    while at < len(pattern):
        here, char = groups[-1], pattern[at]
        quantifier = _quantifier(pattern, at)
        before, ended = ended, None
        if quantifier is not None:
            # The text may be none, once or in one way only: `?` and `{3}` begin nothing anew by themselves.
            if before is not None and before.branches and quantifier[1] != "?":
                return "it repeats a group that holds a repetition or a choice"
            if quantifier[1] or quantifier[3]:
                here.choices += 1
            at = quantifier.end()
        elif (atom := _ATOM.match(pattern, at)) is not None:
            at = atom.end()
        elif char == "(":
            opening = _GROUP.match(pattern, at)
            if opening is None:
                return "of groups with a question mark it may have (?:...), (?P<name>...) and (?i) only"
            groups.append(_Group())
            at = opening.end()
        elif char == ")":
            ended = groups.pop()
            groups[-1].choices += ended.all_choices
            groups[-1].nested |= ended.branches
            at += 1
        else:
            here.most, here.choices, here.alternatives = here.all_choices, 0, True
            at += 1
    if groups[0].all_choices > _MOST_CHOICES:
        return f"it has more than {_MOST_CHOICES} of *, +, ? and {{n,m}} in a row; write several matchers"
    return ""


def _quantifier(pattern: str, at: int) -> re.Match[str] | None:
    found = _QUANTIFIER.match(pattern, at)
    # Braces without a number are text.
    return found if found is not None and (found[1] or found[2] or found[4]) else None
