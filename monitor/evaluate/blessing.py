"""The gate: thresholds judged by TFMA's own validator, and what that adds up to; changes with when a model is blessed.

Importing this module imports TFMA, which takes seconds: do so where an evaluation runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tensorflow_model_analysis.evaluators import metrics_validator
from tensorflow_model_analysis.metrics import metric_specs
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2
from tensorflow_model_analysis.slicer import slicer_lib
from tensorflow_model_analysis.writers import metrics_plots_and_validations_writer as tfma_writer

from monitor.compare.findings import Verdict
from monitor.errors import ConfigError
from monitor.evaluate.evaluation import Evaluation, SliceKey
from monitor.evaluate.model_specs import Settled
from monitor.evaluate.reasons import Reason, failures
from monitor.evaluate.wording import is_cross, metric_text, number_of, slice_json, slice_text

LEAST_LABELS = 100
"""Labelled examples below which nothing is blessed, unless the user says otherwise."""


class Blessing(StrEnum):
    """Whether a model may be used; rubber-stamped where it had nothing to be compared with."""

    BLESSED = "BLESSED"
    NOT_BLESSED = "NOT_BLESSED"
    RUBBER_STAMPED = "RUBBER_STAMPED"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate says.

    Attributes:
        blessing: NOT_BLESSED also where labels are too few to tell.
        verdict: tells too few labels from missed thresholds; flagged outranks insufficient evidence.
        reasons: of anything but a blessing; definite ones first.
        validation: TFMA's ValidationResult. It is OK where the blessing is any but NOT_BLESSED.
        thresholds: how many thresholds were judged, over all slices.
    """

    blessing: Blessing
    verdict: Verdict
    reasons: Sequence[Reason]
    validation: Any
    thresholds: int


def judge(evaluation: Evaluation, settled: Settled, labelled: int, least_labels: int = LEAST_LABELS) -> Judgement:
    """Judge an evaluation by the thresholds of its configuration.

    Thresholds are TFMA's: a metric that is missing, or NaN, misses its threshold, and so does a slice that never occurs.

    Args:
        evaluation: what was computed.
        settled: the configuration.
        labelled: how many labelled examples there are; of two sets of them in the smaller.
        least_labels: fewer labelled examples, in all or in a slice with a threshold of its own, are insufficient evidence. No
            example at all always is.

    Raises:
        ConfigError: there is a threshold on a metric whose value is no single number.
    """
    judged = _with_thresholds_alone(settled.config)
    stamped = settled.change_thresholds_dropped or not judged.metrics_specs
    validated = _validated(evaluation, judged, rubber_stamp=stamped)
    validation, thresholds = validated.result, validated.thresholds
    lacking = _lacking(evaluation, judged, labelled, least_labels)
    found = list(lacking.values())
    if labelled:
        found += failures(evaluation, settled.config, validation, validated.failed, lacking)
    reasons = sorted(found, key=lambda reason: not reason.definite)
    if reasons:
        validation.validation_ok = False
        validation.rubber_stamp = False
        verdict = Verdict.FLAGGED if reasons[0].definite else Verdict.INSUFFICIENT
        return Judgement(Blessing.NOT_BLESSED, verdict, reasons, validation, thresholds)
    if stamped:
        return Judgement(Blessing.RUBBER_STAMPED, Verdict.OK, [_stamp_reason(settled)], validation, thresholds)
    return Judgement(Blessing.BLESSED, Verdict.OK, [], validation, thresholds)


def _with_thresholds_alone(config: Any) -> Any:
    """Return the configuration without metrics that have no thresholds: the validator makes every metric anew for each slice."""
    result = config_pb2.EvalConfig()
    result.CopyFrom(config)
    del result.metrics_specs[:]
    for spec in config.metrics_specs:
        kept = [metric for metric in spec.metrics if _has_thresholds(metric)]
        if kept:
            added = result.metrics_specs.add()
            added.CopyFrom(spec)
            del added.metrics[:]
            added.metrics.extend(kept)
    return result


