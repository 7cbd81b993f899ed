"""What is kept of an evaluation: counts, metrics and findings by slice, as one JSON object; changes with what people are told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from monitor.clock import rfc3339
from monitor.compare.findings import Finding, Kind, Outcome, Verdict, finite, verdict_of
from monitor.config.evaluation import EvaluationSettings
from monitor.jobs.eval_configs import ServedConfig
from monitor.jobs.labelling import JoinedWindow
from monitor.window.label_due import Stage
from monitor.window.slicing import OVERALL

if TYPE_CHECKING:
    from monitor.evaluate.blessing import Judgement
    from monitor.evaluate.evaluation import Evaluation
    from monitor.evaluate.live import ServedExamples
    from monitor.evaluate.quality.reference import QualityReference
    from monitor.evaluate.reasons import Reason

SCHEMA_VERSION = 1
THRESHOLD = "threshold"
"""Reference of a finding that is about a threshold of the EvalConfig."""


def judged_evaluation(
    joined: JoinedWindow,
    served: ServedExamples,
    evaluation: Evaluation,
    config: ServedConfig,
    quality: EvaluationSettings,
    reference: QualityReference | None,
) -> dict[str, Any]:
    """Return the JSON object of an evaluated window, judged; `concentrated` and `tracked` are empty.

    A finding's `reference` is where the usual comes from, or "threshold" for a threshold of the EvalConfig. While labels are
    still to come, nothing is flagged: those that come early are not like the others.

    Args:
        joined: the window and its labels.
        served: its labelled rows.
        evaluation: what was computed from them.
        config: what they were evaluated by.
        quality: how it is judged.
        reference: quality that is usual.
    """
    from monitor.evaluate.blessing import judge
    from monitor.evaluate.calibration import calibration_json
    from monitor.evaluate.quality.direction import directions
    from monitor.evaluate.quality.loss import Terms, losses
    from monitor.evaluate.quality.reference import named
    from monitor.evaluate.wording import is_cross, metric_text, number_of

    final = joined.due.stage is not Stage.PROVISIONAL
    judgement = judge(evaluation, config.settled, len(served.examples), quality.min_labels)
    terms = Terms(quality.false_alarm_rate, quality.min_labels, final)
    found = losses(evaluation, reference, directions(config.settled.config), terms)
    missed = _missed(judgement, final=final)
    known = [dict(named(key)) for key in evaluation.metrics if not is_cross(key)]
    slices: list[dict[str, Any]] = []
    for key, metrics in evaluation.metrics.items():
        if is_cross(key):
            continue
        name = dict(named(key))
        # A threshold may be on a slice that never occurs: that is told of all rows.
        mine = [finding for of, finding in missed if (of.slice if of.slice in known else {}) == name]
        if evaluation.examples.get(key, 0) < quality.min_labels:
            mine = [_too_few(finding, evaluation.examples.get(key, 0), quality.min_labels) for finding in mine]
        numbers = {metric_text(metric): number_of(value) for metric, value in metrics.items()}
        slices.append(
            {
                "slice": name,
                "labelled": evaluation.examples.get(key, 0),
                "metrics": {text: finite(value) for text, value in numbers.items() if value is not None},
                "findings": [finding.to_json() for finding in mine + found.get(named(key), [])],
            }
        )
    flagged = any(finding["flagged"] for each in slices for finding in each["findings"])
    verdict = Verdict.FLAGGED if flagged else verdict_of(found.get(OVERALL, []))
    if verdict is Verdict.OK and len(served.examples) < quality.min_labels:
        verdict = Verdict.INSUFFICIENT
    return _empty(joined) | {
        "verdict": str(verdict),
        "blessing": str(judgement.blessing),
        "reasons": [reason.to_json() for reason in judgement.reasons],
        "invalid_predictions": served.invalid,
        "engines": {name: str(engine) for name, engine in evaluation.engines.items()},
        "slices": slices,
        "calibration": calibration_json(served.examples.outcomes["", ""]),
    }


def unevaluated(joined: JoinedWindow, reason: str) -> dict[str, Any]:
    """Return the JSON object of a window whose labels or predictions no metric can be computed from."""
    return _empty(joined) | {"reason": reason}


def _empty(joined: JoinedWindow) -> dict[str, Any]:
    """Return what every document of an evaluation has, with nothing found yet."""
    newest = joined.due.candidate.newest
    return {
        "schema_version": SCHEMA_VERSION,
        "model": joined.key.model,
        "version": joined.key.version,
        "window_start": rfc3339(joined.key.window.start),
        "window_end": rfc3339(joined.key.window.end),
        "revision": 1 if newest is None else newest.revision + 1,
        "stage": str(joined.due.stage),
        "traffic_revision": joined.pending.revision,
        "labels": joined.labels.counts.to_json(),
        "deleted_spans": joined.deleted,
        "verdict": str(Verdict.INSUFFICIENT),
        "blessing": None,
        "reasons": [],
        "reason": None,
        "invalid_predictions": 0,
        "engines": {},
        "slices": [],
        "calibration": None,
        "concentrated": [],
        "tracked": [],
    }


def _missed(judgement: Judgement, *, final: bool) -> list[tuple[Reason, Finding]]:
    """Return a finding for each reason against a blessing: flagged where it is definite and all labels are in."""
    from monitor.evaluate.blessing import Blessing

    if judgement.blessing is not Blessing.NOT_BLESSED:
        return []
    return [
        (
            reason,
            Finding(
                kind=Kind.QUALITY,
                feature=None,
                reference=THRESHOLD,
                measure=reason.metric or "blessing",
                value=reason.value,
                threshold=None,
                p_value=None,
                flagged=reason.definite and final and judgement.verdict is Verdict.FLAGGED,
                reason=None if final else "labels are still coming",
                explanation=reason.text,
                outcome=Outcome.JUDGED if reason.definite else Outcome.INFORMATIVE,
            ),
        )
        for reason in judgement.reasons
    ]


def _too_few(finding: Finding, labels: int, least: int) -> Finding:
    """Return a finding about a threshold that so few labels cannot be held against."""
    reason = f"{labels:,} labelled examples; {least:,} are needed"
    return replace(finding, flagged=False, reason=reason, outcome=Outcome.INFORMATIVE)
