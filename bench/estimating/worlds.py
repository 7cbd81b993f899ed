"""Worlds in which what labels depend on is known, and stays as inputs shift; changes with what estimates are tried on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import special

from monitor.evaluate.examples import Floats, Outcomes

Random = np.random.Generator
Features = dict[str, pa.Array]
Rows = tuple[Outcomes, Features]
World = Callable[[int, Random, float], Rows]
"""Makes so many rows, whose inputs are shifted by some amount."""


def classifier(truth: Callable[[Floats], Floats]) -> World:
    """Return a world of a binary classifier whose score is expit(z), and whose chance is `truth(z)`."""

    def draw(count: int, random: Random, shift: float) -> Rows:
        odds = random.normal(shift, 1.5, count)
        labels = (random.random(count) < truth(odds)).astype(np.float64)
        return Outcomes(labels, special.expit(odds)), {}

    return draw


def regression(spread: Callable[[Floats, Any], Floats]) -> World:
    """Return a world of a regression model of x, whose errors have a spread by x and a kind of row."""

    def draw(count: int, random: Random, shift: float) -> Rows:
        x = random.normal(shift, 1.0, count)
        kind = random.integers(0, 4, count)
        errors = random.normal(size=count) * spread(x, kind)
        features = {"x": pa.array(x), "kind": pa.array(kind.astype(str))}
        return Outcomes(3.0 * x + errors, 3.0 * x), features

    return draw


CLASSIFIERS: Mapping[str, World] = {
    "overconfident": classifier(lambda z: special.expit(0.6 * z - 0.4)),
    "wavy": classifier(lambda z: special.expit(0.8 * z + np.sin(2.0 * z))),
    "steps": classifier(lambda z: np.where(z < -1.0, 0.05, np.where(z < 1.0, 0.3, 0.8))),
    "one in 100": classifier(lambda z: special.expit(z - 5.3)),
    "no information": classifier(lambda z: np.full(len(z), 0.4)),
}
REGRESSIONS: Mapping[str, World] = {
    "even": regression(lambda x, _: np.ones(len(x))),
    "grows": regression(lambda x, kind: np.exp(0.5 * x) * (1.0 + 0.5 * (kind == 2))),
    "valley": regression(lambda x, kind: 0.3 + x * x + 0.5 * (kind == 2)),
    "steps": regression(lambda x, kind: np.where(x > 0.0, 2.0, 0.5) * (1.0 + (kind == 2) * (x > 0.0))),
}


def logistic(slope: float, level: float) -> World:
    """Return a world whose chance is expit(slope z + level)."""
    return classifier(lambda z: special.expit(slope * z + level))


def growing(by: float) -> World:
    """Return a world of a regression model whose errors grow with x, times `by`."""
    return regression(lambda x, kind: by * np.exp(0.5 * x) * (1.0 + 0.5 * (kind == 2)))


def varying(world: Callable[[float], World], deviation: float) -> World:
    """Return a world whose level differs from window to window."""

    def draw(count: int, random: Random, shift: float) -> Rows:
        return world(float(random.normal(0.0, deviation)))(count, random, shift)

    return draw
