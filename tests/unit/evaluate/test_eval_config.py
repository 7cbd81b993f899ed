"""An EvalConfig is read strictly, in three forms that say the same, and what is wrong with it is told with its place."""

from __future__ import annotations

import json

import pytest
import yaml
from google.protobuf import json_format, text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_model_analysis.proto import config_pb2

from monitor.errors import ConfigError
from monitor.evaluate.config_checks import check_as_written, check_settled, mentioned_words, slicing_columns
from monitor.evaluate.eval_config import Source, parse_eval_config
from monitor.evaluate.model_specs import (
    Roles,
    filled,
    output_columns,
    reads_own_predictions,
    with_baseline,
    without_baseline,
)
from monitor.evaluate.reading import OutputColumns

WHOLE = """
model_specs { name: "candidate" label_keys { key: "o" value: "y" } prediction_keys { key: "o" value: "p" } }
model_specs { name: "baseline" is_baseline: true label_key: "y" prediction_key: "q" example_weight_key: "w" }
slicing_specs {}
slicing_specs { feature_keys: "c" feature_values { key: "month" value: "1" } }
slicing_specs { slice_keys_sql: "SELECT STRUCT(c) FROM example.c" }
cross_slicing_specs { baseline_spec {} slicing_specs { feature_keys: "c" } }
metrics_specs {
  metrics {
    class_name: "AUC"
    config: '{"num_thresholds": 100}'
    threshold {
      value_threshold { lower_bound { value: 0.7 } upper_bound { value: 1 } }
      change_threshold { absolute { value: -1e-3 } direction: HIGHER_IS_BETTER }
    }
    per_slice_thresholds { slicing_specs { feature_keys: "c" } threshold { value_threshold { lower_bound { value: 0 } } } }
  }
  model_names: "candidate"
  binarize { class_ids { values: 0 values: 2 } }
  aggregate { micro_average: true class_weights { key: 1 value: 0.5 } }
  query_key: "q"
}
options {
  compute_confidence_intervals { value: true }
  confidence_intervals { method: POISSON_BOOTSTRAP }
  min_slice_size { value: 7 }
}
"""


def proto(text: str) -> config_pb2.EvalConfig:
    return text_format.Parse(text, config_pb2.EvalConfig())


def parsed(text: str, name: str = "e.pbtxt") -> config_pb2.EvalConfig:
    return parse_eval_config(Source(text, name))


def test_text_proto_yaml_and_json_say_the_same() -> None:
    wanted = proto(WHOLE)
    camel = json_format.MessageToDict(wanted)
    snake = json_format.MessageToDict(wanted, preserving_proto_field_name=True)
    assert parsed(WHOLE) == wanted
    assert parsed(json.dumps(camel, indent="\t"), "e.json") == wanted
    assert parsed(json.dumps({"evalConfig": camel, "version": "0.47.1"}), "eval_config.json") == wanted
    assert parsed(yaml.safe_dump(snake), "e.yaml") == wanted
    assert parsed(yaml.safe_dump(camel), "e.YML") == wanted


