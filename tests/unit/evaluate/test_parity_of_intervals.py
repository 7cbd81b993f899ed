"""Confidence intervals against TFMA's: the values exactly, the widths as far as two random splits of the same examples agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from monitor.evaluate.evaluating import evaluate
from monitor.evaluate.evaluation import Engine
from monitor.evaluate.examples import Examples, Outcomes
from tests.unit.evaluate.oracle import eval_config, tfma_once

pytestmark = [
    # TFMA divides by zero where a metric is not defined.
    pytest.mark.filterwarnings("ignore::RuntimeWarning:tensorflow_model_analysis.*"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

CONFIG = """
model_specs {{ name: "candidate" }} model_specs {{ name: "baseline" is_baseline: true }}
slicing_specs {{}} slicing_specs {{ feature_keys: "side" }}
cross_slicing_specs {{ baseline_spec {{}} slicing_specs {{ feature_keys: "side" }} }}
options {{ compute_confidence_intervals {{ value: true }} confidence_intervals {{ method: {method} }} }}
metrics_specs {{
  metrics {{ class_name: "MeanPrediction" }}
  metrics {{ class_name: "AUC" config: '"num_thresholds": 50' }}
  metrics {{ class_name: "ConfusionMatrixAtThresholds" config: '"thresholds": [0.5]' }}
  metrics {{ class_name: "ExampleCount" }}
  metrics {{ class_name: "CalibrationPlot" config: '"num_buckets": 10' }}
}}
"""
"""No metric whose accumulators TFMA merges in place: its jackknife in process then gives values that it does not give without."""
METHODS = ("JACKKNIFE", "POISSON_BOOTSTRAP")

SPREAD = 1 / np.sqrt(2 * 19)
"""Of a standard error that is estimated from 20 samples, relative; two of them differ by sqrt(2) as much."""


def noisy() -> Examples:
    rng = np.random.default_rng(11)
    n = 300
    labels = (rng.random(n) < 0.4).astype(float)
    outcomes = {
        (name, ""): Outcomes(labels, np.clip(share * labels + rng.random(n) * (1 - share), 0, 1))
        for name, share in (("candidate", 0.2), ("baseline", 0.1))
    }
    return Examples(outcomes, {"side": pa.array(rng.choice(["left", "right"], n))})


def intervals(values: dict[Any, Any]) -> dict[Any, Any]:
    """Return the values that have an interval; which those are is TFMA's to say."""
    from tensorflow_model_analysis.api.types import ValueWithTDistribution

    return {key: value for key, value in values.items() if isinstance(value, ValueWithTDistribution)}


def parts(value: Any, name: str) -> list[float]:
    """Return numbers of a value with an interval, one for each number that the metric has."""
    found = getattr(value, name)
    return (
        [float(found)]
        if isinstance(found, int | float)
        else [float(number) for column in found[1:] for number in column]
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_same_values_have_intervals_of_the_same_centre_and_freedom(method: str) -> None:
    text = CONFIG.format(method=method)
    ours, theirs = evaluate(noisy(), eval_config(text)), tfma_once(noisy, text)
    assert set(ours.engines.values()) == {Engine.VECTORISED}
    metrics = {key: dict(values) for key, values in ours.metrics.items()}
    assert metrics.keys() == theirs.keys()
    for key, values in metrics.items():
        mine, yours = intervals(values), intervals(theirs[key])
        assert mine.keys() == yours.keys()
        assert values.keys() | ours.plots.get(key, {}).keys() == theirs[key].keys()
        for name, value in mine.items():
            assert value.sample_degrees_of_freedom == yours[name].sample_degrees_of_freedom
            assert parts(value, "unsampled_value") == pytest.approx(parts(yours[name], "unsampled_value"), rel=1e-6)
        for name in values.keys() - mine.keys():
            assert values[name] == pytest.approx(theirs[key][name], rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_intervals_are_as_wide_as_tfmas(method: str) -> None:
    text = CONFIG.format(method=method)
    ours, theirs = evaluate(noisy(), eval_config(text)), tfma_once(noisy, text)
    single: list[float] = []
    crossed: list[float] = []
    for key, values in ours.metrics.items():
        for name, value in intervals(dict(values)).items():
            wide = parts(value, "sample_standard_deviation"), parts(theirs[key][name], "sample_standard_deviation")
            ratios = [np.log(mine / yours) for mine, yours in zip(*wide, strict=True) if yours > 0]
            (single if key in {(), *((("side", side),) for side in ("left", "right"))} else crossed).extend(ratios)
    assert len(single) >= 40
    assert max(np.abs(single)) < 4.5 * np.sqrt(2) * SPREAD
    assert abs(np.mean(single)) < np.sqrt(2) * SPREAD
    # TFMA resamples each slice anew. The examples of a slice are among all examples, and here count as often in both.
    assert np.mean(crossed) < np.log(1.5)
