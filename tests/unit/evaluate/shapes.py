"""Random labelled examples of every shape that metrics are computed from, small enough to ask TFMA about them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from monitor.evaluate.examples import Examples, Outcomes


def columns(rng: np.random.Generator, n: int) -> dict[str, pa.Array]:
    """Features of every type that slices are made of: text, missing text, numbers, lists."""
    return {
        "country": pa.array(rng.choice(["at", "be"], n)),
        "region": pa.array([None if missing else "north" for missing in rng.random(n) < 0.5]),
        "age": pa.array(rng.integers(0, 2, n)),
        "size": pa.array(rng.choice([0.5, 1.5], n)),
        "tags": pa.array(
            [list(rng.choice(["new", "old"], rng.integers(0, 3))) for _ in range(n)], pa.list_(pa.string())
        ),
    }


def binary() -> Examples:
    rng = np.random.default_rng(1)
    n = 120
    labels = (rng.random(n) < 0.4).astype(float)
    predictions = np.clip(0.3 * labels + rng.random(n) * 0.7, 0, 1)
    return Examples({("", ""): Outcomes(labels, predictions, rng.gamma(2.0, size=n))}, columns(rng, n))


def edges() -> Examples:
    """Return windows that leave something undefined, one for each value of a column."""
    rng = np.random.default_rng(2)
    made = {
        "ones": ([1.0] * 5, rng.random(5)),
        "zeros": ([0.0] * 5, rng.random(5)),
        "equal scores": ([0.0, 1.0, 1.0], [0.4] * 3),
        "at thresholds": ([0.0, 1.0] * 6, [0.0, 0.0, 0.25, 0.25, 0.3, 0.3, 0.5, 0.5, 0.75, 0.75, 1.0, 1.0]),
        "a tenth apart": ([0.0, 1.0, 1.0] * 4, np.tile(np.arange(1, 11) / 10, 2)[:12]),
        "single": ([1.0], [0.7]),
        "fractions": ([0.25, 0.5, 0.75, 0.1], [0.2, 0.5, 0.9, 0.4]),
        "perfect": ([0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]),
        "reversed": ([1.0, 1.0, 0.0, 0.0], [0.0, 0.1, 0.9, 1.0]),
        "weightless": ([0.0, 1.0, 1.0], [0.2, 0.6, 0.4]),
    }
    names = np.repeat(list(made), [len(labels) for labels, _ in made.values()])
    labels, predictions = (np.concatenate([np.asarray(each[side]) for each in made.values()]) for side in (0, 1))
    weights = np.where(names == "weightless", 0.0, 1.0)
    return Examples({("", ""): Outcomes(labels, predictions, weights)}, {"window": pa.array(names)})


def outside() -> Examples:
    """Return scores that are no probabilities: negative, above one, far away."""
    rng = np.random.default_rng(3)
    labels = (rng.random(60) < 0.5).astype(float)
    scores = np.concatenate([rng.normal(0.5, 1.0, 50), [-0.0, -1e-9, 1 + 1e-9, 40.0, -40.0, 1e-12, 0.5, 1.0, 0.0, 1e9]])
    return Examples({("", ""): Outcomes(labels, scores, None)}, {"window": pa.array(["a", "b"] * 30)})


def two_models() -> Examples:
    rng = np.random.default_rng(4)
    n = 100
    labels = (rng.random(n) < 0.4).astype(float)
    weights = rng.gamma(2.0, size=n)
    outcomes = {(name, ""): Outcomes(labels, rng.random(n), weights) for name in ("candidate", "baseline")}
    return Examples(outcomes, columns(rng, n))


def class_numbers() -> Examples:
    rng = np.random.default_rng(5)
    n = 80
    scores = rng.dirichlet(np.ones(4), n)
    labels = np.where(rng.random(n) < 0.5, scores.argmax(axis=1), rng.integers(0, 4, n)).astype(float)
    return Examples({("", ""): Outcomes(labels, scores, rng.gamma(2.0, size=n))}, columns(rng, n))


def one_hot_classes() -> Examples:
    rng = np.random.default_rng(6)
    n = 80
    scores = rng.dirichlet(np.ones(4), n)
    scores[:4] = np.eye(4)
    labels = np.eye(4)[np.where(rng.random(n) < 0.5, scores.argmax(axis=1), rng.integers(0, 4, n))]
    return Examples({("", ""): Outcomes(labels, scores, rng.gamma(2.0, size=n))}, columns(rng, n))


def several_labels() -> Examples:
    rng = np.random.default_rng(7)
    n = 80
    labels = (rng.random((n, 3)) < 0.4).astype(float)
    scores = np.round(
        np.clip(0.2 * labels + rng.random((n, 3)), 0, 1), 1
    )  # ties among the top k, and scores at thresholds
    return Examples({("", ""): Outcomes(labels, scores, None)}, columns(rng, n))


def regression() -> Examples:
    rng = np.random.default_rng(8)
    n = 120
    labels = rng.normal(2.0, 3.0, n)
    labels[:3] = 0.0
    predictions = labels + rng.normal(0.2, 1.0, n)
    return Examples({("", ""): Outcomes(labels, predictions, rng.gamma(2.0, size=n))}, columns(rng, n))


def constants() -> Examples:
    """Return a regression that never moves: correlations divide zero by zero."""
    window = pa.array(["labels", "labels", "scores", "scores", "both", "both", "single"])
    labels, predictions = [1.0, 1.0, 1.0, 2.0, 3.0, 3.0, 5.0], [0.5, 0.7, 2.0, 2.0, 4.0, 4.0, 1.0]
    return Examples({("", ""): Outcomes(np.array(labels), np.array(predictions), None)}, {"window": window})


def ranking() -> Examples:
    rng = np.random.default_rng(9)
    n = 120
    queries = rng.integers(0, 20, n)
    gains = rng.integers(0, 4, n)
    features = {
        "query": pa.array([f"q{query}" for query in queries]),
        "gain": pa.array(np.where(queries == 3, 0, gains).astype(float)),  # a query in which nothing is wanted
        "country": pa.array(np.where(queries % 2 == 0, "at", "be")),
        "row": pa.array(rng.choice(["odd", "even"], n)),  # parts of queries
    }
    weights = rng.gamma(2.0, size=20)[queries]  # one for each query, as TFMA demands
    outcomes = Outcomes((gains > 1).astype(float), rng.random(n), weights)
    return Examples({("", ""): outcomes}, features)


def outputs() -> Examples:
    rng = np.random.default_rng(10)
    n = 80
    outcomes = {
        ("", name): Outcomes((rng.random(n) < 0.5).astype(float), rng.random(n), rng.gamma(2.0, size=n))
        for name in ("click", "buy")
    }
    return Examples(outcomes, columns(rng, n))
