"""What people want to know of a feature's values, read from TFDV's statistics; changes with what explanations say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tensorflow_metadata.proto.v0 import statistics_pb2


@dataclass(frozen=True, slots=True)
class Moments:
    """Location and spread of a numeric feature's present values; None where TFDV has no finite number."""

    mean: float | None
    median: float | None
    p10: float | None
    p90: float | None
    lowest: float | None
    highest: float | None
    zero_share: float | None


def moments_of(statistics: bytes) -> Mapping[str, Moments]:
    """Return the moments of the numeric features of serialized TFDV statistics; weighted where those are."""
    parsed: Any = statistics_pb2.DatasetFeatureStatisticsList()
    parsed.ParseFromString(statistics)
    return {
        (".".join(feature.path.step) or feature.name): _moments(feature.num_stats)
        for dataset in parsed.datasets[:1]
        for feature in dataset.features
        if feature.HasField("num_stats")
    }


def _moments(stats: Any) -> Moments:
    weighted = stats.HasField("weighted_numeric_stats")
    source = stats.weighted_numeric_stats if weighted else stats
    deciles: Any = next(
        (histogram.buckets for histogram in source.histograms if histogram.type == statistics_pb2.Histogram.QUANTILES),
        [],
    )
    values = stats.common_stats.tot_num_values
    return Moments(
        mean=_finite(source.mean),
        median=_finite(source.median),
        p10=_finite(deciles[0].high_value) if len(deciles) == 10 else None,
        p90=_finite(deciles[-1].low_value) if len(deciles) == 10 else None,
        lowest=_finite(stats.min),
        highest=_finite(stats.max),
        zero_share=stats.num_zeros / values if values else None,
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
