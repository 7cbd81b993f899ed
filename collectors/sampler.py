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
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.records import WindowKey

KEEP_ALL = 2**64
"""The theta below which every hash lies."""

Hashes = npt.NDArray[np.uint64]


def theta_of(rate: float) -> int:
    """Return the theta of a rate in (0, 1]; exact, since scaling a double by a power of two is."""
    return int(rate * KEEP_ALL)


def below(hashes: Hashes, theta: int) -> npt.NDArray[np.bool_]:
    """Return which hashes are kept under `theta`, bool (n,)."""
    if theta >= KEEP_ALL:
        return np.ones(len(hashes), dtype=np.bool_)
    kept: npt.NDArray[np.bool_] = hashes < np.uint64(theta)
    return kept


@dataclass(slots=True)
class _Window:
    theta: int
    smallest: Hashes
    """The smallest hashes of the committed rows seen here, at most k+1 of them."""


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
        known = np.concatenate([window.smallest, hashes])
        self._hashes -= len(window.smallest)
        window.smallest = known if len(known) <= max_rows + 1 else np.partition(known, max_rows)[: max_rows + 1].copy()
        self._hashes += len(window.smallest)
        while self._hashes > self._max_hashes and len(self._windows) > 1:
            _, oldest = self._windows.popitem(last=False)
            self._hashes -= len(oldest.smallest)

    def _window(self, key: WindowKey, rate_theta: int) -> _Window:
        window = self._windows.get(key)
        if window is None:
            stored = self._smallest_theta(key)
            theta = rate_theta if stored is None else min(rate_theta, stored)
            window = self._windows[key] = _Window(theta, np.empty(0, dtype=np.uint64))
        self._windows.move_to_end(key)
        return window
