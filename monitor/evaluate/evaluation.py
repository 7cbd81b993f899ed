"""What an evaluation found: TFMA's metrics and plots by slice, and who computed them; changes with what a result holds.

Keys and values are TFMA's own (`MetricKey`, `PlotKey`, slice keys, structured values), so that TFMA validates, writes and draws
them; `Any` stands for them, because TFMA has no types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SliceKey = tuple[Any, ...]
"""TFMA's: pairs of a column and its value (str, int or float), empty for all examples; or a pair of such keys (cross slice)."""

Metrics = Mapping[Any, Any]
"""Values by TFMA's `MetricKey`."""

Plots = Mapping[Any, Any]
"""Values by TFMA's `PlotKey`."""


class Engine(StrEnum):
    """Who computed a metric."""

    VECTORISED = "vectorised"
    TFMA = "tfma"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics and plots of each slice, the overall one (whose key is empty) first.

    Attributes:
        metrics: by slice; cross slices are among them.
        plots: by slice.
        attributions: by slice, where TFMA computed any.
        engines: who computed each metric of the configuration, by its name as the configuration spells it.
        examples: how many labelled examples there were in each slice.
    """

    metrics: Mapping[SliceKey, Metrics]
    plots: Mapping[SliceKey, Plots] = field(default_factory=dict)
    attributions: Mapping[SliceKey, Metrics] = field(default_factory=dict)
    engines: Mapping[str, Engine] = field(default_factory=dict)
    examples: Mapping[SliceKey, int] = field(default_factory=dict)

    @property
    def slices(self) -> Sequence[SliceKey]:
        """Return the slices, in order."""
        return tuple(self.metrics)