def test_yaml_may_write_numbers_as_a_text_proto_does_and_settings_as_a_mapping() -> None:
    text = """
    options: {min_slice_size: {value: 3}, compute_confidence_intervals: true}
    slicing_specs: [{feature_values: {month: 1, flag: true}}]
    metrics_specs:
      - metrics:
          - {class_name: AUC, config: {num_thresholds: 10}, threshold: {value_threshold: {lower_bound: 1e-3}}}
        model_names:
    """
    wanted = """
    options { min_slice_size { value: 3 } compute_confidence_intervals { value: true } }
    slicing_specs { feature_values { key: "month" value: "1" } feature_values { key: "flag" value: "true" } }
    metrics_specs { metrics {
      class_name: "AUC" config: '{"num_thresholds": 10}' threshold { value_threshold { lower_bound { value: 0.001 } } } } }
    """
    assert parsed(text, "e.yaml") == proto(wanted)


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        (
            "e.pbtxt",
            "\nmetrics_specs {\n metricz {} }",
            "e.pbtxt:3: metricz: MetricsSpec has no such field; did you mean 'metrics'?",
        ),
        ("e.pbtxt", "metrics_specs {", 'e.pbtxt:1: not a text proto of an EvalConfig: Expected "}".'),
        (
            "e.pbtxt",
            "options { min_slice_size { value: true } }",
            "not a text proto of an EvalConfig: Couldn't parse integer: true",
        ),
        ("e.pbtxt", "options {\n confidence_intervals { method: FOO } }", "e.pbtxt:2: not a text proto"),
        (
            "e.yaml",
            "options:\n  min_slice: 3",
            "e.yaml:2: options.min_slice: Options has no such field; did you mean 'min_slice_size'?",
        ),
        ("e.yaml", "options: {min_slice_size: 3.5}", "e.yaml:1: options.min_slice_size: '3.5' is not a whole number"),
        ("e.yaml", "options: {min_slice_size: 3000000000}", "'3000000000' is not a whole number"),
        ("e.yaml", "model_specs:\n- is_baseline: 2", "e.yaml:2: model_specs[0].is_baseline: '2' is not true or false"),
        ("e.yaml", "model_specs:\n- name: a\n  name: b", "e.yaml:3: model_specs[0].name: this field is given twice"),
        ("e.yaml", "model_specs: {name: a}", "e.yaml:1: model_specs: a list is wanted here"),
        ("e.yaml", "model_specs: [a]", "e.yaml:1: model_specs[0]: a mapping of fields is wanted here"),
        ("e.yaml", "model_specs: [{name: [a]}]", "model_specs[0].name: one value is wanted here"),
        ("e.yaml", "- a", "e.yaml:1: the file: a mapping of fields is wanted here"),
        ("e.yaml", "a: [", "e.yaml:1: not valid YAML"),
        (
            "e.yaml",
            "options: {confidence_intervals: {method: FOO}}",
            "one of UNKNOWN_CONFIDENCE_INTERVAL_METHOD, POISSON_BOOTSTRAP",
        ),
        ("e.json", '{\n"options": 1,}', "e.json:2: not valid JSON"),
        ("e.json", "[" * 100_000, "e.json:1: it is nested too deeply"),
        ("e.yaml", "[" * 10_000, "e.yaml:1: it is nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_file_and_line(name: str, text: str, error: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parsed(text, name)
    assert error in str(raised.value)
    assert str(raised.value).startswith(f"{name}:")
    assert "\n" not in str(raised.value)


@given(st.text(max_size=60), st.sampled_from(["e.pbtxt", "e.yaml", "e.json"]))
@settings(max_examples=200)
def test_any_text_is_read_or_refused_in_one_line(text: str, name: str) -> None:
    try:
        parsed(text, name)
    except ConfigError as error:
        assert str(error).startswith(f"{name}:")  # noqa: PT017, it may as well be read
        assert len(str(error).splitlines()) == 1  # noqa: PT017


AUC = 'metrics { class_name: "AUC" }'
SPECS = f" metrics_specs {{ {AUC} }}"


def metric(fields: str) -> str:
    """An EvalConfig with one metric."""
    return f"metrics_specs {{\n metrics {{ {fields} }} }}"


def spec(fields: str) -> str:
    """An EvalConfig with AUC and more in its metrics_spec."""
    return f"metrics_specs {{ {fields} {AUC} }}"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("options {}", ": metrics_specs: there are no metrics to compute"),
        (
            metric('class_name: "Auc"'),
            ":2: metrics_specs[0].metrics[0].class_name: there is no metric 'Auc'; did you mean 'AUC'?",
        ),
        (metric('class_name: "BinaryCrossentropi"'), "did you mean 'BinaryCrossentropy'?"),
        (metric('class_name: "COPC"'), "there is no metric 'COPC'"),
        (metric(""), "metrics_specs[0].metrics[0].class_name: a metric needs the name of its class"),
        (metric("class_name: 'AUC' config: '{bad'"), "metrics[0].config: the settings of AUC are not valid JSON"),
        (
            metric("class_name: 'AUC' config: '\"size\": 3'"),
            "metrics[0]: AUC: AUC.__init__() got an unexpected keyword",
        ),
        (metric("class_name: 'MeanIoU' config: '\"x\": 3'"), "MeanIoU.__init__()"),
        (metric("class_name: 'My' module: 'nowhere.at.all'"), "No module named 'nowhere'"),
        (spec('output_names: "o"'), "metrics_specs[0].output_names: there is no output 'o'"),
        (
            'model_specs { name: "a" } model_specs { name: "b" }' + spec('model_names: "c"'),
            "there is no model 'c'; known here: a, b",
        ),
        (spec("binarize { top_k_list { values: 0 } }"), "metrics_specs[0].binarize.top_k_list: 0 is below 1"),
        (spec("aggregate { macro_average: true }"), "class_weights are required in order to compute macro average"),
        ("model_specs { is_baseline: true }" + SPECS, "there is no candidate beside the baseline"),
        (
            'model_specs { name: "a" } model_specs {}' + SPECS,
            "model_specs[1].name: each of several models needs a name",
        ),
        (
            'model_specs { name: "a" } model_specs { name: "a" }' + SPECS,
            "model_specs[1].name: a model 'a' is there already",
        ),
        (
            'model_specs { name: "a" is_baseline: true } model_specs { name: "b" is_baseline: true }' + SPECS,
            "only one model can be the baseline, here are 2: 'a', 'b'",
        ),
        (
            'model_specs { label_key: "a" label_keys { key: "o" value: "b" } }' + SPECS,
            "model_specs[0]: label_key and label_keys are both there",
        ),
        (
            'model_specs { label_keys { key: "o" value: "b" } prediction_keys { key: "p" value: "b" } }' + SPECS,
            "model_specs[0].label_keys: there is no label for the output 'p'",
        ),
        (
            'model_specs { label_keys { key: "o" value: "b" } prediction_key: "p" }' + SPECS,
            "model_specs[0].label_keys: a label for each output needs prediction_keys",
        ),
        (
            'slicing_specs { feature_keys: "c" feature_values { key: "c" value: "a" } }' + SPECS,
            "slicing_specs[0]: 'c' is both in feature_keys and in feature_values",
        ),
        (
            'slicing_specs { feature_keys: "c" slice_keys_sql: "SELECT 1" }' + SPECS,
            "slicing_specs[0]: slice_keys_sql goes with neither feature_keys nor feature_values",
        ),
        (
            spec('thresholds { key: "auc" value { value_threshold { lower_bound { value: 0 } } } }'),
            "metrics_specs[0].thresholds: 'auc' is not computed",
        ),
    ],
)
def test_what_tfma_could_not_compute_is_told_by_its_field(text: str, error: str) -> None:
    source = Source(text, "e.pbtxt")
    with pytest.raises(ConfigError) as raised:
        checked(source)
    assert error in str(raised.value)
    assert str(raised.value).startswith("e.pbtxt")
    assert len(str(raised.value).splitlines()) == 1


