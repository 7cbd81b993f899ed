"""Labelled rows of a regression model that are remembered, to learn losses from; changes with how soon the past is forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.errors import InputError
from monitor.evaluate.estimate.design import is_number, numbers_of, text_of
from monitor.evaluate.examples import Floats, Outcomes

MOST_ROWS = 5_000
"""Rows that are enough: older windows are dropped where the newer ones hold as many. They tell a mean loss to some 1.5%."""
_MOST_OF_A_WINDOW = MOST_ROWS // 10
"""So that there are ten windows or more, which tell how windows differ by themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class LossSample:
    """m labelled rows, oldest window first.

    Attributes:
        predictions, errors, weights: (m,); errors are |label - prediction|.
        blocks: (m,) the number of the window that each is of.
        features: columns (m,), float64 or string.
    """

    predictions: Floats
    errors: Floats
    weights: Floats
    blocks: Floats
    features: Mapping[str, pa.Array]

    @classmethod
    def of(cls, outcomes: Outcomes, features: Mapping[str, pa.Array], most: int, block: float = 0.0) -> LossSample:
        """Take up to `most` rows that have a label and a finite prediction, evenly spread; each stands for as many others.

        Raises:
            InputError: a feature holds neither numbers nor text.
        """
        labels, predictions = flat(outcomes.labels), flat(outcomes.predictions)
        kept = np.flatnonzero(np.isfinite(labels - predictions))
        thinned = kept[np.linspace(0, len(kept) - 1, min(most, len(kept))).astype(np.int64)]
        weights = weights_of(outcomes)[thinned] * (len(kept) / max(len(thinned), 1))
        columns = {
            name: pa.array(numbers_of(name, column)) if is_number(column) else text_of(column)
            for name, column in ((name, column.take(pa.array(thinned))) for name, column in features.items())
        }
        errors = np.abs(labels[thinned] - predictions[thinned])
        return cls(predictions[thinned], errors, weights, np.full(len(thinned), block), columns)

    def __len__(self) -> int:
        """Return m."""
        return len(self.errors)

    @property
    def effective(self) -> float:
        """Kish's effective number of rows."""
        square = float(self.weights @ self.weights)
        return float(self.weights.sum()) ** 2 / square if square > 0.0 else 0.0

    @property
    def windows(self) -> int:
        """How many windows the rows are of."""
        return len(np.unique(self.blocks))

    @property
    def last(self) -> float:
        """The number of the newest window; -1 where there is none."""
        return float(self.blocks[-1]) if len(self) else -1.0

    def with_window(self, outcomes: Outcomes, features: Mapping[str, pa.Array]) -> LossSample:
        """Return the sample with a part of one more window, and without the oldest rows that are no longer needed.

        Raises:
            InputError: a column is not there, or is of another type than it was.
        """
        block = self.last + 1.0
        chosen = {}
        for name, column in self.features.items():
            if name not in features:
                raise InputError(f"losses were learned by column {name!r}, which the rows lack")
            if is_number(column) != is_number(features[name]):
                raise InputError(f"losses were learned by column {name!r}, which holds {features[name].type} now")
            chosen[name] = features[name]
        newest = LossSample.of(outcomes, chosen, _MOST_OF_A_WINDOW, block)
        numbers, rows = np.unique(self.blocks, return_counts=True)
        later = np.concatenate([np.cumsum(rows[::-1])[::-1][1:], [0]]) + len(newest)
        dropped = numbers[later >= MOST_ROWS]
        return self._where(~np.isin(self.blocks, dropped))._joined(newest)

    def newest(self, windows: int) -> LossSample:
        """Return the rows of the newest windows only."""
        return self._where(np.isin(self.blocks, np.unique(self.blocks)[-windows:]))

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object of lists that `from_document` reads back exactly."""
        return {
            "predictions": self.predictions.tolist(),
            "errors": self.errors.tolist(),
            "weights": self.weights.tolist(),
            "blocks": self.blocks.tolist(),
            "features": {
                name: {"number": is_number(column), "values": _without_nan(column)}
                for name, column in self.features.items()
            },
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> LossSample:
        """Undo `to_document`."""
        predictions, errors, weights, blocks = (
            np.array(document[name], np.float64) for name in ("predictions", "errors", "weights", "blocks")
        )
        features = {
            name: pa.array(np.array(each["values"], np.float64))
            if each["number"]
            else pa.array(each["values"], pa.string())
            for name, each in document["features"].items()
        }
        return cls(predictions, errors, weights, blocks, features)

    def _where(self, kept: Any) -> LossSample:
        mask = pa.array(kept)
        features = {name: column.filter(mask) for name, column in self.features.items()}
        return LossSample(self.predictions[kept], self.errors[kept], self.weights[kept], self.blocks[kept], features)

    def _joined(self, other: LossSample) -> LossSample:
        return LossSample(
            np.concatenate([self.predictions, other.predictions]),
            np.concatenate([self.errors, other.errors]),
            np.concatenate([self.weights, other.weights]),
            np.concatenate([self.blocks, other.blocks]),
            {name: pa.concat_arrays([column, other.features[name]]) for name, column in self.features.items()},
        )


def flat(values: Floats) -> Floats:
    """Return (n,) of (n,) or (n, 1)."""
    return values.reshape(len(values))


def weights_of(outcomes: Outcomes) -> Floats:
    """Return the weights (n,), ones where every row counts once."""
    return np.ones(len(outcomes.predictions)) if outcomes.weights is None else outcomes.weights


def _without_nan(column: pa.Array) -> list[Any]:
    """Return the values of a column, None where one is missing: JSON knows no NaN."""
    return [None if value is None or value != value else value for value in column.to_pylist()]  # noqa: PLR0124
