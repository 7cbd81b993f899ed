"""Evaluations as JSON: `driftline.json` beside TFMA's files, and what `driftline evaluate --format json` prints.

Changes with what scripts are told of an evaluation; docs/evaluation.md has the contract.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa

from monitor.compare.findings import finite
from monitor.evaluate.calibration import calibration_json
from monitor.evaluate.evaluation import Evaluation
from monitor.evaluate.examples import Examples, Floats
from monitor.evaluate.model_outputs import OutputKind, outputs_of
from monitor.evaluate.wording import is_cross, number_of, slice_json

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class RowCounts:
    """What became of the rows of some files.

    Attributes:
        location: where they are.
        rows: how many there are.
        unpaired: how many of them have an id that the other model's rows have not.
        unlabelled: how many of the others have no label.
        labelled: how many are evaluated.
    """

    location: str
    rows: int
    unpaired: int
    unlabelled: int
    labelled: int

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of these counts."""
        return {
            "location": self.location,
            "rows": self.rows,
            "unpaired": self.unpaired,
            "unlabelled": self.unlabelled,
            "labelled": self.labelled,
        }


def summary(
    evaluation: Evaluation, judgement: Any, data: RowCounts, baseline: RowCounts | None, least: int
) -> dict[str, Any]:
    """Return the JSON object of an evaluation without its metrics, which TFMA's files hold.

    Args:
        evaluation: what was computed.
        judgement: the `Judgement` on it.
        data: the rows of the candidate.
        baseline: the rows of the baseline, where it has rows of its own.
        least: how many labelled examples are needed to judge.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "blessing": str(judgement.blessing),
        "verdict": str(judgement.verdict),
        "reasons": [reason.to_json() for reason in judgement.reasons],
        "thresholds_judged": judgement.thresholds,
        "min_labels": least,
        "data": data.to_json(),
        "baseline_data": None if baseline is None else baseline.to_json(),
        "engines": {name: str(engine) for name, engine in evaluation.engines.items()},
        "slices": [
            {"slice": slice_json(key), "examples": evaluation.examples.get(key)}
            for key in evaluation.metrics
            if not is_cross(key)
        ],
    }


def outputs_json(examples: Examples) -> list[dict[str, Any]]:
    """Return of each output of each model how well its scores are calibrated, where they are probabilities, and its health."""
    return [
        {
            "model": model,
            "output": output,
            "calibration": calibration_json(outcomes),
            "health": outputs_of(
                _column(outcomes.predictions), outcomes.weights, _kind(outcomes.predictions)
            ).to_json(),
        }
        for (model, output), outcomes in examples.outcomes.items()
    ]


def _column(predictions: Floats) -> pa.Array:
    return pa.array(predictions) if predictions.ndim == 1 else pa.array(predictions.tolist())


def _kind(predictions: Floats) -> OutputKind:
    probable = predictions.size and float(predictions.min()) >= 0.0 and float(predictions.max()) <= 1.0
    return OutputKind.PROBABILITY if probable else OutputKind.NUMBER


def with_metrics(document: Mapping[str, Any], evaluation: Evaluation) -> dict[str, Any]:
    """Return the summary with the metrics of each slice, and of each pair of slices; a number that JSON has not is null."""
    slices = [
        {"slice": slice_json(key), "examples": evaluation.examples.get(key), "metrics": _metrics(values)}
        for key, values in evaluation.metrics.items()
        if not is_cross(key)
    ]
    pairs = [
        {"baseline": slice_json(key[0]), "comparison": slice_json(key[1]), "metrics": _metrics(values)}
        for key, values in evaluation.metrics.items()
        if is_cross(key)
    ]
    return {**document, "slices": slices, "cross_slices": pairs}


def json_text(document: Mapping[str, Any]) -> str:
    """Return a document indented, ending with a newline."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def interval_of(value: Any) -> tuple[float, float] | None:
    """Return the 95% confidence interval of a metric's value, where it has one.

    That of Student's t distribution around the mean of the samples, as TFMA has it (`math_util.calculate_confidence_interval`).
    """
    deviation = number_of(getattr(value, "sample_standard_deviation", None))
    mean = number_of(getattr(value, "sample_mean", None))
    if deviation is None or mean is None:
        return None
    from scipy.stats import t

    half = float(t.ppf(0.975, value.sample_degrees_of_freedom)) * deviation
    return None if math.isnan(half) else (mean - half, mean + half)


def _metrics(values: Mapping[Any, Any]) -> list[dict[str, Any]]:
    return [_metric(key, value) for key, value in values.items()]


def _metric(key: Any, value: Any) -> dict[str, Any]:
    interval = interval_of(value)
    sub_key, aggregation = getattr(key, "sub_key", None), getattr(key, "aggregation_type", None)
    kinds = ("micro_average", "macro_average", "weighted_macro_average")
    return {
        "name": getattr(key, "name", str(key)),
        "model": getattr(key, "model_name", ""),
        "output": getattr(key, "output_name", ""),
        "class_id": getattr(sub_key, "class_id", None),
        "k": getattr(sub_key, "k", None),
        "top_k": getattr(sub_key, "top_k", None),
        "aggregation": next((kind for kind in kinds if getattr(aggregation, kind, False)), None),
        "weighted": bool(getattr(key, "example_weighted", False)),
        "diff": bool(getattr(key, "is_diff", False)),
        "value": finite(number_of(value)),
        "lower": None if interval is None else finite(interval[0]),
        "upper": None if interval is None else finite(interval[1]),
    }