def checked(source: Source) -> None:
    config = parse_eval_config(source)
    check_as_written(config, source)
    check_settled(without_baseline(config, source).config, source)


@pytest.mark.parametrize(
    ("threshold", "error"),
    [
        (
            "value_threshold { lower_bound { value: 0.5 } upper_bound { value: 0.2 } }",
            "value_threshold: no value is at least 0.5 and at most 0.2",
        ),
        ("value_threshold { lower_bound { value: nan } }", "lower_bound: NaN is no bound"),
        ("change_threshold { absolute { value: 0.1 } }", "change_threshold: direction is missing"),
    ],
)
@pytest.mark.parametrize(
    ("within", "place"),
    [
        ("threshold {{ {} }}", "threshold"),
        (
            'per_slice_thresholds {{ slicing_specs {{ feature_keys: "c" }} threshold {{ {} }} }}',
            "per_slice_thresholds[0].threshold",
        ),
        (
            "cross_slice_thresholds {{ cross_slicing_specs {{ baseline_spec {{}} }} threshold {{ {} }} }}",
            "cross_slice_thresholds[0].threshold",
        ),
    ],
)
def test_a_threshold_that_nothing_can_keep_is_refused(threshold: str, error: str, within: str, place: str) -> None:
    text = f'metrics_specs {{ metrics {{ class_name: "AUC" {within.format(threshold)} }} }}'
    with pytest.raises(ConfigError) as raised:
        check_as_written(proto(text), Source(text, "e.pbtxt"))
    assert f"metrics_specs[0].metrics[0] (AUC).{place}" in str(raised.value)
    assert error in str(raised.value)


def test_a_threshold_of_no_slice_is_refused() -> None:
    text = 'metrics_specs { metrics { class_name: "AUC" per_slice_thresholds { threshold { value_threshold {} } } } }'
    with pytest.raises(ConfigError, match=r"per_slice_thresholds\[0\].slicing_specs: no slice is named"):
        check_as_written(proto(text), Source(text, "e.pbtxt"))


def test_every_metric_that_tfma_and_keras_know_passes() -> None:
    names = (
        "AUC",
        "NDCG",
        "ExampleCount",
        "MultiClassConfusionMatrixPlot",
        "SparseCategoricalAccuracy",
        "Hinge",
        "F1Score",
    )
    settings_of = {"NDCG": '"gain_key": "g", "top_k_list": [1]'}
    config = config_pb2.EvalConfig()
    metrics = config.metrics_specs.add(query_key="q").metrics
    for name in names:
        metrics.add(class_name=name, config=settings_of.get(name, ""))
    check_settled(without_baseline(config, Source("", "e")).config, Source("", "e"))
    assert mentioned_words(config) == {"g"}
    assert slicing_columns(config) == {"q": "to group queries by (query_key)"}


