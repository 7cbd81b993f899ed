"""Why a model is not blessed, in words and in JSON; changes with what a person is told.

Importing this module imports TFMA, which takes seconds: do so where an evaluation runs.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from monitor.compare.findings import finite
from monitor.evaluate.evaluation import Evaluation, SliceKey
from monitor.evaluate.model_specs import baseline_of
from monitor.evaluate.wording import is_cross, metric_text, number_of, number_text, slice_json, slice_text

_HIGHER = config_pb2.MetricDirection.Value("HIGHER_IS_BETTER")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a model is not blessed, or only rubber-stamped.

    Attributes:
        text: the reason in a sentence.
        metric: the metric in words, where it is about one.
        slice: the slice, where it is about one; of a pair of slices None, the text names both.
        value: of the metric, or of its change.
        baseline: of the baseline's metric, where changes are judged.
        threshold: what was asked for, in words.
        definite: whether there were labels enough for it.
    """

    text: str
    metric: str | None = None
    slice: Mapping[str, str] | None = None
    value: float | None = None
    baseline: float | None = None
    threshold: str | None = None
    definite: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of this reason; a number that JSON cannot hold becomes null."""
        return {
            "metric": self.metric,
            "slice": None if self.slice is None else dict(self.slice),
            "value": finite(self.value),
            "baseline": finite(self.baseline),
            "threshold": self.threshold,
            "explanation": self.text,
        }


def failures(
    evaluation: Evaluation, config: Any, validation: Any, failed: Sequence[SliceKey], lacking: Collection[SliceKey]
) -> Iterator[Reason]:
    """Yield a reason for each failure in TFMA's ValidationResult.

    Args:
        evaluation: what was judged.
        config: the EvalConfig that it was judged by.
        validation: TFMA's result.
        failed: the slices of its `metric_validations_per_slice`, in that order; as TFMA has them there, numbers are cut short.
        lacking: slices with too few labels, so that what fails there is not definite; the empty key stands for all.
    """
    for key, found in zip(failed, validation.metric_validations_per_slice, strict=True):
        for failure in found.failures:
            yield _failure(failure, key, evaluation, config, () in lacking or key in lacking)
    wanted = [slicer_lib.SingleSliceSpec(spec=spec) for spec in config.slicing_specs]
    computed = [key for key in evaluation.metrics if not is_cross(key)]
    for proto in validation.missing_slices:
        spec = slicer_lib.SingleSliceSpec(spec=proto)
        if any(spec.is_slice_applicable(key) for key in computed):
            continue  # It occurs; a metric that is missing there has a reason of its own.
        why = "no example is in" if spec in wanted or not wanted else "slicing_specs do not ask for"
        yield Reason(f"{why} {_spec_text(proto)}, which has a threshold", definite=() not in lacking)
    for spec in validation.missing_cross_slices:
        others = " or ".join(_spec_text(each) for each in spec.slicing_specs) or "any slice"
        text = f"{_spec_text(spec.baseline_spec)} was not compared with {others}, but there is a threshold on the difference"
        yield Reason(text, definite=() not in lacking)


def _failure(failure: Any, key: SliceKey, evaluation: Evaluation, config: Any, lacking: bool) -> Reason:
    metric = metric_types.MetricKey.from_proto(failure.metric_key)
    candidates = [spec for spec in config.model_specs if not spec.is_baseline]
    name = metric_text(metric) + (f" of {metric.model_name}" if len(candidates) > 1 else "")
    threshold = _threshold_text(failure.metric_threshold)
    before = _baseline_value(metric, evaluation.metrics.get(key, {}), config)
    value = failure.metric_value.double_value.value if failure.HasField("metric_value") else None
    if value is None:
        text = f"{name} was not computed"
    elif metric.is_diff:
        text = f"{name} changes by {_change_text(value, before)}; wanted is {threshold}"
    else:
        undefined = " (it is not defined on these examples)" if math.isnan(value) else ""
        text = f"{name} is {number_text(value)}{undefined}; wanted is {threshold}"
    count = evaluation.examples.get(key)
    if key:
        small = count is not None and count < config.options.min_slice_size.value
        counted = (
            "" if count is None else f" ({count:,} labelled examples{', fewer than min_slice_size' if small else ''})"
        )
        text = f"{slice_text(key)}: {text}{counted}"
    slice_ = None if is_cross(key) else slice_json(key)
    return Reason(text, name, slice_, value, before, threshold, definite=not lacking)


def _baseline_value(metric: Any, metrics: Mapping[Any, Any], config: Any) -> float | None:
    baseline = baseline_of(config)
    if baseline is None or not metric.is_diff:
        return None
    return number_of(metrics.get(metric.make_baseline_key(baseline.name)))


def _change_text(change: float, before: float | None) -> str:
    if before is None:
        return number_text(change)
    relative = f" ({change / before:+.2%})" if before else ""
    return f"{number_text(change)}{relative} from the baseline's {number_text(before)}"


def _threshold_text(threshold: Any) -> str:
    if threshold.HasField("change_threshold"):
        change = threshold.change_threshold
        bounds = [number_text(change.absolute.value)] if change.HasField("absolute") else []
        bounds += [f"{change.relative.value:+.2%}"] if change.HasField("relative") else []
        return f"a change of at {'least' if change.direction == _HIGHER else 'most'} {' and '.join(bounds)}"
    value = threshold.value_threshold
    bounds = [f"at least {number_text(value.lower_bound.value)}"] if value.HasField("lower_bound") else []
    bounds += [f"at most {number_text(value.upper_bound.value)}"] if value.HasField("upper_bound") else []
    return " and ".join(bounds) or "a number"


def _spec_text(spec: Any) -> str:
    parts = [f"{name}={value}" for name, value in sorted(spec.feature_values.items())]
    parts += [f"each {name}" for name in sorted(spec.feature_keys)]
    return f"the slice {', '.join(parts)}" if parts else "the slice of all examples"
