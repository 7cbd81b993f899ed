"""A candidate beside what was served on the same rows, by an EvalConfig or without one; changes with what a gate asks.

Importing this module imports TFMA, which takes seconds: do so where an evaluation runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from tensorflow_model_analysis.utils import config_util

from monitor.compare.findings import finite
from monitor.evaluate.blessing import Judgement, judge
from monitor.evaluate.config_checks import check_settled
from monitor.evaluate.eval_config import Source
from monitor.evaluate.evaluating import evaluate
from monitor.evaluate.evaluation import Evaluation
from monitor.evaluate.live import examples_beside, of_one_model
from monitor.evaluate.model_specs import Settled, baseline_of, with_baseline
from monitor.evaluate.wording import metric_text, number_of
from monitor.records import Rows


@dataclass(frozen=True, slots=True)
class BesideConfig:
    """An EvalConfig of a candidate and a baseline; `judges_changes` where it has thresholds on changes between them."""

    settled: Settled
    judges_changes: bool


@dataclass(frozen=True, slots=True)
class Beside:
    """What an EvalConfig says of both, of the rows that both gave numbers for."""

    evaluation: Evaluation
    judgement: Judgement
    labelled: int


def beside_config(text: str, name: str, *, weighted: bool) -> BesideConfig:
    """Return the EvalConfig of a file for a candidate and what was served, whatever models the file names.

    Args:
        text: of the file.
        name: of the file, for messages; its ending says in which form the text is.
        weighted: whether rows stand for different numbers of requests.

    Raises:
        ConfigError: it is wrong; a line for each thing.
    """
    source = Source(text, name)
    config, _ = of_one_model(source, weighted=weighted)
    settled = with_baseline(config, source)
    check_settled(settled.config, source)
    return BesideConfig(settled, bool(config_util.has_change_threshold(settled.config)))


def evaluated_beside(rows: Rows, candidate: pa.Array, config: BesideConfig, least_labels: int) -> Beside:
    """Evaluate a candidate's predictions of rows, with those that were served as the baseline, and judge them.

    Raises:
        InputError: labels or predictions are no numbers, or the configuration does not fit the rows.
        ConfigError: there is a threshold on a metric whose value is no single number.
    """
    settled = config.settled
    baseline = str(baseline_of(settled.config).name)
    name = next(str(spec.name) for spec in settled.config.model_specs if not spec.is_baseline)
    served = rows.features.column(str(rows.prediction))
    found = examples_beside(rows, {name: pa.chunked_array([candidate]), baseline: served}, settled.config)
    labelled = len(found.examples)
    evaluation = evaluate(found.examples, settled.config) if labelled else Evaluation({})
    return Beside(evaluation, judge(evaluation, settled, labelled, least_labels), labelled)


def metrics_json(beside: Beside) -> dict[str, float | None]:
    """Return what was computed over all rows, by metric and model."""
    return {
        _named(metric, metric_text(metric)): finite(number)
        for metric, value in beside.evaluation.metrics.get((), {}).items()
        if (number := number_of(value)) is not None
    }


def _named(metric: Any, text: str) -> str:
    return f"{text} (change)" if metric.is_diff else f"{text} ({metric.model_name})" if metric.model_name else text
