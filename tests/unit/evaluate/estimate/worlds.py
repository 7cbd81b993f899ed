"""Worlds in which scores, labels and losses are made by a known law, for tests of estimates."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy import special

from monitor.evaluate.examples import Floats, Outcomes

Random = np.random.Generator


def scored(count: int, random: Random, *, mean: float = 0.0, slope: float = 0.7, level: float = -0.3) -> Outcomes:
    """Return rows whose chance is expit(slope z + level) where the score is expit(z): overconfident where the slope is below 1.

    The mean of z may shift without any change of what labels depend on.
    """
    odds = random.normal(mean, 1.5, count)
    chances = special.expit(slope * odds + level)
    return Outcomes((random.random(count) < chances).astype(np.float64), special.expit(odds))


def classed(count: int, random: Random, *, mean: float = 0.0) -> Outcomes:
    """Return rows of three classes whose labels follow a softmax of half the logits that the model's softmax takes."""
    logits = random.normal(0.0, 2.0, (count, 3)) + np.array([mean, 0.0, 0.0])
    chances = special.softmax(logits / 2.0, axis=1)
    labels = (random.random(count)[:, None] > np.cumsum(chances, axis=1)).sum(axis=1)
    return Outcomes(labels.astype(np.float64), special.softmax(logits, axis=1))


def measured(
    count: int, random: Random, *, mean: float = 0.0, factor: float = 1.0
) -> tuple[Outcomes, dict[str, pa.Array]]:
    """Return rows of a regression whose errors grow with the prediction, and are twice as large for one kind of rows."""
    x = random.normal(mean, 1.0, count)
    kind = random.choice(["a", "b", "c"], count)
    spread = np.exp(0.5 * x) * np.where(kind == "b", 2.0, 1.0) * factor
    predictions: Floats = 3.0 * x
    features = {"kind": pa.array(kind), "noise": pa.array(random.normal(size=count))}
    return Outcomes(predictions + random.normal(size=count) * spread, predictions), features
