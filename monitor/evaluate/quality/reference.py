"""What quality is usual: metrics of earlier blocks of time, slice by slice; changes with what is kept of them.

A block is as long as a window: a window of the baseline's rows, or an evaluated window of the same version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monitor.evaluate.evaluation import Evaluation
from monitor.evaluate.wording import is_cross, metric_text, number_of, slice_json
from monitor.window.slicing import SliceKey, slice_key, slice_name

Series = Mapping[str, Sequence[float]]
"""Values of metrics, by their name in words, block by block; NaN where a metric had none."""


@dataclass(frozen=True, slots=True)
class SliceQuality:
    """Blocks of one slice, in order.

    Attributes:
        sizes: labelled examples of each block.
        values: metrics of each block.
    """

    sizes: Sequence[int]
    values: Series


@dataclass(frozen=True, slots=True)
class QualityReference:
    """Blocks of every slice by the slice's name (`monitor.window.slicing.slice_name`), the overall one's is empty.

    Attributes:
        name: of the reference, as findings say it.
        slices: what is kept of each.
    """

    name: str
    slices: Mapping[str, SliceQuality] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back."""
        return {
            "name": self.name,
            "slices": {
                name: {
                    "sizes": list(each.sizes),
                    "values": {
                        metric: [None if np.isnan(value) else value for value in series]
                        for metric, series in each.values.items()
                    },
                }
                for name, each in self.slices.items()
            },
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> QualityReference:
        """Undo `to_document`."""
        slices = {
            name: SliceQuality(
                each["sizes"],
                {
                    metric: [float("nan") if value is None else float(value) for value in series]
                    for metric, series in each["values"].items()
                },
            )
            for name, each in document["slices"].items()
        }
        return cls(document["name"], slices)


Block = Mapping[str, tuple[int, Mapping[str, float]]]
"""Of one block: by slice name, how many labelled examples, and their metrics by name in words."""


def block_of(evaluation: Evaluation) -> dict[str, tuple[int, dict[str, float]]]:
    """Return what an evaluation says of one block: the metrics that are numbers, of single slices."""
    found = {}
    for key, metrics in evaluation.metrics.items():
        if is_cross(key):
            continue
        numbers = {metric_text(name): number_of(value) for name, value in metrics.items() if not name.is_diff}
        known = {name: value for name, value in numbers.items() if value is not None}
        found[slice_name(named(key))] = evaluation.examples.get(key, 0), known
    return found


def named(key: Any) -> SliceKey:
    """Return TFMA's key of a slice as findings name it, all values as text."""
    return slice_key(slice_json(key))


def reference_of(name: str, blocks: Iterable[Block]) -> QualityReference:
    """Return the reference that some blocks make, in their order; a slice is known in the blocks that had examples of it."""
    sizes: dict[str, list[int]] = {}
    values: dict[str, dict[str, list[float]]] = {}
    for block in blocks:
        for slice_, (size, metrics) in block.items():
            series = values.setdefault(slice_, {})
            before = len(sizes.setdefault(slice_, []))
            sizes[slice_].append(size)
            for metric, value in metrics.items():
                known = series.setdefault(metric, [])
                known.extend([float("nan")] * (before - len(known)))
                known.append(value)
    return QualityReference(
        name, {each: SliceQuality(sizes[each], _filled(values[each], len(sizes[each]))) for each in sizes}
    )


def _filled(values: Mapping[str, list[float]], blocks: int) -> Series:
    return {metric: [*series, *([float("nan")] * (blocks - len(series)))] for metric, series in values.items()}
