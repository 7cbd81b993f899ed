"""The gate says what TFMA's validator says, and knows two answers more: too few labels, and nothing to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_model_analysis.evaluators import metrics_validator
from tensorflow_model_analysis.metrics.metric_types import AggregationType, MetricKey, SubKey
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.writers.metrics_plots_and_validations_writer import CombineValidations

from monitor.compare.findings import Verdict
from monitor.errors import ConfigError
from monitor.evaluate.blessing import Blessing, Judgement, judge
from monitor.evaluate.evaluation import Evaluation, SliceKey
from monitor.evaluate.model_specs import Settled
from monitor.evaluate.wording import is_cross, metric_text, slice_text

A: SliceKey = (("c", "a"),)
B: SliceKey = (("c", "b"),)
OVERALL: SliceKey = ()
MODELS = 'model_specs { name: "new" } model_specs { name: "old" is_baseline: true }'


def proto(text: str) -> Any:
    return text_format.Parse(text, config_pb2.EvalConfig())


def auc(thresholds: str, models: str = "") -> Any:
    """An EvalConfig of one metric, as it is once TFMA has filled its defaults in."""
    names = 'model_names: "new" model_names: "old"' if models else 'model_names: ""'
    slices = 'slicing_specs {} slicing_specs { feature_keys: "c" }'
    return proto(
        f'{models or "model_specs {}"} {slices} metrics_specs {{ {names} metrics {{ class_name: "AUC" {thresholds} }} }}'
    )


def evaluation(
    values: Mapping[SliceKey, float], olds: Mapping[SliceKey, float] | None = None, count: int = 500
) -> Evaluation:
    model = "" if olds is None else "new"
    metrics: dict[SliceKey, dict[Any, Any]] = {}
    for key, value in values.items():
        metrics[key] = {MetricKey("auc", model): value}
        if olds is not None:
            metrics[key] |= {
                MetricKey("auc", "old"): olds[key],
                MetricKey("auc", "new", is_diff=True): value - olds[key],
            }
    return Evaluation(metrics, examples={key: count for key in metrics if not is_cross(key)})


def judged(config: Any, found: Evaluation, labelled: int = 1000, least: int = 100, dropped: bool = False) -> Judgement:
    return judge(found, Settled(config, dropped), labelled, least)


AT_LEAST = "threshold { value_threshold { lower_bound { value: 0.7 } } }"
IN_A = f'per_slice_thresholds {{ slicing_specs {{ feature_values {{ key: "c" value: "a" }} }} {AT_LEAST} }}'
NO_WORSE = "threshold { change_threshold { absolute { value: -0.01 } direction: HIGHER_IS_BETTER } }"
RELATIVE = "threshold { change_threshold { relative { value: 0.1 } direction: LOWER_IS_BETTER } }"
PAIR = (
    'cross_slice_thresholds { cross_slicing_specs { baseline_spec {} slicing_specs { feature_values { key: "c" value: "a" } } } '
    "threshold { value_threshold { upper_bound { value: 0.1 } } } }"
)


@pytest.mark.parametrize(
    ("config", "found", "blessing", "reasons"),
    [
        (auc(AT_LEAST), evaluation({OVERALL: 0.7, A: 0.9}), Blessing.BLESSED, []),
        (
            auc(AT_LEAST),
            evaluation({OVERALL: 0.8, A: 0.6, B: 0.9}),
            Blessing.NOT_BLESSED,
            ["c=a: auc is 0.6; wanted is at least 0.7 (500 labelled examples)"],
        ),
        (
            auc(AT_LEAST),
            evaluation({OVERALL: float("nan")}),
            Blessing.NOT_BLESSED,
            ["auc is nan (it is not defined on these examples); wanted is at least 0.7"],
        ),
        (auc(AT_LEAST), Evaluation({(): {}}, examples={(): 500}), Blessing.NOT_BLESSED, ["auc was not computed"]),
        (auc(IN_A), evaluation({OVERALL: 0.1, A: 0.8}), Blessing.BLESSED, []),
        (
            auc(IN_A),
            evaluation({OVERALL: 0.9, B: 0.9}),
            Blessing.NOT_BLESSED,
            ["slicing_specs do not ask for the slice c=a, which has a threshold"],
        ),
        (auc(NO_WORSE, MODELS), evaluation({OVERALL: 0.8}, {OVERALL: 0.805}), Blessing.BLESSED, []),
        (
            auc(NO_WORSE, MODELS),
            evaluation({OVERALL: 0.7}, {OVERALL: 0.8}),
            Blessing.NOT_BLESSED,
            ["auc changes by -0.1 (-12.50%) from the baseline's 0.8; wanted is a change of at least -0.01"],
        ),
        (
            auc(RELATIVE, MODELS),
            evaluation({OVERALL: 0.6}, {OVERALL: 0.5}),
            Blessing.NOT_BLESSED,
            ["auc changes by 0.1 (+20.00%) from the baseline's 0.5; wanted is a change of at most +10.00%"],
        ),
        (auc(AT_LEAST, MODELS), evaluation({OVERALL: 0.8}, {OVERALL: 0.1}), Blessing.BLESSED, []),
        (auc(PAIR), evaluation({OVERALL: 0.8, (OVERALL, A): 0.05}), Blessing.BLESSED, []),
        (
            auc(PAIR),
            evaluation({OVERALL: 0.8, (OVERALL, A): 0.2}),
            Blessing.NOT_BLESSED,
            ["all examples minus c=a: auc is 0.2; wanted is at most 0.1"],
        ),
        (
            auc(PAIR),
            evaluation({OVERALL: 0.8, (OVERALL, B): 0.0}),
            Blessing.NOT_BLESSED,
            [
                "the slice of all examples was not compared with the slice c=a, but there is a threshold on the difference"
            ],
        ),
        (
            auc(""),
            evaluation({OVERALL: 0.8}),
            Blessing.RUBBER_STAMPED,
            ["the EvalConfig has no thresholds: nothing was judged"],
        ),
    ],
    ids=[
        "a bound that is just kept",
        "a threshold of all slices is missed in one",
        "NaN keeps no threshold",
        "a missing metric misses its threshold",
        "a threshold of one slice is of no other",
        "a slice that is not computed misses its threshold",
        "a change within what is allowed",
        "a change beyond what is allowed",
        "a relative change beyond what is allowed",
        "the baseline itself is not judged",
        "a threshold on a pair of slices is kept",
        "a threshold on a pair of slices is missed",
        "a pair of slices that is not computed misses its threshold",
        "without thresholds there is only a rubber stamp",
    ],
)
def test_a_blessing_has_its_reasons(config: Any, found: Evaluation, blessing: Blessing, reasons: list[str]) -> None:
    judgement = judged(config, found)
    assert judgement.blessing is blessing
    assert [reason.text for reason in judgement.reasons] == reasons
    assert judgement.validation.validation_ok is (blessing is not Blessing.NOT_BLESSED)
    assert judgement.validation.rubber_stamp is (blessing is Blessing.RUBBER_STAMPED)
    assert judgement.verdict is (Verdict.FLAGGED if blessing is Blessing.NOT_BLESSED else Verdict.OK)


def test_without_a_baseline_changes_are_rubber_stamped_unless_a_value_fails() -> None:
    stamped = judged(auc(""), evaluation({OVERALL: 0.8}), dropped=True)
    assert stamped.blessing is Blessing.RUBBER_STAMPED
    assert stamped.reasons[0].text == "thresholds on changes were left out: there is no baseline to compare with"
    assert judged(auc(AT_LEAST), evaluation({OVERALL: 0.8}), dropped=True).blessing is Blessing.RUBBER_STAMPED
    assert judged(auc(AT_LEAST), evaluation({OVERALL: 0.6}), dropped=True).blessing is Blessing.NOT_BLESSED


@pytest.mark.parametrize("value", [0.6, 0.8], ids=["a missed threshold", "a kept threshold"])
def test_too_few_labels_are_no_pass_and_no_proof(value: float) -> None:
    judgement = judged(auc(AT_LEAST), evaluation({OVERALL: value}), labelled=99)
    assert (judgement.blessing, judgement.verdict) == (Blessing.NOT_BLESSED, Verdict.INSUFFICIENT)
    assert judgement.reasons[0].text == "99 labelled examples; at least 100 are needed to judge"
    assert not judgement.validation.validation_ok


def test_a_slice_with_a_threshold_of_its_own_needs_labels_of_its_own() -> None:
    found = evaluation({OVERALL: 0.8, A: 0.9, B: 0.9})
    found = Evaluation(found.metrics, examples={OVERALL: 500, A: 30, B: 30})
    judgement = judged(auc(IN_A), found)
    assert (judgement.blessing, judgement.verdict) == (Blessing.NOT_BLESSED, Verdict.INSUFFICIENT)
    assert [reason.text for reason in judgement.reasons] == [
        "c=a: 30 labelled examples; at least 100 are needed to judge"
    ]
    assert judged(auc(IN_A), found, least=30).blessing is Blessing.BLESSED
    assert judged(auc(AT_LEAST), found).blessing is Blessing.BLESSED


def test_a_missed_threshold_with_labels_enough_outranks_a_slice_that_lacks_them() -> None:
    found = evaluation({OVERALL: 0.8, A: 0.9, B: 0.6})
    found = Evaluation(found.metrics, examples={OVERALL: 500, A: 30, B: 400})
    judgement = judged(auc(f"{AT_LEAST} {IN_A}"), found)
    assert judgement.verdict is Verdict.FLAGGED
    assert [reason.definite for reason in judgement.reasons] == [True, False]


def test_no_label_at_all_is_never_enough() -> None:
    judgement = judged(auc(AT_LEAST), Evaluation({}), labelled=0, least=0)
    assert (judgement.blessing, judgement.verdict) == (Blessing.NOT_BLESSED, Verdict.INSUFFICIENT)
    assert [reason.text for reason in judgement.reasons] == ["0 labelled examples; at least 1 are needed to judge"]


def test_a_slice_that_only_the_baseline_has_is_not_judged() -> None:
    found = evaluation({OVERALL: 0.8}, {OVERALL: 0.8})
    only_old = {B: {MetricKey("auc", "old"): 0.5}}
    assert judged(
        auc(AT_LEAST, MODELS), Evaluation({**found.metrics, **only_old}, examples=found.examples)
    ).blessing is (Blessing.BLESSED)


def test_a_threshold_on_what_is_no_number_is_an_error() -> None:
    found = Evaluation({OVERALL: {MetricKey("auc"): np.array([1.0, 2.0])}}, examples={OVERALL: 500})
    with pytest.raises(ConfigError, match="there is a threshold on auc, whose value is no single number"):
        judged(auc(AT_LEAST), found)


def test_a_reason_is_told_in_json_too() -> None:
    (reason,) = judged(auc(NO_WORSE, MODELS), evaluation({OVERALL: 0.9, A: 0.5}, {OVERALL: 0.9, A: 0.75})).reasons
    assert reason.to_json() == {
        "metric": "auc",
        "slice": {"c": "a"},
        "value": -0.25,
        "baseline": 0.75,
        "threshold": "a change of at least -0.01",
        "explanation": reason.text,
    }


_bounds = st.sampled_from([None, 0.2, 0.5, 0.8])
_values = st.sampled_from([0.1, 0.5, 0.8, float("nan")])


@given(
    bounds=st.tuples(_bounds, _bounds, _bounds, _bounds),
    values=st.dictionaries(
        st.sampled_from([OVERALL, A, B, (("c", 0.1), ("d", 7))]), st.tuples(_values, _values), min_size=1
    ),
)
@settings(max_examples=50)
def test_it_is_tfmas_own_verdict(bounds: tuple[float | None, ...], values: dict[SliceKey, tuple[float, float]]) -> None:
    config = auc("", MODELS)
    metric = config.metrics_specs[0].metrics[0]
    lower, upper, absolute, sliced = bounds
    if lower is not None:
        metric.threshold.value_threshold.lower_bound.value = lower
    if upper is not None:
        metric.threshold.value_threshold.upper_bound.value = upper
    if absolute is not None:
        metric.threshold.change_threshold.absolute.value = absolute - 0.5
        metric.threshold.change_threshold.direction = 1
    if sliced is not None:
        each = metric.per_slice_thresholds.add()
        each.slicing_specs.add(feature_values={"c": "a"})
        each.threshold.value_threshold.lower_bound.value = sliced
    found = evaluation({key: new for key, (new, _) in values.items()}, {key: old for key, (_, old) in values.items()})
    combiner = CombineValidations(config)
    theirs = None
    for item in found.metrics.items():
        theirs = combiner.add_input(theirs, metrics_validator.validate_metrics(item, config))
    theirs = combiner.extract_output(theirs)
    judgement = judged(config, found)
    if set(bounds) == {None}:
        assert theirs.missing_thresholds
        assert judgement.blessing is Blessing.RUBBER_STAMPED
        return
    assert str(judgement.validation) == str(theirs)  # as text, since NaN is unlike itself
    assert (judgement.blessing is Blessing.BLESSED) is theirs.validation_ok


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (MetricKey("auc"), "auc"),
        (MetricKey("auc", output_name="o", sub_key=SubKey(class_id=2)), "auc of output o of class 2"),
        (MetricKey("precision", sub_key=SubKey(top_k=3)), "precision at top 3"),
        (MetricKey("precision", sub_key=SubKey(k=3)), "precision of prediction 3"),
        (MetricKey("auc", aggregation_type=AggregationType(micro_average=True)), "auc, micro average"),
    ],
)
def test_metrics_are_told_in_words(key: MetricKey, text: str) -> None:
    assert metric_text(key) == text


def test_slices_are_told_in_words() -> None:
    assert slice_text(()) == "all examples"
    assert slice_text((("c", b"x"), ("n", 7))) == "c=x, n=7"
    assert slice_text((A, B)) == "c=a minus c=b"