def _has_thresholds(metric: Any) -> bool:
    sliced = (*metric.per_slice_thresholds, *metric.cross_slice_thresholds)
    thresholds = [metric.threshold, *(each.threshold for each in sliced)]
    return any(each.HasField("value_threshold") or each.HasField("change_threshold") for each in thresholds)


@dataclass(frozen=True, slots=True)
class _Validated:
    """TFMA's ValidationResult, the slices of its failures in their order, and how often a threshold was looked at."""

    result: Any
    failed: Sequence[SliceKey]
    thresholds: int


def _validated(evaluation: Evaluation, judged: Any, *, rubber_stamp: bool) -> _Validated:
    """Return TFMA's result over all slices, put together as its writer does.

    TFMA (0.47.1, `metrics_validator._hashed_slicing_details`) looks among single slices for the pairs of slices that were judged,
    finds none, and so fails every threshold on a pair. Here only those are missing that were not judged.
    """
    combiner = tfma_writer.CombineValidations(judged, rubber_stamp=rubber_stamp)
    combined = validation_result_pb2.ValidationResult(validation_ok=True)
    pairs = set()
    failed = []
    thresholds = 0
    for key, metrics in evaluation.metrics.items() if judged.metrics_specs else ():
        if not is_cross(key) and key not in evaluation.examples:
            continue  # Only the baseline has examples there.
        result = _of_slice(key, metrics, judged)
        details = list(result.validation_details.slicing_details)
        thresholds += len(details)
        failed += [key] * len(result.metric_validations_per_slice)
        if is_cross(key):
            pairs |= {slicer_lib.deserialize_slice_spec(each.cross_slicing_spec) for each in details}
            result.ClearField("validation_details")
        combined = combiner.add_input(combined, result)
    passed = combined.validation_ok
    combined = combiner.extract_output(combined)
    if judged.metrics_specs:
        missing = [
            spec for spec in combined.missing_cross_slices if slicer_lib.deserialize_slice_spec(spec) not in pairs
        ]
        del combined.missing_cross_slices[:]
        combined.missing_cross_slices.extend(missing)
        combined.validation_ok = passed and not missing and not combined.missing_slices
    return _Validated(combined, failed, thresholds)


def _of_slice(key: SliceKey, metrics: Mapping[Any, Any], judged: Any) -> Any:
    try:
        return metrics_validator.validate_metrics((key, dict(metrics)), judged)
    except TypeError as error:
        thresholds = metric_specs.metric_thresholds_from_metrics_specs(judged.metrics_specs, eval_config=judged)
        found = sorted({metric_text(each) for each in thresholds if number_of(metrics.get(each, 0.0)) is None})
        named = ", ".join(found) or "a metric"
        raise ConfigError(f"there is a threshold on {named}, whose value is no single number") from error


def _lacking(evaluation: Evaluation, judged: Any, labelled: int, least: int) -> dict[SliceKey, Reason]:
    """Return the slices that have too few labels to be judged, the empty key for all examples."""
    if labelled < max(least, 1):
        return {(): Reason(_too_few(labelled, least), slice={}, definite=False)}
    own = [
        slicer_lib.SingleSliceSpec(spec=spec)
        for metrics in judged.metrics_specs
        for metric in metrics.metrics
        for each in metric.per_slice_thresholds
        for spec in each.slicing_specs
    ]
    return {
        key: Reason(f"{slice_text(key)}: {_too_few(count, least)}", slice=slice_json(key), definite=False)
        for key, count in evaluation.examples.items()
        if key and count < least and any(spec.is_slice_applicable(key) for spec in own)
    }


def _too_few(count: int, least: int) -> str:
    return f"{count:,} labelled examples; at least {max(least, 1):,} are needed to judge"


def _stamp_reason(settled: Settled) -> Reason:
    if settled.change_thresholds_dropped:
        return Reason("thresholds on changes were left out: there is no baseline to compare with")
    return Reason("the EvalConfig has no thresholds: nothing was judged")
