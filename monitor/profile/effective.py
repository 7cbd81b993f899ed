"""How many independent rows, and blocks of time, some rows are worth; changes with how that is reckoned."""

from __future__ import annotations

import numpy as np

from monitor.profile.counts import Counts, Indices
from monitor.profile.document import Floats
from monitor.records import Rows


def cluster_numbers(rows: Rows) -> Indices | None:
    """Return each row's cluster as a number from 0, or None where every row is its own."""
    if rows.clusters is None or len(rows) == 0:
        return None
    distinct, numbers = np.unique(rows.clusters, return_inverse=True)
    return None if len(distinct) == len(rows) else numbers.astype(np.int64)


def effective_rows(rows: Rows, clusters: Indices | None) -> float:
    """Return Kish's effective number of rows; rows of one cluster count as one where clusters repeat.

    Each feature's comparison uses its own, often larger number: this is the cautious one that people are told.
    """
    if len(rows) == 0:
        return 0.0
    if clusters is None and rows.weights is None:
        return float(len(rows))
    whole = Counts.of(np.zeros(len(rows), np.int64), 1, rows.weights, clusters)
    return whole.effective


def effective_blocks(times: Indices | None, length: int | None, weights: Floats | None) -> float:
    """Return how many blocks of time the rows cover, uneven ones counting for less; 1 where they have no time."""
    if times is None or length is None or len(times) == 0:
        return 1.0
    _, numbers = np.unique(times // length, return_inverse=True)
    sizes = np.bincount(numbers, weights)
    return float(sizes.sum() ** 2 / (sizes @ sizes))
