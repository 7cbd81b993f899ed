"""Columns as profiles know them, made from values without TFDV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from monitor.compare.breaks.columns import Numbers, Words
from monitor.profile.bins import CategoricalBins, NumericBins, categorical_bins, numeric_bins
from monitor.profile.document import Floats


def numbers(values: Floats, bins: NumericBins | None = None) -> Numbers:
    values = np.asarray(values, float)
    laid = numeric_bins(values, None) if bins is None else bins
    cuts = np.quantile(values, np.arange(11) / 10.0, method="inverted_cdf")
    cells = np.bincount(laid.cells(values), minlength=laid.size) / len(values)
    return Numbers(cuts, float(values.mean()), float(values.std()), laid, cells, float(len(values)))


def words(values: Sequence[str], bins: CategoricalBins | None = None) -> Words:
    counts = Counter(values)
    held = np.array([*counts.values()], float)
    laid = categorical_bins([value.encode() for value in counts], held, held) if bins is None else bins
    known = {*laid.frequent, *laid.known}
    cells = np.zeros(laid.size)
    cells[laid.unseen] = sum(count for value, count in counts.items() if value.encode() not in known) / len(values)
    shares = {value: count / len(values) for value, count in counts.most_common(1000)}
    return Words(shares, len(counts), laid, cells, float(len(values)))


def pair(before: Floats, now: Floats) -> tuple[Numbers, Numbers]:
    """Return (now, before) on the cells of `before`."""
    usual = numbers(before)
    return numbers(now, usual.bins), usual


def word_pair(before: Sequence[str], now: Sequence[str]) -> tuple[Words, Words]:
    """Return (now, before) on the cells of `before`."""
    usual = words(before)
    return words(now, usual.bins), usual
