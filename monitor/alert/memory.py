"""What a rule remembers of one model between two looks; changes with what its next word depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from monitor.clock import from_micros, to_micros

Windows = tuple[tuple[datetime, bool], ...]
"""Starts of decided windows, ascending, each with whether it matched."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known beside the alert itself.

    Attributes:
        rule: digest of the expression that the windows were held against.
        windows: the last decided ones.
        covered: start of the newest window that an episode was about: no later episode begins with it or one before.
        told: the receivers that were told of the present episode, and when last.
        since: when a rule about missing data first looked.
    """

    rule: str = ""
    windows: Windows = ()
    covered: datetime | None = None
    told: Mapping[str, datetime] = field(default_factory=dict)
    since: datetime | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the JSON object of it."""
        return {
            "rule": self.rule,
            "windows": [[to_micros(start), int(matched)] for start, matched in self.windows],
            "covered": None if self.covered is None else to_micros(self.covered),
            "told": {receiver: to_micros(at) for receiver, at in self.told.items()},
            "since": None if self.since is None else to_micros(self.since),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Memory:
        """Return what `to_document` was made of."""
        return cls(
            document["rule"],
            tuple((from_micros(start), bool(matched)) for start, matched in document["windows"]),
            _moment(document["covered"]),
            {receiver: from_micros(at) for receiver, at in document["told"].items()},
            _moment(document["since"]),
        )


def remembered(memory: Memory, start: datetime, *, matched: bool, most: int) -> Memory:
    """Return the memory with a window decided, or decided anew; it keeps the last `most`, in whatever order they come."""
    windows = dict(memory.windows) | {start: matched}
    return replace(memory, windows=tuple(sorted(windows.items()))[-most:])


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
