"""What brings versions of a model into service, whatever serves it; changes with what a rollout needs of that.

Each step is done again safely: it looks at where things stand, and does what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Self

Folder = Callable[[], AbstractContextManager[Path]]
"""Finds a candidate's SavedModel; it is there until the block is left."""
EnsureAllowed = Callable[[], None]
"""Called before each write: raises TransientError where nothing may be written any more."""


def always_allowed() -> None:
    """Let every write happen."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to change, and how it was before, written down before anything changes.

    Attributes:
        stable: version that serves until now; empty where nobody knows.
        candidate: version that is to serve.
        entry: what the serving's configuration said of the model, as it was written; empty where that is not ours to change.
        was_there: whether the candidate lies in the serving's own folder already, so that it is not ours to delete.
    """

    stable: str
    candidate: str
    entry: str = ""
    was_there: bool = True

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Undo `to_document`; what else the object holds is left out."""
        return cls(document["stable"], document["candidate"], document["entry"], document["was_there"])


class Serving(Protocol):
    """Something that serves a model.

    Every method raises TransientError where it does not answer or is not done yet, and InputError where it never will.
    """

    def plan(self, candidate: str) -> Plan:
        """Return what is to change; only looks."""
        ...

    def begin(self, plan: Plan, folder: Folder) -> None:
        """Serve the candidate beside the stable version; returns once it answers."""
        ...

    def promote(self, plan: Plan) -> None:
        """Make the candidate the stable version."""
        ...

    def roll_back(self, plan: Plan) -> str:
        """Make all as it was before, and return what could not be; empty where nothing is left."""
        ...
