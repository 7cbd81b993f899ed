"""Strata of a window: their names, and which of them count; changes when collectors and readers agree on something else.

A stratum is named by what a floor (`sampling.floors`) is `by`: `status=error`, or `country=DE,latency=slow`. All rows without a
stratum of their own are of the default one, whose name is empty.

A window has at most `MAX_STRATA` named strata, since a feature may have any number of values: those of the floors that come
first, and within a floor those with the smallest hashes; the rest joins the default stratum. Nobody who sees only a part of the
window's rows can be wrong about these: among the strata that it sees, each of them is one of the first `MAX_STRATA` too. So each
cut counts its own first ones apart, and what a reader counts under a name that is among the first of all is complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from monitor.config.settings import FloorSettings
from monitor.hashing import hash_text

DEFAULT: Final = ""
MAX_STRATA = 50

_STRANGE = re.compile(r"[^A-Za-z0-9_.:+ -]")
_LONGEST = 60
"""With at most three columns a name stays below the 512 characters that the ledger holds."""


def stratum_name(columns: Sequence[str], values: Sequence[str]) -> str:
    """Return the name of the stratum in which these columns have these values; different ones have different names."""
    return ",".join(f"{_part(column)}={_part(value)}" for column, value in zip(columns, values, strict=True))


class Floors:
    """The floors of one model, in order."""

    def __init__(self, floors: Sequence[FloorSettings]) -> None:
        """Begin with the settings of a model; without any, no stratum counts but the default one."""
        self._floors = {tuple(map(_part, floor.by)): (place, floor.rows) for place, floor in enumerate(floors)}

    def __bool__(self) -> bool:
        """Return whether there is any floor."""
        return bool(self._floors)

    def rows(self, stratum: str) -> int:
        """Return how many rows of a stratum are kept at least, 0 where no floor is for it."""
        return self._floors.get(_columns(stratum), (0, 0))[1]

    def first(self, strata: Iterable[str]) -> frozenset[str]:
        """Return those of `strata` that count; the others belong to the default stratum."""
        ranked = [
            (self._floors[columns][0], hash_text(stratum), stratum)
            for stratum in set(strata)
            if (columns := _columns(stratum)) in self._floors
        ]
        return frozenset(stratum for _, _, stratum in sorted(ranked)[:MAX_STRATA])


def _columns(stratum: str) -> tuple[str, ...]:
    return tuple(pair.partition("=")[0] for pair in stratum.split(",")) if stratum else ()


def _part(text: str) -> str:
    """Return any text as part of a name, without the signs that names are made with, and never long."""
    quoted = _STRANGE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text)
    return quoted if len(quoted) <= _LONGEST else f"{quoted[: _LONGEST - 17]}%{hash_text(text):016x}"