def test_columns_that_are_not_named_are_the_users_else_label_and_prediction() -> None:
    config = proto('model_specs { name: "a" prediction_key: "p" } model_specs { name: "b" is_baseline: true }')
    found = filled(config, Roles(label="y", weight="w"), ["y", "p", "prediction", "w"], None)
    assert output_columns(found, []) == {
        ("a", ""): OutputColumns("y", "p", "w"),
        ("b", ""): OutputColumns("y", "prediction", "w"),
    }
    assert not config.model_specs[0].label_key
    assert output_columns(filled(proto(""), Roles(), ["label", "prediction"], None), []) == {
        ("", ""): OutputColumns("label", "prediction")
    }


def test_outputs_have_columns_of_their_own() -> None:
    config = proto(
        'model_specs { label_keys { key: "a" value: "la" } label_keys { key: "b" value: "lb" } example_weight_key: "w" '
        'prediction_keys { key: "a" value: "pa" } prediction_keys { key: "b" value: "pb" } }'
    )
    assert output_columns(config, []) == {
        ("", "a"): OutputColumns("la", "pa", "w"),
        ("", "b"): OutputColumns("lb", "pb", "w"),
    }


def test_a_column_that_contradicts_the_configuration_is_refused() -> None:
    config = proto('model_specs { label_key: "label" }')
    with pytest.raises(
        ConfigError, match="column 'y' is given as the label, but the EvalConfig's label_key says 'label'"
    ):
        filled(config, Roles(label="y"), ["y"], None)
    filled(config, Roles(label="label"), ["label"], None)


def test_without_any_column_for_predictions_the_columns_there_are_told() -> None:
    with pytest.raises(
        ConfigError, match=r"no column is known for the prediction: set prediction_key .*; the columns are: y, x"
    ):
        output_columns(filled(proto(""), Roles(label="y"), ["y", "x"], None), ["y", "x"])


CHANGE = (
    'metrics { class_name: "AUC" threshold { change_threshold { absolute { value: 0 } direction: HIGHER_IS_BETTER } } }'
)


def test_rows_of_a_baseline_make_a_baseline_of_a_single_model_named_or_not() -> None:
    for name in ("", 'name: "mine"'):
        text = f'model_specs {{ {name} label_key: "y" }} metrics_specs {{ {CHANGE} }}'
        settled = with_baseline(proto(text), Source(text, "e"))
        assert [(model.name, model.is_baseline) for model in settled.config.model_specs] == [
            ("candidate", False),
            ("baseline", True),
        ]
        assert list(settled.config.metrics_specs[0].model_names) == ["candidate", "baseline"]
        assert not settled.change_thresholds_dropped


def test_without_a_baseline_thresholds_on_changes_are_dropped_and_that_is_told() -> None:
    models = 'model_specs { name: "a" } model_specs { name: "b" is_baseline: true }'
    text = f'{models} metrics_specs {{ model_names: ["a", "b"] {CHANGE} }}'
    settled = without_baseline(proto(text), Source(text, "e"))
    assert settled.change_thresholds_dropped
    assert [model.name for model in settled.config.model_specs] == [""]
    assert list(settled.config.metrics_specs[0].model_names) == [""]
    assert not settled.config.metrics_specs[0].metrics[0].threshold.HasField("change_threshold")


def test_rows_of_a_baseline_need_a_model_that_is_the_baseline() -> None:
    text = 'model_specs { name: "a" } model_specs { name: "b" }'
    with pytest.raises(ConfigError, match="no model has is_baseline: true"):
        with_baseline(proto(text), Source(text, "e"))


@pytest.mark.parametrize(
    ("predictions", "own"),
    [(("p", "p"), False), (("p", "q"), True)],
    ids=["the baseline is read from the candidate's column: it is none", "it has a column of its own"],
)
def test_a_baseline_is_one_that_has_predictions_of_its_own(predictions: tuple[str, str], own: bool) -> None:
    config = config_pb2.EvalConfig()
    config.model_specs.add(name="a", prediction_key=predictions[0])
    config.model_specs.add(name="b", prediction_key=predictions[1], is_baseline=True)
    assert reads_own_predictions(config) is own
