"""Which rows are kept: the same on every collector, after any restart; changes when the sampling contract does.

A row is kept when the hash of its request id is below `theta`, compared as integers. Theta starts at the configured rate.
In a window that grows beyond `max_rows` = k rows, each collector lowers its own theta, and at the end a reader keeps the
rows strictly below the (k+1)-th smallest hash (bottom-k, Cohen and Kaplan, "Summarizing data using bottom-k sketches", 2007).

Why a reader loses nothing, whatever the number of collectors. Let T be the smallest theta that any of them ever used for
a window, below the configured rate R, and let h be the (k+1)-th smallest hash among *all* rows of the window that are below
R. A collector lowers theta to t only when it has seen k+1 rows of the window with hashes below t, each row once; so at
least k+1 rows lie below T, hence h < T. Every collector keeps every row below its theta, which is at least T, so all rows up to
h are kept, by whoever reads them; the (k+1)-th smallest of the kept rows is h too, and so are the rows strictly below it
the same. Rows that a collector counts must be distinct rows of the stream, but need not be committed by it: a
cut that is discarded is read again by somebody, so its rows still exist. They are counted only once since
`remember` is called for committed cuts alone. Forgetting (a restart, or an old window that was dropped here to bound memory)
makes the collector count too few, and so lower theta later, which keeps more rows than needed and loses none.

Floors. Of a stratum with a floor of N rows a reader keeps, beside what lies below theta, all rows up to the N-th smallest hash
of the stratum's rows in the window, and wants to see the (N+1)-th smallest, g, whatever the rate. A collector keeps the rows of
the stratum up to the (N+1)-th smallest hash among those rows of it that it has seen, each row once. That is at least g, since
what it has seen is a part of all; so all rows of the stratum up to g are kept, by whoever reads them, and the N+1 smallest among
the kept rows are those among all. Forgetting and discarded cuts change nothing of this, for the same reasons as above; and which
strata there are at all is a function of all rows too (`monitor/window/strata.py`). Rows kept by a floor alone have hashes from
theta on, and a reader leaves them out where it looks for h: so the window's theta and its floors do not touch each other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from monitor.records import WindowKey

KEEP_ALL = 2**64
"""The theta below which every hash lies."""

Hashes = npt.NDArray[np.uint64]

_NONE: Hashes = np.empty(0, dtype=np.uint64)

WINDOWS_OF_A_VERSION = 24
"""So many windows of a version are remembered, those used last: traffic goes on to new ones, and old ones would pile up."""


def theta_of(rate: float) -> int:
    """Return the theta of a rate in (0, 1]; exact, since scaling a double by a power of two is."""
    return int(rate * KEEP_ALL)


def below(hashes: Hashes, theta: int) -> npt.NDArray[np.bool_]:
    """Return which hashes are kept under `theta`, bool (n,)."""
    if theta >= KEEP_ALL:
        return np.ones(len(hashes), dtype=np.bool_)
    kept: npt.NDArray[np.bool_] = hashes < np.uint64(theta)
    return kept


def smallest(hashes: Hashes, count: int) -> Hashes:
    """Return the `count` smallest, in any order."""
    return hashes if len(hashes) <= count else np.partition(hashes, count - 1)[:count].copy()


@dataclass(slots=True)
class _Window:
    theta: int
    smallest: Hashes
    """The smallest hashes of the committed rows seen here, at most k+1 of them."""
    floors: dict[str, Hashes] = field(default_factory=dict)
    """The same by stratum, at most N+1 of each."""

    def size(self) -> int:
        return len(self.smallest) + sum(map(len, self.floors.values()))


class Sampler:
    """The thetas of the windows that one collector works on; not thread-safe."""

    def __init__(self, smallest_theta: Callable[[WindowKey], int | None], max_hashes: int = 4_000_000) -> None:
        """Start windows that others have begun at what `smallest_theta` says; remember at most about `max_hashes` hashes."""
        self._smallest_theta = smallest_theta
        self._max_hashes = max_hashes
        self._windows: OrderedDict[WindowKey, _Window] = OrderedDict()
        self._hashes = 0

    def theta(self, key: WindowKey, hashes: Hashes, rate_theta: int, max_rows: int) -> int:
        """Return the theta for the rows with `hashes`, which are about to be committed; it never rises while remembered."""
        window = self._window(key, rate_theta)
        hashes = hashes[below(hashes, window.theta)]
        if len(window.smallest) + len(hashes) > max_rows:
            known = np.concatenate([window.smallest, hashes])
            last = int(np.partition(known, max_rows)[max_rows])
            window.theta = min(window.theta, last + 1)
        return window.theta

    def remember(self, key: WindowKey, hashes: Hashes, max_rows: int) -> None:
        """Count rows that were committed; each row once."""
        window = self._windows.get(key)
        if window is None:
            return
        self._hashes -= window.size()
        window.smallest = smallest(np.concatenate([window.smallest, hashes]), max_rows + 1)
        self._hashes += window.size()
        self._bound()

    def floor(self, key: WindowKey, stratum: str, hashes: Hashes, rows: int) -> int:
        """Return below what a floor keeps the rows of a stratum, with `hashes`, that are about to be committed.

        Call `theta` for the window first.
        """
        window = self._windows.get(key)
        known = hashes if window is None else np.concatenate([window.floors.get(stratum, _NONE), hashes])
        return KEEP_ALL if len(known) <= rows else int(np.partition(known, rows)[rows]) + 1

    def remember_floor(self, key: WindowKey, stratum: str, hashes: Hashes, rows: int) -> None:
        """Count rows of a stratum that were committed; each row once."""
        window = self._windows.get(key)
        if window is None:
            return
        self._hashes -= window.size()
        window.floors[stratum] = smallest(np.concatenate([window.floors.get(stratum, _NONE), hashes]), rows + 1)
        self._hashes += window.size()
        self._bound()

    def _bound(self) -> None:
        while self._hashes > self._max_hashes and len(self._windows) > 1:
            _, oldest = self._windows.popitem(last=False)
            self._hashes -= oldest.size()

    def _window(self, key: WindowKey, rate_theta: int) -> _Window:
        window = self._windows.get(key)
        if window is None:
            stored = self._smallest_theta(key)
            theta = rate_theta if stored is None else min(rate_theta, stored)
            self._make_room(key)
            window = self._windows[key] = _Window(theta, _NONE)
        self._windows.move_to_end(key)
        return window

    def _make_room(self, key: WindowKey) -> None:
        """Forget what the version of a new window has not used for the longest time."""
        own = [each for each in self._windows if (each.model, each.version) == (key.model, key.version)]
        for each in own[: max(0, len(own) + 1 - WINDOWS_OF_A_VERSION)]:
            self._hashes -= self._windows.pop(each).size()
