"""What is known of a column, in the form in which breaks are looked for; changes with what profiles keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorflow_metadata.proto.v0 import statistics_pb2

from monitor.compare.breaks.envelope import Envelope
from monitor.profile.bins import Bins, CategoricalBins, NumericBins
from monitor.profile.document import Floats
from monitor.profile.features import FeatureCounts

_STEPS = tuple(10.0**-digits for digits in range(-3, 7))


@dataclass(frozen=True, eq=False)  # no slots: what is derived is asked for by every rule, and kept
class Numbers:
    """A column of numbers.

    Attributes:
        cuts: (11,) minimum, nine deciles and maximum; each is one of the values (TFDV's quantiles are).
        mean, deviation: of the present values.
        bins: the baseline's cells.
        cells: (K,) share of the present values in each.
        rows: effective number of present values.
    """

    cuts: Floats
    mean: float
    deviation: float
    bins: NumericBins
    cells: Floats
    rows: float

    @cached_property
    def envelope(self) -> Envelope:
        """Bounds on the distribution: exact at the edges of the cells, and what deciles say between and beyond them."""
        below = np.minimum(np.cumsum(self.cells)[:-1], 1.0)
        tenths = np.arange(11) / 10.0
        # Below the k-th decile lie at most k tenths of the values, up to it at least as many; at the maximum it is all.
        return Envelope.of(
            np.concatenate([self.bins.edges, self.cuts]),
            np.concatenate([below, tenths]),
            np.concatenate([self.bins.edges, self.cuts]),
            np.concatenate([below, tenths]),
        )

    @cached_property
    def step(self) -> float:
        """The largest power of ten, from 1e-6 to 1e3, of which all cuts are multiples; 0 where there is none."""
        return next((step for step in _STEPS if multiples(self.cuts, step).all()), 0.0)

    @cached_property
    def distinct(self) -> Floats:
        """The different ones of the cuts."""
        return np.unique(self.cuts)


@dataclass(frozen=True, eq=False)  # no slots, as above
class Words:
    """A column of categories.

    Attributes:
        shares: share of the present values by value, of the 1,000 most frequent ones; bytes that are no text are left out.
        unique: how many distinct values there are.
        bins: the baseline's cells.
        cells: (K,) share of the present values in each.
        rows: effective number of present values.
    """

    shares: Mapping[str, float]
    unique: int
    bins: CategoricalBins
    cells: Floats
    rows: float

    @cached_property
    def known(self) -> frozenset[bytes]:
        """The values of the baseline whose cells these are."""
        return frozenset((*self.bins.frequent, *self.bins.known))

    @property
    def listed(self) -> bool:
        """Whether all values are among `shares`: of more than 1,000, TFDV's sketch estimates the frequencies, too high."""
        return len(self.shares) >= self.unique

    @property
    def unseen(self) -> float:
        """Share of the values that the baseline does not know; 0 where it has too many to know them."""
        return float(self.cells[self.bins.unseen]) if self.bins.complete else 0.0


Column = Numbers | Words


def columns(statistics: bytes, counts: Mapping[str, FeatureCounts], bins: Mapping[str, Bins]) -> dict[str, Column]:
    """Return the columns that have counts and any present value, from serialized TFDV statistics.

    Columns with values that are not finite are left out: nothing can be said of where they would lie in another unit.
    """
    parsed: Any = statistics_pb2.DatasetFeatureStatisticsList()
    parsed.ParseFromString(statistics)
    return dict(_read(parsed, counts, bins))


def multiples(values: Floats, step: float) -> npt.NDArray[np.bool_]:
    """Return which values are multiples of `step`, but for what double precision loses."""
    scaled = values / step
    size = np.abs(scaled)
    near: npt.NDArray[np.bool_] = (np.abs(scaled - np.rint(scaled)) <= 1e-9 * np.maximum(1.0, size)) & (size < 1e9)
    return near


def _read(parsed: Any, counts: Mapping[str, FeatureCounts], bins: Mapping[str, Bins]) -> Iterator[tuple[str, Column]]:
    for feature in parsed.datasets[0].features if parsed.datasets else ():
        name = ".".join(feature.path.step)
        if name not in counts or name not in bins or counts[name].values.total <= 0.0:
            continue
        values = counts[name].values
        cells, laid = values.sums / values.total, bins[name]
        if isinstance(laid, NumericBins) and feature.HasField("num_stats"):
            numbers = _numbers(feature.num_stats, laid, cells, values.effective)
            if numbers is not None:
                yield name, numbers
        elif isinstance(laid, CategoricalBins) and feature.HasField("string_stats"):
            yield name, _words(feature.string_stats, laid, cells, values.effective)


def _numbers(stats: Any, bins: NumericBins, cells: Floats, rows: float) -> Numbers | None:
    source = stats.weighted_numeric_stats if stats.HasField("weighted_numeric_stats") else stats
    tenths = next((h.buckets for h in source.histograms if h.type == statistics_pb2.Histogram.QUANTILES), ())
    if len(tenths) != 10 or len(bins.edges) == 0:
        return None
    cuts = np.array([stats.min, *(bucket.high_value for bucket in tenths[:9]), stats.max])
    if not np.isfinite([*cuts, source.mean, source.std_dev]).all():
        return None
    return Numbers(cuts, float(source.mean), float(source.std_dev), bins, cells, rows)


def _words(stats: Any, bins: CategoricalBins, cells: Floats, rows: float) -> Words:
    weighted = stats.HasField("weighted_string_stats")
    source = stats.weighted_string_stats if weighted else stats
    common = stats.common_stats.weighted_common_stats if weighted else stats.common_stats
    total = float(common.tot_num_values)
    shares = {
        bucket.label: bucket.sample_count / total
        for bucket in source.rank_histogram.buckets
        if bucket.label != "__BYTES_VALUE__"
    }
    return Words(shares if total > 0.0 else {}, int(stats.unique), bins, cells, rows)
