"""What labels say of a candidate beside the present version, by EvalConfig and row by row; changes with what is good enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from monitor.clock import EPOCH, to_micros
from monitor.compare.findings import finite
from monitor.config.evaluation import EvaluationSettings
from monitor.config.retraining import GateSettings
from monitor.errors import InputError
from monitor.evaluate.examples import Floats
from monitor.evaluate.versions.answers import Pairs
from monitor.evaluate.versions.asked import Asked
from monitor.evaluate.versions.comparison import compare_pairs
from monitor.evaluate.versions.deciding import Verdict, judged
from monitor.evaluate.versions.kinds import Column, Names, column_of, problem_of, typed
from monitor.evaluate.versions.result import Metric
from monitor.jobs.eval_configs import read_config
from monitor.jobs.served_answers import served_predictions
from monitor.records import Rows
from monitor.window.plain import plain_feature

_HOUR = to_micros(EPOCH + timedelta(hours=1))
_MOST_REASONS = 20


@dataclass(frozen=True, slots=True)
class Opinion:
    """Whether the candidate may go on, why, and what there is to it for the record."""

    good: bool
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


def answers_column(answers: Floats, of: int | Literal["argmax"] | None) -> pa.Array:
    """Return answers (n,) or (n, k) as records have predictions: of scores the chosen one, the best class as text, or all.

    Raises:
        InputError: there is no such class, or an answer is not finite.
    """
    bad = int((~np.isfinite(answers.reshape(len(answers), -1)).all(axis=1)).sum())
    if bad:
        raise InputError(f"{bad:,} of {len(answers):,} answers of the candidate are not finite numbers")
    if answers.ndim == 1:
        return pa.array(answers)
    if of is None:
        return pa.array(list(answers), pa.list_(pa.float64()))
    if isinstance(of, str):
        return pa.array(answers.argmax(axis=1)).cast(pa.string())
    if of >= answers.shape[1]:
        raise InputError(f"the candidate answers with {answers.shape[1]} scores, and class {of} is asked for")
    return pa.array(answers[:, of])


def check_alike(rows: Rows, candidate: pa.Array) -> None:
    """Raise InputError where the candidate's answers are not of the shape that the present version's are."""
    shapes = [_shape(each) for each in (served_predictions(rows, len(rows)), column_of("answer", candidate))]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"the candidate answers with {shapes[1]} a row, and the present version with {shapes[0]}; `retrain.gate.output` and "
            "`output_class` choose what is taken of an answer"
        )


def opinion(rows: Rows, candidate: pa.Array, settings: EvaluationSettings | None, gate: GateSettings) -> Opinion:
    """Judge a candidate by its answers to labelled rows.

    Thresholds of the EvalConfig must be met. Where none of them is on changes, the candidate must also be no worse than the
    present version was, by an interval of the difference on the same rows.

    Raises:
        InputError: labels or predictions are none that can be compared.
        ConfigError: the EvalConfig is wrong, or a metric of the gate's is unknown.
    """
    evaluated, changes = _by_config(rows, candidate, settings) if settings is not None else (None, False)
    try:
        compared = _by_comparison(rows, candidate, gate)
    except InputError as error:
        if not changes:
            raise
        compared = Opinion(True, str(error), {"comparison": {"reason": str(error)}})
    details = {**(evaluated.details if evaluated else {}), **compared.details}
    if evaluated is not None and not evaluated.good:
        return Opinion(False, evaluated.reason, details)
    if not compared.good and (gate.require_improvement or not changes):
        return Opinion(False, compared.reason, details)
    said = [each.reason for each in (evaluated, compared) if each is not None and each.reason]
    return Opinion(True, "; ".join(said), details)


def _by_config(rows: Rows, candidate: pa.Array, settings: EvaluationSettings) -> tuple[Opinion, bool]:
    # TFMA takes seconds to import, and where nothing is evaluated it is not wanted.
    from monitor.evaluate.beside import beside_config, evaluated_beside, metrics_json
    from monitor.evaluate.blessing import Blessing

    text = read_config(settings.eval_config)
    config = beside_config(text, settings.eval_config, weighted=rows.weights is not None)
    found = evaluated_beside(rows, candidate, config, settings.min_labels)
    judgement = found.judgement
    reasons = [reason.to_json() for reason in judgement.reasons[:_MOST_REASONS]]
    details = {
        "evaluation": {
            "blessing": str(judgement.blessing),
            "verdict": str(judgement.verdict),
            "labelled": found.labelled,
            "thresholds_judged": judgement.thresholds,
            "reasons": reasons,
            "metrics": metrics_json(found),
        }
    }
    more = len(judgement.reasons) - 1
    if judgement.blessing is Blessing.NOT_BLESSED:
        first = judgement.reasons[0].text if judgement.reasons else "a threshold is missed"
        return Opinion(False, f"not blessed: {first}{f', and {more} more' if more > 0 else ''}", details), False
    met = f"{judgement.thresholds} thresholds are met" if judgement.thresholds else ""
    return Opinion(True, met, details), config.judges_changes


def _by_comparison(rows: Rows, candidate: pa.Array, gate: GateSettings) -> Opinion:
    label = column_of("label", plain_feature("label", rows.features.column(str(rows.label))))
    sides = [served_predictions(rows, len(rows)), column_of("answer", candidate)]
    problem = problem_of(sides, [label])
    numbers = typed(sides, [label], problem)
    pairs = Pairs(
        stable=numbers.predictions[0],
        candidate=numbers.predictions[1],
        names=range(1, len(rows) + 1),
        labels=numbers.labels[0],
        weights=rows.weights,
        clusters=rows.clusters,
        hours=None if rows.event_times is None else rows.event_times // _HOUR * _HOUR,
        classes=numbers.classes,
    )
    asked = Asked(problem, gate.metrics, margin=gate.margin, looks=1)
    metrics = [metric for metric in compare_pairs(pairs, asked).metrics if metric.decides]
    verdicts = [_verdict(metric, gate.margin) for metric in metrics]
    told = [_told(metric, verdict) for metric, verdict in zip(metrics, verdicts, strict=True)]
    details = {"comparison": {"problem": str(problem), "margin": gate.margin, "metrics": told}}
    worst = next((at for at, verdict in enumerate(verdicts) if verdict is Verdict.WORSE), None)
    if worst is not None:
        return Opinion(False, f"worse than the present version: {_text(metrics[worst])}", details)
    unknown = next((metric for metric in metrics if metric.fixed_interval is None), None)
    if unknown is not None:
        return Opinion(False, f"nothing can be said of {unknown.name}: {unknown.reason}", details)
    text = ", ".join(map(_text, metrics))
    if gate.require_improvement and Verdict.BETTER not in verdicts:
        return Opinion(False, f"no better than the present version: {text}", details)
    word = "better than" if Verdict.BETTER in verdicts else "no worse than"
    return Opinion(True, f"{word} the present version: {text}", details)


def _verdict(metric: Metric, margin: float | None) -> Verdict:
    """Return what one look says: a gate looks once, so that the interval of one look is good."""
    if metric.fixed_interval is None:
        return Verdict.UNDECIDED
    lower, upper = metric.fixed_interval
    return judged((-upper, -lower) if metric.higher_is_better else (lower, upper), margin)


def _text(metric: Metric) -> str:
    between = f", {metric.fixed_interval[0]:+.3g} to {metric.fixed_interval[1]:+.3g}" if metric.fixed_interval else ""
    return f"{metric.name} is {metric.candidate:.4g} where it was {metric.stable:.4g}{between}"


def _told(metric: Metric, verdict: Verdict) -> dict[str, Any]:
    return {
        "metric": metric.name,
        "higher_is_better": metric.higher_is_better,
        "present": finite(metric.stable),
        "candidate": finite(metric.candidate),
        "difference": finite(metric.estimate),
        "interval": None if metric.fixed_interval is None else [finite(end) for end in metric.fixed_interval],
        "level": metric.level,
        "verdict": str(verdict),
    }


def _shape(column: Column) -> str:
    if isinstance(column, Names):
        return "one text"
    return f"{column.shape[1]} numbers" if column.ndim == 2 else "one number"
