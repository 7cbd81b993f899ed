"""Where a loss of quality is concentrated."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from monitor.evaluate.examples import Examples, Outcomes
from monitor.evaluate.live import ServedExamples
from monitor.jobs.quality_search import concentrated
from monitor.records import Rows

ROWS = 4_000


def _served(kind: str, *, broken: str | None) -> tuple[Rows, ServedExamples]:
    random = np.random.default_rng(0)
    city = random.choice(["oslo", "rome", "bonn"], ROWS)
    bad = city == broken
    if kind == "number":
        labels = random.normal(size=ROWS)
        predictions = labels + random.normal(0, np.where(bad, 3.0, 0.3))
    else:
        scores = random.beta(2, 2, ROWS)
        labels = (random.random(ROWS) < np.where(bad, 1 - scores, scores)).astype(float)
        predictions = scores if kind == "binary" else np.column_stack([1 - scores, scores])
    column = pa.array(predictions) if predictions.ndim == 1 else pa.array(predictions.tolist())
    features = {
        "city": pa.array(city),
        "noise": pa.array(random.normal(size=ROWS)),
        "label": labels,
        "prediction": column,
    }
    rows = Rows(pa.table(features), label="label", prediction="prediction")
    return rows, ServedExamples(Examples({("", ""): Outcomes(labels, predictions)}), np.arange(ROWS), 0, 0)


@pytest.mark.parametrize("kind", ["binary", "classes", "number"])
def test_the_slice_that_is_answered_worse_is_named(kind: str) -> None:
    (found,) = concentrated(*_served(kind, broken="rome"))
    assert "rome" in found


def test_a_loss_that_is_the_same_everywhere_is_in_no_slice() -> None:
    assert concentrated(*_served("binary", broken=None)) == []


def test_labels_that_are_no_class_have_no_loss() -> None:
    rows, served = _served("classes", broken="rome")
    outcomes = served.examples.outcomes["", ""]
    beyond = Examples({("", ""): Outcomes(outcomes.labels + 5, outcomes.predictions)})
    assert concentrated(rows, ServedExamples(beyond, served.places, 0, 0)) == []
